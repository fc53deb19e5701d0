"""Merges that are killed at any change of a file: a collection is of one version, or says that it is not."""

import json

import nibabel
import numpy as np
import pytest

from hermes_nnunet.core.nnunet_folders import raw_folder
from hermes_nnunet.data.merge import MemberSpecification, MergeSpecification, merge
from hermes_nnunet.data.merge.record import RECORD_FILE, check_whole
from hermes_nnunet.errors import HermesError

COLLECTION = "Dataset900_All"


@pytest.fixture
def raw(kills, monkeypatch, raw):
    """nnUNet_raw is kills.folder, with the members Alpha and Beta in it."""
    monkeypatch.setenv("nnUNet_raw", str(kills.folder))
    raw.path = kills.folder
    raw.add("Dataset001_Alpha", cases=("a", "b"))
    raw.add("Dataset002_Beta", {"background": 0, "kidney": 1, "aorta": 2}, cases=("c", "d"))
    return raw


def action(**choices):
    members = (MemberSpecification(1, "CT"), MemberSpecification(2, "CT"))
    merge(MergeSpecification("All", 900, members, **choices), processes=1)


def says_that_it_is_not_whole():
    try:
        check_whole(raw_folder() / COLLECTION)
    except HermesError as error:
        return "run the merge again" in str(error)
    return False


def test_a_new_collection_appears_whole(kills, raw):
    kills.leave_all_or_nothing(action, COLLECTION)


@pytest.fixture
def merged_again(kills, raw):
    """The collection is merged, and then Alpha has a label more, so that Beta's values move; and one case is gone."""
    action()
    old = kills.snapshot()
    folder = raw.path / "Dataset001_Alpha"
    content = json.loads((folder / "dataset.json").read_text())
    content["labels"] |= {"tumour": 3, "cyst": 4}
    (folder / "dataset.json").write_text(json.dumps(content))
    (folder / "labelsTr" / "b.nii.gz").unlink()
    (folder / "imagesTr" / "b_0000.nii.gz").unlink()
    raw.write_image(folder, "e_0000.nii.gz")
    raw.write_label(folder, "e.nii.gz", [0, 1, 2, 3, 4])
    kills.keep()
    kills.run(action)
    return old, kills.snapshot()


def test_a_changed_collection_is_of_one_version_or_says_that_it_is_not(kills, merged_again):
    old, whole = merged_again
    assert kills.part_of(old, COLLECTION) != kills.part_of(whole, COLLECTION)
    assert not any("__b." in name for name in kills.part_of(whole, COLLECTION))
    refused = 0
    for change in kills.each(action):
        left = kills.part_of(kills.snapshot(), COLLECTION)
        if says_that_it_is_not_whole():
            refused += 1
        else:
            assert left in (kills.part_of(old, COLLECTION), kills.part_of(whole, COLLECTION)), change
        kills.run(action)
        assert kills.snapshot() == whole, change
    assert refused


class TestCopiesOfImages:
    """Images whose headers say two spacings are copied into the collection."""

    @pytest.fixture
    def add(self, raw, write_nifti):
        """A function that writes a case of Alpha, whose header says two spacings or one."""
        folder = raw.path / "Dataset001_Alpha"

        def write(case, zooms=(1, 1, 1)):
            image = np.random.default_rng(ord(case)).integers(0, 9, (6, 5, 4), np.int16)
            for name, voxels in ((f"imagesTr/{case}_0000", image), (f"labelsTr/{case}", (image % 3).astype(np.uint8))):
                write_nifti(folder / f"{name}.nii.gz", voxels, np.diag([2.0, 2, 2, 1]), zooms=zooms)

        return write

    def copy(self):
        action(spacing_from="affine")

    def test_change_with_the_collection_or_it_says_so(self, kills, raw, add):
        for case in "abe":
            add(case)
        self.copy()
        old = kills.snapshot()
        add("a", zooms=None)  # no copy any more
        add("f")
        for file in ("imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz"):
            (raw.path / "Dataset001_Alpha" / file).unlink()
        kills.keep()
        kills.run(self.copy)
        whole = kills.snapshot()
        copies = [name.rpartition("/")[2] for name in kills.part_of(whole, COLLECTION) if "/imagesTr/" in name]
        assert copies == ["Alpha__e_0000.nii.gz", "Alpha__f_0000.nii.gz"]
        for change in kills.each(self.copy):
            if not says_that_it_is_not_whole():
                assert kills.part_of(kills.snapshot(), COLLECTION) in (
                    kills.part_of(old, COLLECTION),
                    kills.part_of(whole, COLLECTION),
                ), change
            kills.run(self.copy)
            assert kills.snapshot() == whole, change

    def test_of_no_case_go_and_images_of_other_names_stay(self, raw, add):
        add("a")
        self.copy()
        images = raw.path / COLLECTION / "imagesTr"
        for name in ("Alpha__gone_0000.nii.gz", "mine_0000.nii.gz"):
            (images / name).write_text("voxels")
        self.copy()
        assert sorted(path.name for path in images.iterdir()) == ["Alpha__a_0000.nii.gz", "mine_0000.nii.gz"]


def test_a_change_back_is_not_taken_for_done(kills, merged_again):
    """What the record said before the kill is no longer so, even where the members are again as they were."""
    old, _ = merged_again
    assert any(says_that_it_is_not_whole() for _ in kills.each(action))  # and there it stops
    cut_short = kills.folder / COLLECTION
    for name, data in old.items():
        path = kills.folder / name
        if name.startswith("Dataset001_Alpha") and data is not None and not path.exists():
            path.write_bytes(data)
    (kills.folder / "Dataset001_Alpha/dataset.json").write_bytes(old["Dataset001_Alpha/dataset.json"])
    for name in ("imagesTr/e_0000.nii.gz", "labelsTr/e.nii.gz"):
        (kills.folder / "Dataset001_Alpha" / name).unlink()
    kills.run(action)
    check_whole(cut_short)
    values = {
        case: set(np.unique(nibabel.load(cut_short / "labelsTr" / f"{case}.nii.gz").dataobj).tolist())
        for case in ("Alpha__a", "Alpha__b", "Beta__c", "Beta__d")
    }
    assert values == {"Alpha__a": {0, 1, 2}, "Alpha__b": {0, 1, 2}, "Beta__c": {0, 3, 4}, "Beta__d": {0, 3, 4}}
    assert not (cut_short / "labelsTr" / "Alpha__e.nii.gz").exists()


class TestCutShort:
    @pytest.fixture
    def cut_short(self, raw):
        """A collection whose record is not of its end."""
        action()
        path = raw.path / COLLECTION / RECORD_FILE
        path.write_text(json.dumps({**json.loads(path.read_text()), "complete": False}))
        return path.parent

    def test_is_mended_by_the_next_run(self, cut_short):
        assert says_that_it_is_not_whole()
        action()
        assert not says_that_it_is_not_whole()

    def test_was_not_in_the_records_of_older_releases(self, cut_short):
        content = json.loads((cut_short / RECORD_FILE).read_text())
        del content["complete"]
        (cut_short / RECORD_FILE).write_text(json.dumps(content))
        check_whole(cut_short)

    def test_is_told_by_inspect(self, cut_short):
        from hermes_nnunet.insight.inspection.finding import find

        with pytest.raises(HermesError, match=r"Dataset900_All.*two versions: run the merge again"):
            find("900")

    def test_is_told_by_doctor(self, cut_short):
        from hermes_nnunet.cli.doctor import _collections

        assert ["run the merge again" in finding.text for finding in _collections()] == [True]

    def test_is_told_by_the_planner(self, cut_short):
        from nnunetv2.experiment_planning.experiment_planners.hermes.hermes_planner import HermesPlanner

        with pytest.raises(HermesError, match="run the merge again"):
            HermesPlanner(COLLECTION)


class TestLeftovers:
    def test_staging_of_another_name_with_this_id_goes(self, kills, raw):
        left = kills.folder / ".Dataset900_Old.merging"
        (left / "labelsTr").mkdir(parents=True)
        action()
        assert not left.exists()

    def test_staging_of_another_id_stays(self, kills, raw):
        left = kills.folder / ".Dataset901_Other.merging"
        (left / "labelsTr").mkdir(parents=True)
        action()
        assert left.exists()

    def test_staging_beside_a_collection_that_is_up_to_date_goes(self, kills, raw):
        action()
        left = kills.folder / f".{COLLECTION}.merging"
        (left / "labelsTr").mkdir(parents=True)
        action()
        assert not left.exists()

    def test_label_files_of_no_case_go(self, kills, raw):
        action()
        orphan = kills.folder / COLLECTION / "labelsTr" / "Alpha__gone.nii.gz"
        orphan.write_text("old")
        action()
        assert not orphan.exists()
