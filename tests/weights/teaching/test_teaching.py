import json
import math
import shlex

import nibabel
import numpy as np
import pytest
import torch

from hermes_nnunet.cli.main import main
from hermes_nnunet.errors import HermesError, UsageError
from hermes_nnunet.model import HermesModel
from hermes_nnunet.prediction.views.write import write_views
from hermes_nnunet.weights.additions.adding import add
from hermes_nnunet.weights.additions.base import read_fold
from hermes_nnunet.weights.additions.file import Addition
from hermes_nnunet.weights.teaching import fitting
from hermes_nnunet.weights.teaching.cases import prepare_case
from hermes_nnunet.weights.teaching.dataset_names import dataset_name_of
from hermes_nnunet.weights.teaching.examples import find_examples
from hermes_nnunet.weights.teaching.false_places import find_false_places
from hermes_nnunet.weights.teaching.fitting import Settings
from hermes_nnunet.weights.teaching.lesson import make_lesson
from hermes_nnunet.weights.teaching.teaching import places_left_out, teach


@pytest.fixture
def taught(base, write_example, tmp_path):
    """A function that teaches the base; three examples, unless some are there."""

    def run(steps=1, name="cube", modality="CT", leave_out=0, examples=3, **options):
        for number in range(examples):
            write_example(f"case{number}", seed=number, shift=number)
        return teach(
            read_fold(base, 0),
            find_examples(tmp_path / "examples"),
            name=name,
            modality=modality,
            dataset_name="Dataset350_cube",
            settings=Settings(steps=steps, start_patches=2),
            leave_out=leave_out,
            **options,
        )

    return run


def ups(addition):
    """Names of the parts of adapters that are zero before they learn."""
    return [name for name in addition.tensors if name.endswith(".up")]


class TestTeaching:
    def test_finds_a_cube_in_an_image_that_was_left_out(self, taught):
        told = []
        result = taught(steps=40, leave_out=1, report=lambda what, done, of: told.append((what, done, of)))
        assert list(result.left_out) == ["case0"]
        assert result.left_out["case0"]["cube"] > 0.6
        assert ("without case0", 40, 40) in told
        assert told[-1] == ("with all examples", 40, 40)
        assert result.addition.header.dice == {"cube": result.left_out["case0"]["cube"]}
        assert result.addition.header.dice_of_cases == {"cube": [result.left_out["case0"]["cube"]]}

    def test_leaves_the_base_as_it_is_and_fits_it(self, taught, base, folders, tmp_path):
        before = read_fold(base, 0).base_hash
        result = taught()
        result.addition.save(tmp_path / "cube.hermes")
        assert read_fold(base, 0).base_hash == before
        made = add([tmp_path / "cube.hermes"], base, results=folders / "results", into=902)
        assert made.additions == ("cube",)
        model = HermesModel.load(made.folder, folds=[0], device="cpu")
        assert model.tasks[-1] == "cube"
        image = tmp_path / "examples" / "case0.nii.gz"
        both = model.predict(image, tasks=["cube", "abdomen/liver"], modality="CT")
        assert {label.name for label in both.labels} == {"cube", "abdomen/liver"}
        old = HermesModel.load(base, folds=[0], device="cpu").predict(image, tasks=["abdomen/liver"], modality="CT")
        new = model.predict(image, tasks=["abdomen/liver"], modality="CT")
        assert (old.array == new.array).all()
        assert (folders / "results" / "Dataset350_cube" / base.name / "plans.json").is_file()

    def test_is_the_same_every_time(self, taught):
        first, second = (taught(steps=1).addition for _ in range(2))
        assert all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)
        changed = {name.split(".seg_layers")[0]: bool(first.tensors[name].any()) for name in ups(first)}
        before_tokens = {name for name in changed if name.startswith(("encoder.stem", "encoder.stages.0"))}
        assert before_tokens
        assert not any(changed[name] for name in before_tokens)
        assert any(own for name, own in changed.items() if name.startswith("encoder.stages"))
        assert any(own for name, own in changed.items() if name.startswith("decoder.stages"))

    def test_looks_at_the_whole_of_the_examples_at_times(self, taught, monkeypatch):
        looked = []

        def look(network, context, cases, size, *, most_tiles, random):
            looked.append((len(cases), most_tiles))
            return find_false_places(network, context, cases, size, most_tiles=most_tiles, random=random)

        monkeypatch.setattr(fitting, "find_false_places", look)
        done = []
        taught(steps=4, report=lambda what, step, of: done.append((step, len(looked))))
        assert looked == [(3, 4), (3, 4)]
        # 30 % and 60 % of four steps.
        assert done[-4:] == [(1, 0), (2, 1), (3, 2), (4, 2)]

    def test_of_several_labels_has_a_task_for_each_in_their_order(self, taught, write_example, tmp_path, base):
        write_example("case0", values=(2, 5))
        result = taught(examples=0, labels={"inner": 5, "outer": 2})
        assert [task.name for task in result.addition.header.tasks] == ["cube/inner", "cube/outer"]
        assert result.addition.header.member.labels == {"background": 0, "inner": 1, "outer": 2}
        examples = find_examples(tmp_path / "examples")
        names = {"dataset_name": "Dataset350_cube", "rank": 4}
        lesson = make_lesson(read_fold(base, 0), "cube", {"inner": 5, "outer": 2}, "CT", examples, **names)
        case = prepare_case(examples[0], lesson)
        mask = nibabel.load(examples[0].mask).get_fdata().T
        assert ((case.reference == 1) == (mask == 5)).all()
        assert ((case.labels.numpy() == 2) == (mask == 2)).all()  # of the network's spacing

    def test_of_a_modality_that_is_new_learns_its_rows_and_says_so(self, taught):
        result = taught(modality="US")
        assert result.addition.header.new_modalities == ("US",)
        (notice,) = result.notices
        assert notice.startswith("the base does not know US (it knows CT, T1), so its tokens and norms learn")
        assert any("modalities" in name for name in result.addition.tensors)

    @pytest.mark.parametrize(
        ("leave_out", "left_out"), [(0, []), (1, [0]), (2, [0, 4]), (3, [0, 2, 4]), (9, [0, 1, 2, 3, 4])]
    )
    def test_leaves_out_no_more_than_it_is_asked(self, leave_out, left_out):
        assert places_left_out(5, leave_out) == left_out
        assert places_left_out(1, leave_out) == []

    def test_says_nothing_of_the_dice_of_what_no_other_example_shows(self, taught, write_example):
        write_example("case0", values=(1, 2))
        write_example("case1")
        result = taught(examples=0, labels={"one": 1, "two": 2}, leave_out=2)
        assert math.isnan(result.left_out["case0"]["cube/two"])
        assert not math.isnan(result.left_out["case0"]["cube/one"])
        write_example("case1", values=())
        result = taught(examples=0, labels={"one": 1, "two": 2}, leave_out=2)
        assert result.left_out.keys() == {"case1"}

    def test_with_one_example_says_nothing_of_the_dice(self, taught):
        result = taught(examples=1, leave_out=3)
        assert result.left_out == {}
        assert result.addition.header.dice == {}


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"name": "abdomen/liver"}, r"--name 'abdomen/liver'"),
            ({"name": "abdomen"}, r"the base already has a member 'abdomen': teach under another name"),
            ({"modality": "ct"}, r"--modality ct \(did you mean 'CT'\?\): the base knows CT, T1, unknown"),
            ({"modality": "auto"}, r"--modality auto is for images to predict: name"),
            ({"labels": {}}, "--labels is empty"),
            ({"labels": {"background": 1}}, "a label cannot be named background"),
            ({"labels": {"a": 1, "b": 1}}, r"--labels a=1, b=1: every label needs a value of its own"),
            ({"rank": 0}, "the rank is 0: give a number from 1 to 64"),
            ({"steps": 0}, "the number of steps is 0"),
            ({"leave_out": -1}, "-1 examples cannot be left out"),
        ],
    )
    def test_is_refused_before_any_work(self, taught, options, message):
        with pytest.raises((HermesError, UsageError), match=message):
            taught(**options)

    def test_another_modality_of_the_environment(self, taught, monkeypatch):
        monkeypatch.setenv("HERMES_MODALITY", "unknown")
        with pytest.raises(HermesError, match="HERMES_MODALITY=unknown, but the modality CT is asked for: unset"):
            taught()

    def test_a_task_that_the_base_has(self, taught, base):
        for name in ("plans", "dataset"):
            text = (base / f"{name}.json").read_text()
            (base / f"{name}.json").write_text(text.replace("abdomen/liver", "cube"))
        with pytest.raises(HermesError, match="the base already has the task cube: teach it under another name"):
            taught()

    def test_a_base_that_is_not_trained_to_its_end(self, taught, base):
        (base / "fold_0" / "checkpoint_final.pth").unlink()
        with pytest.raises(HermesError, match=r"has no checkpoint_final\.pth in fold_0: train the base to its end"):
            taught()

    def test_a_label_that_is_smaller_than_the_networks_voxels(self, taught, write_example):
        _, path = write_example("case0", spacing=0.1)
        mask = nibabel.load(path)
        voxels = np.zeros(mask.shape, np.uint8)
        voxels[0, 0, 0] = 1
        nibabel.save(nibabel.Nifti1Image(voxels, mask.affine), path)
        with pytest.raises(HermesError, match=r"cube is so small that nothing is left of it at the base's spacing"):
            taught(examples=0)

    def test_an_id_that_is_taken(self, base):
        members = read_fold(base, 0).plans.members
        with pytest.raises(HermesError, match="--dataset 900: this id is that of Dataset900_Both"):
            dataset_name_of(900, "cube", members)
        with pytest.raises(HermesError, match="--dataset 11: this id is that of Dataset011_abdomen"):
            dataset_name_of("11", "cube", members)
        assert dataset_name_of(None, "cube", members) == "Dataset508_cube"
        assert dataset_name_of(None, "gallbladder", members) == "Dataset843_gallbladder"
        assert dataset_name_of("350", "cube", members) == "Dataset350_cube"


class TestPython:
    def test_a_loaded_model_learns_from_pairs_of_files(self, base, write_example):
        model = HermesModel.load(base, folds=[1], device="cpu")
        taught = model.teach([write_example("case0")], name="cube", modality="CT", steps=1, dataset=350)
        header = taught.addition.header
        assert (header.base.fold, header.member.dataset_name) == ("1", "Dataset350_cube")
        assert model.tasks == HermesModel.load(base, folds=[1], device="cpu").tasks

    def test_a_view_cannot_learn(self, base, folders, write_example):
        write_views(base, folders / "results", [0])
        view = HermesModel.load(folders / "results" / "Dataset011_abdomen" / base.name, device="cpu")
        with pytest.raises(HermesError, match="is the model folder of one member: give that of its universal model"):
            view.teach([write_example("case0")], name="cube", modality="CT")


class TestCommand:
    def test_writes_a_file_that_add_puts_into_the_model(self, base, folders, write_example, tmp_path, capsys):
        for number in range(2):
            write_example(f"case{number}", seed=number)
        file = tmp_path / "cube.hermes"
        call = ["teach", "-m", str(base), "--examples", str(tmp_path / "examples"), "--name", "cube", "-o", str(file)]
        assert main([*call, "--modality", "CT", "--steps", "1", "--leave-out", "1", "-device", "cpu"]) == 0
        printed = capsys.readouterr().out
        assert "Dice to expect" in printed
        # The base has two folds.
        (hint,) = (line for line in printed.splitlines() if line.startswith("Put it into its base with: "))
        command, *words = shlex.split(hint.partition(": ")[2])
        assert command == "hermes_nnunet"
        assert words == ["add", str(file), "-m", str(base), "--into", "ID"]
        header = Addition.load(file).header
        assert (header.name, header.member.dataset_name) == ("cube", "Dataset508_cube")
        assert header.trained_on == {"examples": 2, "steps": 1, "batch_size": 2}
        assert main([*words[:-1], "903"]) == 0
        plans = json.loads((folders / "results" / "Dataset903_Both" / base.name / "plans.json").read_text())
        assert plans["hermes"]["tasks"][-1] == "cube"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (["--labels", "cube"], "--labels cube: give a name and a value, as gallbladder=1"),
            (["--labels", "a=1,a=2"], "--labels a=2: a has two values"),
            (["-o", "cube.txt"], "-o cube.txt: the file of an addition ends in .hermes"),
        ],
    )
    def test_a_wrong_call_is_one_line(self, base, tmp_path, capsys, changes, message):
        call = ["teach", "-m", str(base), "--examples", str(tmp_path), "--name", "cube", "--modality", "CT"]
        assert main([*call, "-o", str(tmp_path / "x.hermes"), *changes]) != 0
        assert message in capsys.readouterr().err
