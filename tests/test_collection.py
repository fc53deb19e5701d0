import json
from dataclasses import replace

import pytest

from hermes_nnunet.collection import Case, Collection, Context, case_identifier, member_and_own_case
from hermes_nnunet.errors import HermesError


class TestBlock:
    def test_a_collection_survives_json(self, collection):
        dataset_json = json.loads(json.dumps({"hermes": collection.to_block()}))
        assert Collection.from_dataset_json(dataset_json, "Dataset900_Both") == collection

    def test_what_is_known_of_tasks_survives_json(self, collection):
        known = replace(
            collection,
            excludes={"abdomen/liver": ("brain/whole",), "brain/whole": ("abdomen/liver",)},
            absent={"brain": ("abdomen/liver", "abdomen/spleen")},
        )
        dataset_json = json.loads(json.dumps({"hermes": known.to_block()}))
        assert Collection.from_dataset_json(dataset_json, "Dataset900_Both") == known

    def test_what_cases_annotate_survives_json(self, collection):
        cases = {
            **collection.cases,
            "brain__z": Case("brain", "T1", "z", ("brain/core",)),
            "brain__u": Case("brain", "T1", "u", ()),
        }
        partly = replace(collection, cases=cases)
        again = Collection.from_dataset_json({"hermes": json.loads(json.dumps(partly.to_block()))}, "test")
        assert again == partly
        assert again.context_of("brain__z").tasks == ("brain/core",)
        assert again.labelled(["brain__x", "brain__u", "brain__z"]) == ["brain__x", "brain__z"]
        assert "annotated" not in json.dumps(collection.to_block())

    def test_a_block_of_an_earlier_release_knows_nothing_of_them(self, collection):
        block = collection.to_block()
        del block["excludes"], block["absent"]
        assert Collection.from_dataset_json({"hermes": block}, "Dataset900_Both") == collection

    @pytest.mark.parametrize(
        ("changed", "name"),
        [
            ({"excludes": {"abdomen/livre": []}}, "abdomen/livre"),
            ({"excludes": {"abdomen/liver": ["brain/hole"]}}, "brain/hole"),
            ({"absent": {"brian": []}}, "brian"),
            ({"absent": {"brain": ["abdomen/livre"]}}, "abdomen/livre"),
            ({"excludes": ["abdomen/liver"]}, "must be keys with values"),
            ({"absent": {"brain": "abdomen/liver"}}, r"absent\.brain must be a list, not 'abdomen/liver'"),
        ],
    )
    def test_names_that_there_are_not_are_told(self, collection, changed, name):
        block = {**collection.to_block(), **changed}
        with pytest.raises(HermesError, match=rf"dataset\.json of Dataset900_Both: hermes\..*{name}.*: merge its"):
            Collection.from_dataset_json({"hermes": block}, "Dataset900_Both")

    @pytest.mark.parametrize(
        "annotated", [["abdomen/liver"], ["brain/core", "brain/whole"], ["brain/core", "brain/core"], ["brain/hole"]]
    )
    def test_a_case_annotates_tasks_of_its_member_in_their_order(self, collection, annotated):
        block = collection.to_block()
        block["cases"]["brain__x"]["annotated"] = annotated
        with pytest.raises(
            HermesError, match=rf"hermes\.cases\.brain__x\.annotated must name tasks of member brain.*{annotated[0]}"
        ):
            Collection.from_dataset_json({"hermes": block}, "Dataset900_Both")

    def test_a_case_annotates_a_list_of_tasks(self, collection):
        block = collection.to_block()
        block["cases"]["brain__x"]["annotated"] = "brain/core"
        with pytest.raises(HermesError, match=r"cases\.brain__x\.annotated must be a list, not 'brain/core'"):
            Collection.from_dataset_json({"hermes": block}, "Dataset900_Both")

    def test_a_member_is_called_by_its_own_name(self, collection):
        block = json.loads(json.dumps(collection.to_block()))
        block["members"]["brain"]["name"] = "head"
        with pytest.raises(
            HermesError, match=r"^dataset\.json of x: hermes\.members\.brain says that its name is 'head': "
        ):
            Collection.from_dataset_json({"hermes": block}, "x")

    def test_a_data_set_that_was_not_merged_says_how_to_merge(self):
        with pytest.raises(
            HermesError, match=r"dataset\.json of Dataset301_X has no 'hermes' block.*hermes_nnunet merge"
        ):
            Collection.from_dataset_json({"labels": {}}, "Dataset301_X")

    def test_another_format_version_is_named(self, collection):
        block = {**collection.to_block(), "format_version": 99}
        with pytest.raises(HermesError, match="format version 99, this release reads 1"):
            Collection.from_dataset_json({"hermes": block}, "Dataset900_Both")

    def test_a_missing_key_is_named(self, collection):
        block = collection.to_block()
        del block["modalities"]
        with pytest.raises(HermesError, match=r"hermes: modalities is missing: merge its members"):
            Collection.from_dataset_json({"hermes": block}, "Dataset900_Both")


class TestContext:
    def test_context_is_that_of_the_member(self, collection):
        assert collection.context_of("brain__y") == Context(("brain/whole", "brain/core"), "T1")

    def test_an_unknown_case_is_named(self, collection):
        with pytest.raises(HermesError, match="brain__z"):
            collection.context_of("brain__z")


def test_case_identifiers_name_member_case_and_channel():
    assert case_identifier("chaos", "p01") == "chaos__p01"
    assert case_identifier("chaos", "p01", "T2") == "chaos__p01__T2"


def test_a_case_identifier_comes_apart_again():
    assert member_and_own_case(case_identifier("chaos", "p_01")) == ("chaos", "p_01")
