"""Every code block of README and docs is run, or, where it takes a GPU or hours, checked to be a call that exists.

A shell block begins with ```bash, and is run as it stands, those of a page one after the other. With a word of MARKS
after it (invisible on the page), each of its calls is parsed by the command that it names, and nothing is run.
"""

import argparse
import ast
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from hermes_nnunet.cli import main as cli

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
LANGUAGES = {"bash", "python", "yaml"}
MARKS = {
    "gpu",  # needs a GPU, or hours without one
    "hours",
    "install",  # changes the environment
    "download",  # needs a public data set
    "browser",  # shows pages until somebody ends it
}
# What a block may call beside commands with a parser of their own.
SHELL_WORDS = {"export", "cd", "source", "pip", "srun", "sbatch", "scontrol", "head", "test", "exit"}
SEPARATORS = set("();<>|&")
PARSE_KNOWN_ARGS = argparse.ArgumentParser.parse_known_args


@dataclass(frozen=True)
class Block:
    """A code block: its page, the line where it begins, what stands after the fence, and what is in it."""

    page: Path
    line: int
    language: str
    marks: frozenset[str]
    content: str

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    blocks = []
    for token in MarkdownIt().parse(page.read_text()):
        if token.type in ("fence", "code_block"):
            language, *marks = token.info.split() or [""]
            blocks.append(Block(page, token.map[0] + 1, language, frozenset(marks), token.content))
    return blocks


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
SHELL = [block for block in BLOCKS if block.language == "bash"]


def calls_of(script: str) -> list[list[str]]:
    """The simple commands of a script, without redirections and the variables that are set before them."""
    calls = []
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= SEPARATORS:
                calls.append(words)
                # What stands after a redirection is a file.
                words = ["cd"] if set(word) <= set("<>") else []
            else:
                words.append(word)
    stripped = []
    for call in calls:
        while call and re.match(r"\w+=", call[0]):
            call = call[1:]
        stripped.append(call[1:] if call[:1] == ["srun"] else call)
    return [call for call in stripped if call]


class AcceptedError(Exception):
    """Ends a command whose parser has accepted the call, before it does anything."""


def check_call(call: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that a command exists and would accept its arguments."""
    command, *arguments = call
    if command == "dask":
        check_dask(arguments)
        return
    if command in SHELL_WORDS:
        return
    if command == "make":
        targets = re.findall(r"^(\w+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
        assert {argument for argument in arguments if "=" not in argument} <= set(targets)
        return

    def parse_and_stop(parser, args=None, namespace=None):
        parsed, left = PARSE_KNOWN_ARGS(parser, args, namespace)
        if left:
            parser.error(f"unrecognized arguments: {shlex.join(left)}")
        if command == "torchrun" and parsed.module:
            check_call(["python", "-m", parsed.training_script, *parsed.training_script_args], monkeypatch)
        raise AcceptedError

    with monkeypatch.context() as patched:
        for name in ("parse_args", "parse_known_args"):  # nnU-Net's commands call either
            patched.setattr(argparse.ArgumentParser, name, parse_and_stop)
        patched.setattr(sys, "argv", call)
        if command == "python":  # a script finds the modules beside it
            patched.syspath_prepend(str((CHECKOUT / arguments[0]).parent))
        try:
            runner_of(command, arguments)()
        except AcceptedError:
            return
        except SystemExit as stopped:
            pytest.fail(f"{shlex.join(call)} is a wrong call (exit code {stopped.code})")
    pytest.fail(f"{command} has no parser")


def check_dask(arguments: list[str]) -> None:
    """Check that dask, which has another kind of parser, would accept its arguments."""
    (entry,) = [entry for entry in metadata.entry_points(group="dask_cli") if entry.name == arguments[0]]
    entry.load().make_context(entry.name, arguments[1:])


def runner_of(command: str, arguments: list[str]) -> Callable[[], object]:
    """What a command's executable calls, with sys.argv set to the call."""
    if command == "hermes_nnunet":
        return cli.main
    if command == "python":
        script = arguments[1:] if arguments[0] == "-m" else arguments
        sys.argv = script
        if arguments[0] == "-m":
            return lambda: runpy.run_module(script[0], run_name="__main__")
        return lambda: runpy.run_path(str(CHECKOUT / script[0]), run_name="__main__")
    entries = {entry.name: entry for entry in metadata.entry_points(group="console_scripts")}
    assert command in entries, f"there is no command {command}"
    return entries[command].load()


class TestEveryBlock:
    @pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
    def test_says_what_it_is(self, block):
        assert block.language in LANGUAGES, "indented, or without a language after ```"
        assert block.marks <= (MARKS if block.language == "bash" else set())

    @pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "yaml"], ids=lambda block: block.place)
    def test_of_yaml_is_read(self, block):
        assert isinstance(yaml.safe_load(block.content), dict)

    @pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=lambda block: block.place)
    def test_of_python_imports_what_there_is(self, block):
        for node in ast.walk(ast.parse(block.content)):
            if isinstance(node, ast.ImportFrom):
                assert all(hasattr(import_module(node.module), alias.name) for alias in node.names)


class TestShellBlocks:
    @pytest.mark.parametrize("block", SHELL, ids=lambda block: block.place)
    def test_call_commands_and_options_that_exist(self, block, monkeypatch):
        calls = calls_of(block.content)
        assert calls
        for call in calls:
            check_call(call, monkeypatch)

    @pytest.mark.parametrize(
        "page",
        [page for page in PAGES if any(b.page == page and not b.marks for b in SHELL)],
        ids=lambda page: page.name,
    )
    def test_can_be_run_one_after_the_other(self, page, environment, tmp_path):
        if shutil.which("hermes_nnunet", path=environment["PATH"]) is None:
            pytest.skip("hermes_nnunet is not installed")
        for block in SHELL:
            if block.page == page and not block.marks:
                done = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", block.content],
                    env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                )  # fmt: skip
                assert done.returncode == 0, f"{block.place}\n{block.content}\n{done.stdout}"


class TestThisTest:
    def test_tells_the_calls_of_a_script(self):
        script = "A=1 tool -x 'a b' > file | head -n 1 && \\\n  other --y  # a comment\nfirst=$(tool --list)\nsrun go"
        assert calls_of(script) == [
            ["tool", "-x", "a b"],
            ["cd", "file"],
            ["head", "-n", "1"],
            ["other", "--y"],
            ["tool", "--list"],
            ["go"],
        ]

    @pytest.mark.parametrize(
        "wrong",
        [
            "hermes_nnunet merge 301:CT --nonsense",
            "hermes_nnunet nonsense",
            "nnUNetv2_train 900 3d_fullres",
            "nnUNetv2_train 900 3d_fullres 0 --nonsense",
            "torchrun --nonsense -m hermes_nnunet.train 900 3d_fullres 0",
            "torchrun -m hermes_nnunet.train 900 3d_fullres 0 --nonsense",
            "nnUNetv2_preprocess -d 900 --nonsense",
            "nnUNetv2_nonsense",
            "make nonsense",
            "python benchmarks/head_and_heart.py SOURCE",
        ],
    )
    def test_finds_wrong_calls(self, wrong, monkeypatch):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            check_call(shlex.split(wrong), monkeypatch)
