"""What damages a valid file: at random, but the same for the same seed."""

import copy
import json
import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import yaml

ODD_VALUES = (
    None,
    True,
    False,
    0,
    -1,
    1,
    65536,
    10**30,
    2.5,
    math.nan,
    math.inf,
    "",
    " ",
    "x",
    "1",
    "others",
    "../../x",
    "/etc/passwd",
    "a\0b",
    "a\nb",
    "\x1b[31m",
    "\ud800",
    "x" * 300,
    [],
    {},
    [[]],
    [None],
    {"": ""},
    {"x": {"x": {}}},
    [1, 2, 3],
    [2, 1],
    ["x", "x"],
)
LONG_NUMBER = "9" * 5000
_DEEP = 5000


def places(content: Any) -> Iterator[tuple[Any, Any]]:
    """(table or list, key or index) of everything in it."""
    if isinstance(content, dict | list):
        for key, value in list(content.items() if isinstance(content, dict) else enumerate(content)):
            yield content, key
            yield from places(value)


def mutated_content(content: Any, random: Random) -> Any:
    """A copy in which one to three places hold something else, are gone, or have another name."""
    content = copy.deepcopy(content)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        all_places = list(places(content))
        if not all_places:
            return random.choice(ODD_VALUES)
        parent, key = random.choice(all_places)
        change = random.choice((_replace, _replace, _replace, _remove, _rename, _wrap, _repeat, _swap))
        change(parent, key, content, random)
    return content if random.random() < 0.98 else random.choice(ODD_VALUES)


def _replace(parent: Any, key: Any, content: Any, random: Random) -> None:
    parent[key] = copy.deepcopy(random.choice(ODD_VALUES))


def _remove(parent: Any, key: Any, content: Any, random: Random) -> None:
    del parent[key]


def _rename(parent: Any, key: Any, content: Any, random: Random) -> None:
    if isinstance(parent, dict):
        word = random.choice([value for value in ODD_VALUES if isinstance(value, str)])
        parent[random.choice((word, f"{key}s", str(key)[:-1]))] = parent.pop(key)


def _wrap(parent: Any, key: Any, content: Any, random: Random) -> None:
    parent[key] = random.choice(([parent[key]], {"x": parent[key]}, str(parent[key])))


def _repeat(parent: Any, key: Any, content: Any, random: Random) -> None:
    if isinstance(parent, list):
        parent.append(copy.deepcopy(parent[key]))
    else:
        parent[f"{key}2"] = copy.deepcopy(parent[key])


def _swap(parent: Any, key: Any, content: Any, random: Random) -> None:
    """What stands at another place stands here as well."""
    other, other_key = random.choice(list(places(content)))
    parent[key] = copy.deepcopy(other[other_key])


def mutated_bytes(data: bytes, random: Random) -> bytes:
    """Another file: cut, with other bytes in it, in another encoding, or none of this format."""
    position = random.randrange(len(data) + 1)
    changes: tuple[Callable[[], bytes], ...] = (
        lambda: data[:position],
        lambda: data[position:],
        lambda: data[:position] + random.randbytes(3) + data[position + 3 :],
        lambda: data[:position] + bytes([random.choice(b"{}[]:,\"'&*!#-\n\t 0e.\\")]) + data[position:],
        lambda: data[:position] + data[position + random.randrange(1, 20) :],
        lambda: data + data,
        lambda: data.replace(random.choice((b"1", b"0")), random.choice((LONG_NUMBER.encode(), b"NaN", b"1e999")), 1),
        lambda: b"\xef\xbb\xbf" + data,
        lambda: data.decode().encode("utf-16"),
        lambda: data.decode().encode("utf-16-be"),
        lambda: data + b"\0",
        lambda: b"[" * _DEEP,
        lambda: b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
        lambda: b"",
        lambda: random.randbytes(100),
    )
    return random.choice(changes)()


def mutated_json(content: Any, random: Random) -> bytes:
    """A damaged JSON file of this content."""
    data = json.dumps(content).encode()
    return (
        mutated_bytes(data, random) if random.random() < 0.3 else json.dumps(mutated_content(content, random)).encode()
    )


def mutated_yaml(content: Any, random: Random) -> bytes:
    """A damaged YAML file of this content."""
    is_text = random.random() < 0.5
    if is_text:
        return mutated_bytes(yaml.safe_dump(content).encode(), random)
    return yaml.safe_dump(mutated_content(content, random)).encode()


def damaged_bytes(data: bytes, random: Random, *, beginning: int) -> bytes:
    """A binary file that is cut, or in which some bytes are others, most of them in its beginning: the header."""
    damaged = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        position = random.randrange(min(beginning, len(damaged)) if random.random() < 0.8 else len(damaged))
        size = random.choice((1, 2, 4, 8))
        damaged[position : position + size] = random.choice(
            (random.randbytes(size), bytes(size), b"\xff" * size, b"\x7f" * size)
        )
    return bytes(damaged[: random.randrange(len(damaged))] if random.random() < 0.1 else damaged)


def exploding_yaml(levels: int = 12) -> str:
    """A few hundred bytes of YAML that stand for 9 ** levels entries."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)
