import http.client
import json
import socket
import struct
from dataclasses import replace

import pytest

from hermes_nnunet.errors import HermesError
from hermes_nnunet.insight.viewer.serving import ViewerServer


@pytest.fixture
def server(serve, shown):
    return serve([shown, replace(shown, name="b", reference=None)], title="<out>")


@pytest.fixture
def get(server):
    """A function that asks for a path, exactly as it is given, and returns status, headers and content."""

    def ask(path, host=None):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
        connection.putrequest("GET", path, skip_host=True)
        connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
        connection.endheaders()
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content

    return ask


class TestWhatIsServed:
    def test_page_and_what_it_loads(self, server, get):
        status, headers, page = get(f"/{server.token}/")
        assert status == 200
        assert "&lt;out&gt;" in page.decode()
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
        for name in ("niivue.umd.js", "drawing.js", "windows.js", "viewer.js", "viewer.css"):
            assert get(f"/{server.token}/{name}")[0] == 200
            assert name in page.decode()

    def test_cases_and_their_parts(self, server, get):
        assert json.loads(get(f"/{server.token}/cases")[2]) == [
            {"name": "a", "dice": None},
            {"name": "b", "dice": None},
        ]
        scene = json.loads(get(f"/{server.token}/case/0")[2])
        assert scene["layers"] == {"prediction": 1, "reference": 1}
        # To the right, the front and the head, whatever the file has.
        assert scene["shape"] == [24, 20, 14]
        assert scene["tasks"][0]["dice"] == 1
        status, headers, layer = get(f"/{server.token}/case/0/prediction/layer/0")
        assert (status, len(layer)) == (200, 24 * 20 * 14)
        assert headers["Content-Length"] == str(len(layer))
        assert get(f"/{server.token}/case/1/reference/layer/0")[0] == 404

    def test_a_question_mark_ends_the_address(self, server, get):
        assert get(f"/{server.token}/cases?x=1")[0] == 200


class TestWhatIsNotServed:
    @pytest.mark.parametrize(
        "path", ["/", "/cases", "/case/0", "/viewer.js", "/wrong/cases", "//cases", "/favicon.ico"]
    )
    def test_anything_without_the_token(self, get, path):
        status, _, content = get(path)
        assert (status, content) == (404, b"There is nothing here.")

    def test_another_token_of_this_length(self, server, get):
        other = server.token[:-1] + ("A" if server.token[-1] != "A" else "B")
        assert get(f"/{other}/cases")[0] == 404
        assert len(server.token) >= 40

    @pytest.mark.parametrize(
        "asked",
        [
            "../../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "case/0/../../../etc/passwd", "case/0//etc/passwd",
            "/etc/passwd", "case/2", "case/-1", "case/99999999999", "case/0x0", "case/0/labels.json", "labels.json",
            "LICENSE.niivue.txt", "viewer.html", "case/0/prediction/layer/1", "case/0/prediction/layer/-1",
            "case/\u0660", "cases/", "static/viewer.js", "..", "case/0/image%00",
        ],
    )  # fmt: skip
    def test_anything_but_the_parts_of_the_cases(self, server, get, asked):
        path = f"/{server.token}/{asked}".encode("latin-1", errors="ignore").decode("latin-1")
        assert get(path)[0] == 404

    def test_who_comes_by_another_name(self, server, get):
        for host in ("evil.example", f"evil.example:{server.server_port}", "127.0.0.1", "127.0.0.1:1"):
            assert get(f"/{server.token}/cases", host=host)[0] == 403
        assert get(f"/{server.token}/cases", host=f"localhost:{server.server_port}")[0] == 200

    def test_other_machines(self, server):
        assert server.server_address[0] == "127.0.0.1"

    def test_tokens_differ(self, serve, shown):
        assert len({serve([shown]).token for _ in range(3)}) == 3


class TestStaysUp:
    def test_when_a_client_goes_away_in_the_middle(self, server, get, capfd):
        for _ in range(3):
            client = socket.create_connection(("127.0.0.1", server.server_port))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(
                f"GET /{server.token}/niivue.umd.js HTTP/1.0\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n".encode()
            )
            client.recv(10)
            client.close()
        assert get(f"/{server.token}/cases")[0] == 200
        assert capfd.readouterr().err == ""

    def test_when_a_segmentation_is_gone(self, server, get, results):
        there = results / "out" / "a.nii.gz"
        hidden = there.rename(results / "hidden")
        status, headers, content = get(f"/{server.token}/case/1")
        assert status == 500
        assert headers["Content-Type"].startswith("text/plain")
        assert str(there) in content.decode()
        hidden.rename(there)
        assert get(f"/{server.token}/case/0")[0] == 200


class TestPort:
    def test_that_is_taken_is_one_line(self, serve, shown):
        taken = serve([shown]).server_port
        with pytest.raises(HermesError, match=f"port {taken} cannot be used .*: choose another with --port"):
            ViewerServer([shown], taken)

    @pytest.mark.parametrize("port", [70000, -1])
    def test_that_cannot_be_is_one_line(self, shown, port):
        with pytest.raises(HermesError, match=f"port {port} cannot be used"):
            ViewerServer([shown], port)
