import re

import numpy as np
import pydicom
import pytest

from hermes_nnunet.data.dicom.folder import read_folder
from hermes_nnunet.data.dicom.slices import read_slice
from hermes_nnunet.data.dicom.volume import DicomVolume
from hermes_nnunet.errors import HermesError

PREAMBLE_BYTES = 132


def cut_preamble(path):
    path.write_bytes(path.read_bytes()[PREAMBLE_BYTES:])


@pytest.fixture
def series(dicom, noise, tmp_path):
    """A function that writes a series of 5 slices to a folder, and gives back the paths in order."""
    return lambda name, **options: dicom.series(tmp_path / name, noise(), **options)


class TestFilesWithoutPreamble:
    @pytest.mark.parametrize("which", [[0], [4], [2], range(5)])
    def test_are_slices_like_any_other(self, series, noise, tmp_path, which):
        paths = series("p")
        for index in which:
            cut_preamble(paths[index])
        (found,) = read_folder(tmp_path).series
        assert sorted(found.paths) == sorted(paths)
        voxels = np.asarray(DicomVolume(found.paths).read().dataobj)
        np.testing.assert_array_equal(voxels.transpose(2, 1, 0), noise())

    def test_may_lack_the_file_header_too(self, series, noise, tmp_path):
        paths = series("p")
        dataset = pydicom.dcmread(paths[0])
        with pydicom.filebase.DicomBytesIO() as buffer:
            buffer.is_little_endian, buffer.is_implicit_VR = True, True
            pydicom.filewriter.write_dataset(buffer, pydicom.Dataset(dataset))
            paths[0].write_bytes(buffer.getvalue())
        (found,) = read_folder(tmp_path).series
        voxels = np.asarray(DicomVolume(found.paths).read().dataobj)
        np.testing.assert_array_equal(voxels.transpose(2, 1, 0), noise())

    def test_structures_are_read(self, series, dicom, tmp_path):
        series("p")
        square = np.array([[-20.0, -30, 40], [-14, -30, 40], [-14, -24, 40]])
        cut_preamble(dicom.structure_set(tmp_path / "RS", {"liver": [square]}))
        (label,) = read_folder(tmp_path).labels
        assert label.names == ("liver",)


class TestDamagedValues:
    """Values that pydicom decodes, and fails at, only when they are asked for."""

    @pytest.mark.parametrize("tag", [b"\x28\x00\x11\x00", b"\x20\x00\x0e\x00", b"\x08\x00\x60\x00"])
    def test_name_the_slice(self, series, tmp_path, tag):
        path = series("p")[2]
        data = path.read_bytes()
        kind = data.rindex(tag) + len(tag)
        path.write_bytes(data[:kind] + b"U\xff" + data[kind + 2 :])

        def read():
            return [read_slice(item) for found in read_folder(tmp_path).series for item in found.paths]

        with pytest.raises(HermesError, match=rf"{path.name} is damaged .*: copy it again, or remove it$"):
            read()

    def test_name_the_structures(self, series, dicom, tmp_path):
        series("p")
        square = np.array([[-20.0, -30, 40], [-14, -30, 40], [-14, -24, 40]])
        path = dicom.structure_set(tmp_path / "RS", {"liver": [square]})
        data = path.read_bytes()
        path.write_bytes(data.replace(b"\x20\x00\x0e\x00", b"\x20\x00\x0f\x00"))
        with pytest.raises(HermesError, match=r"RS is damaged .*SeriesInstanceUID"):
            read_folder(tmp_path)


class TestWhatIsNoSlice:
    def test_a_damaged_slice_is_named(self, series, tmp_path):
        paths = series("p")
        paths[3].write_bytes(b"\0" * 500)
        with pytest.raises(HermesError, match=rf"{paths[3].name}: not readable as DICOM, but called like it"):
            read_folder(tmp_path)

    def test_an_empty_file_is_damaged_where_slices_have_no_ending(self, series, tmp_path):
        series("p", names=["1.2.3", "1.2.4", "1.2.5", "1.2.6", "1.2.7"])
        (tmp_path / "p" / "1.2.8").write_bytes(b"")
        with pytest.raises(HermesError, match=r"p: 1\.2\.8: not readable"):
            read_folder(tmp_path)

    def test_a_file_that_ends_in_its_header_is_named(self, series, tmp_path):
        paths = series("p")
        paths[4].write_bytes(paths[4].read_bytes()[:150])
        with pytest.raises(HermesError, match=f"{paths[4].name} is damaged"):
            read_folder(tmp_path)

    def test_files_of_other_kinds_are_listed(self, series, tmp_path):
        series("p", names=["a", "b", "c", "d", "e"])
        others = [tmp_path / "p" / name for name in ("LICENSE", "notes.txt", "picture.jpg")]
        others[0].write_text("Any use is allowed. " * 500)
        others[1].write_text("é" * 5000)
        others[2].write_bytes(b"\xff\xd8\xff\0" * 100)
        (tmp_path / "p" / "._a").write_bytes(b"\0")
        found = read_folder(tmp_path)
        assert list(found.unread) == others
        assert len(found.series) == 1

    def test_objects_of_other_modalities_are_listed(self, series, tmp_path):
        series("p")
        series("p", names=["report.dcm", *"vwxy"], modality="OT", uid="1.2.9")
        assert len(read_folder(tmp_path).others["OT"]) == 5


class TestSeries:
    def test_of_two_patients_with_one_uid_are_two(self, series, tmp_path):
        first = series("a", patient="A")
        second = series("b", patient="B", position=(-20.0, -30.0, 55.0))
        found = read_folder(tmp_path).series
        assert [(one.patient, sorted(one.paths)) for one in found] == [("A", sorted(first)), ("B", sorted(second))]

    def test_of_two_frames_of_reference_with_one_uid_are_two(self, series, tmp_path):
        series("a", frame="1.2.7")
        series("b", frame="1.2.8")
        assert len(read_folder(tmp_path).series) == 2

    @pytest.mark.parametrize("patient", ["A", ""])
    def test_in_two_folders_are_refused_with_both_names(self, series, tmp_path, patient):
        series("a", patient=patient)
        series("b", patient=patient, position=(-20.0, -30.0, 55.0))
        message = f"{tmp_path / 'a'} (5 files) and {tmp_path / 'b'} (5 files) hold one series (1.2.3) of one patient"
        with pytest.raises(HermesError, match=re.escape(message)):
            read_folder(tmp_path)

    @pytest.mark.parametrize("tags", [{"patient": "B"}, {"frame": "1.2.99"}])
    def test_with_two_patients_or_frames_in_one_folder_are_refused(self, series, tmp_path, tags):
        series("a", names="abcde")
        series("a", names="fghij", **tags)
        with pytest.raises(HermesError, match=r"a and f have one series uid \(1\.2\.3\), but different"):
            read_folder(tmp_path)

    def test_without_modality_have_that_of_their_kind(self, series, tmp_path):
        series("a", modality="MR", Modality=None)
        assert read_folder(tmp_path).series[0].modality == "MR"

    def test_belong_to_the_labels_of_their_patient(self, series, dicom, tmp_path):
        for patient in "AB":
            series(patient, patient=patient)
            path = dicom.structure_set(tmp_path / patient / "RS", {})
            dataset = pydicom.dcmread(path)
            dataset.PatientID = patient
            dataset.save_as(path)
        folder = read_folder(tmp_path)
        assert [folder.series_of(label).patient for label in folder.labels] == ["A", "B"]
