import json

import pytest

from hermes_nnunet.core.paper import case_lists
from hermes_nnunet.core.paper.case_lists import paper_case_lists
from hermes_nnunet.core.paper.members import paper_members
from hermes_nnunet.errors import HermesError

# train, val, test
SIZES = {
    "bcv": (23, 1, 6),
    "amos_ct": (195, 5, 100),
    "amos_mr": (38, 2, 20),
    "structseg_oar": (38, 2, 10),
    "structseg_head_oar": (39, 1, 10),
    "lits": (99, 6, 26),
    "kits": (159, 9, 42),
    "chaos": (15, 1, 4),
    "mnm": (143, 7, 170),
    "autopet": (705, 21, 235),
    "brain_structure": (124, 5, 43),
}


class TestPaperCaseLists:
    @pytest.mark.parametrize("member", sorted(SIZES))
    def test_name_every_case_once(self, member):
        lists = paper_case_lists(member)
        assert (len(lists.train), len(lists.val), len(lists.test)) == SIZES[member]
        assert len(set(lists.names)) == sum(SIZES[member])

    def test_are_there_for_every_member_of_the_paper(self):
        assert set(SIZES) == set(paper_members().members)

    def test_are_those_of_the_release(self, shared_data):
        published = json.loads((shared_data.parent / "reference" / "paper_splits.json").read_text())
        for member, parts in published.items():
            lists = paper_case_lists(member)
            for part in ("train", "val", "test"):
                assert set(getattr(lists, part)) == set(parts[part])

    def test_of_another_format_are_refused(self, tmp_path, monkeypatch):
        (tmp_path / "x.json").write_text('{"format_version": 2}')
        monkeypatch.setattr(case_lists, "LISTS_FOLDER", tmp_path)
        with pytest.raises(
            HermesError, match="has format version 2, this release reads 1: install hermes_nnunet again"
        ):
            paper_case_lists("x")
