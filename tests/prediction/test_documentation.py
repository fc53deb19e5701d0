"""The Python example of docs/predict.md is run as it stands."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "predict.md"


def test_the_python_example_runs(model, images, tmp_path, monkeypatch, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (images / "a_0000.nii.gz").rename(tmp_path / "image.nii.gz")
    exec(compile(example, str(PAGE), "exec"), {})
    assert "{1: 'abdomen/liver', 2: 'abdomen/spleen'}" in capsys.readouterr().out
    assert (tmp_path / "segmentation.nii.gz").is_file()
    assert (tmp_path / "segmentation.png").is_file()
