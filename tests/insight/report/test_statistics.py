import math

from hypothesis import given
from hypothesis import strategies as st

from hermes_nnunet.insight.report.statistics import best_and_worst, dice_by_task

NAN = math.nan
CASES = {
    "a": {"liver": 0.5, "spleen": 0.25},
    "b": {"liver": 1.0, "spleen": NAN},
    "c": {"liver": 0.75, "spleen": NAN},
}


class TestTasks:
    def test_have_the_numbers_of_the_cases_that_define_them(self):
        liver, spleen = dice_by_task(CASES).values()
        assert liver.values == (0.5, 0.75, 1.0)
        assert (liver.mean, liver.median, liver.lowest, liver.highest) == (0.75, 0.75, 0.5, 1.0)
        assert (spleen.cases, spleen.mean) == (1, 0.25)

    def test_one_that_no_case_defines_has_no_numbers(self):
        (task,) = dice_by_task({"a": {"liver": NAN}}).values()
        assert task.cases == 0
        assert all(math.isnan(number) for number in (task.mean, task.median, task.lowest, task.highest))


class TestBestAndWorst:
    def test_are_by_the_mean_over_the_defined_tasks(self):
        assert best_and_worst(CASES) == ("b", "a")

    def test_are_one_where_there_is_one_and_none_where_nothing_is_defined(self):
        assert best_and_worst({"a": {"liver": 0.5}, "b": {"liver": NAN}}) == ("a",)
        assert best_and_worst({"b": {"liver": NAN}}) == ()

    @given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
    def test_no_case_is_better_or_worse(self, values):
        cases = {str(number): {"liver": value} for number, value in enumerate(values)}
        chosen = best_and_worst(cases)
        assert len(chosen) == 2
        assert [cases[case]["liver"] for case in chosen] == [max(values), min(values)]
