import struct

import numpy as np
import pytest

from hermes_nnunet.core.viewer.surfaces import mz3, surface


def ball(shape, centre, radius):
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    return ((grid - np.array(centre)) ** 2).sum(-1) <= radius**2


def enclosed(vertices, triangles):
    """Volume of a closed mesh; positive where the triangles are seen clockwise from outside."""
    a, b, c = (vertices[triangles[:, corner]].astype(float) for corner in range(3))
    return -(a * np.cross(b, c)).sum() / 6


def test_surrounds_the_voxels_where_they_are():
    mask = ball((40, 36, 30), (12, 20, 17), 8)
    vertices, triangles = surface(mask, (2.0, 1.0, 3.0), (10.0, -20.0, 30.0))
    np.testing.assert_allclose(vertices.mean(0), [10 + 12 * 2, -20 + 20, 30 + 17 * 3], atol=0.3)
    assert abs(enclosed(vertices, triangles)) == pytest.approx(mask.sum() * 6, rel=0.05)


def test_is_closed_at_the_border_of_the_image():
    vertices, triangles = surface(np.ones((5, 6, 7), bool), (1, 1, 1), (0, 0, 0))
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), 1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert set(counts) == {2}
    assert vertices.min() == pytest.approx(-0.5, abs=0.2)


def test_large_structures_are_coarser_and_in_place():
    mask = np.zeros((300, 40, 40), bool)
    mask[20:280, 5:35, 5:35] = True
    vertices, triangles = surface(mask, (1, 1, 1), (0, 0, 0))
    assert len(triangles) < 60_000
    np.testing.assert_allclose((vertices.min(0) + vertices.max(0)) / 2, [149.5, 19.5, 19.5], atol=0.6)
    assert abs(enclosed(vertices, triangles)) == pytest.approx(mask.sum(), rel=0.05)


def test_one_voxel_has_a_surface():
    mask = np.zeros((5, 5, 5), bool)
    mask[2, 3, 1] = True
    vertices, _ = surface(mask, (1, 1, 1), (0, 0, 0))
    np.testing.assert_allclose(vertices.mean(0), [2, 3, 1], atol=0.05)


def test_nothing_has_none():
    vertices, triangles = surface(np.zeros((5, 5, 5), bool), (1, 1, 1), (0, 0, 0))
    assert len(vertices) == len(triangles) == 0
    assert len(mz3(vertices, triangles)) == 16


def test_mz3_is_header_triangles_vertices():
    content = mz3(np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9.5]]), np.array([[0, 2, 1]]))
    assert struct.unpack("<HHIII3I9f", content) == (0x5A4D, 3, 1, 3, 0, 0, 2, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9.5)
