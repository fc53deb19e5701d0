import pytest

from hermes_nnunet.cli.main import main


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--name", "a/b", "--name 'a/b': use letters, digits"),
        ("--into", "1000", "--into 1000: give an id from 1 to 999"),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_anything_is_read(
    tmp_path, monkeypatch, capsys, option, value, message
):
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    assert main(["import-weights", "nothing.pth", "--into", "910", option, value]) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
