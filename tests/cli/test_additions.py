"""extend and add as people type them."""

import pytest

from hermes_nnunet.cli.main import main


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Empty folders of nnU-Net; returns nnUNet_results."""
    for name in ("raw", "preprocessed", "results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    return tmp_path / "results"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["add", "a.hermes", "-m", "900", "--into", "1000"], "--into 1000: give an id from 1 to 999"),
        (["add", "a.hermes", "-m", "900", "--into", "902", "--name", "a/b"], "--name 'a/b': use letters"),
        (["add", "a.hermes", "-m", "900"], "900 is neither a folder nor a data set with a model"),
        (["extend", "900", "305:T2", "--into", "901"], "900 is neither a folder nor a data set with a model"),
    ],
)
def test_wrong_calls_are_one_line_and_write_nothing(results, capsys, words, message):
    assert main(words) == 1
    assert message in capsys.readouterr().err
    assert not any(results.iterdir())
