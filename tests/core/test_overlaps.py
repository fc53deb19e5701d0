from dataclasses import replace

import pytest

from hermes_nnunet.core.overlaps import NOTHING_EXCLUDES, may_overlap, members_of_tasks, overlap_lines

LIVER, SPLEEN, WHOLE, CORE = "abdomen/liver", "abdomen/spleen", "brain/whole", "brain/core"


@pytest.fixture
def lines(collection):
    """A function that gives the lines of the collection with some knowledge."""

    def make(*exclusive, absent=None):
        excludes = {}
        for a, b in exclusive:
            excludes[a] = (*excludes.get(a, ()), b)
            excludes[b] = (*excludes.get(b, ()), a)
        changed = replace(collection, excludes=excludes, absent=absent or {})
        return overlap_lines(may_overlap(changed), members_of_tasks(changed), changed.absent)

    return make


def test_names_the_pairs_and_what_overlaps_with_everything(lines):
    assert lines((LIVER, WHOLE), (SPLEEN, WHOLE)) == [
        "may overlap with all tasks of other members: brain/core",
    ]
    assert lines((LIVER, WHOLE), (LIVER, CORE), (SPLEEN, CORE)) == ["may overlap: abdomen/spleen with brain/whole"]


def test_says_where_none_may_overlap(lines):
    all_pairs = [(a, b) for a in (LIVER, SPLEEN) for b in (WHOLE, CORE)]
    assert lines(*all_pairs) == ["no tasks of different members may overlap"]


def test_says_where_nothing_is_known(lines):
    assert lines() == [NOTHING_EXCLUDES]
    assert lines(absent={"brain": (SPLEEN, LIVER)}) == [
        NOTHING_EXCLUDES,
        "absent from images of brain: abdomen/spleen, abdomen/liver",
    ]


def test_has_nothing_to_say_of_a_single_member(collection):
    one = {LIVER: ["abdomen"], SPLEEN: ["abdomen"]}
    assert overlap_lines({LIVER: [], SPLEEN: []}, one, {}) == []
    assert may_overlap(collection)[LIVER] == [WHOLE, CORE]
