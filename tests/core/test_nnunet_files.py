from hermes_nnunet.collection import Collection
from hermes_nnunet.core.nnunet_files import without_cases


def test_a_dataset_json_without_its_cases_is_one_still(dataset_json):
    dataset_json["dataset"] = {"abdomen__a": {"images": ["a_0000.nii.gz"], "label": "a.nii.gz"}}
    whole = Collection.from_dataset_json(dataset_json, "whole")
    left = without_cases(dataset_json)
    assert "dataset" not in left
    assert left["labels"] == dataset_json["labels"]
    collection = Collection.from_dataset_json(left, "left")
    assert (collection.tasks, collection.members, collection.cases) == (whole.tasks, whole.members, {})
    assert dataset_json["hermes"]["cases"]


def test_so_is_one_of_plain_nnunet():
    assert without_cases({"labels": {}, "dataset": {}}) == {"labels": {}}
