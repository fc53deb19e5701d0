import sys

import pytest

from hermes_nnunet.core.commands import find_commands, run_logged
from hermes_nnunet.errors import HermesError


class TestFindCommands:
    def test_finds_a_command_beside_the_interpreter(self, tmp_path):
        command = tmp_path / "tool"
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)
        assert find_commands(["tool"], tmp_path) == {"tool": str(command)}

    def test_missing_command_is_named_with_the_remedy(self, tmp_path):
        with pytest.raises(HermesError, match=rf"tool is not in {tmp_path}: run 'pip install"):
            find_commands(["tool"], tmp_path)


class TestRunLogged:
    def test_output_and_errors_go_into_the_log(self, tmp_path):
        code = "import sys; print('out'); print('err', file=sys.stderr)"
        run_logged([sys.executable, "-c", code], tmp_path / "log.txt", {})
        assert sorted((tmp_path / "log.txt").read_text().split()) == ["err", "out"]

    def test_lines_are_shown_as_they_come(self, tmp_path):
        code = "print('one'); print('two')"
        seen = []
        run_logged([sys.executable, "-c", code], tmp_path / "log.txt", {}, on_line=seen.append)
        assert seen == ["one\n", "two\n"]

    def test_command_sees_the_environment(self, tmp_path):
        code = "import os; print(os.environ['nnUNet_raw'])"
        run_logged([sys.executable, "-c", code], tmp_path / "log.txt", {"nnUNet_raw": "somewhere"})
        assert (tmp_path / "log.txt").read_text() == "somewhere\n"

    def test_failure_shows_the_last_lines_and_the_log(self, tmp_path):
        code = "print('\\n'.join(map(str, range(40)))); print('no such thing'); raise SystemExit(3)"
        with pytest.raises(HermesError) as raised:
            run_logged([sys.executable, "-c", code], tmp_path / "log.txt", {})
        message = str(raised.value)
        assert "failed with exit code 3" in message
        assert str(tmp_path / "log.txt") in message
        assert message.endswith("no such thing")
        assert message.count("\n") == 15
