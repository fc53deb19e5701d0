"""What runs the checks for us: the workflow of the repository's host, the hooks of a commit, and make."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
MAKEFILE = (CHECKOUT / "Makefile").read_text()
WORKFLOW = yaml.safe_load((CHECKOUT / ".github" / "workflows" / "ci.yml").read_text())
HOOKS = yaml.safe_load((CHECKOUT / ".pre-commit-config.yaml").read_text())["repos"]
# The commands of a package whose name is another.
PACKAGE_OF = {
    "lint-imports": "import-linter",
    **dict.fromkeys(
        (
            "check-added-large-files", "check-executables-have-shebangs", "check-json", "check-merge-conflict",
            "check-toml", "check-yaml", "end-of-file-fixer", "mixed-line-ending", "trailing-whitespace-fixer",
        ),
        "pre-commit-hooks",
    ),
}  # fmt: skip


def recipe(target: str) -> str:
    """A target's line and its commands."""
    return re.search(rf"^{target}:.*\n(?:\t.*\n)*", MAKEFILE, re.MULTILINE).group()


class TestWorkflow:
    def test_runs_lint_tests_and_site(self):
        runs = [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]
        assert {"make lint", "make test", "make docs"} <= set(runs)

    def test_tests_the_oldest_python_that_is_promised(self):
        promised = re.search(r'requires-python = ">=([\d.]+)"', (CHECKOUT / "pyproject.toml").read_text()).group(1)
        assert WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"] == [promised, "3.13"]


class TestHooks:
    def test_download_nothing(self):
        assert [repository["repo"] for repository in HOOKS] == ["local"]
        assert {hook["language"] for hook in HOOKS[0]["hooks"]} == {"system"}

    @pytest.mark.parametrize("hook", HOOKS[0]["hooks"], ids=lambda hook: hook["id"])
    def test_use_the_tools_of_the_group(self, hook):
        tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
        group = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["dependency-groups"]["lint"]
        command = next(word for word in shlex.split(hook["entry"]) if word != "env" and "=" not in word)
        assert PACKAGE_OF.get(command, command) in {re.split(r"[~=<> ]", requirement)[0] for requirement in group}


class TestMake:
    def test_lint_looks_at_format_style_types_and_imports(self):
        text = recipe("lint") + recipe("types")
        assert [
            tool for tool in ("ruff format --check", "ruff check", "lint-imports", "mypy") if tool not in text
        ] == []

    def test_integration_lints_before_it_tests(self):
        assert re.findall(r"^make (\w+)", (CHECKOUT / ".ci" / "run").read_text(), re.MULTILINE) == ["lint", "test"]


class TestBrowserOfIntegration:
    """On machines that have none: with programs that only write down how they were called."""

    @pytest.fixture
    def integrate(self, tmp_path):
        """A function that runs .ci/run and returns the calls, and what was printed."""
        (tmp_path / ".ci").mkdir()
        shutil.copy(CHECKOUT / ".ci" / "run", tmp_path / ".ci")
        programs = tmp_path / "bin"
        programs.mkdir()
        for name in ("dirname", "timeout"):
            (programs / name).symlink_to(shutil.which(name))

        def run(user=0, variables=None, apt="", others=()):
            bodies = {"id": f"echo {user}", "make": "", "apt-get": apt, **dict.fromkeys(others, "")}
            for name, body in bodies.items():
                call = f'echo {name} "$@" >> {tmp_path}/calls'
                (programs / name).write_text(f"#!{shutil.which('bash')}\n{call}\n{body}\n")
                (programs / name).chmod(0o755)
            environment = {"PATH": str(programs), **({"CI": "true"} if variables is None else variables)}
            command = [shutil.which("bash"), tmp_path / ".ci" / "run"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            calls = (tmp_path / "calls").read_text().splitlines()
            return [call for call in calls if not call.startswith("id")], done.stdout

        return run

    def test_is_installed_by_who_may(self, integrate):
        installs = ["apt-get -qq update", "apt-get -qq install -y --no-install-recommends chromium"]
        assert integrate() == ([*installs, "make lint", "make test"], "")

    @pytest.mark.parametrize(
        "options", [{"user": 1000}, {"variables": {}}, {"others": ["chromium"]}, {"others": ["google-chrome"]}]
    )
    def test_is_left_alone_else(self, integrate, options):
        assert integrate(**options) == (["make lint", "make test"], "")

    def test_may_be_missing(self, integrate):
        calls, printed = integrate(apt="exit 100")
        assert calls == ["apt-get -qq update", "make lint", "make test"]
        assert printed == "Chromium could not be installed: the tests of the browser will be skipped\n"


def test_a_bug_report_asks_for_what_doctor_says():
    form = yaml.safe_load((CHECKOUT / ".github" / "ISSUE_TEMPLATE" / "bug_report.yml").read_text())
    doctor = next(part for part in form["body"] if part.get("id") == "doctor")
    assert "hermes_nnunet doctor" in doctor["attributes"]["label"]
    assert doctor["validations"]["required"]
