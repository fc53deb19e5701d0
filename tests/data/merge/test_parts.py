"""A merge in parts, written one by one or at the same time, and a merge on a cluster."""

import json

import nibabel
import numpy as np
import pytest

from hermes_nnunet.cli.main import main
from hermes_nnunet.core.engine import Pool
from hermes_nnunet.core.parts import Part
from hermes_nnunet.data.merge import MergeSpecification, merge, merge_part, staging
from hermes_nnunet.errors import HermesError

CALL = ("merge", "301:CT", "302:CT", "--into", "900", "--name", "All")
WHOLE = "Dataset900_All"
AT_1_5_MM = np.diag([1.5, 1.5, 1.5, 1])


@pytest.fixture
def members(raw):
    raw.add("Dataset301_Liver")
    raw.add("Dataset302_Other", {"background": 0, "kidney": 1})
    return raw


@pytest.fixture
def written(monkeypatch):
    """Names of the label files that were written."""
    names = []
    rewrite = staging.rewrite_cases

    def counted(cases, engine, folders):
        names.extend(case.outputs[0].name.partition(".")[0] for case in cases)
        return rewrite(cases, engine, folders)

    monkeypatch.setattr(staging, "rewrite_cases", counted)
    return names


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def hidden(raw):
    return sorted(path.name for path in raw.path.iterdir() if path.name.startswith("."))


def test_parts_together_are_the_merge(members, written, capsys):
    assert main([*CALL, "--processes", "1"]) == 0
    whole = content(members.path / WHOLE)
    (members.path / WHOLE).rename(members.path.parent / "kept")
    written.clear()
    for number in (3, 1, 2):
        assert main([*CALL, "--processes", "1", "--part", f"{number}/3"]) == 0
    assert "part 2/3 of" in capsys.readouterr().out
    assert hidden(members) == [f".{WHOLE}.merging-{number}-of-3" for number in (1, 2, 3)]
    assert len(written) == len(set(written)) == 10
    assert not (members.path / WHOLE).exists()
    written.clear()
    assert main([*CALL, "--processes", "1"]) == 0
    assert written == []
    assert content(members.path / WHOLE) == whole
    assert hidden(members) == []


def test_what_is_missing_is_done_in_the_end(members, written):
    assert main([*CALL, "--processes", "1", "--part", "1/3"]) == 0
    of_part = set(written)
    written.clear()
    assert main([*CALL, "--processes", "1"]) == 0
    assert len(of_part) == 4
    assert len(written) == 6
    assert of_part.isdisjoint(written)


def test_what_has_changed_since_is_done_again(members, written):
    assert main([*CALL, "--processes", "1", "--part", "1/1"]) == 0
    members.write_label(members.path / "Dataset301_Liver", "c.nii.gz", [0, 1, 2, 2])
    written.clear()
    assert main([*CALL, "--processes", "1"]) == 0
    assert written == ["Liver__c"]
    assert hidden(members) == []


@pytest.mark.parametrize("part", [("--part", "1/2"), ()])
def test_what_was_read_with_another_spacing_is_done_again(raw, write_nifti, interrupt_merge, part):
    folder = raw.add("Dataset301_Liver")
    for number, case in enumerate("abcde"):
        voxels = np.random.default_rng(number).integers(-500, 500, (6, 5, 4)).astype(np.int16)
        for path in (f"imagesTr/{case}_0000.nii.gz", f"labelsTr/{case}.nii.gz"):
            write_nifti(folder / path, voxels if "images" in path else voxels % 3, AT_1_5_MM, zooms=(3, 3, 3))
    if part:
        assert main(["merge", "301:CT", *CALL[3:], "--processes", "1", *part, "--spacing-from", "affine"]) == 0
    else:
        members = _members()[:1]
        interrupt_merge(MergeSpecification(name="All", into=900, members=members, spacing_from="affine"), 3)
    assert main(["merge", "301:CT", *CALL[3:], "--processes", "1", "--spacing-from", "header"]) == 0
    written = sorted((raw.path / WHOLE).glob("*Tr/*.nii.gz"))
    assert len(written) == 10
    assert {nibabel.load(path).header.get_zooms() for path in written} == {(3, 3, 3)}


def test_a_part_that_was_cut_short_goes_on(members, written):
    assert main([*CALL, "--processes", "1", "--part", "1/2"]) == 0
    (label,) = (members.path / f".{WHOLE}.merging-1-of-2" / "labelsTr").glob("Liver__c*")
    label.unlink()
    written.clear()
    assert main([*CALL, "--processes", "1", "--part", "1/2"]) == 0
    assert written == ["Liver__c"]


def test_a_part_that_is_being_written_is_waited_for(members, monkeypatch):
    def merges_meanwhile(cases, engine, folders):
        with pytest.raises(HermesError, match=r"another merge is writing .*merging-1-of-2"):
            merge(specification, processes=1)
        return []

    specification = MergeSpecification(name="All", into=900, members=_members())
    rewrite = staging.rewrite_cases
    monkeypatch.setattr(staging, "rewrite_cases", merges_meanwhile)
    merge_part(specification, Part(1, 2), processes=1)
    monkeypatch.setattr(staging, "rewrite_cases", rewrite)


def test_parts_of_another_merge_into_the_id_go(members):
    assert main([*CALL[:-1], "Other", "--processes", "1", "--part", "1/2"]) == 0
    assert main([*CALL, "--processes", "1"]) == 0
    assert hidden(members) == []


def test_a_part_changes_nothing_of_a_collection_that_is_there(members, written):
    assert main([*CALL, "--processes", "1"]) == 0
    before = content(members.path / WHOLE)
    members.write_label(members.path / "Dataset301_Liver", "c.nii.gz", [0, 1, 2, 2])
    written.clear()
    for number in (1, 2):
        assert main([*CALL, "--processes", "1", "--part", f"{number}/2"]) == 0
    assert written == ["Liver__c"]
    assert content(members.path / WHOLE) == before
    assert main([*CALL, "--processes", "1"]) == 0
    assert content(members.path / WHOLE) != before


def test_problems_of_a_part_are_told_and_leave_nothing(members, capsys):
    members.write_label(members.path / "Dataset301_Liver", "a.nii.gz", [0, 7])
    assert main([*CALL, "--processes", "1", "--part", "1/2"]) == 1
    assert "a.nii.gz holds 7" in capsys.readouterr().err
    assert hidden(members) == []


def test_an_engine_is_told_the_folders_and_what_people_call_the_cases(members):
    calls = []

    class Kept(Pool):
        def map(self, function, cases, description, folders, *, bundle=1):
            calls.append((list(cases), description, folders))
            return super().map(function, cases, description, folders)

    merge(MergeSpecification(name="All", into=900, members=_members()), engine=Kept(1))
    ((cases, description, folders),) = calls
    assert cases[:2] == ["Liver__a", "Liver__b"]
    assert description == "Merging"
    assert folders.written == members.path / f".{WHOLE}.merging"
    assert {folder.name for folder in folders.read} == {"Dataset301_Liver", "Dataset302_Other"}


def test_cases_on_which_workers_die_are_told_and_the_others_kept(members, written):
    class Deadly(Pool):
        def map(self, function, cases, description, folders, *, bundle=1):
            for name, case in cases.items():
                if name != "Liver__b":
                    function(case)
            raise HermesError("1 of 10 cases are not done, the others are kept:\n  Liver__b: 3 workers died on it")

    specification = MergeSpecification(name="All", into=900, members=_members())
    with pytest.raises(HermesError, match="Liver__b: 3 workers died"):
        merge(specification, engine=Deadly(1))
    written.clear()
    merge(specification, processes=1)
    assert written == ["Liver__b"]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--part", "0/3"), "--part '0/3' is no part"),
        (("--part", "1/3", "--dry-run"), "--dry-run checks all members together"),
        (("--cluster", "local:2", "--processes", "2"), "--processes are of this machine"),
    ],
)
def test_a_wrong_call_is_one_line(members, options, line, capsys):
    assert main([*CALL, *options]) == 2
    assert line in capsys.readouterr().err


def _members():
    from hermes_nnunet.data.merge import member_from_word

    return tuple(member_from_word(word) for word in ("301:CT", "302:CT"))


def test_the_record_of_a_part_is_that_of_the_merge(members):
    assert main([*CALL, "--processes", "1", "--part", "1/2"]) == 0
    record = json.loads((members.path / f".{WHOLE}.merging-1-of-2" / "hermes_merge.json").read_text())
    assert len(record["cases"]) == 10
