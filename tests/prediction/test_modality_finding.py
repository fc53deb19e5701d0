"""Images whose modality nobody names."""

import json
import re
from functools import partial

import nibabel
import numpy as np
import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet import HermesModel
from hermes_nnunet.data.dicom.sequences import modality_of_words
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.modality.features import image_features
from hermes_nnunet.planning.modality.finder import FoundModality
from hermes_nnunet.planning.modality.fitting import MeasuredCase, fit
from hermes_nnunet.planning.preprocessing.preprocessor import HermesPreprocessor
from hermes_nnunet.prediction.image_sources import FileSource
from hermes_nnunet.prediction.modality_finding import is_to_find
from hermes_nnunet.prediction.model_folder import read_model_folder
from hermes_nnunet.prediction.network_modality import modality_by_network
from hermes_nnunet.prediction.predictor import HermesPredictor

from .conftest import make_model

SHAPE = (18, 20, 22)


def voxels_of(modality, seed):
    """CT: a body in air; T1: bright all over, brightest at its edge."""
    rng = np.random.default_rng(seed)
    if modality == "CT":
        voxels = np.full(SHAPE, -1000.0)
        voxels[4:-4, 5:-5, 6:-6] = 40
    else:
        voxels = np.full(SHAPE, 600.0)
        voxels[4:-4, 5:-5, 6:-6] = 200
    return (voxels + 20 * rng.normal(size=SHAPE)).astype(np.float32)


def write(path, voxels, spacing=2.0):
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([spacing] * 3 + [1.0])), path)
    return path


@pytest.fixture(scope="session")
def classifier():
    """Content of the plans."""
    return fit([
        MeasuredCase(member, modality, f"{member}{seed}", image_features(voxels_of(modality, seed).T, (2, 2, 2), "x"))
        for member, modality in (("abdomen", "CT"), ("brain", "T1"))
        for seed in range(4)
    ]).to_json()  # fmt: skip


@pytest.fixture
def model(results, plans, dataset_json, classifier):
    """A universal model that tells CT from T1."""
    plans["hermes"]["modality_classifier"] = json.loads(json.dumps(classifier))
    return make_model(results, plans, dataset_json, seeds=(0,))


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name, modality in (("a", "CT"), ("b", "T1")):
        write(folder / f"{name}_0000.nii.gz", voxels_of(modality, 9))
    return folder


class TestCommand:
    def test_each_image_is_predicted_as_if_its_modality_were_named(self, predict, images, out, tmp_path, capsys):
        assert predict("--all", "--probabilities") == 0
        printed = capsys.readouterr().out
        content = json.loads((out / "labels.json").read_text())
        assert {case: found["modality"] for case, found in content["modalities"].items()} == {"a": "CT", "b": "T1"}
        assert content["modalities"]["a"]["by"] == "image"
        assert content["modalities"]["a"]["probability"] > 0.8
        assert content["modalities"]["a"]["runner_up"] == "T1"
        assert "1 case taken for CT (a: CT (" in printed
        names = [label["name"] for label in content["labels"]]
        for case, modality in (("a", "CT"), ("b", "T1")):
            named = tmp_path / modality
            source = images / f"{case}_0000.nii.gz"
            assert predict("--all", "--modality", modality, "--probabilities", source=source, output=named) == 0
            found, expected = (nibabel.load(folder / f"{case}.nii.gz").get_fdata() for folder in (out, named))
            assert np.array_equal(found, expected)
            own = [label["name"] for label in json.loads((named / "labels.json").read_text())["labels"]]
            ours, theirs = (np.load(folder / f"{case}.npz")["probabilities"] for folder in (out, named))
            assert ours.shape[0] == len(names)
            for channel, name in enumerate(names):
                assert np.array_equal(ours[channel], theirs[own.index(name)] if name in own else 0 * ours[channel])

    def test_goes_on_without_looking_at_finished_images_again(self, predict, images, out, monkeypatch):
        assert predict("--all") == 0
        (out / "b.nii.gz").unlink()
        looked_at = []
        from hermes_nnunet.prediction import modality_finding

        find = modality_finding.find_modality
        monkeypatch.setattr(
            modality_finding, "find_modality", lambda case, *rest: looked_at.append(case.name) or find(case, *rest)
        )
        before = (out / "labels.json").read_text()
        assert predict("--all", "--continue") == 0
        assert looked_at == []
        assert (out / "labels.json").read_text() == before

    def test_an_image_that_is_not_clear_stops_it_with_what_to_type(self, predict, images, out, model, capsys):
        plans = json.loads((model / "plans.json").read_text())
        plans["hermes"]["modality_classifier"]["sure"] = 1.0
        (model / "plans.json").write_text(json.dumps(plans))
        assert predict("--all") == 1
        error = capsys.readouterr().err
        assert "the modality of 2 images is not clear (a: CT (" in error
        assert "name their modalities with --modality" in error
        assert not list(out.glob("*.nii.gz"))

    def test_an_image_that_resembles_none_is_unknown_with_a_warning(self, predict, images, out, capsys):
        write(images / "a_0000.nii.gz", voxels_of("CT", 9), spacing=0.3)
        assert predict("--all") == 0
        assert "a_0000.nii.gz resembles no image that the model was trained on" in capsys.readouterr().err
        content = json.loads((out / "labels.json").read_text())
        assert content["modalities"]["a"]["modality"] == "unknown"
        assert content["modalities"]["a"]["probability"] is None

    @pytest.mark.parametrize(
        ("voxels", "line"),
        [
            (np.full(SHAPE, 5.0), "has the intensity 5 everywhere: its modality cannot be told"),
            (np.where(np.arange(22) == 3, np.nan, voxels_of("CT", 0)), "holds NaN or infinite voxels"),
            (voxels_of("CT", 0)[..., :1], "1 x 20 x 18 voxels: the modality of a single slice cannot be told"),
        ],
    )
    def test_of_bad_images_nothing_is_told(self, predict, images, out, capsys, voxels, line):
        write(images / "a_0000.nii.gz", voxels.astype(np.float32))
        assert predict("--all") == 1
        error = capsys.readouterr().err
        assert "1 of 2 cases failed, the others are finished" in error
        assert re.search(line, error)
        assert (out / "b.nii.gz").is_file()
        assert not (out / "a.nii.gz").exists()

    def test_a_bad_image_that_is_mended_can_be_gone_on_with(self, predict, images, out, capsys):
        write(images / "c_0000.nii.gz", np.full(SHAPE, 5.0, np.float32))
        assert predict("--all") == 1
        assert "the images are taken for" not in capsys.readouterr().err
        content = json.loads((out / "labels.json").read_text())
        assert [one["modality"] for one in content["passes"]] == ["CT", "T1"]
        assert len(content["labels"]) == 4
        write(images / "c_0000.nii.gz", voxels_of("T1", 3))
        assert predict("--all", "--continue") == 0
        assert f"1 case segmented to {out}, 2 were finished before" in capsys.readouterr().out

    def test_bad_images_only_are_told_and_nothing_else(self, predict, images, out, capsys):
        for name in "ab":
            write(images / f"{name}_0000.nii.gz", np.full(SHAPE, 5.0, np.float32))
        assert predict("--all", "--continue") == 1
        error = capsys.readouterr().err
        assert "2 of 2 cases failed:" in error
        assert "the images are taken for" not in error
        assert not out.exists()

    def test_goes_on_with_another_image_whatever_its_name(self, predict, images, out, capsys):
        assert predict("--all", "--per-task") == 0
        write(images / "0_0000.nii.gz", voxels_of("T1", 3))
        assert predict("--all", "--per-task", "--continue") == 0
        assert f"1 case segmented to {out}, 2 were finished before" in capsys.readouterr().out

    def test_the_order_of_the_labels_is_not_that_of_the_names(self, predict, images, out):
        (images / "a_0000.nii.gz").rename(images / "z_0000.nii.gz")
        assert predict("--all") == 0
        assert [one["modality"] for one in json.loads((out / "labels.json").read_text())["passes"]] == ["CT", "T1"]

    def test_goes_on_with_results_of_a_release_that_ordered_by_names(self, predict, images, out, capsys):
        assert predict("--all") == 0
        content = json.loads((out / "labels.json").read_text())
        content["passes"].reverse()
        content["labels"] = [*content["labels"][2:], *content["labels"][:2]]
        (out / "labels.json").write_text(json.dumps(content))
        write(images / "0_0000.nii.gz", voxels_of("T1", 3))
        assert predict("--all", "--continue") == 0
        assert f"1 case segmented to {out}, 2 were finished before" in capsys.readouterr().out
        assert [one["modality"] for one in json.loads((out / "labels.json").read_text())["passes"]] == ["T1", "CT"]

    def test_another_modality_is_not_gone_on_with_and_changes_nothing(self, predict, images, out, capsys):
        """Its tasks would be more channels of --probabilities than the other cases have."""
        (images / "b_0000.nii.gz").unlink()
        assert predict("--all") == 0
        before = {path.name: path.read_bytes() for path in out.iterdir()}
        (values,) = ({label["name"]: label["value"] for label in json.loads(before["labels.json"])["labels"]},)
        write(images / "0_0000.nii.gz", voxels_of("T1", 3))
        assert predict("--all", "--continue") == 1
        assert "is of other tasks, modalities or kinds of files" in capsys.readouterr().err
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before
        assert predict("--all", "--overwrite") == 0
        labels = json.loads((out / "labels.json").read_text())["labels"]
        assert values.items() < {label["name"]: label["value"] for label in labels}.items()
        assert (out / "a.nii.gz").read_bytes() == before["a.nii.gz"]

    def test_a_named_modality_is_not_doubted(self, predict, images, out):
        assert predict("--all", "--modality", "T1", source=images / "a_0000.nii.gz") == 0
        assert "modalities" not in json.loads((out / "labels.json").read_text())


def make_unsure(model, says=None, share=0.1, sure=0.9999):
    """Let looks leave CT and T1 close, and a network that was told "unknown" by a share say one of them in doubt."""
    plans = json.loads((model / "plans.json").read_text())
    plans["hermes"]["modality_classifier"]["sure"] = sure
    (model / "plans.json").write_text(json.dumps(plans))
    if says is None:
        return
    path = model / "fold_0" / "checkpoint_final.pth"
    checkpoint = torch.load(path, weights_only=False)
    row = plans["hermes"]["modalities"].index(says)
    bias = checkpoint["network_weights"]["decoder.seg_layers.modality_head.classify.project.bias"]
    bias.copy_(torch.where(torch.arange(len(bias)) == row, 20.0, -20.0))
    torch.save({**checkpoint, "hermes_unknown_modality_share": share}, path)


class TestNetwork:
    @pytest.mark.parametrize("says", ["CT", "T1"])
    def test_decides_between_two_that_look_alike(self, predict, images, out, model, tmp_path, capsys, says):
        make_unsure(model, says)
        assert predict("--all") == 0
        assert f"by its network, b: {says} (1.00; " in capsys.readouterr().out
        found = json.loads((out / "labels.json").read_text())["modalities"]
        other = {"CT": "T1", "T1": "CT"}[says]
        for case in "ab":
            assert (found[case]["modality"], found[case]["runner_up"], found[case]["by"]) == (says, other, "network")
            assert found[case]["probability"] == pytest.approx(1)
        assert predict("--all", "--modality", says, output=tmp_path / "named") == 0
        for case in "ab":
            ours, named = (nibabel.load(folder / f"{case}.nii.gz").get_fdata() for folder in (out, tmp_path / "named"))
            assert np.array_equal(ours, named)

    def test_is_not_asked_where_its_training_never_told_unknown(self, predict, images, out, model, capsys):
        make_unsure(model, "T1", share=0.0)
        assert predict("--all") == 1
        assert "the modality of 2 images is not clear (a: CT (" in capsys.readouterr().err

    def test_is_not_asked_where_the_looks_are_clear(self, predict, images, out, model):
        make_unsure(model, "T1", sure=0.8)
        assert predict("--all") == 0
        found = json.loads((out / "labels.json").read_text())["modalities"]
        assert {case: (one["modality"], one["by"]) for case, one in found.items()} == {
            "a": ("CT", "image"),
            "b": ("T1", "image"),
        }

    def test_that_is_not_sure_either_leaves_it_to_people(self, predict, images, out, model, capsys):
        make_unsure(model, "T1", sure=1.0)
        path = model / "fold_0" / "checkpoint_final.pth"
        checkpoint = torch.load(path, weights_only=False)
        checkpoint["network_weights"]["decoder.seg_layers.modality_head.classify.project.bias"].zero_()
        checkpoint["network_weights"]["decoder.seg_layers.modality_head.classify.project.weight"].zero_()
        torch.save(checkpoint, path)
        assert predict("--all") == 1
        assert re.search(r"not clear \(a: \w+ \(0\.50; \w+ 0\.50\)", capsys.readouterr().err)

    def test_shares_what_the_looks_leave_to_the_two(self, model, images):
        make_unsure(model, "T1")
        predictor = HermesPredictor(read_model_folder(model, [0]), "cpu")
        image = FileSource("a", (images / "a_0000.nii.gz",))
        close = FoundModality("CT", 0.45, "T1", 0.4, "image")
        for sure in (0.8, 0.9):
            found = modality_by_network(predictor, image, close, sure)
            assert (found.modality, found.sure) == ("T1", sure == 0.8)
            assert found.probability == pytest.approx(0.85)

    def test_decides_in_python_too(self, model, images):
        make_unsure(model, "T1")
        found = HermesModel.load(model, device="cpu").predict(images / "a_0000.nii.gz", everything=True).found_modality
        assert (found.modality, found.by) == ("T1", "network")

    def test_is_told_unknown_and_the_tasks_of_each_side(self, model, images, monkeypatch):
        from hermes_nnunet.networks.contextual import ContextualNetwork

        make_unsure(model, "T1")
        told = []
        run = ContextualNetwork.modality_logits
        monkeypatch.setattr(
            ContextualNetwork,
            "modality_logits",
            lambda network, x: told.append((network.context, x.shape)) or run(network, x),
        )
        HermesModel.load(model, device="cpu").predict(images / "a_0000.nii.gz", everything=True)
        assert {tuple(context.task_index[0].tolist()) for context, _ in told} == {(0, 1), (2, 3)}
        assert {context.modality_index.tolist()[0] for context, _ in told} == {2}
        assert {shape for _, shape in told} == {(1, 1, 16, 16, 16)}


class TestDicom:
    """A folder of series, as a scanner's archive has them."""

    @pytest.fixture
    def series(self, tmp_path):
        """A function that writes a series of the given looks into a folder of its own."""
        pytest.importorskip("pydicom")
        from dicom_writer import DicomWriter

        def write(name, looks, modality, **tags):
            stored = np.round(voxels_of(looks, 9)).astype(np.int16).transpose(2, 1, 0)
            folder = tmp_path / "series" / name
            DicomWriter().series(folder, stored, uid=f"1.2.{len(name)}{ord(name[0])}", frame=f"1.3.{ord(name[0])}",
                                 spacing=(2.0, 2.0), step=2.0, modality=modality, **tags)  # fmt: skip
            return folder.parent

        return write

    def test_the_header_says_the_modality_and_the_sequence_of_mr(self, series, predict, out, tmp_path, capsys):
        # Their looks say the contrary.
        series("ct", "T1", "CT")
        source = series("t1", "CT", "MR", SeriesDescription="T1 MPRAGE sag")
        assert predict("--all", "--modality", "auto", source=source) == 0
        assert "1 case taken for T1 (t1: T1 (1.00) by its header)" in capsys.readouterr().out
        found = json.loads((out / "labels.json").read_text())["modalities"]
        assert {case: (one["modality"], one["by"]) for case, one in found.items()} == {
            "ct": ("CT", "header"),
            "t1": ("T1", "header"),
        }
        for case, modality in (("ct", "CT"), ("t1", "T1")):
            named = tmp_path / case
            assert predict("--all", "--modality", modality, source=source / case, output=named) == 0
            ours, theirs = (nibabel.load(folder / f"{case}.nii.gz").get_fdata() for folder in (out, named))
            assert np.array_equal(ours, theirs)

    def test_of_mr_without_words_the_looks_decide_among_what_mr_can_be(self, series, predict, out):
        source = series("localizer", "T1", "MR", SeriesDescription="localizer", ProtocolName="")
        assert predict("--all", "--modality", "auto", source=source) == 0
        (found,) = json.loads((out / "labels.json").read_text())["modalities"].values()
        assert (found["modality"], found["by"], found["runner_up"]) == ("T1", "image", None)

    @pytest.mark.parametrize(
        ("modality", "tags", "words"),
        [("MR", {"SeriesDescription": "ax t2 tse"}, "MR, T2"), ("PT", {}, "PET")],
    )
    def test_what_the_model_never_saw_is_unknown_with_a_warning(
        self, series, predict, out, capsys, modality, tags, words
    ):
        source = series("new", "T1", modality, **tags)
        assert predict("--all", "--modality", "auto", source=source) == 0
        assert f"new is {words} by its header, which the model was not trained on" in capsys.readouterr().err
        (found,) = json.loads((out / "labels.json").read_text())["modalities"].values()
        assert (found["modality"], found["by"], found["probability"]) == ("unknown", "header", None)

    def test_a_folder_of_two_series_is_of_no_modality_and_fails_alone(self, series, predict, out, capsys):
        series("t1", "CT", "MR", SeriesDescription="T1")
        names = [f"other_{number}.dcm" for number in range(SHAPE[2])]
        source = series("t1", "CT", "MR", names=names, SeriesInstanceUID="1.2.9")
        series("ct", "CT", "CT")
        assert predict("--all", "--modality", "auto", source=source) == 1
        assert "t1 holds 2 DICOM series" in capsys.readouterr().err
        assert [path.name for path in out.glob("*.nii.gz")] == ["ct.nii.gz"]

    def test_python_reads_the_header_too(self, series, model):
        folder = series("t1", "CT", "MR", ProtocolName="t1_vibe") / "t1"
        found = HermesModel.load(model, device="cpu").predict(folder, everything=True).found_modality
        assert (found.modality, found.by) == ("T1", "header")


class TestPythonModel:
    def test_says_what_it_has_found(self, model, images):
        loaded = HermesModel.load(model, device="cpu")
        found = loaded.predict(images / "b_0000.nii.gz", everything=True)
        named = loaded.predict(images / "b_0000.nii.gz", everything=True, modality="T1")
        assert found.modality == found.found_modality.modality == "T1"
        assert named.found_modality is None
        assert np.array_equal(found.array, named.array)

    def test_an_array_is_looked_at_too(self, model):
        loaded = HermesModel.load(model, device="cpu")
        found = loaded.predict((voxels_of("CT", 8), (2, 2, 2)), tasks=["brain/core"], modality="auto")
        assert found.modality == "CT"


class TestWhenItIsToFind:
    def test_where_nobody_says_it_and_there_are_several(self, model):
        folder = read_model_folder(model)
        finds = partial(is_to_find, folder)
        assert finds([], None)
        assert finds([], "auto")
        assert finds(["abdomen", "brain"], None)
        assert finds(["abdomen"], "auto")
        assert not finds(["abdomen"], None)
        assert not finds([], "CT")

    def test_plans_without_the_numbers_go_on_as_before_and_say_what_they_lack(
        self, model, predict, images, out, capsys
    ):
        plans = json.loads((model / "plans.json").read_text())
        del plans["hermes"]["modality_classifier"]
        (model / "plans.json").write_text(json.dumps(plans))
        folder = read_model_folder(model)
        assert not is_to_find(folder, [], None)
        with pytest.raises(HermesError, match="does not say what tells the modalities of all members"):
            is_to_find(folder, [], "auto")
        assert predict("--all", source=images / "a_0000.nii.gz") == 0
        assert "which the plans of this model do not tell how to find" in capsys.readouterr().err


class TestStockPredictor:
    def test_finds_the_modality_of_each_image(self, model, images, tmp_path, stock_predict, monkeypatch, capsys):
        stock_predict(model, images, tmp_path / "found")
        printed = capsys.readouterr().out
        assert "The modality of each image is found by its looks" in printed
        assert "a_0000.nii.gz: CT (" in printed
        for case, modality in (("a", "CT"), ("b", "T1")):
            monkeypatch.setenv("HERMES_MODALITY", modality)
            stock_predict(model, images, tmp_path / modality)
            found, named = (nibabel.load(tmp_path / f / f"{case}.nii.gz").get_fdata() for f in ("found", modality))
            assert np.array_equal(found, named)
            assert found.any()

    def test_images_with_other_channels_are_refused(self, model, images, tmp_path, stock_predict):
        write(images / "a_0001.nii.gz", voxels_of("CT", 9))
        with pytest.raises(HermesError, match=r"a_0000.nii.gz: the case has 2 channels, the model takes 1: give"):
            stock_predict(model, images, tmp_path / "found")

    def test_the_number_of_the_modality_is_not_taken_for_a_channel(self, plans, dataset_json, classifier):
        """Of a network of two channels, and an image of one."""
        plans["hermes"]["modality_classifier"] = json.loads(json.dumps(classifier))
        dataset_json["channel_names"] = {"0": "first", "1": "second"}
        manager = PlansManager(plans)
        with pytest.raises(HermesError, match="the image: the case has 1 channel, the model takes 2"):
            HermesPreprocessor(verbose=False).run_case_npy(
                voxels_of("CT", 9)[None], None, {"spacing": [2, 2, 2]}, manager,
                manager.get_configuration("3d_fullres"), dataset_json,
            )  # fmt: skip

    def test_stops_where_it_is_not_clear(self, model, images, tmp_path, stock_predict):
        plans = json.loads((model / "plans.json").read_text())
        plans["hermes"]["modality_classifier"]["sure"] = 1.0
        (model / "plans.json").write_text(json.dumps(plans))
        with pytest.raises(HermesError, match=r"a_0000.nii.gz: the modality is not clear, CT \(.*set HERMES"):
            stock_predict(model, images, tmp_path / "found")


class TestSequences:
    @pytest.mark.parametrize(
        ("words", "modality"),
        [
            ("t1 mprage sag", "T1"),
            ("ax t2 tse", "T2"),
            ("t2 flair", "FLAIR"),
            ("t1 vibe post gd", "T1c"),
            ("t1 t2 map", None),
            ("localizer", None),
            ("psir t1 tfl", "LGE-MRI"),
            ("ep2d diff b1000", "DWI"),
            ("cine retro sa", "cineMRI"),
            ("ax pd tse", "PD"),
            ("ax pdw tse", "PD"),
            ("ax t1 flair", "T1"),
            ("t1 se pre contrast", "T1"),
            ("t1 vibe w o contrast", "T1"),
            ("t1 tse nativ", "T1"),
            ("t1 tse precontrast", "T1"),
            ("t1 tse posterior fossa", "T1"),
            ("t1 tse postcontrast", "T1c"),
            ("ax t1 c", "T1c"),
            ("t1 subtraction pre post", None),
            ("t1 map molli", None),
            ("adc map", "ADC"),
            ("trufi cor abdomen", None),
        ],
    )
    def test_words_name_a_modality(self, words, modality):
        assert modality_of_words(words) == modality

    def test_words_of_the_collection_come_first(self):
        assert modality_of_words("ax stir t2", ["STIR"]) == "STIR"
