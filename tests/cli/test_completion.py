import shutil
import subprocess

import pytest

from hermes_nnunet.cli import main as cli
from hermes_nnunet.cli import parser
from hermes_nnunet.cli.completion import SHELLS

# What a user types before the tab, as bash hands it to the completion function.
ASK_BASH = """
source "$1"
function=$(complete -p hermes_nnunet | sed 's/.*-F \\([^ ]*\\).*/\\1/')
shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
"$function" hermes_nnunet "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
echo "${COMPREPLY[@]}"
"""


@pytest.fixture
def script(tmp_path, capsys):
    """A function that writes a shell's script."""

    def write(shell):
        assert cli.main(["completion", shell]) == 0
        path = tmp_path / f"completion.{shell}"
        path.write_text(capsys.readouterr().out)
        return path

    return write


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_option_is_in_the_script(script, shell):
    text = script(shell).read_text()
    assert all(name in text for name in parser.COMMANDS)
    assert all(option.lstrip("-") in text for option in ("--into", "--level", "--folds", "--version"))


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_can_read_the_script(script, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    subprocess.run([shell, "-n", script(shell)], check=True)


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["hermes_nnunet", "mer"], "merge"),
        (["hermes_nnunet", "report", "--fol"], "--folds"),
        (["hermes_nnunet", "demo", "--device", "c"], "cuda cpu"),
    ],
)
def test_bash_completes_commands_options_and_choices(script, words, completed):
    done = subprocess.run(
        ["bash", "-c", ASK_BASH, "bash", script("bash"), *words], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == completed.split()


def test_another_shell_is_a_wrong_call():
    with pytest.raises(SystemExit) as stopped:
        cli.main(["completion", "dos"])
    assert stopped.value.code == 2
