import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_nnunet.core.parts import Part
from hermes_nnunet.errors import UsageError


def test_a_part_has_every_nth_item():
    assert Part.from_word("2/3").of("abcdefgh") == ["b", "e", "h"]
    assert (str(Part(2, 3)), Part(2, 3).name) == ("2/3", "2-of-3")


@given(st.integers(1, 12), st.lists(st.integers()))
def test_every_item_is_in_one_part(count, items):
    parts = [Part(number, count).of(items) for number in range(1, count + 1)]
    assert sorted(item for part in parts for item in part) == sorted(items)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("word", ["9/8", "0/8", "3", "3/", "/8", "-1/8", "a/b", "1/0", "3/8/9", ""])
def test_what_is_no_part_is_refused(word):
    with pytest.raises(UsageError, match="is no part: give its number and how many there are, from 1/8 to 8/8"):
        Part.from_word(word)
