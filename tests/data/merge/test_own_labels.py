import pytest

from hermes_nnunet.data.merge.own_labels import OwnLabel, OwnLabels, read_own_labels
from hermes_nnunet.errors import HermesError


def read(labels: object, order: object = None) -> OwnLabels:
    return read_own_labels({"labels": labels, "regions_class_order": order}, "x/dataset.json")


class TestRead:
    def test_gives_every_label_its_values(self):
        assert read({"background": 0, "a": 2, "b": [1]}) == OwnLabels(
            (OwnLabel("a", (2,), 2), OwnLabel("b", (1,), 1)), ignore=None
        )

    def test_gives_regions_the_value_that_marks_them(self):
        labels = read({"background": 0, "whole": [3, 1, 2], "core": 2, "ignore": 4}, [3, 2])
        assert labels.labels == (OwnLabel("whole", (1, 2, 3), 3), OwnLabel("core", (2,), 2))
        assert labels.known_values == {0, 1, 2, 3, 4}

    @pytest.mark.parametrize(
        ("labels", "order", "message"),
        [
            (None, None, "has no labels"),
            ({"a": 1}, None, "does not declare background as 0"),
            ({"background": 1, "a": 2}, None, "does not declare background as 0"),
            ({"0": "background", "1": "a"}, None, "does not declare background as 0"),
            ({"background": 0, "a": "1"}, None, "label a is '1': give whole numbers from 1 to 65535"),
            ({"background": 0, "a": 0}, None, "label a is 0: give whole numbers"),
            ({"background": 0, "a": 1.5}, None, "label a is 1.5: give whole numbers"),
            ({"background": 0, "a": 65536}, None, "label a is 65536: give whole numbers"),
            ({"background": 0, "a": []}, None, r"label a is \[\]: give whole numbers"),
            ({"background": 0, "a": 1, "b": 1}, None, "labels a and b are both 1"),
            ({"background": 0, "a": [1, 2], "b": [2, 1]}, [1, 2], r"labels a and b are both \[1, 2\]"),
            ({"background": 0, "a": [1, 2]}, None, "has regions, so regions_class_order must list one value"),
            ({"background": 0, "a": [1, 2], "b": 1}, [1], "has regions, so regions_class_order must list one value"),
            ({"background": 0, "a": [1, 2]}, [3], "regions_class_order marks a with 3, which is none of its values"),
            ({"background": 0, "a": 1, "ignore": 1}, None, "label a holds the ignore value 1"),
            ({"background": 0, "a": 1, "ignore": [2]}, None, r"ignore is \[2\]: it must be one value"),
        ],
    )
    def test_refuses_what_cannot_be_told_apart(self, labels, order, message):
        with pytest.raises(HermesError, match=rf"^x/dataset\.json.*{message}"):
            read(labels, order)
