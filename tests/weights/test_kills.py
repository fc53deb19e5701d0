"""Imports that are killed at any change of a file: the next run makes them, and no model is of two."""

import pytest

from hermes_nnunet.weights.importing import import_weights
from hermes_nnunet.weights.model_folder import MARKER

MODEL = "Dataset910_Ours/HermesTrainerPaper__HermesPaperRPlans__3d_fullres"


@pytest.fixture
def action(kills, make_released, members_file, tmp_path):
    """A function that imports generated weights into kills.folder."""
    released = make_released("r", tmp_path / "hermes_r.pth", task_rows=6, num_modalities=3)

    def run(averaged=False):
        import_weights(
            released, into=910, name="Ours", results=kills.folder, members_file=members_file, averaged=averaged
        )

    return run


def test_a_new_model_appears_with_all_it_holds(kills, action):
    kills.leave_all_or_nothing(action, MODEL)


def test_another_import_never_leaves_a_model_of_both(kills, action):
    kills.run(action)
    old = kills.snapshot()
    kills.keep()

    def again():
        action(averaged=True)

    kills.run(again)
    whole = kills.snapshot()
    assert whole != old
    for change in kills.each(again):
        left = kills.part_of(kills.snapshot(), MODEL)
        assert f"/{MARKER}" in left
        if "/plans.json" in left:
            assert left in (kills.part_of(old, MODEL), kills.part_of(whole, MODEL)), change
        kills.run(again)
        assert kills.snapshot() == whole, change
