"""Voxel orders found by labelled cases, with weights whose order is known."""

import shutil

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from hermes_nnunet import HermesModel
from hermes_nnunet.errors import HermesError
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.weights.choosing_order import LabelledCases
from hermes_nnunet.weights.importing import import_weights

MEMBER = "heart"
SIDE = 32


@pytest.fixture
def topology():
    return "r"


@pytest.fixture
def small_patches(monkeypatch):
    monkeypatch.setattr("hermes_nnunet.planning.paper_planner.PATCH_SIZE", (SIDE,) * 3)


def reoriented(image, codes):
    return image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(tuple(codes))))


@pytest.fixture
def labelled(tmp_path, released, members_file, small_patches):
    """A function: cases in the files' order, which weights that saw their images in another order have labelled.

    The weights run on voxels in that order under a header that calls it RAS, so nothing here turns an image.
    """

    def make(order, files="RAS"):
        plain = tmp_path / "plain"
        plain.mkdir()
        folder = import_weights(released, into=900, name="Plain", results=plain, members_file=members_file).folder
        model = HermesModel.load(folder, device="cpu")
        voxels = np.random.default_rng(0).normal(size=(SIDE // 4,) * 3).astype(np.float32)
        image = nibabel.Nifti1Image(np.kron(voxels, np.ones((4, 4, 4), np.float32)), np.diag([1.5, 1.5, 1.5, 1]))
        seen = reoriented(image, order)
        found = model.predict(nibabel.Nifti1Image(np.asarray(seen.dataobj), image.affine), members=[MEMBER])
        labels = reoriented(nibabel.Nifti1Image(_own_values(found), seen.affine), files)
        for name, content in (("images", reoriented(image, files)), ("labels", labels)):
            (tmp_path / name).mkdir()
            nibabel.save(content, tmp_path / name / "case.nii.gz")
        shutil.rmtree(plain)
        return LabelledCases(MEMBER, tmp_path / "images", tmp_path / "labels")

    return make


def _own_values(found):
    values = {label.value: number for number, label in enumerate(found.labels, start=1)}
    return np.vectorize(lambda value: values.get(value, 0))(found.array).astype(np.uint8)


def imported(released, results, members_file, labelled):
    return import_weights(
        released, into=910, name="Ours", results=results, members_file=members_file, labelled_cases=[labelled]
    )


class TestChoosing:
    def test_the_order_of_the_training_has_the_best_dice_and_its_view_runs_in_it(
        self, labelled, released, results, members_file
    ):
        result = imported(released, results, members_file, labelled("LAI"))
        (scores,) = result.scores
        assert (scores.best, scores.cases, len(scores.dice)) == ("LAI", ("case",), 8)
        first, second, *_ = scores.dice.values()
        # Logits of random weights are near 0, where half precision rounds some of them away.
        assert first > 0.95
        assert second < 0.8
        assert result.voxel_orders == {"abdomen": "RAS", "abdomen_mr": "RAS", "heart": "LAI"}
        plans = HermesPlans.from_plans(_plans(results / "Dataset913_heart" / result.folder.name))
        assert (plans.voxel_order, plans.context.tasks) == ("LAI", ("heart/left", "heart/right"))

    def test_orders_of_other_axes_are_tried_where_the_files_have_such(
        self, labelled, released, results, members_file, monkeypatch
    ):
        tried = {True: ["RAS", "RPS", "SPR", "SPL", "PSR"], False: ["RAS"]}
        monkeypatch.setattr("hermes_nnunet.weights.choosing_order.orders", lambda of_other_axes: tried[of_other_axes])
        (scores,) = imported(released, results, members_file, labelled("SPR", files="IPL")).scores
        assert (scores.best, len(scores.dice)) == ("SPR", 5)
        first, second, *_ = scores.dice.values()
        assert first > 0.95
        assert second < 0.8


def _plans(folder):
    from hermes_nnunet.core.files import read_json

    return read_json(folder / "plans.json", "")


class TestRefusals:
    @pytest.mark.parametrize("text", ["kits", "kits=images", "=images,labels", "kits=,labels"])
    def test_another_form_is_refused(self, text):
        with pytest.raises(HermesError, match="write MEMBER=IMAGES,LABELS"):
            LabelledCases.parse(text)

    def test_a_member_that_the_table_lacks_is_named(self, released, results, members_file, tmp_path):
        cases = LabelledCases("hart", tmp_path, tmp_path)
        with pytest.raises(HermesError, match=r"no member 'hart' \(did you mean 'heart'"):
            imported(released, results, members_file, cases)
        assert list(results.iterdir()) == []

    def test_weights_without_members_are_refused(self, released, results, tmp_path):
        with pytest.raises(HermesError, match="needs the members of the weights"):
            import_weights(
                released,
                into=910,
                name="Ours",
                results=results,
                labelled_cases=[LabelledCases(MEMBER, tmp_path, tmp_path)],
            )

    def test_an_image_without_labels_is_named(self, released, results, members_file, tmp_path):
        image = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4))
        nibabel.save(image, tmp_path / "case.nii.gz")
        (tmp_path / "labels").mkdir()
        cases = LabelledCases(MEMBER, tmp_path / "case.nii.gz", tmp_path / "labels")
        with pytest.raises(HermesError, match=r"labels has no case\.nii\.gz"):
            imported(released, results, members_file, cases)

    def test_labels_without_the_members_values_are_named(
        self, released, results, members_file, tmp_path, small_patches
    ):
        image = nibabel.Nifti1Image(np.zeros((SIDE,) * 3, np.float32), np.eye(4))
        nibabel.save(image, tmp_path / "case.nii.gz")
        cases = LabelledCases(MEMBER, tmp_path / "case.nii.gz", tmp_path / "case.nii.gz")
        with pytest.raises(HermesError, match="has none of the label values 1, 2"):
            imported(released, results, members_file, cases)
        assert list(results.iterdir()) == []
