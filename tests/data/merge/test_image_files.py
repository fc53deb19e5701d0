"""Members whose files are as people's archives hold them."""

import gzip
import json

import nibabel
import numpy as np
import pytest
import SimpleITK
from nibabel.orientations import apply_orientation, inv_ornt_aff

from hermes_nnunet.cli.main import main
from hermes_nnunet.core.images.remarks import NO_CODES, NO_SPACE, NOT_HOUNSFIELD, PADDING, QFORM
from hermes_nnunet.data.merge import MemberSpecification, MergeSpecification, merge
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.image_reader_writer import HermesImageIO

SHAPE = (6, 5, 4)
VOXELS = np.random.default_rng(0).permutation(np.arange(np.prod(SHAPE))).reshape(SHAPE).astype(np.int16)
LABELS = (np.arange(np.prod(SHAPE)) % 3).reshape(SHAPE).astype(np.uint8)
TWO_MM = np.diag([2.0, 2, 2, 1])
CINE = {"affine": np.diag([-1.0, -1, 1, 1]), "sform": 1, "qform": np.diag([-1.3158, -1.3158, 10.0, 1])}


def voxels_of(case):
    """VOXELS of case a; no two cases have equal images, which would be one patient's."""
    return np.roll(VOXELS, ord(case[0]) - ord("a"))


@pytest.fixture
def belly(raw, write_nifti):
    """A function that writes the image and the label of a case of Dataset001_Belly, which has y and z already."""
    folder = raw.add("Dataset001_Belly", cases=())

    def add(case="a", *, image=None, label=LABELS, ending=".nii.gz", **header):
        image = voxels_of(case) if image is None else image
        write_nifti(folder / f"imagesTr/{case}_0000{ending}", image, **header)
        write_nifti(folder / f"labelsTr/{case}{ending}", label, **header)
        content = json.loads((folder / "dataset.json").read_text())
        content["numTraining"] += 1
        (folder / "dataset.json").write_text(json.dumps(content))
        return folder

    for other in "yz":
        add(other, affine=TWO_MM)
    return add


def merged(modality="MRI", **others):
    members = (MemberSpecification(1, modality),)
    return merge(MergeSpecification(name="All", into=900, members=members, **others), processes=1)


def read(result, case="Belly__a"):
    """Voxels and labels (D, H, W) and spacing (z, y, x) of a case, as nnU-Net reads them."""
    content = json.loads((result.folder / "dataset.json").read_text())
    assert content["overwrite_image_reader_writer"] == "HermesImageIO"
    entry = content["dataset"][case]
    image, properties = HermesImageIO().read_images([str(result.folder / name) for name in entry["images"]])
    labels, of_labels = HermesImageIO().read_seg(str(result.folder / entry["label"]))
    assert of_labels["spacing"] == properties["spacing"]
    return image[0], labels[0], properties["spacing"]


class TestTwoSpacings:
    def test_the_qforms_is_taken_and_said(self, belly):
        for case in "abc":
            belly(case, **CINE)
        result = merged()
        image, labels, spacing = read(result)
        assert spacing == pytest.approx([10, 1.3158, 1.3158], rel=1e-6)
        np.testing.assert_array_equal(image, VOXELS[::-1, ::-1].T)
        np.testing.assert_array_equal(labels, LABELS[::-1, ::-1].T)
        (note,) = result.notes
        assert note.startswith(f"{QFORM} (3 files): ")
        assert "imagesTr/a_0000.nii.gz" in note
        written = nibabel.load(result.folder / "labelsTr/Belly__a.nii.gz")
        assert written.header.get_zooms() == pytest.approx((1.3158, 1.3158, 10), rel=1e-6)
        np.testing.assert_allclose(written.affine, CINE["qform"], rtol=1e-6)

    def test_without_a_judge_are_refused_before_anything_is_written(self, belly, raw):
        belly(affine=TWO_MM, zooms=(1, 1, 1))
        before = raw.files()
        with pytest.raises(HermesError, match=r"a_0000\.nii\.gz says two spacings: 2 x 2 x 2 mm .* 1 x 1 x 1 mm"):
            merged()
        assert raw.files() == before

    @pytest.mark.parametrize(("choice", "edge"), [("affine", 2.0), ("header", 1.0)])
    def test_are_decided_by_people_and_then_every_reader_sees_one(self, belly, choice, edge):
        folder = belly("a", affine=np.diag([-2.0, -2, 2, 1]), zooms=(1, 1, 1))
        belly("b", affine=TWO_MM)
        result = merged(spacing_from=choice)
        image, labels, spacing = read(result)
        assert spacing == [edge] * 3
        np.testing.assert_array_equal(image, VOXELS[::-1, ::-1].T)
        np.testing.assert_array_equal(labels, LABELS[::-1, ::-1].T)
        dataset = json.loads((result.folder / "dataset.json").read_text())["dataset"]
        assert dataset["Belly__a"]["images"] == ["imagesTr/Belly__a_0000.nii.gz"]
        assert dataset["Belly__b"]["images"] == ["../Dataset001_Belly/imagesTr/b_0000.nii.gz"]
        copy = nibabel.load(result.folder / "imagesTr/Belly__a_0000.nii.gz")
        assert copy.header.get_zooms() == (edge,) * 3
        np.testing.assert_array_equal(copy.affine, np.diag([-edge, -edge, edge, 1]))
        np.testing.assert_array_equal(np.asanyarray(copy.dataobj), VOXELS)
        # A second run finds nothing to do, a lost copy is written again, and a case that is gone takes it along.
        assert merged(spacing_from=choice).is_up_to_date
        (result.folder / "imagesTr/Belly__a_0000.nii.gz").unlink()
        assert merged(spacing_from=choice).changes["Belly"].missing == 1
        assert read(result)[2] == [edge] * 3
        for path in (folder / "imagesTr/a_0000.nii.gz", folder / "labelsTr/a.nii.gz"):
            path.unlink()
        merged(spacing_from=choice)
        assert list((result.folder / "imagesTr").iterdir()) == []

    def test_are_decided_on_the_command_line_or_in_the_file(self, belly, raw, capsys):
        belly(affine=TWO_MM, zooms=(1, 1, 1))
        call = ["merge", "1:MRI", "--into", "900", "--name", "All", "--processes", "1"]
        assert main(call) == 1
        assert "2 problems in the members' files (nothing was written)" in capsys.readouterr().err
        assert main([*call, "--spacing-from", "affine"]) == 0
        file = raw.path / "merge.yaml"
        file.write_text("name: Other\ninto: 901\nmembers: [{dataset: 1, modality: MRI}]\nspacing_from: header\n")
        assert main(["merge", "--members", str(file), "--processes", "1"]) == 0
        for name, edge in (("Dataset900_All", 2), ("Dataset901_Other", 1)):
            copy = nibabel.load(raw.path / name / "imagesTr/Belly__a_0000.nii.gz")
            assert copy.header.get_zooms() == (edge,) * 3


class TestEndings:
    def test_of_every_kind_are_taken(self, belly, raw):
        for case, ending in zip("abcde", (".nii.gz", ".nii", ".NII.GZ", ".nii.GZ", ".NII"), strict=True):
            belly(case, ending=ending, affine=TWO_MM)
        result = merged()
        assert len(result.collection.cases) == 7
        assert result.notes == ()
        for case in "abcde":
            image, labels, _ = read(result, f"Belly__{case}")
            np.testing.assert_array_equal(image, voxels_of(case).T)
            np.testing.assert_array_equal(labels, LABELS.T)

    def test_that_are_not_read_are_named(self, belly):
        folder = belly(affine=TWO_MM)
        (folder / "imagesTr/b_0000.mhd").touch()
        (folder / "imagesTr/._a_0000.nii.gz").touch()
        content = json.loads((folder / "dataset.json").read_text())
        (folder / "dataset.json").write_text(json.dumps({**content, "numTraining": 4}))
        assert merged().notes == (
            f"not used, since no images of a known format: b_0000.mhd in {folder}/imagesTr",
            f"{folder}/dataset.json says numTraining 4, but there are 3 cases",
        )

    def test_two_of_one_case_are_refused(self, belly):
        belly("a", affine=TWO_MM)
        belly("a", affine=TWO_MM, ending=".nii")
        with pytest.raises(HermesError, match=r"a_0000\.nii and a_0000\.nii\.gz are both a_0000: keep one"):
            merged()

    def test_digits_that_are_no_channel_are_told(self, belly):
        belly("patient_0011", affine=TWO_MM)
        folder = belly("b", affine=TWO_MM)
        (folder / "imagesTr/patient_0011_0000.nii.gz").rename(folder / "imagesTr/patient_0011.nii.gz")
        with pytest.raises(HermesError, match=r"is channel 11, .* its last four digits are the channel"):
            merged()

    @pytest.mark.parametrize("ending", [".nrrd", ".mha"])
    def test_of_simpleitk_are_taken_in_one_direction(self, raw, ending):
        folder = raw.add("Dataset001_Belly", cases=(), ending=ending, numTraining=2)
        files = [(f"imagesTr/{case}_0000", voxels_of(case)) for case in "ab"]
        files += [(f"labelsTr/{case}", LABELS) for case in "ab"]
        for name, array in files:
            # To the left, the back and the head: nibabel's axes, turned twice.
            image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array[::-1, ::-1].T))
            image.SetSpacing((2, 3, 4))
            SimpleITK.WriteImage(image, str(folder / f"{name}{ending}"))
        result = merged()
        image, labels, spacing = read(result)
        np.testing.assert_array_equal(image, VOXELS.T)
        np.testing.assert_array_equal(labels, LABELS.T)
        assert spacing == [4, 3, 2]
        assert result.collection.members["Belly"].file_ending == ending
        assert nibabel.aff2axcodes(nibabel.load(result.folder / "labelsTr/Belly__a.nii.gz").affine) == ("L", "P", "S")

    def test_without_directions_are_said_and_without_spacing_refused(self, raw):
        folder = raw.add("Dataset001_Belly", cases=(), ending=".nrrd", numTraining=2)

        def write(*lines):
            sizes = f"sizes: {' '.join(map(str, SHAPE))}"
            for case in "ab":
                for name, array in ((f"imagesTr/{case}_0000", voxels_of(case)), (f"labelsTr/{case}", LABELS)):
                    kind = f"type: {array.dtype}"
                    header = ["NRRD0004", kind, "dimension: 3", sizes, "endian: little", "encoding: raw", *lines]
                    content = "\n".join([*header, "", ""]).encode() + array.tobytes(order="F")
                    (folder / f"{name}.nrrd").write_bytes(content)

        write("spacings: 2 3 4")
        result = merged()
        assert [note.partition(" (2 files)")[0] for note in result.notes] == [NO_SPACE]
        image, _, spacing = read(result)
        np.testing.assert_array_equal(image, VOXELS[::-1, ::-1].T)
        assert spacing == [4, 3, 2]
        write()
        with pytest.raises(HermesError, match=r"a_0000\.nrrd does not say how far its voxels are apart"):
            merged()


class TestVoxels:
    def test_labels_with_other_axes_on_the_same_grid_come_to_those_of_the_image(self, belly, write_nifti):
        folder = belly(affine=TWO_MM)
        turn = np.array([[1, -1], [0, 1], [2, 1]])  # first axis to the front, second to the left
        affine = TWO_MM @ inv_ornt_aff(turn, SHAPE)
        write_nifti(folder / "labelsTr/a.nii.gz", apply_orientation(LABELS, turn), affine)
        written = nibabel.load(merged().folder / "labelsTr/Belly__a.nii.gz")
        np.testing.assert_array_equal(np.asarray(written.dataobj), LABELS)
        np.testing.assert_array_equal(written.affine, TWO_MM)

    def test_labels_on_the_other_side_are_refused(self, belly, write_nifti):
        folder = belly(affine=TWO_MM)
        write_nifti(folder / "labelsTr/a.nii.gz", LABELS, np.diag([-2.0, 2, 2, 1]))
        with pytest.raises(HermesError, match="differ by 4 mm"):
            merged()

    def test_labels_that_were_computed_as_floats_are_rounded(self, belly):
        belly(label=(LABELS * np.float32(0.99999)), affine=TWO_MM)
        written = nibabel.load(merged().folder / "labelsTr/Belly__a.nii.gz")
        np.testing.assert_array_equal(np.asarray(written.dataobj), LABELS)

    def test_labels_with_a_slope_are_rounded(self, belly, write_nifti):
        folder = belly(affine=TWO_MM)
        write_nifti(folder / "labelsTr/a.nii.gz", LABELS.astype(np.int16) * 10001, TWO_MM, slope=1 / 10001)
        stored = nibabel.load(folder / "labelsTr/a.nii.gz").get_fdata()
        assert not np.array_equal(stored, LABELS)
        np.testing.assert_array_equal(read(merged())[1], LABELS.T)

    @pytest.mark.parametrize("value", [-1e30, float(np.finfo(np.float32).min)])
    def test_outside_of_the_image_is_said_and_gets_the_lowest_value(self, belly, value):
        image = VOXELS.astype(np.float32) + 100
        image[:2] = value
        belly(image=image, affine=TWO_MM)
        result = merged()
        assert [note.partition(" (1 file)")[0] for note in result.notes] == [PADDING]
        found = read(result)[0].T
        np.testing.assert_array_equal(found[2:], image[2:])
        assert np.unique(found[:2]).tolist() == [image[2:].min()]

    @pytest.mark.parametrize(
        ("image", "is_said"),
        [(VOXELS, True), (VOXELS % 99 - 20, True), (VOXELS / 119, True), (VOXELS * 10 - 200, False)],
        ids=["from 0 on", "within 100", "0 to 1", "HU"],
    )
    @pytest.mark.parametrize("modality", ["CT", "MRI"])
    def test_of_a_ct_that_are_no_hounsfield_units_are_said(self, belly, image, is_said, modality):
        for case in "ayz":
            belly(case, image=np.roll(image, ord(case)).astype(np.float32), affine=TWO_MM)
        notes = merged(modality).notes
        said = [note for note in notes if note.startswith(f"{NOT_HOUNSFIELD} (3 files)")]
        assert bool(said) == (is_said and modality == "CT")

    def test_only_the_channel_that_is_ct_needs_hounsfield_units(self, raw):
        folder = raw.add("Dataset001_PETCT", channels=("CT", "PET"))
        for path in (folder / "imagesTr").glob("*_0001.nii.gz"):
            pet = nibabel.load(path)
            nibabel.save(nibabel.Nifti1Image(np.abs(pet.get_fdata()), pet.affine), path)
        assert merged().notes == ()

    def test_singular_sform_is_refused(self, belly):
        belly(affine=np.diag([2.0, 2, 0, 1]), zooms=(2, 2, 2))
        with pytest.raises(HermesError, match="does not say where its voxels lie"):
            merged()

    def test_without_codes_are_said_and_labels_have_none(self, belly):
        belly(zooms=(2, 3, 4))
        result = merged()
        assert [note.partition(" (1 file)")[0] for note in result.notes] == [NO_CODES]
        header = nibabel.load(result.folder / "labelsTr/Belly__a.nii.gz").header
        assert (int(header["sform_code"]), int(header["qform_code"])) == (0, 0)
        assert header.get_zooms() == (2, 3, 4)

    def test_colours_are_refused(self, belly):
        folder = belly(affine=TWO_MM)
        colours = nibabel.Nifti1Image(np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]), TWO_MM)
        (folder / "imagesTr/a_0000.nii.gz").write_bytes(gzip.compress(colours.to_bytes()))
        with pytest.raises(HermesError, match="stores voxels of type"):
            merged()
