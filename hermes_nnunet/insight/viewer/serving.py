"""A server for one person's browser on this machine.

It listens on 127.0.0.1 only, answers nobody who does not know its token, and has no path in an address: a case is asked
for by its number in the list, and a part of it by a word.
"""

import json
import re
import secrets
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hermes_nnunet.core.dice import mean_of_defined
from hermes_nnunet.core.viewer.page import STATIC, served_page, static
from hermes_nnunet.core.viewer.scene import Scene
from hermes_nnunet.errors import HermesError
from hermes_nnunet.insight.viewer.cases import ShownCase, read_scene

HOST = "127.0.0.1"
# The one that is shown, and the next.
_KEPT_SCENES = 2
_CASE = re.compile(r"case/(?P<number>\d{1,9})(/(?P<part>.+))?")
_HTML, _JSON, _TEXT, _BYTES = (
    "text/html; charset=utf-8",
    "application/json",
    "text/plain; charset=utf-8",
    "application/octet-stream",
)
_HEADERS = {
    # NiiVue's fonts and shaders are data in its own file.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class ViewerServer(ThreadingHTTPServer):
    """Shows cases to who has the address.

    Args:
        cases: what is shown; nothing else is.
        port: 0 takes a free one.
        title: of the page.

    Raises:
        HermesError: the port is taken, or not to be had.
    """

    daemon_threads = True

    def __init__(self, cases: Sequence[ShownCase], port: int = 0, title: str = "") -> None:
        self.cases = cases
        self.title = title
        self.token = secrets.token_urlsafe(32)
        self._scenes: OrderedDict[int, Scene] = OrderedDict()
        self._lock = threading.Lock()
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise HermesError(
                f"port {port} cannot be used ({reason}): choose another with --port, or leave it out"
            ) from None

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def scene(self, number: int) -> Scene:
        """A case of the list, read when it is asked for first.

        Raises:
            HermesError: it cannot be read.
        """
        with self._lock:
            if number not in self._scenes:
                while len(self._scenes) >= _KEPT_SCENES:
                    self._scenes.popitem(last=False)
                self._scenes[number] = read_scene(self.cases[number])
            self._scenes.move_to_end(number)
            return self._scenes[number]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep silent about a browser that went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: ViewerServer

    def do_GET(self) -> None:
        """Answer with a part of what is shown, or 404."""
        hosts = {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}
        # A page of another name that resolves to this machine has that name here.
        if self.headers.get("Host", "") not in hosts:
            return self._answer(HTTPStatus.FORBIDDEN, _TEXT, b"This server is for 127.0.0.1 only.")
        token, _, asked = self.path.partition("?")[0].removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            return self._nothing()
        if asked == "":
            return self._answer(HTTPStatus.OK, _HTML, served_page(self.server.title).encode())
        if asked in STATIC:
            return self._answer(HTTPStatus.OK, STATIC[asked], static(asked))
        if asked == "cases":
            return self._json([_entry(case) for case in self.server.cases])
        match = _CASE.fullmatch(asked)
        if match is None or int(match["number"]) >= len(self.server.cases):
            return self._nothing()
        try:
            scene = self.server.scene(int(match["number"]))
            if match["part"] is None:
                return self._json(scene.to_json())
            part = scene.part(match["part"])
        except (HermesError, OSError, MemoryError) as error:
            problem = str(error) or "memory ran out"
            return self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT, problem.encode(errors="backslashreplace"))
        return self._nothing() if part is None else self._answer(HTTPStatus.OK, _BYTES, part)

    def _json(self, content: Any) -> None:
        self._answer(HTTPStatus.OK, _JSON, json.dumps(content, allow_nan=False).encode())

    def _nothing(self) -> None:
        self._answer(HTTPStatus.NOT_FOUND, _TEXT, b"There is nothing here.")

    def _answer(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **_HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def version_string(self) -> str:
        """The Server header, without versions."""
        return "hermes_nnunet"

    def log_message(self, *_: Any) -> None:
        """Nothing: the terminal is for the address."""


def _entry(case: ShownCase) -> dict[str, Any]:
    mean = mean_of_defined(case.dice.values())
    return {"name": case.name, "dice": round(mean, 4) if mean == mean else None}  # not nan
