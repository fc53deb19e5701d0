"""The site: every page and link of it, and the docstrings of every room."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

mkdocs_config = pytest.importorskip("mkdocs.config", reason="needs mkdocs")

CHECKOUT = Path(__file__).resolve().parents[2]
ROOMS = sorted(folder.parent.name for folder in (CHECKOUT / "hermes_nnunet").glob("*/__init__.py"))


def build(folder: Path, **changes: object) -> None:
    from mkdocs.commands.build import build as build_site

    config = mkdocs_config.load_config(str(CHECKOUT / "mkdocs.yml"), site_dir=str(folder), **changes)
    config.plugins.on_startup(command="build", dirty=False)
    build_site(config)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NO_MKDOCS_2_WARNING", "1")
        build(folder)
    return folder


def test_is_built_without_a_warning(site):
    """Strict: a broken link or anchor, a page out of the navigation, an argument that does not exist is an error."""
    assert "Where things are" in (site / "index.html").read_text()


def test_has_every_page_under_its_path_in_the_checkout(site):
    pages = [*CHECKOUT.glob("docs/*.md"), CHECKOUT / "CONTRIBUTING.md", CHECKOUT / "CHANGELOG.md"]
    paths = [page.relative_to(CHECKOUT).with_suffix("") / "index.html" for page in pages]
    assert [str(path) for path in paths if not (site / path).is_file()] == []
    assert (site / "docs" / "demo.png").is_file()


@pytest.mark.parametrize("name", ["predict", "paper"])
def test_headings_between_blocks_of_code_are_headings(site, name):
    """Fences with a word of the tests behind the language would pair up otherwise, and swallow what is between."""
    source = re.sub(r"^ *```.*?^ *```$", "", (CHECKOUT / f"docs/{name}.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    page = (site / "docs" / name / "index.html").read_text()
    assert len(re.findall(r"<h2 ", page)) == len(re.findall(r"^## ", source, re.MULTILINE)) > 1


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "cli"])
def test_has_the_docstrings_of_every_room(site, room):
    page = (site / "reference" / room / "index.html").read_text()
    assert f'id="hermes_nnunet.{room}"' in page
    assert len(re.findall(rf'<h[2-6] id="hermes_nnunet\.{room}\.', page)) > 3


def test_shows_arguments_and_errors_of_the_python_interface(site):
    page = (site / "reference" / "python" / "index.html").read_text()
    assert 'id="hermes_nnunet.model.HermesModel.predict"' in page
    assert "a list of such for the channels of a case" in page
    assert 'id="hermes_nnunet.errors.HermesError"' in page


def test_holds_nothing_private(site):
    ids = re.findall(r'id="(hermes_nnunet[\w.]*)"', "".join(page.read_text() for page in site.rglob("*.html")))
    assert len(ids) > 300
    assert [name for name in ids if "._" in name] == []


@pytest.mark.parametrize("target", ["nowhere.md", "#nowhere", "/index.md"])
def test_a_broken_link_is_an_error(tmp_path, target):
    from mkdocs.exceptions import Abort

    docs = tmp_path / "docs"
    docs.mkdir()
    settings = {"docs_dir": str(docs), "hooks": [], "plugins": [], "nav": ["index.md"]}
    (docs / "index.md").write_text("# Title\n\n[there](#title)\n")
    build(tmp_path / "site", **settings)
    (docs / "index.md").write_text(f"# Title\n\n[not there]({target})\n")
    with pytest.raises(Abort):
        build(tmp_path / "site", **settings)
