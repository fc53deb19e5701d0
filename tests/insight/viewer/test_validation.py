import json

import pytest

from hermes_nnunet.core.viewer.scene import REFERENCE
from hermes_nnunet.errors import HermesError
from hermes_nnunet.insight.report.trained_model import read_trained_model
from hermes_nnunet.insight.viewer.cases import read_scene
from hermes_nnunet.insight.viewer.validation import cases_of_validation


def test_worst_cases_come_first(model, raw):
    cases = cases_of_validation(read_trained_model(model), raw)
    # Means of what is defined: 0.375, 0.375, 1.
    assert [case.name for case in cases] == ["abdomen__a", "brain__y", "abdomen__c"]
    assert cases[0].dice == {"liver": 0.5, "spleen": 0.25}


def test_cases_without_a_defined_dice_come_last(model, raw):
    summary = model / "fold_0" / "validation" / "summary.json"
    content = json.loads(summary.read_text())
    for metrics in content["metric_per_case"][0]["metrics"].values():
        metrics["Dice"] = float("nan")
    summary.write_text(json.dumps(content))
    assert [case.name for case in cases_of_validation(read_trained_model(model), raw)][-1] == "abdomen__a"


def test_prediction_and_reference_are_of_the_members_tasks(model, raw):
    case = cases_of_validation(read_trained_model(model), raw)[1]
    scene = read_scene(case)
    assert scene.notes == ()
    assert [label.name for label in scene.labels] == ["whole", "core"]
    assert scene.image is not None
    assert scene.segmentations[REFERENCE].counts() == {"whole": 54, "core": 27}
    assert scene.dice == {"whole": 0.125, "core": 0.625}
    assert scene.modality == "T1"


def test_cases_that_the_training_saw_say_so(model, raw):
    (model / "fold_0").rename(model / "fold_all")
    for case in cases_of_validation(read_trained_model(model), raw):
        assert case.notes == ('The training saw this case (fold "all"): its Dice tells nothing of new images.',)


def test_cases_that_another_checkpoint_has_segmented_name_it(model, raw):
    summary = model / "fold_0" / "validation" / "summary.json"
    summary.write_text(json.dumps({**json.loads(summary.read_text()), "hermes_checkpoint": "checkpoint_best.pth"}))
    for case in cases_of_validation(read_trained_model(model), raw):
        assert case.notes == ("Segmented with checkpoint_best.pth.",)


def test_of_a_case_only_what_it_annotates_is_shown(model, raw):
    content = json.loads((model / "dataset.json").read_text())
    content["hermes"]["cases"]["brain__y"]["annotated"] = ["brain/core"]
    (model / "dataset.json").write_text(json.dumps(content))
    (case,) = (case for case in cases_of_validation(read_trained_model(model), raw) if case.name == "brain__y")
    scene = read_scene(case)
    assert [label.name for label in scene.labels] == ["core"]
    assert scene.segmentations[REFERENCE].counts() == {"core": 27}
    assert scene.dice == {"core": 0.625}


def test_an_image_that_is_gone_leaves_the_rest(model, raw):
    for image in raw.glob("Dataset_brain/imagesTr/*"):
        image.unlink()
    scene = read_scene(cases_of_validation(read_trained_model(model), raw)[1])
    assert "brain__y_0000.nii.gz" in scene.notes[0]
    assert scene.image is None


def test_a_model_without_validation_says_what_to_run(model, raw):
    (model / "fold_0" / "validation" / "summary.json").unlink()
    with pytest.raises(HermesError, match="has no validation to see: run it with nnUNetv2_train"):
        cases_of_validation(read_trained_model(model), raw)
