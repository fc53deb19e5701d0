import argparse
import json

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


class TestWhereTasksAreNot:
    def lines(self, raw, hermes_merge, capsys, tmp_path):
        raw.add("Dataset003_Chest", {"background": 0, "heart": 1, "liver": 2, "tumour": 3, "rhombencephalon": 4})
        members = [
            {"dataset": n, "modality": "CT", "name": name} for n, name in enumerate(("Belly", "Heart", "Chest"), 1)
        ]
        members[1] |= {"absent": "others"}
        path = tmp_path / "merge.yaml"
        path.write_text(json.dumps({"name": "All", "into": 900, "members": members}))
        assert hermes_merge("--members", str(path), "--processes", "1") == 0
        return capsys.readouterr().out.splitlines()

    def test_is_printed(self, members, hermes_merge, capsys, tmp_path):
        lines = self.lines(members, hermes_merge, capsys, tmp_path)
        assert "may overlap: Belly/liver with Chest/liver, Heart/heart with Chest/heart" in lines
        assert "may overlap with all tasks of other members: Chest/tumour" in lines
        absent = "Belly/liver, Belly/spleen, Chest/liver, Chest/tumour, Chest/rhombencephalon"
        assert f"absent from images of Heart: {absent}" in lines
        unknown = (
            "names not known, so taken to overlap with no other (else say so in may_overlap): Chest/rhombencephalon"
        )
        assert unknown in lines

    def test_is_not_printed_again_where_nothing_was_done(self, members, hermes_merge, capsys, tmp_path):
        self.lines(members, hermes_merge, capsys, tmp_path)
        assert hermes_merge("--members", str(tmp_path / "merge.yaml"), "--processes", "1") == 0
        assert "overlap" not in capsys.readouterr().out
