import ast
from importlib import import_module
from pathlib import Path

import pytest

from hermes_nnunet.core.paper.members import paper_members
from hermes_nnunet.data.conversion import registry
from hermes_nnunet.data.conversion.registry import PACKAGE, all_converters, converter_names, find_converter
from hermes_nnunet.data.merge.structures import is_known
from hermes_nnunet.errors import HermesError

FOLDER = Path(__file__).resolve().parents[3] / "dataset_converters"


@pytest.fixture
def installed():
    """Skips where nnU-Net does not see the converters."""
    try:
        import_module(PACKAGE)
    except ModuleNotFoundError:
        pytest.skip("nnU-Net does not see the converters: run 'hermes_nnunet link'")


@pytest.mark.usefixtures("installed")
class TestConverters:
    def test_are_the_modules_of_the_folder(self):
        modules = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
        assert converter_names() == modules
        assert [converter.name for converter in all_converters()] == modules

    def test_are_there_for_every_member_of_the_paper_with_its_labels_and_lists(self):
        for name, member in paper_members().members.items():
            converter = find_converter(name)
            assert (converter.dataset, converter.labels) == (member.dataset, member.labels)
            assert converter.modalities == member.modalities
            assert converter.lists is not None

    def test_say_where_the_data_are_to_be_had(self):
        for converter in all_converters():
            assert all((converter.title, converter.home, converter.licence, converter.layout)), converter.name
            if converter.home.startswith("http"):
                assert all((converter.reference, converter.release)), converter.name

    def test_map_every_label_once(self):
        for converter in all_converters():
            written = set(converter.label_values.values())
            assert written == set(range(len(converter.labels) + 1)), converter.name

    def test_have_labels_of_which_a_merge_knows_what_they_overlap_with(self):
        for converter in all_converters():
            assert not [label for label in converter.labels if not is_known(label)], converter.name

    def test_import_heavy_libraries_only_when_used(self):
        heavy = {"torch", "nnunetv2", "SimpleITK", "pydicom", "scipy", "skimage"}
        for path in FOLDER.glob("*.py"):
            for node in ast.parse(path.read_text()).body:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) else []
                assert not {name.partition(".")[0] for name in names} & heavy, path.name

    def test_that_is_not_there_is_refused(self):
        with pytest.raises(HermesError) as error:
            find_converter("bvc")
        assert str(error.value) == (
            "there is no converter 'bvc' (did you mean 'bcv'?): 'hermes_nnunet convert --list' shows them"
        )


class TestWithoutPlugin:
    def test_says_what_to_run(self, monkeypatch):
        monkeypatch.setattr(registry, "PACKAGE", "nnunetv2.dataset_conversion.hermes_that_is_not_there")
        with pytest.raises(HermesError, match="nnU-Net does not see the converters: run 'hermes_nnunet doctor'"):
            converter_names()


@pytest.mark.usefixtures("installed")
class TestDocumentation:
    def test_has_a_row_for_every_data_set(self):
        text = (FOLDER.parent / "docs" / "converters.md").read_text()
        rows = [
            line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| name", "| opt"))
        ]
        rows = rows[: next(index for index, row in enumerate(rows) if row.startswith("| `"))]
        assert rows == [
            f"| {converter.name} | {converter.title} | {', '.join(converter.modalities)} | {converter.cases or ''} | "
            f"{len(converter.labels) or ''} | {converter.licence} |"
            for converter in all_converters()
        ]
