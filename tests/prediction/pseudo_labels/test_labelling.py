import numpy as np
import torch

from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.prediction.pseudo_labels.labelling import SureLabels
from hermes_nnunet.prediction.pseudo_labels.thresholds import Thresholds

LIVER, SPLEEN = Label("liver", 1, (1,), "a", "#000000"), Label("spleen", 2, (2,), "a", "#000000")
WHOLE, CORE = Label("whole", 3, (3, 4), "b", "#000000"), Label("core", 4, (4,), "b", "#000000")
SURE = Thresholds(present=1, absent=-1, precision=1, recall=1, missed=0, cases=1)
IGNORE = 9


class OnePass:
    def __init__(self, *labels):
        self.labels = labels


def labelled(logits, thresholds=None):
    """The values of a row of voxels, given the logits of each label there."""
    labels = {label.name: label for label in (LIVER, SPLEEN, WHOLE, CORE)}
    shown = [labels[name] for name in logits]
    sure = SureLabels([OnePass(*shown)], thresholds or dict.fromkeys(logits, SURE))
    for label in shown:
        sure.take(label, torch.tensor(logits[label.name], dtype=torch.float16)[None, None])
    return sure.label_map({1: 1, 2: 2, 3: 3, 4: 4}, IGNORE)[0, 0].tolist()


def test_a_voxel_is_labelled_where_the_model_is_sure_background_where_sure_of_nothing_and_else_ignored():
    assert labelled({"liver": [2.0, 0.5, -0.5, -2.0, -np.inf]}) == [1, IGNORE, IGNORE, 0, 0]


def test_the_surer_task_wins_and_one_that_loses_does_not_count():
    assert labelled({"liver": [2.0, 3.0, 2.0], "spleen": [3.0, 2.0, 0.0]}) == [2, 1, 1]


def test_a_higher_logit_that_is_not_sure_makes_the_voxel_unsure():
    wary = Thresholds(present=5, absent=-1, precision=1, recall=1, missed=0, cases=1)
    assert labelled({"liver": [2.0, 2.0], "spleen": [3.0, 1.0]}, {"liver": SURE, "spleen": wary}) == [IGNORE, 1]


def test_where_nothing_wins_any_task_may_be_unsure():
    assert labelled({"liver": [-2.0, -2.0], "spleen": [0.0, -2.0]}) == [IGNORE, 0]


def test_regions_are_painted_in_their_order_and_sure_together():
    values = labelled({"whole": [2.0, 2.0, 2.0, 0.0, -2.0], "core": [-2.0, 0.0, 2.0, -2.0, -2.0]})
    assert values == [3, IGNORE, 4, IGNORE, 0]


def test_tasks_without_thresholds_say_nothing():
    assert labelled({"liver": [2.0, -2.0], "spleen": [5.0, 5.0]}, {"liver": SURE}) == [1, 0]
    assert labelled({"whole": [2.0, 2.0], "core": [0.0, 5.0]}, {"whole": SURE}) == [3, 3]
