import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_nnunet.data.conversion import Grid
from hermes_nnunet.data.dicom.structure_sets import contours_by_name, filled
from hermes_nnunet.errors import HermesError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Turned in every plane, spacing 1.5 x 2 x 3 mm, in LPS.
TURNED = np.array(
    [[0.96, -0.0672, -0.2718164086], [0.28, 0.2304, 0.9319419724], [0.0, -0.9707728879, 0.24]]
) * np.array([1.5, 2.0, 3.0])


@pytest.fixture
def grid() -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = TURNED
    affine[:3, 3] = (11.0, -7.0, 5.5)
    return Grid((12, 10, 5), LPS_TO_RAS @ affine)


def rectangle(grid: Grid, x: tuple[float, float], y: tuple[float, float], z: float) -> np.ndarray:
    """A contour in mm (LPS), given in voxels."""
    corners = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]
    return placed(grid, corners, z)


def placed(grid: Grid, points, z: float) -> np.ndarray:
    voxels = np.array([(*point, z, 1.0) for point in points])
    return (LPS_TO_RAS @ grid.affine @ voxels.T).T[:, :3]


class TestFilled:
    def test_covers_the_voxels_whose_centres_lie_within(self, grid):
        mask = filled([rectangle(grid, (1.5, 4.5), (2.5, 8.4), 3)], grid)
        expected = np.zeros(grid.shape, bool)
        expected[2:5, 3:9, 3] = True
        np.testing.assert_array_equal(mask, expected)

    def test_covers_the_same_whichever_way_a_contour_runs(self, grid):
        contour = rectangle(grid, (1.5, 4.5), (2.5, 8.4), 3)
        np.testing.assert_array_equal(filled([contour], grid), filled([contour[::-1]], grid))

    def test_leaves_out_what_a_contour_within_another_encloses(self, grid):
        outer, inner = rectangle(grid, (0.5, 8.5), (0.5, 8.5), 2), rectangle(grid, (3.5, 5.5), (2.5, 6.5), 2)
        mask = filled([outer, inner], grid)
        assert mask.sum() == 8 * 8 - 2 * 4
        assert not mask[4:6, 3:7, 2].any()

    def test_leaves_out_a_hole_that_a_keyhole_joins_to_the_outside(self, grid):
        points = [(0.5, 0.5), (8.5, 0.5), (8.5, 8.5), (0.5, 8.5), (0.5, 4.3)]
        points += [(3.5, 4.3), (3.5, 6.5), (5.5, 6.5), (5.5, 2.5), (3.5, 2.5), (3.5, 4.3), (0.5, 4.3)]
        mask = filled([placed(grid, points, 2)], grid)
        assert mask.sum() == 8 * 8 - 2 * 4
        assert not mask[4:6, 3:7, 2].any()

    def test_keeps_parts_apart_and_slices_too(self, grid):
        contours = [rectangle(grid, (0.5, 2.5), (0.5, 2.5), z) for z in (0, 4)]
        contours.append(rectangle(grid, (5.5, 9.5), (5.5, 7.5), 4))
        mask = filled(contours, grid)
        assert [mask[..., z].sum() for z in range(5)] == [4, 0, 0, 0, 4 + 8]

    def test_cuts_what_lies_beside_the_image(self, grid):
        assert filled([rectangle(grid, (-5.0, 1.5), (-3.0, 2.5), 1)], grid).sum() == 2 * 3

    def test_forgives_the_rounding_of_coordinates(self, grid):
        assert filled([rectangle(grid, (1.5, 4.5), (2.5, 8.4), 2.95)], grid)[..., 3].sum() == 18

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(st.tuples(st.floats(-1, 12), st.floats(-1, 10)), min_size=3, max_size=9),
        st.integers(0, 4),
    )
    def test_agrees_with_the_number_of_crossings(self, points, z):
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = TURNED, (11.0, -7.0, 5.5)
        grid = Grid((12, 10, 5), LPS_TO_RAS @ affine)
        mask = filled([placed(grid, points, z)], grid)[..., z]
        for x in range(12):
            for y in range(10):
                crossings, distance = _crossings(points, x, y)
                # On the line itself either is right.
                if distance > 1e-3:
                    assert mask[x, y] == (crossings % 2 == 1)


def _crossings(points, x: float, y: float) -> tuple[int, float]:
    """Edges that a ray from (x, y) crosses, and the distance of the nearest edge."""
    crossings, nearest = 0, np.inf
    for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            crossings += 1
        edge = np.array((x2 - x1, y2 - y1))
        along = np.clip(np.dot((x - x1, y - y1), edge) / max(edge @ edge, 1e-12), 0, 1)
        nearest = min(nearest, float(np.hypot(*(np.array((x - x1, y - y1)) - along * edge))))
    return crossings, nearest


class TestBadContours:
    def test_between_slices_are_told(self, grid):
        with pytest.raises(HermesError, match=r"a contour near \(.* mm lies 0.4 slices off the nearest slice"):
            filled([rectangle(grid, (1, 4), (2, 8), 2.4)], grid)

    def test_beyond_the_series_are_told(self, grid):
        with pytest.raises(HermesError, match="lies outside the 5 slices of the series"):
            filled([rectangle(grid, (1, 4), (2, 8), 5)], grid)

    def test_across_slices_are_told(self, grid):
        contour = rectangle(grid, (1, 4), (2, 8), 2)
        contour[0] = rectangle(grid, (1, 4), (2, 8), 3)[0]
        with pytest.raises(HermesError, match="slices off the nearest slice"):
            filled([contour], grid)


class TestContoursOnSomeSlices:
    @staticmethod
    def drawn_on(slices, shift=0.0):
        grid = Grid((30, 10, 40), np.eye(4))
        return filled([rectangle(grid, (1.5 + shift * z, 4.5 + shift * z), (2.5, 8.4), z) for z in slices], grid)

    @pytest.mark.parametrize(
        ("slices", "step"),
        [
            ((2, 4, 6, 8, 10, 12), 2),
            ((12, 10, 8), 2),
            ((0, 5, 10, 15), 5),
            ((2, 4, 6, 7, 8, 10, 12), 2),
            ((1, 4, 7, 30), 3),
        ],
    )
    def test_that_follow_regularly_are_told(self, slices, step):
        with pytest.raises(HermesError, match=f"its contours lie {step} slices apart, .*: interpolate them"):
            self.drawn_on(slices)

    @pytest.mark.parametrize("slices", [(3,), (3, 5), (2, 3, 4, 6, 7), (1, 2, 3, 5, 6, 7, 9, 10, 11), (1, 3, 8)])
    def test_that_leave_out_few_stay(self, slices):
        assert np.flatnonzero(self.drawn_on(slices).any(axis=(0, 1))).tolist() == list(slices)

    def test_of_parts_beside_each_other_stay(self):
        assert self.drawn_on((2, 4, 6), shift=2).sum() == 3 * 18


class TestNames:
    def test_are_those_of_structures_with_closed_contours(self, dicom, grid, tmp_path):
        square = rectangle(grid, (1, 4), (2, 8), 2)
        path = dicom.structure_set(tmp_path / "rs", {"Liver ": [square, square + 1], "Empty": [], "Spleen": [square]})
        found = contours_by_name(pydicom.dcmread(path))
        assert {name: len(contours) for name, contours in found.items()} == {"Liver": 2, "Spleen": 1}
        np.testing.assert_allclose(found["Spleen"][0], square, atol=1e-3)

    def test_of_points_only_are_none(self, dicom, grid, tmp_path):
        path = dicom.structure_set(tmp_path / "rs", {"Isocentre": [np.zeros((1, 3))]}, kind="POINT")
        assert contours_by_name(pydicom.dcmread(path)) == {}

    def test_that_stand_twice_are_told(self, dicom, grid, tmp_path):
        square = rectangle(grid, (1, 4), (2, 8), 2)
        path = dicom.structure_set(tmp_path / "rs", {"Liver#1": [square], "Liver#2": [square]})
        with pytest.raises(HermesError, match="two structures are named 'Liver'"):
            contours_by_name(pydicom.dcmread(path))
