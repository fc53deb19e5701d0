"""The page: for a server, or as one file that holds a case and everything that shows it."""

import base64
import gzip
import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hermes_nnunet.core.viewer.scene import Scene

# In their order.
_SCRIPTS = ("niivue.umd.js", "drawing.js", "windows.js", "viewer.js")
# What the served page loads, with its type.
STATIC = {**dict.fromkeys(_SCRIPTS, "text/javascript; charset=utf-8"), "viewer.css": "text/css; charset=utf-8"}
# Images hardly get smaller above it.
_COMPRESSION = 4
# Of an image in a file that is sent around.
SENT_VOXELS = 2**24


@cache
def static(name: str) -> bytes:
    """Content of a file of ours or of NiiVue."""
    return (files("hermes_nnunet.core.viewer") / "static" / name).read_bytes()


def served_page(title: str) -> str:
    """The page that loads all else from where it is."""
    return _template().render(title=title, embedded=None, scripts=_SCRIPTS)


def whole_page(scene: Scene) -> str:
    """A page that shows a case and needs nothing else, neither files nor a network."""
    content = {"scene": scene.to_json(), "parts": {name: _packed(scene.part(name) or b"") for name in _needed(scene)}}
    return _template().render(
        title=scene.name,
        embedded=_script_json(content),
        style=static("viewer.css").decode(),
        # It asks for its text wherever its code goes.
        licence=static("LICENSE.niivue.txt").decode(),
        scripts={name: static(name).decode() for name in _SCRIPTS},
    )


def _needed(scene: Scene) -> list[str]:
    """Parts that the page asks for: no surface of what has none."""
    empty = {
        f"{whose}/surface/{number}"
        for number, task in enumerate(scene.to_json()["tasks"])
        for whose in scene.segmentations
        if not (task[whose] or {}).get("volume_ml")
    }
    return [name for name in scene.parts if name not in empty]


def _packed(part: bytes) -> str:
    return base64.b64encode(gzip.compress(part, _COMPRESSION, mtime=0)).decode()


def _script_json(content: Any) -> str:
    """JSON that ends no script element, whatever names are in it."""
    return json.dumps(content, allow_nan=False).replace("<", "\\u003c")


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("hermes_nnunet.core.viewer"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("viewer.html")
