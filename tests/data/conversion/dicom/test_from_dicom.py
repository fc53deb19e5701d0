import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from hermes_nnunet.cli.main import main
from hermes_nnunet.data.conversion.converting import ConversionResult, convert
from hermes_nnunet.data.conversion.registry import find_converter
from hermes_nnunet.data.conversion.report import result_lines
from hermes_nnunet.data.dicom.volume import DicomVolume
from hermes_nnunet.errors import HermesError

OBLIQUE = ((0.96, 0.28, 0.0), (-0.0672, 0.2304, -0.9707728879))
REAL_SERIES = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "extra" / "example_ct_dicom"


def contour(grid, x, y, z) -> np.ndarray:
    """A rectangle in mm (LPS) between voxel coordinates."""
    corners = [(x[0], y[0], z, 1), (x[1], y[0], z, 1), (x[1], y[1], z, 1), (x[0], y[1], z, 1)]
    return (grid.affine @ np.array(corners).T).T[:, :3] * (-1, -1, 1)


@pytest.fixture
def patient(tmp_path, dicom, noise):
    """A series with an RTSTRUCT of boxes, given in voxels from and to (to not included)."""

    def call(name: str, boxes: dict[str, tuple], uid: str | None = None, **arguments) -> Path:
        folder = tmp_path / "source" / name
        uid = f"1.2.{int.from_bytes(name.encode(), 'big') % 10**9}" if uid is None else uid
        paths = dicom.series(folder / "images", noise(), uid=uid, frame=f"{uid}.1", patient=name, **arguments)
        grid = DicomVolume(tuple(paths)).grid()
        structures = {
            structure: [
                contour(grid, (x[0] - 0.5, x[1] - 0.5), (y[0] - 0.5, y[1] - 0.5), slice_index)
                for slice_index in range(*z)
            ]
            for structure, (x, y, z) in boxes.items()
        }
        dicom.structure_set(folder / "labels" / "RS.1", structures, series=uid, frame=f"{uid}.1")
        return folder

    return call


LIVER = ((1, 4), (2, 6), (0, 3))
SPLEEN = ((4, 6), (2, 5), (1, 4))
TUMOUR = ((2, 3), (3, 5), (1, 2))


@pytest.fixture
def run(tmp_path, raw):
    def call(**arguments) -> ConversionResult:
        arguments = {"processes": 1, **arguments}
        options = {name: arguments.pop(name) for name in ("labels", "priority") if name in arguments}
        return convert(find_converter("from_dicom"), tmp_path / "source", 7, options=options, **arguments)

    return call


def label_of(result: ConversionResult, case: str) -> np.ndarray:
    return np.asanyarray(nibabel.load(result.folder / "labelsTr" / f"{case}.nii.gz").dataobj)


class TestStructures:
    def test_are_filled_where_they_were_drawn(self, patient, run):
        patient("p1", {"Liver": LIVER, "Spleen": SPLEEN}, orientation=OBLIQUE)
        patient("p2", {"Liver": LIVER, "Spleen": SPLEEN})
        result = run()
        content = json.loads((result.folder / "dataset.json").read_text())
        assert content["labels"] == {"background": 0, "Liver": 1, "Spleen": 2}
        assert content["channel_names"] == {"0": "CT"}
        expected = np.zeros((6, 8, 5), int)
        expected[1:4, 2:6, 0:3], expected[4:6, 2:5, 1:4] = 1, 2
        for case in ("p1", "p2"):
            np.testing.assert_array_equal(label_of(result, case), expected)
        image = SimpleITK.ReadImage(str(result.folder / "imagesTr" / "p1_0000.nii.gz"))
        label = SimpleITK.ReadImage(str(result.folder / "labelsTr" / "p1.nii.gz"))
        np.testing.assert_allclose(image.GetDirection()[::3], (0.96, 0.28, 0.0), atol=1e-6)
        assert image.TransformIndexToPhysicalPoint((0, 0, 0)) == pytest.approx((-20, -30, 40), abs=1e-4)
        assert label.GetDirection() == image.GetDirection()

    def test_may_come_as_seg_beside_rtstruct(self, patient, run, dicom, noise, tmp_path):
        pytest.importorskip("highdicom")
        patient("p1", {"Liver": LIVER})
        patient("p2", {"Liver": LIVER})
        mask = np.zeros((5, 8, 6), bool)
        mask[1:4, 2:5, 4:6] = True
        for name in ("p1", "p2"):
            folder = tmp_path / "source" / name
            slices = sorted((folder / "images").iterdir())
            dicom.segmentation(folder / "labels" / "seg.dcm", slices, {"Spleen": mask[_order(slices)]})
        label = label_of(run(), "p2")
        assert [(label == value).sum() for value in (1, 2)] == [36, 18]
        np.testing.assert_array_equal(label == 2, mask.transpose(2, 1, 0))

    def test_of_two_series_of_a_patient_are_two_cases_that_folds_keep_together(self, patient, run, tmp_path):
        for name in ("p1", "p2", "p3"):
            patient(name, {"Liver": LIVER})
        patient("p1/again", {"Liver": LIVER}, PatientID="p1")
        result = run()
        assert [case.name for case in result.parts.train] == ["p1_1", "p1_2", "p2", "p3"]
        for fold in result.folds:
            assert len({name[:2] for name in fold["train"]} & {name[:2] for name in fold["val"]}) == 0

    def test_can_be_chosen_and_ordered(self, patient, run):
        for name in ("p1", "p2"):
            patient(name, {"Liver": LIVER, "Couch": ((0, 6), (0, 1), (0, 5)), "Spleen": SPLEEN})
        result = run(labels=["Spleen", "Liver"])
        assert result.converter.labels == ("Spleen", "Liver")
        assert (label_of(result, "p1") == 1).sum() == 18
        assert "structures left out: Couch" in result_lines(result)

    def test_that_only_some_cases_have_are_told(self, patient, run):
        patient("p1", {"Liver": LIVER, "Spleen": SPLEEN})
        patient("p2", {"Liver": LIVER})
        warning = "warning: only 1 of 2 cases have 'Spleen', in the others it counts as background"
        assert any(line.startswith(warning) for line in result_lines(run()))


def _order(slices) -> list[int]:
    import pydicom

    return [round((float(pydicom.dcmread(path).ImagePositionPatient[2]) - 40) / 3) for path in slices]


class TestOverlap:
    def test_is_refused_with_the_pair_and_its_voxels(self, patient, run):
        for name in ("p1", "p2"):
            patient(name, {"Liver": LIVER, "Tumour": TUMOUR})
        with pytest.raises(
            HermesError, match=r"case p1: .*RS\.1: Tumour and Liver share 2 voxels: .*--priority"
        ) as told:
            run()
        assert "case p2" in str(told.value)

    @pytest.mark.parametrize(("priority", "tumour"), [(["Tumour"], 2), (["Tumour", "Liver"], 2), (["Liver"], 0)])
    def test_is_resolved_by_priority(self, patient, run, priority, tumour):
        for name in ("p1", "p2"):
            patient(name, {"Liver": LIVER, "Tumour": TUMOUR})
        patient("p3", {"Liver": LIVER, "Tumour": ((2, 4), (3, 7), (1, 2))})
        label = label_of(run(priority=priority), "p1")
        assert [(label == value).sum() for value in (1, 2)] == [36 - tumour, tumour]

    def test_of_two_without_priority_is_still_refused(self, patient, run):
        for name in ("p1", "p2"):
            patient(name, {"Liver": LIVER, "Tumour": TUMOUR, "Vessel": LIVER})
        with pytest.raises(HermesError, match="Vessel and Liver share 34 voxels"):
            run(priority=["Tumour"])


class TestSeriesAndLabels:
    def test_series_without_label_and_other_files_are_told(self, patient, run, dicom, noise, tmp_path):
        for name in ("p1", "p2"):
            patient(name, {"Liver": LIVER})
        source = tmp_path / "source"
        dicom.series(source / "p1" / "pet", noise(), uid="9.9", modality="PT", SeriesDescription="PET WB")
        dicom.series(source / "p1" / "shots", noise((1, 4, 4)), uid="9.8", modality="OT")
        (source / "notes.txt").write_text("not DICOM")
        lines = result_lines(run())
        assert "series without RTSTRUCT or SEG, left out: 1: p1/pet, PET WB" in lines
        assert f"files of other kinds, left out: 1 OT: {source / 'p1' / 'shots' / '000.dcm'}" in lines
        assert f"files that are not DICOM, left out: 1: {source / 'notes.txt'}" in lines

    def test_label_of_a_series_that_is_not_there_is_told(self, patient, run, dicom, tmp_path):
        for name in ("p1", "p2", "p3"):
            patient(name, {"Liver": LIVER})
        dicom.structure_set(tmp_path / "source" / "RS.lost", {"Liver": []}, series="8.8", frame="8.9")
        message = r"case RS-lost: .*RS\.lost was drawn on a series that is not in the folder \(8\.8\)"
        with pytest.raises(HermesError, match=message):
            run()
        assert list(run(skip_broken=True).left_out) == ["RS-lost"]

    @pytest.mark.parametrize(("own", "named"), [("", "1.2.3"), ("", None), ("1.2.3", None)])
    def test_without_uids_go_together_by_their_frame_of_reference(
        self, patient, run, dicom, noise, tmp_path, own, named
    ):
        patient("p2", {"Liver": LIVER})
        folder = tmp_path / "source" / "p1"
        paths = dicom.series(folder, noise(), uid=own, frame="1.2.99")
        square = contour(DicomVolume(tuple(paths)).grid(), (0.5, 3.5), (1.5, 5.5), 2)
        dicom.structure_set(folder / "RS", {"Liver": [square]}, series=named, frame="1.2.99")
        assert (label_of(run(), "p1") == 1).sum() == 12

    def test_of_several_modalities_are_refused(self, patient, run):
        patient("p1", {"Liver": LIVER})
        patient("p2", {"Liver": LIVER}, modality="MR")
        with pytest.raises(HermesError, match=r"several modalities \(1 of CT, 1 of MR\): convert a folder of each"):
            run()

    def test_two_labels_that_name_one_structure_are_told(self, patient, run, dicom, tmp_path):
        folder = patient("p1", {"Liver": LIVER}, uid="1.2.3")
        patient("p2", {"Liver": LIVER})
        (folder / "labels" / "RS.2").write_bytes((folder / "labels" / "RS.1").read_bytes())
        with pytest.raises(HermesError, match=r"RS\.1, .*RS\.2 both have 'Liver': remove one"):
            run()

    def test_missing_slice_is_told_for_its_case(self, patient, run):
        folder = patient("p1", {"Liver": LIVER})
        patient("p2", {"Liver": LIVER})
        paths = sorted((folder / "images").iterdir(), key=lambda path: _order([path]))
        paths[2].unlink()
        with pytest.raises(HermesError, match=r"case p1: .*1 slices are missing between"):
            run()

    def test_labels_without_structures_are_told(self, dicom, run, tmp_path):
        dicom.structure_set(tmp_path / "source" / "RS.1", {"Isocentre": []})
        with pytest.raises(HermesError, match=r"none of 1 RTSTRUCT and SEG files has a structure with an area"):
            run()

    def test_damaged_file_is_told(self, patient, run):
        patient("p2", {"Liver": LIVER})
        folder = patient("p1", {"Liver": LIVER})
        path = folder / "labels" / "RS.1"
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(HermesError, match=r"case p1: .*RS\.1: it is damaged \(.*\): copy it again, or remove it"):
            run()

    def test_folder_without_labels_is_told(self, run, tmp_path):
        (tmp_path / "source").mkdir()
        with pytest.raises(HermesError, match="holds no RTSTRUCT or SEG file"):
            run()


class TestOptions:
    def test_unknown_structure_is_told_with_a_near_one(self, patient, run):
        patient("p1", {"Liver": LIVER})
        with pytest.raises(HermesError, match=r"--labels: there is no structure 'liver' \(did you mean 'Liver'\?\)"):
            run(labels=["liver"])

    def test_priority_of_what_is_not_chosen_is_told(self, patient, run):
        patient("p1", {"Liver": LIVER, "Spleen": SPLEEN})
        with pytest.raises(HermesError, match="--priority: there is no structure 'Spleen': there are Liver"):
            run(labels=["Liver"], priority=["Spleen"])

    def test_case_without_a_required_structure_is_told(self, patient, run):
        patient("p1", {"Liver": LIVER, "Spleen": SPLEEN})
        patient("p2", {"Liver": LIVER})
        with pytest.raises(HermesError, match=r"case p2: .*RS\.1 has no structure Spleen"):
            run(labels=["Liver", "Spleen"])

    def test_another_priority_is_another_conversion(self, patient, run):
        for name in ("p1", "p2"):
            patient(name, {"Liver": LIVER, "Tumour": TUMOUR})
        run(priority=["Tumour"])
        assert run(priority=["Tumour"]).written == 0
        with pytest.raises(HermesError, match=r"was made with options .*Tumour.*, not .*Liver"):
            run(priority=["Liver"])

    def test_come_from_the_command_line(self, patient, raw, tmp_path, capsys):
        for name in ("p1", "p2"):
            patient(name, {"Liver": LIVER, "Tumour": TUMOUR, "Couch": SPLEEN})
        command = ["convert", "from_dicom", str(tmp_path / "source"), "-d", "7", "--processes", "1"]
        assert main([*command, "--labels", "Tumour", "Liver", "--priority", "Tumour"]) == 0
        content = json.loads((raw / "Dataset007_DICOM" / "dataset.json").read_text())
        assert content["labels"] == {"background": 0, "Tumour": 1, "Liver": 2}
        assert "structures left out: Couch" in capsys.readouterr().out

    def test_are_refused_by_other_converters(self, raw, tmp_path, capsys):
        (tmp_path / "source").mkdir()
        assert main(["convert", "mnm", str(tmp_path / "source"), "-d", "7", "--labels", "Liver"]) == 1
        assert "mnm takes no --labels: leave it out" in capsys.readouterr().err


def test_a_case_with_contours_on_every_second_slice_is_told(patient, run, dicom, tmp_path):
    for name in ("p1", "p2", "p3"):
        patient(name, {"Liver": LIVER})
    grid = DicomVolume(tuple(sorted((tmp_path / "source" / "p2" / "images").iterdir()))).grid()
    uid = f"1.2.{int.from_bytes(b'p2', 'big') % 10**9}"
    sparse = {"Liver": [contour(grid, (0.5, 3.5), (1.5, 5.5), z) for z in (0, 2, 4)]}
    dicom.structure_set(tmp_path / "source" / "p2" / "labels" / "RS.1", sparse, series=uid, frame=f"{uid}.1")
    with pytest.raises(HermesError, match=r"case p2: .*RS\.1: Liver: its contours lie 2 slices apart"):
        run()
    assert list(run(skip_broken=True).left_out) == ["p2"]


@pytest.mark.skipif(not REAL_SERIES.is_dir(), reason="the real images are not here")
def test_real_series_gets_the_structure_drawn_on_it(dicom, noise, patient, run, tmp_path):
    patient("p2", {"Body": LIVER})
    folder = tmp_path / "source" / "p1"
    folder.mkdir()
    for path in REAL_SERIES.iterdir():
        (folder / path.name).symlink_to(path)
    volume = DicomVolume(tuple(REAL_SERIES.iterdir()))
    squares = [contour(volume.grid(), (99.5, 149.5), (199.5, 229.5), z) for z in range(4, 9)]
    frame = "1.3.12.2.1107.5.1.4.60064.30000022120807274275100000041"
    dicom.structure_set(tmp_path / "source" / "RS", {"Body": squares}, series=None, frame=frame)
    result = run()
    image = nibabel.load(result.folder / "imagesTr" / "p1_0000.nii.gz")
    label = label_of(result, "p1")
    assert label.sum() == 50 * 30 * 5
    assert (label[100:150, 200:230, 4:9] == 1).all()
    np.testing.assert_allclose(image.affine[:3, 3], (249.51171875, 437.51171875, -804.5))
