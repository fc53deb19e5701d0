"""What a file must hold, and one line that says where in the file something else stands.

A schema is a type: a dataclass whose fields have the types of this module, or a pydantic model. A new key is a new
field, with a default where files of earlier releases lack it. Keys that no field names are refused where a class has
`__pydantic_config__ = OURS`, as a file of ours has no others, and let pass elsewhere, as in nnU-Net's files.
"""

import reprlib
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    AllowInfNan,
    ConfigDict,
    Field,
    GetPydanticSchema,
    Strict,
    TypeAdapter,
    ValidationError,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import did_you_mean, quoted

T = TypeVar("T")

OURS = ConfigDict(extra="forbid")
# A typed dictionary that keeps what the schema does not name.
WITH_MORE = ConfigDict(extra="allow")
VERSION_KEY = "format_version"

# Strict: "3", 3.0 and true are no whole numbers.
Text = Annotated[str, Strict(), Field(pattern=r"^[^\x00-\x1f\x7f]*$")]
Flag = Annotated[bool, Strict()]
Whole = Annotated[int, Strict(), Field(ge=-(2**63), le=2**63 - 1)]
Number = Annotated[float, Strict(), AllowInfNan(False)]
# nnU-Net writes NaN where a measure is not defined.
Measure = Annotated[float, Strict()]

_OUR_MESSAGE = "our_message"
_MUST_BE = "must_be"
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
_MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")
_WORDS = {
    "string_type": "text",
    "string_pattern_mismatch": "text without control characters",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "keys with values",
    "dataclass_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
}
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxlist, _SHORT.maxstring, _SHORT.maxother = 3, 3, 5, 60, 60


def must_be(words: str, *, parts: bool = True) -> WrapValidator:
    """A value that is not as the type says "must be" what these words say.

    Args:
        parts: also where only a part of it is wrong; else the line is about that part.
    """

    def validate(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            if not parts and any(problem["loc"] for problem in error.errors(include_url=False)):
                raise
            raise PydanticCustomError(_MUST_BE, "{words}", {"words": words}) from None

    return WrapValidator(validate)


def checked_by(check: Callable[..., object], *arguments: object) -> AfterValidator:
    """A value that `check`, which gets it and these arguments, does not refuse with a line of its own."""

    def validate(value: T) -> T:
        try:
            check(value, *arguments)
        except HermesError as error:
            raise PydanticCustomError(_OUR_MESSAGE, "{line}", {"line": str(error)}) from None
        return value

    return AfterValidator(validate)


def shaped_as(schema: Any) -> GetPydanticSchema:
    """A plain dictionary for type checkers, which must be as this schema says."""
    return GetPydanticSchema(lambda _, handler: handler(schema))


def checked(schema: type[T], content: Any, where: str, remedy: str, *, inside: str = "") -> T:
    """The content of a file as its schema has it.

    Args:
        where: the file, for messages.
        remedy: what to do about a fault.
        inside: keys that lead to the content, as in `hermes.members`.

    Raises:
        HermesError: it is something else; the line names the place in the file and the value.
    """
    try:
        return _adapter(schema).validate_python(content)
    except HermesError as error:  # of a class that checks itself
        raise HermesError(f"{where}: {error}") from None
    except ValidationError as error:
        problems = error.errors(include_url=False)
    # Who misspelt a key wants to hear of that, not of the key that is missing.
    problem = next((p for p in problems if p["type"] in _UNKNOWN_KEY), problems[0])
    line = _line(problem, content, inside, schema)
    # A line of ours has its own remedy.
    ending = "" if problem["type"] == _OUR_MESSAGE or not remedy else f": {remedy}"
    raise HermesError(f"{where}{line}{ending}")


def versioned(schema: type[T], content: Any, version: int, where: str, remedy: str, *, inside: str = "") -> T:
    """As `checked`, of content that has a format version beside what the schema names.

    Raises:
        HermesError: also where the version is not the one that this release reads.
    """
    subject = f"{where}: {inside}" if inside else where
    if not isinstance(content, Mapping):
        raise HermesError(f"{subject} must be keys with values, not {shown(content)}: {remedy}")
    found = content.get(VERSION_KEY)
    if found != version or isinstance(found, bool):
        has = f"has format version {shown(found)}" if VERSION_KEY in content else f"has no {VERSION_KEY}"
        raise HermesError(f"{subject} {has}, this release reads {version}: {remedy}")
    own = {key: value for key, value in content.items() if key != VERSION_KEY}
    return checked(schema, own, where, remedy, inside=inside)


def shown(value: Any) -> str:
    """A value within a message, whatever its size."""
    return _SHORT.repr(value)


# Any, for types are no Hashable to mypy.
_adapter: Any = cache(TypeAdapter)


def _line(problem: Mapping[str, Any], content: Any, inside: str, schema: Any) -> str:
    kind, location = problem["type"], problem["loc"]
    key = location[-1] if location else ""
    if is_of_key := key == "[key]":
        *location, key, _ = location
    elif kind in (*_UNKNOWN_KEY, *_MISSING):
        *location, _ = location
    path, value = _place(location, content, inside)
    at = f": {path}" if path else ""
    if kind == _OUR_MESSAGE:
        return f"{at}: {problem['ctx']['line']}"
    if kind in _UNKNOWN_KEY:
        known = _keys_at(schema, location)
        return f"{at}: unknown key {quoted(key)}{did_you_mean(key, known)}: the keys here are {', '.join(known)}"
    if kind in _MISSING:
        return f"{at}: {key} is missing"
    words = problem["ctx"]["words"] if kind == _MUST_BE else _WORDS.get(kind)
    said = f"must be {words}" if words else problem["msg"].replace("Input should", "must")
    return f"{at}: a key {said}, not {shown(key)}" if is_of_key else f"{at} {said}, not {shown(value)}"


def _place(location: Sequence[int | str], content: Any, inside: str) -> tuple[str, Any]:
    """Where that is in the file, and what stands there; parts of a location that name types are no keys."""
    path = inside
    for part in location:
        if isinstance(content, Mapping) and part in content:
            name = part if isinstance(part, str) and part.isprintable() and len(part) <= 60 else quoted(part)
            path += f".{name}" if path else name
        elif isinstance(content, list | tuple) and isinstance(part, int) and part < len(content):
            path += f"[{part}]"
        else:
            continue
        content = content[part]
    return path, content


def _keys_at(schema: Any, location: Sequence[int | str]) -> list[str]:
    """Names of the fields of the class that describes this place."""
    for part in (*location, None):
        while get_origin(schema) in (Annotated, Union, types.UnionType):
            schema = next(argument for argument in get_args(schema) if argument is not type(None))
        if is_dataclass(schema):
            if part is None:
                return [field.name for field in fields(schema)]
            schema = get_type_hints(schema, include_extras=True).get(str(part), Any)
        else:
            arguments = [argument for argument in get_args(schema) if argument is not Ellipsis] or [Any]
            schema = arguments[-1]
    return []
