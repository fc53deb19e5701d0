import re

from hermes_nnunet.core.pictures.labels import Label, colour_of
from hermes_nnunet.prediction.label_table import ITK_SNAP_FILE, SLICER_FILE, write_colour_tables

LABELS = (
    Label("abdomen/left kidney", 2, (2,), "abdomen", "#ff8000"),
    Label('brain/"core"', 40, (40,), "brain", "#0102ff"),
)


class TestColours:
    def test_a_hundred_tasks_have_a_hundred(self):
        colours = [colour_of(place) for place in range(104)]
        assert len(set(colours)) == 104
        assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)


class TestTables:
    def test_itk_snap_has_index_colour_opacity_visibility_mesh_and_name(self, tmp_path):
        write_colour_tables(LABELS, tmp_path)
        lines = [line for line in (tmp_path / ITK_SNAP_FILE).read_text().splitlines() if not line.startswith("#")]
        assert [line.split(maxsplit=7) for line in lines] == [
            ["0", "0", "0", "0", "0", "0", "0", '"Clear Label"'],
            ["2", "255", "128", "0", "1", "1", "1", '"abdomen/left kidney"'],
            ["40", "1", "2", "255", "1", "1", "1", "\"brain/'core'\""],
        ]

    def test_slicer_has_index_name_without_spaces_and_colour(self, tmp_path):
        write_colour_tables(LABELS[:1], tmp_path)
        lines = [line for line in (tmp_path / SLICER_FILE).read_text().splitlines() if not line.startswith("#")]
        assert lines == ["0 background 0 0 0 0", "2 abdomen/left_kidney 255 128 0 255"]
