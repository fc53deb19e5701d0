import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_nnunet.core.images.geometry import GEOMETRY_TOLERANCE_MM
from hermes_nnunet.data.conversion import Grid, NiftiVolume, SourceCase
from hermes_nnunet.data.conversion.checks import Findings, check_case, compare_grids

AFFINE = np.diag([-0.8, -0.8, 5.0, 1.0])


class TestCompareGrids:
    @given(
        difference=st.floats(min_value=0, max_value=10),
        sign=st.sampled_from([1, -1]),
        row=st.integers(0, 2),
        column=st.integers(0, 3),
    )
    def test_headers_are_one_grid_up_to_the_tolerance_and_not_beyond(self, difference, sign, row, column):
        other = AFFINE.copy()
        other[row, column] += sign * difference
        found, problem = compare_grids(Grid((4, 4, 4), AFFINE), Grid((4, 4, 4), other))
        assert found == pytest.approx(difference, abs=1e-12)
        assert (problem is None) == (found <= GEOMETRY_TOLERANCE_MM)

    @given(st.tuples(*[st.integers(1, 4)] * 3), st.tuples(*[st.integers(1, 4)] * 3))
    def test_shapes_must_be_equal(self, first, second):
        problem = compare_grids(Grid(first, AFFINE), Grid(second, AFFINE))[1]
        assert (problem is None) == (first == second)

    def test_a_header_that_is_not_a_number_is_no_grid(self):
        broken = AFFINE * np.nan
        assert compare_grids(Grid((4, 4, 4), AFFINE), Grid((4, 4, 4), broken))[1] is not None

    def test_flipped_axes_are_not_one_grid(self):
        assert compare_grids(Grid((4, 4, 4), AFFINE), Grid((4, 4, 4), AFFINE * [-1, 1, 1, 1]))[1] is not None


class TestCheckCase:
    def test_finds_nothing_in_a_whole_case(self, source):
        case = SourceCase("a", (NiftiVolume(source.image("a.nii")),), NiftiVolume(source.label("l.nii", [1])))
        assert check_case(case) == Findings((), mended=False)

    def test_names_a_missing_file(self, source):
        missing = source.path / "l.nii.gz"
        case = SourceCase("a", (NiftiVolume(source.image("a.nii.gz")),), NiftiVolume(missing))
        assert check_case(case).problems == (f"{missing} is missing",)

    def test_compares_channels_too(self, source, affines):
        images = (NiftiVolume(source.image("a.nii.gz")), NiftiVolume(source.image("b.nii.gz", affines["RAS"])))
        (problem,) = check_case(SourceCase("a", images, None)).problems
        assert problem.startswith(f"{source.path / 'b.nii.gz'} lies 112.2 mm")

    def test_keeps_what_names_told(self, source):
        case = SourceCase("a", (NiftiVolume(source.image("a.nii.gz")),), None, problems=("has no label",))
        assert check_case(case).problems == ("has no label",)

    def test_tells_that_a_labels_header_is_mended(self, source, affines):
        off = affines["RAS"] + 0
        off[1, 3] += 9e-4
        image, label = source.image("a.nii.gz", affines["RAS"]), source.label("l.nii.gz", [1], off)
        assert check_case(SourceCase("a", (NiftiVolume(image),), NiftiVolume(label))) == Findings((), mended=True)
