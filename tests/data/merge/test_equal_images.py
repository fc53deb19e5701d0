"""Members that have images in common."""

import json
import shutil

import nibabel
import numpy as np
import pytest

from hermes_nnunet.data.merge import MemberSpecification, MergeSpecification, merge, workers
from hermes_nnunet.data.merge.report import result_lines

MEMBERS = (MemberSpecification(1, "CT"), MemberSpecification(2, "CT"))
MERGE = MergeSpecification(name="All", into=900, members=MEMBERS)
SAME = (("a", "e"), ("b", "a"))


@pytest.fixture
def members(raw):
    """Cases a and b of the first member are e and a of the second: one a copy, one a link."""
    first, second = raw.add("Dataset001_Belly"), raw.add("Dataset002_Heart")
    images = [(first / f"imagesTr/{a}_0000.nii.gz", second / f"imagesTr/{b}_0000.nii.gz") for a, b in SAME]
    for (image, other), put in zip(images, (shutil.copy, lambda a, b: b.symlink_to(a)), strict=True):
        other.unlink()
        put(image, other)
    return raw


def parted(folds):
    return [
        (fold, a, b)
        for fold in folds
        for a, b in SAME
        if (f"Belly__{a}" in fold["val"]) != (f"Heart__{b}" in fold["val"])
    ]


def test_are_kept_on_one_side_of_every_fold_and_counted(members, read_json):
    assert parted(merge(MERGE, dry_run=True).folds)  # or the rest would say nothing
    result = merge(MERGE, processes=1)
    assert not parted(result.folds)
    assert read_json(result.folder / "splits_final.json") == result.folds
    assert "images that several cases of Belly and Heart have: 2, kept on one side of every fold" in result_lines(
        result
    )
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "dataset.json",
        "hermes_merge.json",
        "labelsTr",
        "splits_final.json",
    ]


def test_are_remembered(members, monkeypatch):
    first = merge(MERGE, processes=1)
    monkeypatch.setattr(workers, "hash_images", None)
    monkeypatch.setattr(workers, "rewrite_case", None)
    second = merge(MERGE, processes=1)
    assert second.is_up_to_date
    assert second.folds == first.folds
    assert second.links == first.links


def test_that_appear_later_change_the_folds(members, read_json):
    folder = merge(MERGE, processes=1).folder
    second = members.path / "Dataset002_Heart/imagesTr"
    shutil.copy(members.path / "Dataset001_Belly/imagesTr/c_0000.nii.gz", second / "b_0000.nii.gz")
    result = merge(MERGE, processes=1)
    assert result.links.same_images == {("Belly", "Heart"): 3}
    assert result.outdated_files == ["splits_final.json"]
    for fold in read_json(folder / "splits_final.json"):
        assert ("Belly__c" in fold["val"]) == ("Heart__b" in fold["val"])


def test_are_found_in_a_collection_of_a_release_that_did_not_compare(members, read_json):
    folder = merge(MERGE, processes=1).folder
    record = read_json(folder / "hermes_merge.json")
    right = record.pop("hashes")
    (folder / "hermes_merge.json").write_text(json.dumps(record))
    before = {path: path.stat().st_mtime_ns for path in (folder / "labelsTr").iterdir()}
    result = merge(MERGE, processes=1)
    assert not parted(result.folds)
    assert result.is_up_to_date
    assert {path: path.stat().st_mtime_ns for path in (folder / "labelsTr").iterdir()} == before
    assert read_json(folder / "hermes_merge.json")["hashes"] == right


def test_leave_training_where_the_members_own_folds_disagree(members):
    splits = {
        "Dataset001_Belly": [{"train": ["b", "c", "d"], "val": ["a", "e"]}],
        "Dataset002_Heart": [{"train": ["b", "c", "d", "e"], "val": ["a"]}],
    }
    for name, content in splits.items():
        (members.path / name / "splits_final.json").write_text(json.dumps(content))
    result = merge(MERGE, processes=1)
    assert result.folds == [
        {
            "train": ["Belly__c", "Belly__d", "Heart__b", "Heart__c", "Heart__d"],
            "val": ["Belly__a", "Belly__e", "Heart__a"],
        }
    ]
    assert (
        "warning: cases left out of training, since they are validated under another name: 2 in fold 0 (own "
        "splits_final.json of members disagree)"
    ) in result_lines(result)


def test_survive_a_merge_that_is_interrupted(members, interrupt_merge):
    interrupt_merge(MERGE, 7)
    result = merge(MERGE, processes=1)
    assert result.links.same_images == {("Belly", "Heart"): 2}
    assert not parted(result.folds)


@pytest.mark.parametrize("shared", [True, ("Belly", "Heart")])
def test_patients_of_one_name_are_one_where_the_merge_says_so(raw, shared):
    for name, splits in (("Dataset001_Belly", [{"train": ["a", "b"], "val": ["c"]}]), ("Dataset002_Heart", None)):
        raw.add(name, cases=["a", "b", "c", "d"], splits=splits)
    assert merge(MERGE, dry_run=True).links.same_patients == 0
    result = merge(MergeSpecification(name="All", into=900, members=MEMBERS, shared_patients=shared), processes=1)
    (fold,) = result.folds
    assert "Heart__c" in fold["val"]
    assert {"Heart__a", "Heart__b"} <= set(fold["train"])
    assert "patients that several members have: 4, kept on one side of every fold" in result_lines(result)


def test_of_all_cases_of_a_member_are_told(raw):
    folder = raw.add("Dataset001_Belly", cases=["a", "b"])
    shutil.copy(folder / "imagesTr/a_0000.nii.gz", folder / "imagesTr/b_0000.nii.gz")
    result = merge(MergeSpecification(name="All", into=900, members=MEMBERS[:1]), processes=1)
    assert all(len(fold["train"]) == len(fold["val"]) == 1 for fold in result.folds)
    assert (
        "warning: all cases of Belly are linked by equal images: folds part them, so its validation says little"
    ) in result_lines(result)


@pytest.mark.parametrize("labels", [{"lesion": 1, "vessel": 2}, {"finding": [1, 2]}])
def test_with_the_same_label_files_get_each_members_own_values(raw, read_json, labels):
    ct = raw.add("Dataset001_CT", {"background": 0, "lesion": 1, "vessel": 2})
    pet = raw.add("Dataset002_PET", {"background": 0, **labels}, cases=(), regions_class_order=[1])
    content = read_json(pet / "dataset.json")
    content["dataset"] = {
        case: {"images": [f"imagesTr/{case}_0000.nii.gz"], "label": f"../{ct.name}/labelsTr/{case}.nii.gz"}
        for case in "abcde"
    }
    (pet / "dataset.json").write_text(json.dumps(content))
    for case in content["dataset"]:
        raw.write_image(pet, f"{case}_0000.nii.gz")
    members = (MERGE.members[0], MemberSpecification(2, "PET"))
    folder = merge(MergeSpecification(name="All", into=900, members=members), processes=1).folder
    for case in content["dataset"]:
        for member, values in (("CT", [0, 1, 2]), ("PET", [0, 3, 4])):
            written = nibabel.load(folder / f"labelsTr/{member}__{case}.nii.gz")
            assert np.unique(written.dataobj).tolist() == values
