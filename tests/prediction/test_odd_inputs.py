"""The odd inputs of shared/cases: merged, preprocessed and segmented rightly, or refused in one line."""

import json
import runpy
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet import HermesModel
from hermes_nnunet.cli.main import main
from hermes_nnunet.data.merge import MemberSpecification, MergeSpecification, merge
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.preprocessing.preprocessor import HermesPreprocessor

MAKER = Path(__file__).resolve().parents[3] / "shared" / "cases" / "make_cases.py"
CINE_MM = (10, 1.3158, 1.3158)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """The folder with a folder a kind."""
    if not MAKER.is_file():
        pytest.skip(f"no {MAKER}")
    folder = tmp_path_factory.mktemp("kinds")
    with pytest.MonkeyPatch.context() as arguments:
        arguments.setattr(sys, "argv", [str(MAKER), str(folder)])
        runpy.run_path(str(MAKER), run_name="__main__")
    return folder


@pytest.fixture
def merged(kinds, tmp_path, monkeypatch, write_nifti):
    """A function that merges a kind, with two plain cases so that folds can be made."""
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "raw"))
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)

    def run(kind, *, leave_out=(), spacing_from=None):
        member = tmp_path / "raw" / "Dataset001_Odd"
        for part in ("imagesTr", "labelsTr"):
            (member / part).mkdir(parents=True, exist_ok=True)
            for path in (kinds / kind / part).iterdir():
                if not path.name.startswith(tuple(leave_out)) and not (member / part / path.name).is_symlink():
                    (member / part / path.name).symlink_to(path)
        content = json.loads((kinds / kind / "dataset.json").read_text())
        (member / "dataset.json").write_text(json.dumps(content))
        for case in ("y", "z"):
            for channel in range(len(content["channel_names"])):
                voxels = np.zeros((4, 4, 4), np.int16)
                write_nifti(member / f"imagesTr/{case}_{channel:04d}.nii.gz", voxels, np.eye(4))
            write_nifti(member / f"labelsTr/{case}.nii.gz", np.zeros((4, 4, 4), np.uint8), np.eye(4))
        members = [MemberSpecification(1, "CT")]
        return merge(MergeSpecification("All", 901, members, spacing_from=spacing_from), processes=1)

    return run


@pytest.fixture
def preprocessed(plans):
    """A function that gives the properties of a case of a collection after preprocessing, and its labels."""

    def run(result, case):
        entry = json.loads((result.folder / "dataset.json").read_text())["dataset"][f"Odd__{case}"]
        manager = PlansManager(plans)
        _, seg, properties = HermesPreprocessor(verbose=False).run_case(
            [str(result.folder / path) for path in entry["images"]],
            str(result.folder / entry["label"]),
            manager,
            manager.get_configuration("3d_fullres"),
            {"labels": {"background": 0, "first": 1, "second": 2}, "file_ending": ".nii.gz"},
        )
        return properties, seg

    return run


@pytest.fixture
def predict(model, tmp_path, capsys):
    """A function that runs the command on a folder; its exit code, and the lines of its error."""

    def run(source, *options):
        call = ["predict", "-i", str(source), "-o", str(tmp_path / "out"), "-m", str(model), "--member", "abdomen"]
        code = main([*call, "-f", "0", "--device", "cpu", "--statistics", *options])
        _, found, error = capsys.readouterr().err.partition("hermes_nnunet: error: ")
        return code, *(error.splitlines() if found else [])

    return run


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def volumes(out, case, task="abdomen/liver"):
    return json.loads((out / "statistics.json").read_text())["cases"][case][task]["volume_ml"]


def test_zooms_and_affine(kinds, merged, preprocessed, predict, out, model):
    images = kinds / "zooms_and_affine" / "imagesTr"
    with pytest.raises(HermesError, match="says two spacings: 2 x 2 x 2 mm by its affine"):
        merged("zooms_and_affine")
    code, failed, *lines = predict(images)
    assert code == 1
    assert failed == "4 of 4 cases failed:"
    assert len(lines) == 4
    for line in lines:
        assert "says two spacings: 2 x 2 x 2 mm by its affine (sform), 1 x 1 x 1 mm" in line
    result = merged("zooms_and_affine", spacing_from="affine")
    assert predict(images, "--spacing-from", "affine") == (0,)
    loaded = HermesModel.load(model, folds=[0], device="cpu")
    for case in ("c0", "c1"):
        properties, seg = preprocessed(result, case)
        assert properties["spacing"] == [2, 2, 2]
        assert seg.shape[1:] == (16, 20, 24)  # 40 x 50 x 60 mm at 2.5 mm
        written = nibabel.load(out / f"{case}.nii.gz")
        edge = np.linalg.norm(written.affine[:3, :3], axis=0)
        np.testing.assert_allclose(edge, 2)
        ml = float((np.asarray(written.dataobj) == 2).sum() * 8 / 1000)
        own = loaded.predict(images / f"{case}_0000.nii.gz", members=["abdomen"], spacing_from="affine")
        assert ml == pytest.approx(volumes(out, case))
        assert ml == pytest.approx(own.statistics()["abdomen/liver"]["volume_ml"])


def test_cine_headers(kinds, merged, preprocessed, predict, out):
    result = merged("cine_headers")
    properties, _ = preprocessed(result, "c0")
    assert properties["spacing"] == pytest.approx(CINE_MM, rel=1e-5)
    assert "(2 files)" in result.notes[-1]
    assert predict(kinds / "cine_headers" / "imagesTr") == (0,)
    written = nibabel.load(out / "c0.nii.gz")
    ml = (np.asarray(written.dataobj) == 2).sum() * np.prod(CINE_MM) / 1000
    assert volumes(out, "c0") == pytest.approx(ml, rel=1e-5)
    np.testing.assert_allclose(abs(np.diag(written.affine))[:3], CINE_MM[::-1], rtol=1e-5)


def test_endings(kinds, merged, preprocessed, predict, out):
    result = merged("endings")
    assert len(result.collection.cases) == 7
    for case in range(5):
        assert {1, 2} < set(np.unique(preprocessed(result, f"c{case}")[1]))
    assert predict(kinds / "endings" / "imagesTr") == (0,)
    assert sorted(path.name for path in out.glob("c*.nii.gz")) == [f"c{case}.nii.gz" for case in range(5)]


@pytest.mark.parametrize(
    ("case", "in_merge", "in_prediction"),
    [
        ("apart", "differ by 40 mm", "differ by 40 mm"),
        ("spacing", "differ by 1 mm", "differ by 1 mm"),
        ("gap", "is channel 2, but dataset.json names 2", "channels 0000, 0002 of one case 'gap'"),
    ],
)
def test_channels_apart(kinds, merged, predict, tmp_path, case, in_merge, in_prediction):
    with pytest.raises(HermesError, match=in_merge):
        merged("channels_apart", leave_out={"apart", "spacing", "gap"} - {case})
    (tmp_path / "in").mkdir()
    for path in (kinds / "channels_apart" / "imagesTr").glob(f"{case}_*"):
        (tmp_path / "in" / path.name).symlink_to(path)
    code, line = predict(tmp_path / "in")
    assert code == 1
    assert in_prediction in line


def test_no_codes(kinds, merged, predict, out):
    assert any("neither sform nor qform has a code" in note for note in merged("no_codes").notes)
    assert predict(kinds / "no_codes" / "imagesTr") == (0,)
    image, mask = kinds / "no_codes/imagesTr/c0_0000.nii.gz", out / "c0.nii.gz"
    first, second = (nibabel.load(path) for path in (image, mask))
    np.testing.assert_array_equal(first.affine, second.affine)
    for code in ("sform_code", "qform_code"):
        assert int(second.header[code]) == 0
    assert first.header.get_zooms() == second.header.get_zooms()
    in_itk = [SimpleITK.ReadImage(str(path)) for path in (image, mask)]
    assert in_itk[0].GetOrigin() == in_itk[1].GetOrigin()
    assert in_itk[0].GetDirection() == in_itk[1].GetDirection()


def test_odd_voxels(kinds, merged, preprocessed, predict, out, tmp_path):
    with pytest.raises(HermesError, match=r"singular_0000.*does not say where its voxels lie"):
        merged("odd_voxels")
    code, failed, line = predict(kinds / "odd_voxels" / "imagesTr")
    assert code == 1
    assert failed == "1 of 4 cases failed, the others are finished:"
    assert "singular_0000.nii.gz does not say where its voxels lie" in line
    member = tmp_path / "raw" / "Dataset001_Odd"
    for path in member.rglob("singular*"):
        path.unlink()
    result = merged("odd_voxels", leave_out=["singular"])
    assert preprocessed(result, "thin")[1].shape == (1, 1, 20, 24)
    own = nibabel.load(kinds / "odd_voxels/labelsTr/slope.nii.gz").get_fdata()
    written = nibabel.load(result.folder / "labelsTr/Odd__slope.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.rint(own))
    assert any("one extreme value taken for the outside" in note for note in result.notes)
    assert predict(member / "imagesTr", "--continue") == (0,)
    assert nibabel.load(out / "thin.nii.gz").shape == (30, 25, 1)
    # Where the padding is, there may be no organ; elsewhere they are found.
    padded = np.asarray(nibabel.load(out / "padding.nii.gz").dataobj)
    assert (padded[12:] > 0).sum() > 0
