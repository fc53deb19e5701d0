from dataclasses import replace

import nibabel
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from hermes_nnunet.core.label_values import foreground_values
from hermes_nnunet.core.pictures.overlay import (
    PictureCase,
    best_slice,
    draw_case,
    grey_window,
    label_colours,
    radiological,
)
from hermes_nnunet.data.phantoms.phantoms import phantom_case
from hermes_nnunet.errors import HermesError

LABELS = {"background": 0, "liver": 1, "left_kidney": 2, "right_kidney": 3}


@pytest.fixture
def case(tmp_path):
    image, label = phantom_case("CT", 3)
    nibabel.save(image, tmp_path / "image.nii.gz")
    nibabel.save(label, tmp_path / "label.nii.gz")
    return PictureCase(
        title="a case",
        image=tmp_path / "image.nii.gz",
        reference=tmp_path / "label.nii.gz",
        prediction=tmp_path / "label.nii.gz",
        labels=LABELS,
        modality="CT",
        dice={},
    )


def drawn_centre(panel, colour):
    """Mean column and row of the contours drawn in a colour."""
    contours = [drawn for drawn in panel.collections if np.allclose(drawn.get_edgecolor()[0][:3], to_rgb(colour))]
    return np.concatenate([path.vertices for drawn in contours for path in drawn.get_paths()]).mean(0)


class TestRadiological:
    def test_right_is_left_and_front_is_up(self):
        plane = np.zeros((4, 5))
        plane[3, 4] = 1  # the patient's right front in canonical axes
        assert radiological(plane).shape == (5, 4)
        assert radiological(plane)[0, 0] == 1


class TestBestSlice:
    def test_shows_as_many_labels_as_it_can(self):
        labels = np.zeros((6, 6, 4), int)
        labels[..., 1] = 1
        labels[:3, :, 2] = 1
        labels[5, 5, 2] = 2
        assert best_slice(labels, [(1,), (2,)]) == 2

    def test_among_equal_ones_shows_the_most_of_them(self):
        labels = np.zeros((6, 6, 4), int)
        labels[:2, :, 1] = 1
        labels[:5, :, 3] = 1
        assert best_slice(labels, [(1,)]) == 3

    def test_a_rest_of_a_label_does_not_count_as_shown(self):
        labels = np.zeros((6, 6, 4), int)
        labels[..., 1] = 1
        labels[0, 0, 2] = 1
        labels[1, :, 2] = 2
        labels[1, :, 1] = 2
        labels[2, :, 1] = 2
        assert best_slice(labels, [(1,), (2,)]) == 1

    def test_is_the_middle_without_labels(self):
        assert best_slice(np.zeros((2, 2, 9)), [(1,)]) == 4


class TestGreyWindow:
    def test_ct_has_a_soft_tissue_window(self):
        assert grey_window(np.arange(10.0), "CT") == (-160, 240)

    def test_others_are_cut_at_percentiles(self):
        low, high = grey_window(np.append(np.arange(1000.0), 1e6), "T1")
        assert 5 < low < 15
        assert 990 < high < 1000


class TestLabelColours:
    def test_a_name_keeps_its_colour(self):
        colours = label_colours(["liver", "spine", "liver", "heart"])
        assert list(colours) == ["liver", "spine", "heart"]
        assert len(set(colours.values())) == 3


class TestDrawCase:
    def test_contours_lie_where_radiology_looks_for_them(self, case):
        panels = Figure().subplots(1, 3)
        colours = label_colours(foreground_values(LABELS))
        draw_case(panels, case, colours)
        left, right = (drawn_centre(panels[1], colours[side]) for side in ("left_kidney", "right_kidney"))
        assert right[0] < left[0] - 10
        # Kidneys lie at the back, which is the lower half.
        assert min(left[1], right[1]) > panels[1].get_images()[0].get_array().shape[0] / 2

    def test_image_alone_has_no_contours(self, case):
        panels = Figure().subplots(1, 3)
        draw_case(panels, case, label_colours(foreground_values(LABELS)))
        assert [len(panel.collections) > 0 for panel in panels] == [False, True, True]

    def test_a_case_that_nobody_labelled_says_so(self, case):
        panels = Figure().subplots(1, 3)
        draw_case(panels, replace(case, reference=None), label_colours(foreground_values(LABELS)))
        assert [len(panel.collections) > 0 for panel in panels] == [False, False, True]
        assert "not labelled" in [text.get_text() for text in panels[1].texts]

    def test_pixels_have_the_shape_of_the_voxels(self, tmp_path, case):
        for name in ("image", "label"):
            image = nibabel.load(tmp_path / f"{name}.nii.gz")
            stretched = nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine @ np.diag([1, 2, 1, 1]))
            nibabel.save(stretched, tmp_path / f"{name}.nii.gz")
        panels = Figure().subplots(1, 3)
        draw_case(panels, case, label_colours(foreground_values(LABELS)))
        assert panels[0].get_aspect() == pytest.approx(2)

    def test_files_of_other_shape_are_named(self, tmp_path, case):
        nibabel.save(nibabel.Nifti1Image(np.zeros((3, 3, 3), np.uint8), np.eye(4)), tmp_path / "label.nii.gz")
        with pytest.raises(HermesError, match=r"label\.nii\.gz has \(3, 3, 3\) voxels"):
            draw_case(Figure().subplots(1, 3), case, {})
