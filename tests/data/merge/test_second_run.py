import builtins
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from unittest.mock import Mock

import nibabel
import numpy as np
import pytest

from hermes_nnunet.data.merge import MemberChanges, MemberSpecification, MergeSpecification, merge, workers
from hermes_nnunet.data.merge.report import result_lines
from hermes_nnunet.errors import HermesError

MERGE = MergeSpecification(
    name="All",
    into=900,
    members=(MemberSpecification(1, "CT"), MemberSpecification(2, "cineMRI")),
)


@pytest.fixture
def members(raw):
    raw.add("Dataset001_Belly")
    raw.add("Dataset002_Heart", {"background": 0, "heart": 1})
    return raw


@pytest.fixture
def rewritten(monkeypatch):
    """Names of the label files that a merge in this process writes."""
    names = []
    original = workers.rewrite_case

    def recording(files):
        names.extend(output.name.removesuffix(".nii.gz") for output in files.outputs)
        return original(files)

    monkeypatch.setattr(workers, "rewrite_case", recording)
    return names


class TestSameArguments:
    def test_open_no_file_of_what_has_not_changed(self, members, monkeypatch):
        opened, real = Counter(), builtins.open

        def counting(file, *arguments, **others):
            opened[str(file)] += str(file).startswith(str(members.path / "Dataset00")) and str(file).endswith(".nii.gz")
            return real(file, *arguments, **others)

        monkeypatch.setattr(builtins, "open", counting)
        merge(MERGE, processes=1)
        assert sorted(set(opened.values())) == [0, 1]
        assert opened.total() == 20
        opened.clear()
        merge(MERGE, processes=1)
        assert opened.total() == 0

    def test_change_nothing(self, members, rewritten):
        assert merge(MERGE, processes=1).is_new
        assert len(rewritten) == 10
        before = members.files()
        result = merge(MERGE, processes=1)
        assert members.files() == before
        assert len(rewritten) == 10
        assert result.is_up_to_date
        assert result_lines(result) == [f"{result.folder} is up to date: nothing to do"]

    def test_write_only_a_label_file_that_is_missing(self, members, rewritten):
        folder = merge(MERGE, processes=1).folder
        (folder / "labelsTr/Heart__b.nii.gz").unlink()
        rewritten.clear()
        result = merge(MERGE, processes=1)
        assert rewritten == ["Heart__b"]
        assert (folder / "labelsTr/Heart__b.nii.gz").is_file()
        assert result.changes == {"Heart": MemberChanges(added=0, changed=0, removed=0, missing=1)}

    @pytest.mark.parametrize("name", ["dataset.json", "splits_final.json"])
    @pytest.mark.parametrize("content", [None, "{", "{}"])
    def test_write_a_json_file_that_is_missing_or_damaged(self, members, name, content, rewritten):
        folder = merge(MERGE, processes=1).folder
        right = (folder / name).read_text()
        (folder / name).unlink() if content is None else (folder / name).write_text(content)
        rewritten.clear()
        result = merge(MERGE, processes=1)
        assert (folder / name).read_text() == right
        assert rewritten == []
        assert result.outdated_files == [name]


class TestChangedMember:
    def test_has_its_changed_cases_rewritten(self, members, rewritten):
        folder = merge(MERGE, processes=1).folder
        members.write_label(members.path / "Dataset002_Heart", "c.nii.gz", [1])
        image = members.path / "Dataset002_Heart/imagesTr/d_0000.nii.gz"
        os.utime(image, ns=(0, image.stat().st_mtime_ns + 1))
        rewritten.clear()
        result = merge(MERGE, processes=1)
        assert rewritten == ["Heart__c", "Heart__d"]
        assert np.unique(nibabel.load(folder / "labelsTr/Heart__c.nii.gz").dataobj).tolist() == [3]
        assert result.changes == {"Heart": MemberChanges(added=0, changed=2, removed=0, missing=0)}
        assert result_lines(result) == [
            "Heart: cases changed: 2",
            f"written to {folder}; next: nnUNetv2_plan_and_preprocess -d 900 -pl HermesPlanner -c 3d_fullres --clean",
        ]
        assert merge(MERGE, processes=1).is_up_to_date

    def test_has_new_cases_added_and_gone_ones_removed(self, members, read_json, rewritten):
        folder = merge(MERGE, processes=1).folder
        heart = members.path / "Dataset002_Heart"
        members.write_image(heart, "f_0000.nii.gz")
        members.write_label(heart, "f.nii.gz", [0, 1])
        (heart / "imagesTr/a_0000.nii.gz").unlink()
        (heart / "labelsTr/a.nii.gz").unlink()
        rewritten.clear()
        result = merge(MERGE, processes=1)
        assert rewritten == ["Heart__f"]
        assert result.changes == {"Heart": MemberChanges(added=1, changed=0, removed=1, missing=0)}
        content = read_json(folder / "dataset.json")
        assert sorted(name for name in content["dataset"] if name.startswith("Heart")) == [
            f"Heart__{case}" for case in "bcdef"
        ]
        assert sorted(os.listdir(folder / "labelsTr")) == sorted(f"{name}.nii.gz" for name in content["dataset"])
        assert {name for fold in result.folds for name in fold["val"]} == set(content["dataset"])

    def test_with_other_label_values_has_all_its_cases_rewritten(self, members, rewritten):
        folder = merge(MERGE, processes=1).folder
        path = members.path / "Dataset001_Belly/dataset.json"
        path.write_text(path.read_text().replace('"spleen": 2', '"spleen": 2, "kidney": 3'))
        rewritten.clear()
        merge(MERGE, processes=1)
        assert len(rewritten) == 10
        assert np.unique(nibabel.load(folder / "labelsTr/Heart__a.nii.gz").dataobj).tolist() == [0, 4]

    def test_with_bad_files_leaves_the_collection_as_it_was(self, members):
        merge(MERGE, processes=1)
        heart = members.path / "Dataset002_Heart"
        members.write_label(heart, "b.nii.gz", [0, 1])
        members.write_label(heart, "c.nii.gz", [0, 7])
        before = members.files()
        with pytest.raises(HermesError, match="holds 7"):
            merge(MERGE, processes=1)
        after = members.files()
        assert {name for name, time in after.items() if before.get(name) != time} <= {"."}
        assert set(after) == set(before)

    def test_is_told_by_a_dry_run(self, members):
        merge(MERGE, processes=1)
        members.write_label(members.path / "Dataset002_Heart", "c.nii.gz", [1])
        before = members.files()
        result = merge(MERGE, dry_run=True)
        assert members.files() == before
        assert result_lines(result)[0] == "Heart: cases changed: 1"


class TestKilledMerge:
    def test_leaves_no_collection_and_is_continued(self, members, rewritten):
        dying = textwrap.dedent("""
            import os, signal
            from hermes_nnunet.data.merge import MemberSpecification, MergeSpecification, merge, workers
            done, original = [], workers.rewrite_case
            def dying(files):
                if len(done) == 4:
                    os.kill(os.getpid(), signal.SIGKILL)
                done.append(files)
                return original(files)
            workers.rewrite_case = dying
            members = (MemberSpecification(1, "CT"), MemberSpecification(2, "cineMRI"))
            merge(MergeSpecification(name="All", into=900, members=members), processes=1)
        """)
        ended = subprocess.run([sys.executable, "-c", dying], capture_output=True)
        assert ended.returncode == -signal.SIGKILL
        assert sorted(entry.name for entry in members.path.iterdir()) == [
            ".Dataset900_All.merging",
            "Dataset001_Belly",
            "Dataset002_Heart",
        ]
        folder = merge(MERGE, processes=1).folder
        assert rewritten == ["Belly__e", *(f"Heart__{case}" for case in "abcde")]
        assert len(os.listdir(folder / "labelsTr")) == 10
        assert not (members.path / ".Dataset900_All.merging").exists()


class TestInterruptedMerge:
    @pytest.fixture
    def interrupted(self, members, interrupt_merge):
        interrupt_merge(MERGE, 4)
        return members

    def test_does_not_keep_what_has_changed_since(self, interrupted, rewritten):
        interrupted.write_label(interrupted.path / "Dataset001_Belly", "b.nii.gz", [1])
        folder = merge(MERGE, processes=1).folder
        assert rewritten[:2] == ["Belly__b", "Belly__e"]
        assert np.unique(nibabel.load(folder / "labelsTr/Belly__b.nii.gz").dataobj).tolist() == [1]

    def test_does_not_keep_what_belongs_to_no_case_any_more(self, interrupted):
        (interrupted.path / ".Dataset900_All.merging/labelsTr/.writing-x.nii.gz").write_bytes(b"half")
        (interrupted.path / "Dataset001_Belly/imagesTr/a_0000.nii.gz").unlink()
        (interrupted.path / "Dataset001_Belly/labelsTr/a.nii.gz").unlink()
        result = merge(MERGE, processes=1)
        assert sorted(os.listdir(result.folder / "labelsTr")) == [f"{name}.nii.gz" for name in result.collection.cases]

    def test_that_is_interrupted_again_does_not_keep_what_has_changed_between(
        self, interrupted, rewritten, monkeypatch
    ):
        interrupted.write_label(interrupted.path / "Dataset001_Belly", "b.nii.gz", [1])
        with monkeypatch.context() as context:
            context.setattr(workers, "rewrite_case", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                merge(MERGE, processes=1)
        merge(MERGE, processes=1)
        assert rewritten[:2] == ["Belly__b", "Belly__e"]

    def test_does_not_keep_what_another_merge_left(self, interrupted, rewritten):
        members = (MemberSpecification(2, "cineMRI"), MemberSpecification(1, "CT"))
        merge(MergeSpecification(name="All", into=900, members=members), processes=1)
        assert len(rewritten) == 10
