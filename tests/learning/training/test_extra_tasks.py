from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_nnunet.learning.training.extra_tasks import ExtraTasks

LIVER, SPLEEN, WHOLE, CORE = "abdomen/liver", "abdomen/spleen", "brain/whole", "brain/core"


@pytest.fixture
def exclusive(collection):
    """The whole tumour excludes the liver; no image of the brain shows the spleen."""
    return replace(collection, excludes={LIVER: (WHOLE,), WHOLE: (LIVER,)}, absent={"brain": (SPLEEN,)})


class TestCandidates:
    def test_are_tasks_of_others_that_exclude_an_own_one_or_are_absent(self, exclusive):
        extra = ExtraTasks(exclusive, 2)
        assert extra.candidates("abdomen") == (WHOLE,)
        assert extra.candidates("brain") == (LIVER, SPLEEN)

    def test_are_none_where_nothing_is_known(self, collection):
        extra = ExtraTasks(collection, 2)
        assert extra.rows == 0
        assert extra.candidates("abdomen") == extra.candidates("brain") == ()

    @pytest.mark.parametrize(("number", "rows"), [(0, 0), (1, 1), (2, 2), (9, 2)])
    def test_fill_as_many_rows_as_there_are_at_most(self, exclusive, number, rows):
        assert ExtraTasks(exclusive, number).rows == rows


class TestNegatives:
    def of_cases(self, collection, *cases, ignore_label=None):
        return ExtraTasks(collection, 2, ignore_label).of_batch(cases, (0, 0))

    def test_are_the_values_of_what_the_task_excludes(self, exclusive):
        tasks, negatives = self.of_cases(exclusive, "abdomen__a")
        assert tasks.tolist() == [[2, -1]]
        assert negatives.tolist() == [[[False, True, False, False, False], [False] * 5]]

    def test_of_an_absent_task_are_all_values_but_the_ignored(self, exclusive):
        tasks, negatives = self.of_cases(exclusive, "brain__x", ignore_label=5)
        by_task = dict(zip(tasks[0].tolist(), negatives[0].tolist(), strict=True))
        assert by_task[0] == [False, False, False, True, True, False]  # the region of the whole tumour
        assert by_task[1] == [True] * 5 + [False]


class TestDrawing:
    @given(step=st.tuples(st.integers(0, 1000), st.integers(0, 1000)), case=st.sampled_from(["brain__x", "brain__y"]))
    def test_depends_on_nothing_but_step_and_case(self, many, step, case):
        first, again = (ExtraTasks(many, 2).drawn(case, step) for _ in range(2))
        assert first == again
        assert len(set(first)) == 2
        assert set(first) <= set(many.excludes)

    def test_is_another_one_in_other_steps_and_of_all_candidates(self, many):
        extra = ExtraTasks(many, 2)
        drawn = [extra.drawn("brain__x", (epoch, batch)) for epoch in range(3) for batch in range(30)]
        assert {task for tasks in drawn for task in tasks} == set(extra.candidates("brain"))
        assert len(set(map(tuple, drawn))) > 10

    @pytest.fixture(scope="class")
    def many(self):
        """A member of the brain beside one of six tasks that all exclude it."""
        from hermes_nnunet.collection import Case, Collection, Member, Task

        names = [f"body/{number}" for number in range(6)]
        members = {
            name: Member(name, name, tuple(tasks), {}, None, {"CT": None}, {}, ".nii.gz", 1.0)
            for name, tasks in (("body", names), ("brain", ["brain/stem"]))
        }
        return Collection(
            tasks=tuple(Task(name, (value,), value) for value, name in enumerate((*names, "brain/stem"), start=1)),
            modalities=("CT", "unknown"),
            members=members,
            cases={f"brain__{case}": Case("brain", "CT", case) for case in "xy"},
            excludes=dict.fromkeys(names, ("brain/stem",)),
        )
