"""What docs/architecture.md says of rooms, and of where to add what."""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ROOMS = {folder.parent.name for folder in (CHECKOUT / "hermes_nnunet").glob("*/__init__.py")}


def rows(heading: str) -> list[list[str]]:
    """Cells of the table under a heading, without its head."""
    page = (CHECKOUT / "docs" / "architecture.md").read_text()
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    table = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in table[2:]]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_it_has_every_room_and_no_other():
    assert {code(row[0])[0] for row in rows("Rooms")} == ROOMS
    assert len(ROOMS) <= 10


def test_the_rooms_stand_in_the_order_of_imports():
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    contracts = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "rooms")
    height = {name: number for number, layer in enumerate(layers) for name in layer.split(" | ")}
    heights = [height[code(row[0])[0]] for row in rows("Rooms")]
    assert heights == sorted(heights)


def test_every_room_says_what_it_may_import_and_hands_out():
    for room in sorted(ROOMS):
        docstring = " ".join((CHECKOUT / "hermes_nnunet" / room / "__init__.py").read_text().split())
        assert "May import" in docstring, room
        assert "Hands out" in docstring or "Nobody imports it" in docstring, room


def test_the_steps_of_a_case_are_files():
    files = [code(row[1])[0] for row in rows("The way of a case")]
    assert len(files) == 10
    assert [file for file in files if not (CHECKOUT / file).is_file()] == []


@pytest.mark.parametrize("row", rows("Where to add"), ids=lambda row: row[0])
def test_where_to_add(row):
    """The files are there, and the names that the row gives are in one of them."""
    words = [word for cell in row[1:] for word in code(cell) if not word.startswith("-")]
    files = [CHECKOUT / word for word in words if "/" in word]
    assert files
    assert [file for file in files if not file.is_file()] == []
    sources = [file.read_text() for file in files]
    for word in words:
        if "/" not in word:
            searched = word.removesuffix("...").strip()
            assert any(re.search(rf"\b{re.escape(searched)}", source) for source in sources), word
