"""Whatever happens to a file: what reads it says so in one line, or gets something that can be used."""

import json
from collections.abc import Callable
from random import Random

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import mutated_json, mutated_yaml
from readers import READS, YAML_FILES, read_of, write_valid

from hermes_nnunet.errors import HermesError

EXAMPLES = 120


def check(action: Callable[[], object]) -> None:
    """Nothing but a HermesError of one line comes out, or of a line for each problem."""
    line = ""
    try:
        action()
    except HermesError as error:
        line = str(error)
    assert len(line) < 1500
    assert "\n" not in line.replace("\n  ", "")


@pytest.mark.parametrize("of", READS, ids=lambda of: of.__name__)
def test_a_mutated_json_file_is_read_or_refused_in_one_line(of, dataset_json, plans, collection, tmp_path):
    case = read_of(of, plans, dataset_json, collection)
    path = write_valid(case, tmp_path / "Dataset005_X")
    case.read(path)  # the valid one
    content = json.loads(path.read_text())

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 2**32))
    def all_are_read_or_refused(seed: int) -> None:
        path.write_bytes(mutated_json(content, Random(seed)))
        check(lambda: case.read(path))

    all_are_read_or_refused()


@pytest.mark.parametrize("name", YAML_FILES)
def test_a_mutated_yaml_file_is_read_or_refused_in_one_line(name, tmp_path):
    content, read = YAML_FILES[name]
    path = tmp_path / name
    path.write_text(yaml.safe_dump(content))
    read(path)

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 2**32))
    def all_are_read_or_refused(seed: int) -> None:
        path.write_bytes(mutated_yaml(content, Random(seed)))
        check(lambda: read(path))

    all_are_read_or_refused()
