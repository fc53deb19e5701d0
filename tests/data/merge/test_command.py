import argparse

import pytest
from rich.console import Console

from hermes_nnunet.cli.merge import add_arguments, run
from hermes_nnunet.data.merge import MemberSpecification, MergeSpecification, merge
from hermes_nnunet.data.merge.report import print_result
from hermes_nnunet.errors import HermesError


@pytest.fixture
def hermes_merge():
    def call(*words: str) -> int:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        return run(parser.parse_args(words))

    return call


@pytest.fixture
def members(raw):
    raw.add("Dataset001_Belly")
    raw.add("Dataset002_Heart", {"background": 0, "heart": 1}, cases=[f"{p}_{i}" for p in range(10) for i in "ab"])
    return raw


class TestArguments:
    def test_name_members_by_id_or_name(self, members, hermes_merge, capsys):
        words = ("001:CT", "Dataset002_Heart:cineMRI", "--into", "900", "--name", "All", "--processes", "1")
        assert hermes_merge(*words) == 0
        assert (members.path / "Dataset900_All/dataset.json").is_file()
        assert "next: nnUNetv2_plan_and_preprocess -d 900 -pl HermesPlanner -c 3d_fullres\n" in capsys.readouterr().out

    def test_name_a_file_that_the_command_line_adds_to(self, members, hermes_merge, tmp_path, read_json):
        path = tmp_path / "merge.yaml"
        path.write_text("{name: All, into: 900, members: [{dataset: 1, modality: DIXON}]}")
        words = ("--members", str(path), "--into", "901", "--new-modality", "DIXON", "TOF", "--processes", "1")
        assert hermes_merge(*words) == 0
        content = read_json(members.path / "Dataset901_All/dataset.json")
        assert content["hermes"]["modalities"] == ["DIXON", "unknown"]

    def test_can_ask_for_a_dry_run(self, members, hermes_merge, capsys):
        before = members.files()
        assert hermes_merge("1:CT", "--into", "900", "--name", "All", "--dry-run") == 0
        assert members.files() == before
        assert "nothing was written" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (
                ("1", "--into", "900", "--name", "A"),
                "member '1': write the data set and its modality, for example 301:CT",
            ),
            (("1:", "--into", "900", "--name", "A"), "member '1:': write the data set and its modality"),
            (("--into", "900", "--name", "A"), "no members: name data sets as 301:CT"),
            (("1:CT", "--name", "A"), "name the collection: --into 900 --name HeadHeart"),
            (("1:CT", "--into", "900"), "name the collection: --into 900 --name HeadHeart"),
            (("1:CT", "--members", "x.yaml"), r"members on the command line \(1:CT\) and in x.yaml: choose one"),
        ],
    )
    def test_that_cannot_be_meant_are_told(self, hermes_merge, words, message):
        with pytest.raises(HermesError, match=message):
            hermes_merge(*words)


class TestTable:
    def test_shows_each_member_in_80_columns(self, members):
        merging = MergeSpecification(
            name="All",
            into=900,
            members=(
                MemberSpecification(1, "CT", name="belly", sampling_weight=3),
                MemberSpecification(2, "cineMRI", sampling_weight=1, patient_pattern=r"^\d"),
            ),
        )
        console = Console(width=80)
        with console.capture() as captured:
            print_result(merge(merging, dry_run=True), console)
        rows = [line.split() for line in captured.get().splitlines()]
        assert ["Dataset900_All:", "25", "cases,", "3", "tasks,", "5", "folds"] in rows
        assert ["belly", "1", "5", "5", "CT", "75.0", "%", "made", "liver,", "spleen"] in rows
        assert ["Heart", "2", "20", "10", "cineMRI", "25.0", "%", "made", "heart"] in rows
