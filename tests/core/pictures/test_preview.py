import numpy as np
from matplotlib.colors import to_rgb

from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.core.pictures.preview import draw_preview

LIVER = Label("abdomen/liver", 1, (1,), "abdomen", "#ff0000")
SPLEEN = Label("abdomen/spleen", 2, (2,), "abdomen", "#00ff00")
ABSENT = Label("abdomen/aorta", 3, (3,), "abdomen", "#0000ff")


def drawn(label_map, spacing=(1, 1, 1)):
    image = np.zeros(label_map.shape, np.float32)
    return draw_preview(image, label_map, spacing, [LIVER, SPLEEN, ABSENT], modality="CT", title="case")


def centre(panel, colour):
    """Mean column and row of the contours drawn in a colour, as a share of the panel."""
    contours = [part for part in panel.collections if np.allclose(part.get_edgecolor()[0][:3], to_rgb(colour))]
    columns, rows = np.concatenate([path.vertices for part in contours for path in part.get_paths()]).mean(0)
    height, width = panel.images[0].get_array().shape
    return columns / width, rows / height


class TestPlanes:
    def test_right_is_left_front_is_up_or_left_and_the_head_is_up(self):
        label_map = np.zeros((30, 20, 24), np.uint8)
        label_map[24:28, 15:19, 18:22] = 1  # the patient's right, front, head
        axial, coronal, sagittal, _ = drawn(label_map).axes
        for panel in (axial, coronal, sagittal):
            columns, rows = centre(panel, LIVER.colour)
            assert columns < 0.3
            assert rows < 0.3
        assert [text.get_text() for text in sagittal.texts] == ["A", "P"]
        assert [text.get_text() for text in axial.texts] == ["R", "L"]

    def test_thick_slices_are_drawn_thick(self):
        axial, coronal, sagittal, _ = drawn(np.zeros((10, 10, 5), np.uint8), spacing=(1, 2, 5)).axes
        assert [panel.get_aspect() for panel in (axial, coronal, sagittal)] == [2, 5, 2.5]


class TestLegend:
    def test_names_what_is_there(self):
        label_map = np.zeros((8, 8, 8), np.uint8)
        label_map[2:4, 2:4, 2:4], label_map[5:7, 5:7, 5:7] = 1, 2
        legend = drawn(label_map).axes[-1].get_legend()
        assert [text.get_text() for text in legend.get_texts()] == ["abdomen/liver", "abdomen/spleen"]

    def test_says_that_nothing_was_found(self):
        legend = drawn(np.zeros((8, 8, 8), np.uint8)).axes[-1].get_legend()
        assert legend.get_title().get_text() == "case\nnothing found"
