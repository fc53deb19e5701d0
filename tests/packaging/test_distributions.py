"""What `python -m build` makes of the checkout."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
import yaml

import hermes_nnunet
from hermes_nnunet.plugin.points import PLUGIN_POINTS

pytest.importorskip("build", reason="needs the package 'build'")
pytest.importorskip("setuptools", minversion="77", reason="an older one knows no licence expressions")

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parents[2]
# A checkout holds more than sources: environments, caches, what `make demo` writes.
SOURCES = (
    "hermes_nnunet", "trainers", "planners", "dataset_converters", "docs", "tests",
    "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CITATION.cff", "Makefile",
)  # fmt: skip


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> Path:
    """Folder with an sdist of the checkout, and the wheel that is built of this sdist; nothing is downloaded."""
    source = tmp_path_factory.mktemp("build") / "source"
    source.mkdir()
    for name in SOURCES:
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(CHECKOUT / name, source)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", source.parent, source]
    done = subprocess.run(command, cwd=source.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "SetuptoolsDeprecationWarning" not in done.stdout + done.stderr
    return source.parent


@pytest.fixture(scope="module")
def wheel(distributions) -> zipfile.ZipFile:
    (path,) = distributions.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_string(wheel.read(name).decode())


def modules(folder: str) -> set[str]:
    """Paths of a folder's modules and data in the checkout."""
    kinds = {".py", ".yaml", ".json", ".html", ".typed"}
    paths = (CHECKOUT / folder).rglob("*")
    return {path.relative_to(CHECKOUT).as_posix() for path in paths if path.suffix in kinds or path.name == "py.typed"}


class TestSdist:
    def test_holds_all_that_the_wheel_is_built_of(self, distributions):
        (path,) = distributions.glob("*.tar.gz")
        with tarfile.open(path) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        wanted = {"pyproject.toml", "setup.py", "README.md", "LICENSE", "CITATION.cff", "docs/demo.png"}
        wanted |= modules("hermes_nnunet") | modules("trainers") | modules("planners") | modules("dataset_converters")
        assert wanted - names == set()
        assert not [name for name in names if "__pycache__" in name]


class TestWheel:
    def test_holds_every_module_at_its_place(self, wheel):
        names = set(wheel.namelist())
        assert {name for name in modules("hermes_nnunet") if "/plugin/" not in name} - names == set()
        for point in PLUGIN_POINTS:
            installed = {f"{point.package.replace('.', '/')}/{Path(name).name}" for name in modules(point.folder)}
            assert installed - names == set()

    def test_holds_nothing_else(self, wheel):
        kinds = {name.partition("/")[0] for name in wheel.namelist()}
        assert kinds == {"hermes_nnunet", "nnunetv2", f"hermes_nnunet-{hermes_nnunet.__version__}.dist-info"}

    def test_overwrites_no_file_of_nnunet(self, wheel):
        own = {point.package.replace(".", "/") for point in PLUGIN_POINTS}
        foreign = {str(Path(name).parent) for name in wheel.namelist() if name.startswith("nnunetv2/")}
        assert foreign == own

    def test_is_typed_and_licensed(self, wheel):
        names = wheel.namelist()
        assert "hermes_nnunet/py.typed" in names
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


class TestMetadata:
    def test_says_who_what_and_for_which_python(self, metadata):
        assert metadata["Name"] == "hermes-nnunet"
        assert metadata["Version"] == hermes_nnunet.__version__
        assert metadata["License-Expression"] == "Apache-2.0"
        assert metadata["Author"] == "The hermes_nnunet developers"
        assert metadata["Requires-Python"] == ">=3.10"
        assert metadata["Description-Content-Type"] == "text/markdown"
        assert "Typing :: Typed" in metadata.get_all("Classifier")
        assert metadata.get_payload().startswith("# hermes_nnunet")

    def test_has_the_command(self, wheel):
        (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
        assert "hermes_nnunet = hermes_nnunet.cli.main:main" in wheel.read(name).decode()


def test_citation_names_both_papers_as_the_format_asks():
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    papers = {paper["title"].partition(":")[0]: paper for paper in citation["references"]}
    assert set(papers) == {"Training Like a Medical Resident", "nnU-Net"}
    for paper in papers.values():
        assert {"type", "authors", "title"} <= set(paper)
        assert all({"family-names", "given-names"} == set(author) for author in paper["authors"])
