import re
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

import hermes_nnunet
from hermes_nnunet.cli import main as cli
from hermes_nnunet.cli import parser
from hermes_nnunet.errors import HermesError, UsageError


@pytest.fixture
def command(monkeypatch):
    """Puts a command named `try` on the command line; its `run` is what the test sets."""
    module = SimpleNamespace(add_arguments=lambda parser: parser.add_argument("--size", type=int), run=lambda args: 0)
    commands = {"try": parser.Command("of_this_test", "try it", "hermes_nnunet try --size 3")}
    for part in (parser, cli):
        monkeypatch.setattr(part, "COMMANDS", commands)
    monkeypatch.setattr(parser, "import_module", lambda name: {"of_this_test": module}[name])
    monkeypatch.setattr(cli, "import_module", lambda name: {"of_this_test": module}[name])
    return module


def raising(error):
    def run(arguments):
        raise error

    return run


class TestExitCode:
    def test_is_that_of_the_command(self, command):
        command.run = lambda arguments: arguments.size
        assert cli.main(["try", "--size", "3"]) == 3

    def test_is_1_for_an_error_the_user_can_mend_told_in_one_line(self, command, capsys):
        command.run = raising(HermesError("x.nii.gz is empty: copy it again"))
        assert cli.main(["try"]) == 1
        assert capsys.readouterr() == ("", "hermes_nnunet: error: x.nii.gz is empty: copy it again\n")

    def test_is_2_for_a_call_that_a_command_finds_wrong(self, command, capsys):
        command.run = raising(UsageError("--level 9 is not a place"))
        assert cli.main(["try"]) == 2
        assert capsys.readouterr().err == "hermes_nnunet: error: --level 9 is not a place\n"

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (
                PermissionError(13, "Permission denied", "/data/x.nii.gz"),
                "/data/x.nii.gz: Permission denied: ask for the rights in /data, or choose another folder",
            ),
            (FileNotFoundError(2, "No such file or directory", "x.nii"), "x.nii: No such file or directory"),
            (MemoryError(), "memory ran out: end other programs, or take a machine with more"),
        ],
    )
    def test_is_1_for_a_problem_of_the_machine(self, command, capsys, error, message):
        command.run = raising(error)
        assert cli.main(["try"]) == 1
        assert capsys.readouterr().err == f"hermes_nnunet: error: {message}\n"

    def test_an_output_that_nobody_reads_on_is_no_traceback(self):
        cut = f"'{sys.executable}' -m hermes_nnunet completion bash | head -n 1"
        done = subprocess.run(["bash", "-c", cut], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        assert done.stdout.startswith("#")

    @pytest.mark.parametrize("argv", [["try", "--debug"], ["--debug", "try"]])
    def test_debug_shows_where_the_error_is_from(self, command, argv):
        command.run = raising(HermesError("x.nii.gz is empty"))
        with pytest.raises(HermesError, match=r"x\.nii\.gz is empty"):
            cli.main(argv)

    def test_is_130_after_ctrl_c(self, command):
        command.run = raising(KeyboardInterrupt())
        assert cli.main(["try"]) == 130

    def test_a_fault_of_ours_keeps_its_traceback(self, command):
        command.run = raising(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            cli.main(["try"])

    @pytest.mark.parametrize("argv", [[], ["nonsense"], ["try", "--size", "big"], ["try", "--nonsense"]])
    def test_is_2_for_a_wrong_call(self, command, argv):
        with pytest.raises(SystemExit) as stopped:
            cli.main(argv)
        assert stopped.value.code == 2


class TestHelp:
    def test_lists_every_command(self, capsys):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["--help"])
        assert stopped.value.code == 0
        printed = capsys.readouterr().out
        assert set(re.findall(r"^    ([\w-]+)\b", printed, re.MULTILINE)) >= set(parser.COMMANDS)

    @pytest.mark.parametrize("name", list(parser.COMMANDS))
    def test_of_a_command_ends_with_an_example_of_it(self, name, capsys):
        with pytest.raises(SystemExit) as stopped:
            cli.main([name, "--help"])
        assert stopped.value.code == 0
        example = capsys.readouterr().out.rpartition("example:")[2]
        assert f"hermes_nnunet {name}" in example

    def test_version_is_that_of_the_package(self, capsys):
        with pytest.raises(SystemExit):
            cli.main(["--version"])
        assert capsys.readouterr().out == f"hermes_nnunet {hermes_nnunet.__version__}\n"

    def test_comes_within_a_second_and_without_torch(self, tmp_path):
        times = []
        for _ in range(3):
            start = time.monotonic()
            imported = subprocess.run(
                [sys.executable, "-X", "importtime", "-m", "hermes_nnunet", "--help"],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=True,
            ).stderr
            times.append(time.monotonic() - start)
        assert min(times) < 1
        assert not {"torch", "nnunetv2", "rich"} & {line.split("|")[-1].strip() for line in imported.splitlines()}
