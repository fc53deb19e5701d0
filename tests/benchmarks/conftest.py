"""The benchmarks are scripts: they find each other in their own folder."""

import importlib
import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def run_benchmark(tmp_path):
    """A function that runs a benchmark with some arguments; returns the rows of its result."""

    def run(name, *arguments):
        importlib.import_module(name).main(["--repeats", "1", "--results", str(tmp_path), *map(str, arguments)])
        result = json.loads((tmp_path / f"{name}.json").read_text())
        assert result["format_version"] == 1
        assert result["question"].endswith("?")
        assert result["machine"]["cores"] > 0
        assert "torch" in result["versions"]
        return result["rows"]

    return run
