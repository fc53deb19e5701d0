import os

import nibabel
import numpy as np
import pytest

from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.finding import find_cases, unused_lines


@pytest.fixture
def folder(tmp_path):
    """A function that makes a folder of empty files."""

    def make(*names):
        for name in names:
            (tmp_path / name).touch()
        return tmp_path

    return make


def names(cases):
    return {case.name: [file.name for file in case.files] for case in cases}


class TestNifti:
    def test_a_single_file_is_a_case(self, folder):
        assert names(find_cases(folder("liver.nii.gz") / "liver.nii.gz")) == {"liver": ["liver.nii.gz"]}
        assert names(find_cases(folder("a_0000.nii") / "a_0000.nii")) == {"a": ["a_0000.nii"]}

    def test_channels_make_a_case(self, folder):
        found = find_cases(folder("b_0001.nii.gz", "b_0000.nii.gz", "a_0000.nii.gz", "a_0001.nii.gz", "notes.txt"))
        assert names(found) == {
            "a": ["a_0000.nii.gz", "a_0001.nii.gz"],
            "b": ["b_0000.nii.gz", "b_0001.nii.gz"],
        }

    def test_without_channel_numbers_every_file_is_a_case(self, folder):
        assert list(names(find_cases(folder("x.nii", "scan_2019.nii.gz", "._x.nii")))) == ["scan_2019", "x"]

    def test_files_with_and_without_numbers_are_refused(self, folder):
        with pytest.raises(HermesError, match=r"a_0000\.nii\.gz has a channel number and b\.nii\.gz has none"):
            find_cases(folder("a_0000.nii.gz", "b.nii.gz"))

    def test_cases_with_different_channels_are_refused(self, folder):
        with pytest.raises(HermesError, match="case b has the channels 0000, others have 0000, 0001"):
            find_cases(folder("a_0000.nii", "a_0001.nii", "b_0000.nii", "c_0000.nii", "c_0001.nii"))

    def test_a_case_that_is_there_twice_is_refused(self, folder):
        with pytest.raises(HermesError, match="holds case a twice"):
            find_cases(folder("a.nii", "a.nii.gz"))

    def test_an_empty_folder_is_refused(self, tmp_path):
        pytest.importorskip("pydicom")
        with pytest.raises(HermesError, match=r"holds no image files .*nii.* and no DICOM images"):
            find_cases(tmp_path)

    def test_a_link_to_what_is_not_there_is_a_case_that_fails_by_name(self, folder, tmp_path):
        for name in ("b.nii.gz", "c.nrrd"):
            (tmp_path / name).symlink_to(tmp_path / "gone")
        whole, *broken = find_cases(folder("a.nii.gz"))
        assert whole.name == "a"
        assert [case.name for case in broken] == ["b", "c"]
        for case in broken:
            with pytest.raises(HermesError, match=rf"^{case.place} is a link to .*/gone, which is not there: "):
                case.check()
            with pytest.raises(HermesError, match=r"is a link to .*/gone, which is not there"):
                find_cases(case.files[0])

    def test_a_segmentation_is_no_case(self, folder):
        assert list(names(find_cases(folder("a.nrrd", "a.seg.nrrd", "b.SEG.NRRD")))) == ["a"]
        with pytest.raises(HermesError, match=r"a\.seg\.nrrd is a segmentation by its name .*: give the image"):
            find_cases(folder() / "a.seg.nrrd")

    def test_another_kind_of_file_is_refused(self, folder):
        with pytest.raises(HermesError, match=r"x\.tif is no image file"):
            find_cases(folder("x.tif") / "x.tif")

    def test_what_is_not_there_is_refused(self, tmp_path):
        with pytest.raises(HermesError, match="nowhere does not exist"):
            find_cases(tmp_path / "nowhere")


class TestWhatIsNotUsed:
    def test_is_named_by_its_kind(self, folder):
        source = folder("a.nrrd", "a.seg.nrrd", "notes.txt", "x.dcm", ".hidden")
        assert unused_lines(source) == [
            f"not used, since no images of a known format: notes.txt, x.dcm in {source}",
            f"not used, since segmentations by their names: a.seg.nrrd in {source}",
        ]
        assert unused_lines(source / "a.nrrd") == []

    def test_is_nothing_where_there_are_no_images(self, folder):
        assert unused_lines(folder("1.dcm", "notes.txt")) == []

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("1.dcm", b""),
            ("1", bytes(128) + b"DICM"),
            ("1", b"\x08\x00\x05\x00CS"),
            ("1.2.840", b"\x02\x00\x00\x00UL"),
        ],
    )
    def test_a_folder_with_dicom_beside_images_is_named(self, folder, tmp_path, name, content):
        for path, written in (("series/inner", name), (".cache", name), ("results", "a.txt")):
            (tmp_path / path).mkdir(parents=True)
            (tmp_path / path / written).write_bytes(content if written == name else b"no DICOM")
        (line,) = unused_lines(folder("a.nii.gz"))
        assert line.endswith(f"give them as the input of their own): series in {tmp_path}")

    def test_a_folder_that_cannot_be_read_does_not_matter_beside_images(self, folder, tmp_path, monkeypatch):
        (tmp_path / "lost+found").mkdir()

        def refuse(path):
            raise PermissionError(13, "Permission denied", str(path))

        source = folder("a.nii.gz")
        monkeypatch.setattr(os, "scandir", refuse)
        assert unused_lines(source) == []


class TestHeaders:
    @pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6, 2)])
    def test_an_image_must_have_three_dimensions(self, tmp_path, shape):
        nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.float32), np.eye(4)), tmp_path / "a.nii.gz")
        (case,) = find_cases(tmp_path)
        with pytest.raises(HermesError, match=rf"a\.nii\.gz has {len(shape)} dimensions"):
            case.check()

    def test_channels_must_have_the_same_voxels(self, tmp_path):
        for channel, depth in enumerate((6, 7)):
            image = nibabel.Nifti1Image(np.zeros((4, 5, depth), np.float32), np.eye(4))
            nibabel.save(image, tmp_path / f"a_{channel:04d}.nii")
        (case,) = find_cases(tmp_path)
        with pytest.raises(HermesError, match=r"a_0001\.nii has shape \(4, 5, 7\), but .*a_0000\.nii \(4, 5, 6\)"):
            case.check()

    def test_a_broken_file_is_named(self, tmp_path):
        (tmp_path / "a.nii.gz").write_bytes(b"no image")
        (case,) = find_cases(tmp_path)
        with pytest.raises(HermesError, match=r"a\.nii\.gz cannot be read"):
            case.check()
