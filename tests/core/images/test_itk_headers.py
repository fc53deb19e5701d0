"""NRRD and MHA headers that leave out where the voxels lie."""

import gzip

import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hermes_nnunet.core.images.opening import open_image, read_geometry
from hermes_nnunet.core.images.remarks import NO_SPACE
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.image_reader_writer import HermesImageIO

VOXELS = np.arange(120, dtype="<i2").reshape(4, 5, 6)
NRRD = ("NRRD0005", "type: short", "dimension: 3", "sizes: 6 5 4", "endian: little")
MHA = ("ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False", "DimSize = 6 5 4")
DIRECTIONS = "space directions: (2,0,0) (0,2,0) (0,0,3)"
MATRIX = "TransformMatrix = 0 1 0 1 0 0 0 0 1"
UNITS = "{}: " + " ".join(['"{}"'] * 3)


def write(path, *lines, end="\n"):
    """Write VOXELS with a header that has these lines beside what it must have."""
    if path.suffix == ".mha":
        header, voxels = [*MHA, *lines, "ElementType = MET_SHORT", "ElementDataFile = LOCAL", ""], VOXELS.tobytes()
    else:
        header, voxels = [*NRRD, *lines, "encoding: gzip", "", ""], gzip.compress(VOXELS.tobytes())
    path.write_bytes(end.join(header).encode() + voxels)
    return path


@pytest.fixture
def opened(tmp_path):
    """A function that opens an image with such a header; .mha where its lines are MHA's."""

    def run(*lines, **options):
        ending = ".mha" if any("=" in line.replace(":=", "") for line in lines) else ".nrrd"
        return open_image(write(tmp_path / f"a{ending}", *lines, **options))

    return run


class TestSpacing:
    @pytest.mark.parametrize(
        "lines",
        [
            (),
            ("space: left-posterior-superior",),
            ("thicknesses: 2 2 3",),
            ("spacings: nan nan nan",),
            ("spacings: 2 2 nan",),
            ("space: LPS", "space directions: none none none"),
            ("space: LPS", "space directions: (2,0,0) none (0,0,3)"),
            ("space: LPS", "space directions: (2,0,0) (nan,nan,nan) (0,0,3)"),
            ("space:=a key and its value", "spacing:=2 2 3"),
            ("CompressedData = False",),
            (MATRIX,),
            ("elementspacing = 2 2 3",),
        ],
        ids=" | ".join,
    )
    def test_that_is_not_said_is_refused(self, opened, lines):
        with pytest.raises(HermesError, match=r"a\.\w+ does not say how far its voxels are apart .*: write it with"):
            opened(*lines)

    def test_that_is_not_said_is_refused_by_all_who_read(self, tmp_path):
        path = write(tmp_path / "a.nrrd")
        for read in (read_geometry, lambda path: HermesImageIO().read_images([str(path)])):
            with pytest.raises(HermesError, match="does not say how far its voxels are apart"):
                read(path)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(st.tuples(*[st.floats(0.02, 900)] * 3), st.sampled_from(["nrrd", "mha"]))
    def test_that_is_said_is_read_without_a_remark(self, tmp_path, spacing, ending):
        image = SimpleITK.GetImageFromArray(VOXELS)
        image.SetSpacing(spacing)
        SimpleITK.WriteImage(image, str(tmp_path / f"a.{ending}"))
        found = open_image(tmp_path / f"a.{ending}")
        assert found.geometry.spacing == pytest.approx(spacing)
        assert found.remarks == ()


class TestDirections:
    @pytest.mark.parametrize(
        "lines",
        [
            ("spacings: 2 2 3",),
            ("space dimension: 3", DIRECTIONS),
            ("space: scanner-xyz", DIRECTIONS),
            ("space: 3D-right-handed", DIRECTIONS),
            ("ElementSpacing = 2 2 3",),
            ("ElementSize = 2 2 3", "AnatomicalOrientation = LPI"),
        ],
        ids=" | ".join,
    )
    def test_that_are_not_said_are_lps_with_a_remark(self, opened, lines):
        image = opened(*lines)
        assert [remark.what for remark in image.remarks] == [NO_SPACE]
        assert image.remarks[0].name == image.name
        np.testing.assert_array_equal(image.geometry.affine, np.diag([-2, -2, 3, 1]))

    @pytest.mark.parametrize(
        ("lines", "affine"),
        [
            (("space: left-posterior-superior", DIRECTIONS), np.diag([-2, -2, 3, 1])),
            (("Space: RAS", "SPACE Directions: ( 2 , 0 , 0 ) (0,2,0) (0,0,3)"), np.diag([2, 2, 3, 1])),
            (("# of a program", "space: left-anterior-superior", "a key:=b: c", DIRECTIONS), np.diag([-2, 2, 3, 1])),
            (("ElementSpacing=2 2 3", "Offset = 0 0 0", MATRIX), [[0, -2, 0, 0], [-2, 0, 0, 0], [0, 0, 3, 0]]),
            (("ElementSpacing: 2 2 3", MATRIX.replace("TransformMatrix", "Rotation")), [[0, -2, 0, 0]]),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_that_are_said_need_no_remark(self, opened, lines, affine, end):
        image = opened(*lines, end=end)
        assert image.remarks == ()
        np.testing.assert_array_equal(image.geometry.affine[: len(affine)], affine)
        np.testing.assert_array_equal(image.voxels(), VOXELS.T)


class TestUnits:
    @pytest.mark.parametrize("unit", ["cm", "m", "inches"])
    def test_other_than_mm_are_refused(self, opened, unit):
        for lines in (
            ("space: LPS", DIRECTIONS, UNITS.format("space units", unit, unit, unit)),
            ("spacings: 2 2 3", UNITS.format("units", "mm", "mm", unit)),
        ):
            with pytest.raises(
                HermesError, match=rf"a\.nrrd has lengths in {unit} \((space )?units\), but mm are needed"
            ):
                opened(*lines)

    def test_of_mha_are_refused_as_well(self, opened):
        with pytest.raises(HermesError, match=r"a\.mha has lengths in cm \(DistanceUnits\)"):
            opened("ElementSpacing = 2 2 3", "DistanceUnits = cm", MATRIX)

    @pytest.mark.parametrize("unit", ["mm", "millimeters", "MM", ""])
    def test_of_mm_and_of_nothing_are_taken(self, opened, unit):
        image = opened("space: LPS", DIRECTIONS, UNITS.format("space units", unit, unit, unit))
        assert image.geometry.spacing == (2, 2, 3)
        assert opened("ElementSpacing = 2 2 3", "DistanceUnits = mm", MATRIX).geometry.spacing == (2, 2, 3)
