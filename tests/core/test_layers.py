import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hermes_nnunet.core.layers import layers_of_label_map, layers_of_masks
from hermes_nnunet.core.pictures.labels import Label

# Two regions within each other, and one beside them.
LABELS = (
    Label("whole", 1, (1, 2), "brain", "#ff0000"),
    Label("core", 2, (2,), "brain", "#00ff00"),
    Label("liver", 5, (5,), "abdomen", "#0000ff"),
)
LABEL_MAPS = arrays(np.uint8, (3, 4, 2), elements=st.integers(0, 7))


class TestOfALabelMap:
    @given(LABEL_MAPS)
    def test_the_mask_of_a_task_is_that_of_its_values(self, label_map):
        layers = layers_of_label_map(label_map, LABELS)
        for label in LABELS:
            np.testing.assert_array_equal(layers.mask(label.name), np.isin(label_map, label.values))
        assert layers.counts() == {label.name: int(np.isin(label_map, label.values).sum()) for label in LABELS}

    @settings(deadline=None)  # SciPy is imported by the first
    @given(LABEL_MAPS)
    def test_the_box_of_a_task_holds_all_of_it_and_no_more(self, label_map):
        layers = layers_of_label_map(label_map, LABELS)
        for label in LABELS:
            start, mask = layers.boxed_mask(label.name)
            placed = np.zeros(label_map.shape, bool)
            placed[tuple(slice(a, a + n) for a, n in zip(start, mask.shape, strict=True))] = mask
            np.testing.assert_array_equal(placed, layers.mask(label.name))
            if mask.size:
                assert all(side.any() for axis in range(3) for side in np.moveaxis(mask, axis, 0)[[0, -1]])

    def test_only_what_lies_within_another_is_on_another_layer(self):
        layers = layers_of_label_map(np.zeros((2, 2, 2)), LABELS)
        assert layers.places == {"whole": (0, 1), "core": (1, 2), "liver": (0, 3)}
        assert len(layers.volumes) == 2

    def test_what_is_no_task_is_background(self):
        layers = layers_of_label_map(np.array([[[-1.0, 9.0, 300.0, 5.0]]]), LABELS)
        assert layers.volumes[0].ravel().tolist() == [0, 0, 0, 3]

    def test_many_tasks_take_two_bytes(self):
        labels = [Label(str(value), value, (value,), "", "#000000") for value in range(1, 301)]
        layers = layers_of_label_map(np.full((1, 1, 1), 300), labels)
        assert layers.volumes[0].dtype == np.uint16
        assert layers.mask("300").all()


class TestOfMasks:
    @given(st.lists(arrays(bool, (2, 3, 2)), min_size=1, max_size=6))
    def test_each_stays_as_it_is(self, masks):
        layers = layers_of_masks([(str(n), mask) for n, mask in enumerate(masks)], (2, 3, 2), len(masks))
        for number, mask in enumerate(masks):
            np.testing.assert_array_equal(layers.mask(str(number)), mask)

    def test_those_that_do_not_overlap_share_a_layer(self):
        line = np.arange(4).reshape(4, 1, 1)
        layers = layers_of_masks([("a", line < 2), ("b", line > 1), ("c", line > 2)], (4, 1, 1), 3)
        assert [place[0] for place in layers.places.values()] == [0, 0, 1]

    def test_none_is_one_empty_layer(self):
        layers = layers_of_masks([], (2, 2, 2), 0)
        assert [volume.any() for volume in layers.volumes] == [False]


class TestDice:
    @given(LABEL_MAPS, LABEL_MAPS)
    def test_is_that_of_the_masks(self, prediction, reference):
        one, other = (layers_of_label_map(label_map, LABELS) for label_map in (prediction, reference))
        for task, dice in one.dice(other).items():
            a, b = one.mask(task), other.mask(task)
            expected = 2 * (a & b).sum() / (a.sum() + b.sum()) if a.any() or b.any() else math.nan
            assert dice == pytest.approx(expected, nan_ok=True)

    def test_of_masks_against_a_label_map(self):
        label_map = np.array([[[1, 2, 5, 0]]])
        reference = layers_of_label_map(label_map, LABELS)
        overlapping = np.array([[[True, True, True, False]]])
        prediction = layers_of_masks(
            [("whole", overlapping), ("core", overlapping), ("liver", ~overlapping)], (1, 1, 4), 3
        )
        assert prediction.dice(reference) == pytest.approx({"whole": 4 / 5, "core": 2 / 4, "liver": 0})
