import signal
import subprocess
import sys
import urllib.request

import pytest

from hermes_nnunet.cli.main import main
from hermes_nnunet.insight.viewer import serving


@pytest.fixture
def view(monkeypatch):
    """A function that runs `hermes_nnunet view` as if Ctrl-C came at once; and the addresses that were opened."""
    opened = []
    monkeypatch.setattr(serving.ViewerServer, "serve_forever", interrupted)
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) is None)

    def run(*words):
        return main(["view", *map(str, words)]), opened

    return run


def interrupted(self):
    raise KeyboardInterrupt


def test_opens_results(view, results, capsys):
    code, opened = view(results / "out", "-i", results / "in", "-r", results / "ref")
    assert code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"2 cases of {results / 'out'}: http://127.0.0.1:")
    assert opened == [printed.split()[4]]


def test_opens_a_models_validation(view, model, raw, monkeypatch, capsys):
    monkeypatch.setenv("nnUNet_raw", str(raw))
    monkeypatch.setenv("nnUNet_results", str(model.parents[1]))
    for name in ("900", model):
        code, _ = view(name, "--no-browser")
        assert code == 0
        assert capsys.readouterr().out.startswith(f"3 cases of {name}: ")


def test_without_a_browser_the_address_is_what_there_is(view, results, monkeypatch, capsys):
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    assert view(results / "out")[0] == 0
    assert "warning: no browser was found: open the address in one" in capsys.readouterr().err


def test_images_go_with_results_only(view, model, raw, results, capsys):
    assert view(model, "-i", results / "in")[0] == 2
    assert "-i goes with a folder of results" in capsys.readouterr().err


def test_nothing_to_see_is_one_line(view, results, capsys):
    assert view(results / "in")[0] == 1
    assert capsys.readouterr().err.startswith(f"hermes_nnunet: error: {results / 'in'} has neither labels.json")


def test_ctrl_c_ends_it(results):
    command = [sys.executable, "-m", "hermes_nnunet", "view", str(results / "out"), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().split()[4]
        with urllib.request.urlopen(f"{address}cases", timeout=20) as answer:
            assert b'"a"' in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""
