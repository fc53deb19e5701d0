"""DICOM series in, NIfTI or DICOM objects out."""

import json

import nibabel
import numpy as np
import pytest

from hermes_nnunet import HermesModel
from hermes_nnunet.cli.main import main
from hermes_nnunet.core.images.remarks import NO_SLICE, SLICE_COPY
from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.dicom_objects import write_dicom
from hermes_nnunet.prediction.finding import find_cases

pydicom = pytest.importorskip("pydicom")

# Rows run to the left and a little to the back, columns to the feet.
OBLIQUE = ((0.96, 0.28, 0.0), (0.0, 0.0, -1.0))
LABEL = Label("liver", 1, (1,), "abdomen", "#ff4f8b")


def write_series(folder, voxels, *, uid="1.2.3", spacing=(1.5, 1.5), description="thorax", orientation=OBLIQUE, **tags):
    """Write int16 voxels (slices, rows, columns), 3 mm apart, file names in no order."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    for index, plane in enumerate(voxels):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = generate_uid()
        path = folder / f"{uid}_{index * 7 % len(voxels)}.dcm"
        dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        content = {
            "SOPClassUID": CTImageStorage,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "Modality": "CT",
            "StudyInstanceUID": "1.2.5",
            "SeriesInstanceUID": uid,
            "FrameOfReferenceUID": "1.2.4",
            "SeriesDescription": description,
            "PatientID": "p1",
            **dict.fromkeys(("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"), ""),
            **dict.fromkeys(("StudyID", "AccessionNumber", "ReferringPhysicianName"), ""),
            "ImagePositionPatient": [f"{v:.8g}" for v in (-20, -30, 40) + 3 * index * np.cross(*orientation)],
            "ImageOrientationPatient": [f"{v:.8g}" for v in np.ravel(orientation)],
            "PixelSpacing": list(spacing),
            "SliceThickness": 3,
            "Rows": plane.shape[0],
            "Columns": plane.shape[1],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 1,
            "RescaleSlope": 1,
            "RescaleIntercept": -1000,
            "InstanceNumber": index,
            **tags,
        }
        for tag, value in content.items():
            setattr(dataset, tag, value)
        dataset.PixelData = plane.astype(np.int16).tobytes()
        dataset.save_as(path)


@pytest.fixture
def voxels():
    """(slices, rows, columns) of blobs, about as large as a patch of the network."""
    rng = np.random.default_rng(3)
    return (1000 + 200 * rng.normal(size=(10, 18, 15)).cumsum(0)).astype(np.int16)


@pytest.fixture
def series(tmp_path, voxels):
    write_series(tmp_path / "series", voxels)
    return tmp_path / "series"


@pytest.fixture
def predict(model, series, tmp_path):
    def run(*options, source=series):
        output = tmp_path / "out"
        assert (
            main(["predict", "-i", str(source), "-o", str(output), "-m", str(model), "--device", "cpu", *options]) == 0
        )
        return output

    return run


class TestReading:
    def test_a_folder_of_one_series_is_a_case(self, series):
        (case,) = find_cases(series)
        assert case.name == "series"
        case.check()

    def test_each_folder_is_a_case_in_a_folder_of_folders(self, series, voxels):
        write_series(series.parent / "all" / "first", voxels, uid="1.2.7")
        write_series(series.parent / "all" / "second" / "arterial", voxels, uid="1.2.8")
        assert [case.name for case in find_cases(series.parent / "all")] == ["first", "second_arterial"]

    def test_several_series_in_a_folder_are_named_and_refused(self, series, voxels):
        write_series(series, voxels[:4], uid="1.2.9", description="scout")
        with pytest.raises(HermesError) as raised:
            find_cases(series)
        assert "2 DICOM series" in str(raised.value)
        assert "scout (4 files)" in str(raised.value)
        assert "thorax (10 files)" in str(raised.value)

    @pytest.mark.parametrize("modality", [(), ("--modality", "CT")], ids=["found", "named"])
    def test_of_several_folders_one_with_several_series_fails_by_name_and_the_others_go_on(
        self, tmp_path, voxels, model, capsys, modality
    ):
        for number, (folder, uid) in enumerate((("a", "1.2.7"), ("b", "1.2.8"), ("b", "1.2.9"))):
            write_series(tmp_path / "all" / folder, voxels[: 10 - number], uid=uid, description=f"series {number}")
        command = ["predict", "-i", str(tmp_path / "all"), "-o", str(tmp_path / "out"), "-m", str(model)]
        assert main([*command, "--member", "abdomen", "--device", "cpu", *modality]) == 1
        error = capsys.readouterr().err
        assert "1 of 2 cases failed, the others are finished" in error
        assert f"b: {tmp_path / 'all' / 'b'} holds 2 DICOM series: series 1 (9 files), series 2 (8 files)" in error
        assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["a.nii.gz"]
        assert list(json.loads((tmp_path / "out" / "run.json").read_text())["runs"][0]["failed"]) == ["b"]

    def test_folders_that_would_be_cases_of_one_name_are_refused_by_both_names(self, tmp_path, voxels):
        write_series(tmp_path / "all" / "a" / "b", voxels, uid="1.2.7")
        write_series(tmp_path / "all" / "a_b", voxels, uid="1.2.8")
        with pytest.raises(HermesError, match=r"all/a/b and .*all/a_b would both be called case a_b: rename one"):
            find_cases(tmp_path / "all")

    def test_a_folder_within_a_series_may_not_have_its_name(self, series, voxels):
        write_series(series / "series", voxels, uid="1.2.8")
        with pytest.raises(HermesError, match="would both be called case series"):
            find_cases(series)

    def test_slices_that_are_links_to_what_is_not_there_are_refused_by_name(self, series, predict):
        gone = sorted(series.iterdir())[:3]
        for path in gone:
            path.unlink()
            path.symlink_to("../.git/annex/" + path.name)
        (series / "report.pdf").symlink_to("../.git/annex/report.pdf")
        with pytest.raises(HermesError) as raised:
            find_cases(series)
        assert f"{gone[0]} is a link to ../.git/annex/{gone[0].name}, which is not there" in str(raised.value)
        assert f"(one of 3 such links: {', '.join(map(str, gone))})" in str(raised.value)

    def test_a_link_to_a_folder_that_is_not_there_is_refused_by_name(self, series):
        (series.parent / "p1").symlink_to("/archive/p1")
        with pytest.raises(HermesError, match="p1 is a link to /archive/p1, which is not there"):
            find_cases(series.parent)

    def test_another_link_to_what_is_not_there_is_told(self, series):
        (series / "report.pdf").symlink_to("../.git/annex/report.pdf")
        (case,) = find_cases(series)
        assert [(remark.what, remark.name) for remark in case.check()] == [(NO_SLICE, str(series / "report.pdf"))]

    def test_a_linked_folder_is_a_case(self, series, voxels):
        write_series(series.parent / "all" / "p2", voxels, uid="1.2.8")
        (series.parent / "all" / "p1").symlink_to(series)
        (series.parent / "all" / "latest").symlink_to("p2")
        assert [case.name for case in find_cases(series.parent / "all")] == ["p1", "p2"]

    def test_a_missing_slice_is_found_before_the_model_is_loaded(self, series):
        sorted(series.iterdir())[4].unlink()
        (case,) = find_cases(series)
        with pytest.raises(HermesError, match=r"1 slices are missing between"):
            case.check()

    @pytest.mark.parametrize(
        ("tags", "says"),
        [
            ({"PixelSpacing": [1e4, 1e4]}, "which no image has"),
            ({"PixelSpacing": [1.5, 0]}, "does not say where its voxels lie"),
            ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "its orientation is flat or not of numbers"),
            ({"ImageOrientationPatient": [0, 0, 0, 0, 1, 0]}, "its orientation is flat or not of numbers"),
            ({"ImageOrientationPatient": [1, 0, 0]}, "has a place or size that is not of numbers"),
            ({"PixelSpacing": [1.5, 1.5, 1.5]}, "has a place or size that is not of numbers"),
        ],
    )
    def test_what_no_image_can_be_is_told_by_its_header(self, tmp_path, voxels, tags, says):
        write_series(tmp_path / "impossible", voxels, **tags)
        (case,) = find_cases(tmp_path / "impossible")
        with pytest.raises(HermesError, match=says) as raised:
            case.check()
        assert str(tmp_path / "impossible") in str(raised.value)

    def test_files_that_are_no_slices_are_told(self, series, predict, capsys):
        (series / "notes.txt").write_text("read me")
        predict("--member", "abdomen")
        assert (
            f"left out, since not a slice of a DICOM series (1 file): {series / 'notes.txt'}" in capsys.readouterr().err
        )

    def test_a_copy_of_a_slice_is_left_out_and_told(self, series):
        (first, *_) = sorted(series.iterdir())
        (series / "copy.dcm").write_bytes(first.read_bytes())
        (case,) = find_cases(series)
        (remark,) = case.check()
        assert remark.what == SLICE_COPY
        assert remark.name in {str(first), str(series / "copy.dcm")}

    def test_two_patients_with_one_uid_are_two_cases(self, tmp_path, voxels):
        for patient in ("a", "b"):
            write_series(tmp_path / "both" / patient, voxels, PatientID=patient)
        cases = find_cases(tmp_path / "both")
        assert [(case.name, len(case.paths)) for case in cases] == [("a", 10), ("b", 10)]


# Row and column cosines with the position of the patient that they are usual for.
PLACES = {
    "head first, supine": ("HFS", ((1, 0, 0), (0, 1, 0))),
    "columns to the front": ("HFS", ((1, 0, 0), (0, -1, 0))),
    "rows to the right": ("HFS", ((-1, 0, 0), (0, 1, 0))),
    "head first, prone": ("HFP", ((-1, 0, 0), (0, -1, 0))),
    "feet first, supine": ("FFS", ((-1, 0, 0), (0, 1, 0))),
    "feet first, prone": ("FFP", ((1, 0, 0), (0, -1, 0))),
    "decubitus": ("HFDR", ((0, 1, 0), (-1, 0, 0))),
    "sagittal": ("HFS", ((0, 1, 0), (0, 0, -1))),
    "coronal": ("FFS", ((1, 0, 0), (0, 0, 1))),
    "oblique": ("HFS", OBLIQUE),
}


class TestPlaceInThePatient:
    """A segmentation of the one bright voxel lies where that voxel was written, in mm."""

    BRIGHT, SLICE, ROW, COLUMN = 3000, 2, 5, 11

    @pytest.fixture(params=PLACES.values(), ids=PLACES)
    def written(self, request, tmp_path):
        """Volume, label map (columns, rows, slices) that went through nnU-Net's reader, place of the bright voxel."""
        from nnunetv2.imageio.nibabel_reader_writer import NibabelIOWithReorient

        from hermes_nnunet.data.dicom.folder import read_folder
        from hermes_nnunet.data.dicom.volume import DicomVolume

        patient_position, orientation = request.param
        voxels = np.zeros((5, 9, 14), np.int16)
        voxels[self.SLICE, self.ROW, self.COLUMN] = self.BRIGHT
        tags = {"orientation": orientation, "PatientPosition": patient_position, "RescaleIntercept": 0}
        write_series(tmp_path / "series", voxels, spacing=(1.5, 2.0), **tags)
        volume = DicomVolume(read_folder(tmp_path / "series").series[0].paths)
        nibabel.save(volume.read(), tmp_path / "image.nii.gz")
        reader = NibabelIOWithReorient()
        image, properties = reader.read_images([str(tmp_path / "image.nii.gz")])
        reader.write_seg((image[0] == self.BRIGHT).astype(np.uint8), str(tmp_path / "label.nii.gz"), properties)
        row, column = np.array(orientation, float)
        place = (-20, -30, 40) + self.SLICE * 3 * np.cross(row, column) + self.COLUMN * 2.0 * row
        label_map = np.asarray(nibabel.load(tmp_path / "label.nii.gz").dataobj)
        return volume, label_map, place + self.ROW * 1.5 * column

    def test_of_a_seg(self, written, tmp_path):
        pytest.importorskip("highdicom")
        volume, label_map, place = written
        write_dicom("dicom_seg", label_map, [LABEL], volume.slices(), tmp_path / "seg.dcm")
        seg = pydicom.dcmread(tmp_path / "seg.dcm")
        frames = np.atleast_3d(seg.pixel_array.T).T
        ((frame, row, column),) = np.argwhere(frames)
        shared = seg.SharedFunctionalGroupsSequence[0]
        along = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
        spacing = shared.PixelMeasuresSequence[0].PixelSpacing
        first = seg.PerFrameFunctionalGroupsSequence[frame].PlanePositionSequence[0].ImagePositionPatient
        found = np.array(first, float) + column * spacing[1] * along[:3] + row * spacing[0] * along[3:]
        np.testing.assert_allclose(found, place, atol=1e-3)

    def test_of_a_structure_set(self, written, tmp_path):
        pytest.importorskip("rt_utils")
        volume, label_map, place = written
        write_dicom("dicom_rtstruct", label_map, [LABEL], volume.slices(), tmp_path / "rs.dcm")
        (contour,) = pydicom.dcmread(tmp_path / "rs.dcm").ROIContourSequence[0].ContourSequence
        points = np.reshape(contour.ContourData, (-1, 3)).astype(float)
        np.testing.assert_allclose(points.mean(axis=0), place, atol=2e-3)
        named = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
        (image,) = [path for path in volume.paths if pydicom.dcmread(path).SOPInstanceUID == named]
        assert self.BRIGHT in pydicom.dcmread(image).pixel_array

    def test_where_files_have_no_preamble(self, written, tmp_path):
        pytest.importorskip("highdicom")
        volume, label_map, _ = written
        write_dicom("dicom_seg", label_map, [LABEL], volume.slices(), tmp_path / "with.dcm")
        for path in volume.paths:
            path.write_bytes(path.read_bytes()[132:])
        write_dicom("dicom_seg", label_map, [LABEL], volume.slices(), tmp_path / "without.dcm")
        frames = [pydicom.dcmread(tmp_path / name).pixel_array for name in ("with.dcm", "without.dcm")]
        np.testing.assert_array_equal(*frames)


class TestLabelMaps:
    def test_lie_on_the_voxels_of_the_series(self, predict, series, model, tmp_path):
        from hermes_nnunet.data.dicom.folder import read_folder
        from hermes_nnunet.data.dicom.volume import DicomVolume

        image = DicomVolume(read_folder(series).series[0].paths).read()
        nibabel.save(image, tmp_path / "same.nii.gz")
        written = nibabel.load(predict("--member", "abdomen") / "series.nii.gz")
        assert set(np.unique(written.dataobj)) > {0}  # or equality would say nothing
        np.testing.assert_allclose(written.affine, image.affine, atol=1e-4)
        of_nifti = HermesModel.load(model, device="cpu").predict(tmp_path / "same.nii.gz", members=["abdomen"])
        np.testing.assert_array_equal(np.asarray(written.dataobj), of_nifti.array)

    def test_a_modality_that_the_header_contradicts_is_told(self, predict, capsys):
        predict("--member", "brain")
        assert "is CT by its header, but is taken for T1: check --modality" in capsys.readouterr().err


class TestPlaces:
    def test_masks_never_replace_a_series(self, series, model, capsys):
        before = sorted(series.iterdir())
        command = ["predict", "-i", str(series.parent), "-o", str(series.parent), "-m", str(model), "--all"]
        assert main([*command, "--per-task", "--overwrite"]) == 1
        assert "series would replace the image of case series" in capsys.readouterr().err
        assert sorted(series.iterdir()) == before


class TestSeg:
    @pytest.fixture(autouse=True)
    def _needs_highdicom(self):
        pytest.importorskip("highdicom")

    @pytest.mark.parametrize("member", ["abdomen", "brain"])
    def test_holds_the_masks_of_the_label_map(self, member, predict, series):
        from hermes_nnunet.data.dicom.folder import read_folder
        from hermes_nnunet.data.dicom.segmentations import segment_masks
        from hermes_nnunet.data.dicom.volume import DicomVolume

        label_map = np.asarray(nibabel.load(predict("--member", member) / "series.nii.gz").dataobj)
        out = predict("--member", member, "--output-type", "dicom_seg", "--overwrite")
        labels = json.loads((out / "labels.json").read_text())["labels"]
        grid = DicomVolume(read_folder(series).series[0].paths).grid()
        masks = segment_masks(out / "series_seg.dcm", [label["name"] for label in labels], grid)
        for label, mask in zip(labels, masks, strict=True):
            assert mask.any()
            np.testing.assert_array_equal(mask, np.isin(label_map, label["values"]))

    def test_refers_to_the_images_and_says_who_made_it(self, predict, series):
        import highdicom

        segmentation = highdicom.seg.segread(
            predict("--member", "abdomen", "--output-type", "dicom_seg") / "series_seg.dcm"
        )
        (referenced,) = segmentation.ReferencedSeriesSequence
        assert referenced.SeriesInstanceUID == "1.2.3"
        uids = {pydicom.dcmread(path).SOPInstanceUID for path in series.iterdir()}
        assert {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence} == uids
        assert [item.SegmentLabel for item in segmentation.SegmentSequence] == ["abdomen/liver", "abdomen/spleen"]
        assert segmentation.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
        types = [item.SegmentedPropertyTypeCodeSequence[0] for item in segmentation.SegmentSequence]
        assert [item.CodeValue for item in types] == ["10200004", "78961009"]  # SNOMED CT's liver and spleen
        assert segmentation.PatientID == "p1"

    def test_a_series_without_uids_gets_some(self, predict, tmp_path, voxels, capsys):
        empty = dict.fromkeys(("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"), "")
        write_series(tmp_path / "anonymous", voxels, **empty)
        out = predict("--member", "abdomen", "--output-type", "dicom_seg", source=tmp_path / "anonymous")
        assert pydicom.dcmread(out / "anonymous_seg.dcm").StudyInstanceUID
        assert "has no series uid" in capsys.readouterr().err


class TestStructureSet:
    @pytest.fixture(autouse=True)
    def _needs_rt_utils(self):
        pytest.importorskip("rt_utils")

    @pytest.mark.parametrize("spacing", [(1.5, 1.5), (1.5, 2.0)])
    def test_contours_enclose_the_voxels_of_the_masks(self, spacing, predict, tmp_path, voxels):
        from hermes_nnunet.data.dicom.folder import read_folder
        from hermes_nnunet.data.dicom.structure_sets import contours_by_name, filled
        from hermes_nnunet.data.dicom.volume import DicomVolume

        write_series(tmp_path / "patient", voxels, spacing=spacing)
        options = ["--member", "brain", "--modality", "CT"]
        label_map = np.asarray(nibabel.load(predict(*options, source=tmp_path / "patient") / "patient.nii.gz").dataobj)
        out = predict(*options, "--output-type", "dicom_rtstruct", "--overwrite", source=tmp_path / "patient")
        contours = contours_by_name(pydicom.dcmread(out / "patient_rtstruct.dcm"))
        grid = DicomVolume(read_folder(tmp_path / "patient").series[0].paths).grid()
        for name, values in (("brain/whole", (1, 2)), ("brain/core", (2,))):
            np.testing.assert_array_equal(filled(contours[name], grid), np.isin(label_map, values))

    def test_refers_to_the_images(self, predict, series):
        written = pydicom.dcmread(
            predict("--member", "abdomen", "--output-type", "dicom_rtstruct") / "series_rtstruct.dcm"
        )
        (frame,) = written.ReferencedFrameOfReferenceSequence
        (referenced,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
        assert (frame.FrameOfReferenceUID, referenced.SeriesInstanceUID) == ("1.2.4", "1.2.3")
        assert written.StudyInstanceUID == "1.2.5"
        assert written.Manufacturer == "hermes_nnunet"
        contour = written.ROIContourSequence[0].ContourSequence[0]
        assert contour.NumberOfContourPoints == len(contour.ContourData) / 3
        uids = {pydicom.dcmread(path).SOPInstanceUID for path in series.iterdir()}
        assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID in uids


class TestRealSeries:
    def test_of_a_scanner_is_read(self, shared_data):
        (case,) = find_cases(shared_data / "extra" / "example_ct_dicom")
        case.check()
        assert case.series.modality == "CT"


def test_missing_packages_are_told_in_one_line(model, series, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    command = ["predict", "-i", str(series), "-o", str(tmp_path / "out"), "-m", str(model), "--all"]
    assert main([*command, "--output-type", "dicom_seg"]) == 1
    assert capsys.readouterr().err.endswith("pip install 'hermes-nnunet[dicom]'\n")
