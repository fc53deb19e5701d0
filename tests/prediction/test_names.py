import pytest

from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.names import match_member, match_task

TASKS = ("amos/liver", "amos/left_kidney", "amos/right_kidney", "lits/liver", "lits/liver_tumour", "spleen", "spine")


class TestTasks:
    @pytest.mark.parametrize(
        ("word", "task"),
        [
            ("amos/liver", "amos/liver"),
            ("Amos/Liver", "amos/liver"),
            ("left_kidney", "amos/left_kidney"),
            ("left", "amos/left_kidney"),
            ("lits/liver", "lits/liver"),
            ("lits/liver_", "lits/liver_tumour"),
            (" spleen ", "spleen"),
            ("spi", "spine"),
        ],
    )
    def test_a_name_a_label_or_the_only_beginning_is_enough(self, word, task):
        assert match_task(word, TASKS) == task

    @pytest.mark.parametrize(
        ("word", "listed"),
        [
            ("liver", "amos/liver, lits/liver"),
            ("sp", "spleen, spine"),
            ("amos", "amos/liver, amos/left_kidney, amos/right_kidney"),
        ],
    )
    def test_several_that_fit_are_listed(self, word, listed):
        with pytest.raises(HermesError) as raised:
            match_task(word, TASKS)
        assert str(raised.value) == f"'{word}' means several tasks: choose one of {listed}"

    def test_near_misses_are_listed(self):
        with pytest.raises(HermesError, match="no task 'splen', the nearest are spleen"):
            match_task("splen", TASKS)

    def test_all_are_listed_where_none_is_near(self):
        with pytest.raises(HermesError, match=r"no task 'xyz': choose one of amos/liver, .*, spine"):
            match_task("xyz", TASKS)


class TestMembers:
    def test_the_only_beginning_is_enough(self):
        assert match_member("am", ("amos", "lits")) == "amos"

    def test_a_name_comes_before_those_that_it_begins(self):
        assert match_member("amos", ("amos_mr", "amos")) == "amos"

    def test_near_misses_are_listed(self):
        with pytest.raises(HermesError, match="no member 'amso', the nearest are amos"):
            match_member("amso", ("amos", "lits"))
