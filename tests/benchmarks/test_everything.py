"""What benchmarks/everything.py measures; its trainings take hours."""

import importlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hermes_nnunet.collection import Context
from hermes_nnunet.plans import HermesPlans


@pytest.fixture
def everything():
    return importlib.import_module("everything")


class TestContextModel:
    def test_finds_no_modality_where_it_is_told_to_be_unknown(self, plans, collection):
        contexts = importlib.import_module("comparison.contexts")
        classifier = {"looks": [{"member": name} for name in collection.members]}
        hermes_plans = replace(HermesPlans.from_plans(plans), modality_classifier=classifier)
        assert hermes_plans.finds_modality
        model = object.__new__(contexts.ContextModel)  # reads no weights
        model.model, model.collection = SimpleNamespace(hermes_plans=hermes_plans), collection
        one = model._pass(Context(("brain/whole",), "unknown"))
        assert one.context == Context(("brain/whole",), "unknown")
        assert not one.hermes_plans.finds_modality


class TestContexts:
    def test_a_case_is_segmented_in_its_members_its_modalitys_and_all_tasks_and_in_those_of_elsewhere(
        self, everything, collection
    ):
        contexts = everything.contexts_of("brain", "T1", collection, alone=False)
        assert {name: context.tasks for name, context in contexts.items()} == {
            "its member's": ("brain/whole", "brain/core"),
            "its modality's": ("brain/whole", "brain/core"),
            "all": ("abdomen/liver", "abdomen/spleen", "brain/whole", "brain/core"),
            "asked for:abdomen": ("abdomen/liver", "abdomen/spleen"),
        }
        assert {context.modality for context in contexts.values()} == {"T1"}

    def test_every_task_is_segmented_alone_too_where_that_is_asked(self, everything, collection):
        contexts = everything.contexts_of("brain", "T1", collection, alone=True)
        assert [context.tasks for name, context in contexts.items() if name.startswith("alone")] == [
            ("brain/whole",),
            ("brain/core",),
        ]


class TestRows:
    def test_volume_and_pieces(self, everything):
        mask = np.zeros((8, 8, 8), bool)
        mask[:2, :2, :2] = mask[5:, 5:, 5:] = True
        assert everything._size(mask, (1, 2, 5)) == (pytest.approx((8 + 27) * 10 / 1000), 2)

    def test_means_over_cases_leave_out_the_undefined(self, everything):
        pairs = {("a", "all"): [(0.5, 1.0), (float("nan"), float("nan")), (1.0, 3.0)]}
        assert everything._nested(pairs, ("dice", "hd95_mm")) == {
            "a": {"all": {"dice": 0.75, "hd95_mm": 2.0, "cases": 3}}
        }

    def test_are_kept_sorted_and_printed(self, everything, tmp_path, capsys):
        row = {
            "batches_per_member": 300,
            "seed": 0,
            "scores": {"head/cord": {"all": {"dice": 0.625, "hd95_mm": 3.0, "cases": 2}}},
            "cannot_be_there": {"heart/atrium in CT": {"asked for": {"ml": 12.25, "pieces": 3, "cases": 2}}},
            "seconds_a_case": {"head, all": 1.5},
        }
        for arm, fold in (("masked", 0), ("exclusion", 1), ("masked", 0)):
            everything.add_row(tmp_path / "everything.json", {**row, "arm": arm, "fold": fold}, "Is it?")
        rows = everything.read_rows(tmp_path / "everything.json")
        assert [(kept["arm"], kept["fold"]) for kept in rows] == [("masked", 0), ("exclusion", 1)]
        everything.show(rows)
        printed = capsys.readouterr().out
        for shown in ("head/cord", "0.625", "heart/atrium in CT", "12.2"):
            assert shown in printed
