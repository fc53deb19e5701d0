"""What a schema refuses, and how it says so."""

from dataclasses import dataclass, field
from typing import Annotated

import pytest
from pydantic import Field

from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import check_file_name
from hermes_nnunet.schema import OURS, Flag, Measure, Number, Text, Whole, checked, checked_by, must_be, versioned


@dataclass(frozen=True)
class Organ:
    name: Annotated[Text, checked_by(check_file_name, "organ")]
    values: tuple[Whole, ...]
    weight: Number = 1.0
    dice: Measure | None = None
    hidden: Flag = False

    __pydantic_config__ = OURS


@dataclass(frozen=True)
class Atlas:
    organs: dict[Text, Organ]
    spacing: Annotated[list[Number], Field(min_length=3, max_length=3)]
    order: Annotated[Text | list[Text], must_be("a word or a list of words")] = "RAS"
    notes: list[Text] = field(default_factory=list)

    __pydantic_config__ = OURS


VALID = {"organs": {"liver": {"name": "liver", "values": [1, 2]}}, "spacing": [1, 1.5, 2]}


def read(**changes) -> Atlas:
    return checked(Atlas, {**VALID, **changes}, "atlas.json", "draw it again")


def organ(**changes) -> dict:
    return {"organs": {"liver": {"name": "liver", "values": [1, 2], **changes}}}


def test_valid_content_becomes_the_class():
    assert read(notes=["x"]) == Atlas({"liver": Organ("liver", (1, 2))}, [1, 1.5, 2], notes=["x"])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (organ(values=[1, "2"]), "organs.liver.values[1] must be a whole number, not '2'"),
        (organ(values=[1, True]), "organs.liver.values[1] must be a whole number, not True"),
        (organ(values=[1, 2.0]), "organs.liver.values[1] must be a whole number, not 2.0"),
        (organ(values=3), "organs.liver.values must be a list, not 3"),
        (organ(weight="1"), "organs.liver.weight must be a number, not '1'"),
        (organ(weight=float("nan")), "organs.liver.weight must be a finite number, not nan"),
        (organ(weight=float("-inf")), "organs.liver.weight must be a finite number, not -inf"),
        (organ(hidden=1), "organs.liver.hidden must be true or false, not 1"),
        (
            organ(wieght=2),
            "organs.liver: unknown key 'wieght' (did you mean 'weight'?): the keys here are name, values,",
        ),
        ({"organs": {"liver": {"values": [1]}}}, "organs.liver: name is missing: draw it again"),
        ({"organs": {"liver": [1]}}, "organs.liver must be keys with values, not [1]"),
        ({"organs": {"a.b\x07": 1}}, "organs: a key must be text without control characters, not 'a.b\\x07'"),
        ({"organs": 5}, "organs must be keys with values, not 5"),
        ({"spacing": [1, 2]}, "spacing"),
        ({"order": ["a", 1]}, "order must be a word or a list of words, not ['a', 1]"),
        ({"notes": ["a\nb"]}, "notes[0] must be text without control characters, not 'a\\nb'"),
        ({"order": "x" * 5000 + "\n"}, "order must be a word or a list of words, not 'xxxxx"),
    ],
)
def test_another_content_is_one_line_with_its_place_value_and_remedy(changes, line):
    with pytest.raises(HermesError) as error:
        read(**changes)
    message = str(error.value)
    assert message.startswith(f"atlas.json: {line}")
    assert message.endswith("draw it again")
    assert len(message) < 300
    assert "\n" not in message


def test_a_line_of_ours_keeps_its_own_remedy():
    with pytest.raises(HermesError) as error:
        read(**organ(name="../x"))
    assert str(error.value) == (
        "atlas.json: organs.liver.name: organ '../x' is a path, so it cannot be part of a file's name: give it another "
        "name"
    )


def test_a_measure_may_be_undefined():
    assert str(read(**organ(dice=float("nan"))).organs["liver"].dice) == "nan"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ([], "x.json: atlas must be keys with values, not []: again"),
        (VALID, "x.json: atlas has no format_version, this release reads 3: again"),
        ({**VALID, "format_version": 4}, "x.json: atlas has format version 4, this release reads 3: again"),
        ({**VALID, "format_version": "3"}, "x.json: atlas has format version '3', this release reads 3: again"),
        ({**VALID, "format_version": 3, "spacing": 1}, "x.json: atlas.spacing must be a list, not 1: again"),
    ],
)
def test_another_version_is_told(content, line):
    with pytest.raises(HermesError) as error:
        versioned(Atlas, content, 3, "x.json", "again", inside="atlas")
    assert str(error.value) == line


def test_true_is_no_version():
    with pytest.raises(HermesError, match="has format version True"):
        versioned(Atlas, {**VALID, "format_version": True}, 1, "x.json", "again")
