"""What the pages say of files and keys."""

import argparse
import inspect
import re
from pathlib import Path

import pytest

from hermes_nnunet.cli.parser import COMMANDS, build_parser
from hermes_nnunet.networks.hermes_medformer import HermesMedFormer
from hermes_nnunet.networks.hermes_resunet import HermesResUNet
from hermes_nnunet.networks.hermes_unet import HermesUNet
from hermes_nnunet.networks.paper_network import PaperNetwork

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
# What is named by its path in the checkout.
FOLDERS = ("hermes_nnunet", "trainers", "planners", "dataset_converters", "benchmarks", "tests")


@pytest.fixture(scope="module")
def words_of_plans() -> set[str]:
    """All that docs/plans.md writes as code."""
    return set(re.findall(r"`([^`\n]+)`", (CHECKOUT / "docs" / "plans.md").read_text()))


class TestLinks:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_to_files_lead_somewhere(self, page):
        targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
        files = {target.partition("#")[0] for target in targets if not re.match(r"https?://|#", target)}
        assert [file for file in files if not (page.parent / file).exists()] == []

    def test_of_readme_reach_every_page(self):
        readme = (CHECKOUT / "README.md").read_text()
        assert [page.name for page in PAGES[1:] if f"({page.relative_to(CHECKOUT)})" not in readme] == []


class TestNamedFiles:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_of_the_code_are_there(self, page):
        named = re.findall(rf"`((?:{'|'.join(FOLDERS)})(?:/[\w./]*)?)`", page.read_text())
        assert [file for file in named if not (CHECKOUT / file).exists()] == []


class TestPlans:
    def test_every_key_of_the_block_is_explained(self, plans, words_of_plans):
        block = plans["hermes"]
        keys = {*block, *block["context"], *(key for member in block["members"].values() for key in member)}
        assert keys - words_of_plans == set()

    @pytest.mark.parametrize("network", [HermesUNet, HermesResUNet, HermesMedFormer])
    def test_every_argument_of_a_network_is_explained(self, network, words_of_plans):
        methods = [network.__init__, *([network.build] if issubclass(network, PaperNetwork) else [])]
        arguments = {name for method in methods for name in inspect.signature(method).parameters}
        arguments -= {"self", "sizes", "pools"}  # what `__init__` gives `build`
        assert arguments - words_of_plans == set()

    def test_every_planner_and_its_plans_are_named(self):
        page = (CHECKOUT / "docs" / "plans.md").read_text()
        for module in (CHECKOUT / "planners").glob("*.py"):
            names = re.findall(r'^class (\w+)|plans_name = "(\w+)"', module.read_text(), re.MULTILINE)
            assert [name for pair in names for name in pair if name and name not in page] == []


class TestCommands:
    @pytest.fixture(scope="class")
    def text(self) -> str:
        return "\n".join(page.read_text() for page in PAGES)

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_is_named(self, text, name):
        assert re.search(rf"hermes_nnunet {name}\b", text)

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_option_is_named(self, text, name):
        """By one of its spellings, as `-o` or `--output`."""
        subparsers = next(
            action for action in build_parser([name])._actions if isinstance(action, argparse._SubParsersAction)
        )
        options = [action.option_strings for action in subparsers.choices[name]._actions if action.option_strings]
        assert len(options) > 1
        undocumented = [
            "/".join(spellings)
            for spellings in options
            if "-h" not in spellings
            and not any(re.search(rf"(?<![\w-]){re.escape(spelling)}(?![\w-])", text) for spelling in spellings)
        ]
        assert undocumented == []
