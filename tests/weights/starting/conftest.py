"""Checkpoints of plain U-Nets, and the preprocessed collection of the common conftest without its data."""

import json

import pytest
from small_models import write_plain_checkpoint

from tests.weights.additions.conftest import base, extended, folders, new_member  # noqa: F401


@pytest.fixture
def plain(plans, tmp_path):
    """`write_plain_checkpoint` of the network of `plans`; returns network and file."""

    def make(*changes, name="checkpoint_final.pth", **more):
        return write_plain_checkpoint(plans, tmp_path / name, *changes, **more), tmp_path / name

    return make


@pytest.fixture
def preprocessed(tmp_path, plans, dataset_json):
    """A function that writes the plans and dataset.json of the collection; returns their folder."""

    def write():
        folder = tmp_path / "preprocessed" / "Dataset900_Both"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "HermesPlans.json").write_text(json.dumps(plans))
        (folder / "dataset.json").write_text(json.dumps(dataset_json))
        return folder

    return write
