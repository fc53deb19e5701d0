import pytest

from hermes_nnunet.core.paper.members import paper_members, read_member_table
from hermes_nnunet.errors import HermesError
from hermes_nnunet.modalities import KNOWN_MODALITIES

HEADER = "format_version: 1\n"


@pytest.fixture
def table(tmp_path):
    """A function that reads a table from its text."""

    def read(text):
        (tmp_path / "members.yaml").write_text(HEADER + text)
        return read_member_table(tmp_path / "members.yaml")

    return read


class TestPaper:
    @pytest.mark.parametrize(
        ("name", "first", "last"),
        [
            ("lits", 0, 1), ("kits", 2, 3), ("amos_ct", 4, 18), ("amos_mr", 4, 16), ("bcv", 19, 31),
            ("structseg_oar", 32, 37), ("chaos", 38, 41), ("structseg_head_oar", 42, 63), ("mnm", 64, 66),
            ("brain_structure", 67, 69), ("autopet", 70, 70),
        ],
    )  # fmt: skip
    def test_members_take_the_rows_of_the_release(self, name, first, last):
        assert paper_members()[name].rows == tuple(range(first, last + 1))

    def test_modalities_are_in_the_order_of_the_release_and_known_to_a_merge(self):
        table = paper_members()
        assert table.modalities == ("CT", "PET", "T1", "T2", "cineMRI", "unknown")
        assert set(table.modalities) <= set(KNOWN_MODALITIES)
        assert table["chaos"].modalities == ("T1", "T2")
        assert table["amos_mr"].modalities == ("unknown",)

    def test_members_with_a_known_voxel_order_have_it_and_the_others_the_tables(self):
        table = paper_members()
        own = {"kits": "SPR", "bcv": "LAS", "autopet": "LAS"}
        assert {name: member.voxel_order for name, member in table.members.items()} == {
            name: own.get(name, "LPS") for name in table.members
        }

    def test_no_case_has_more_rows_than_in_the_papers_training(self):
        assert paper_members().most_rows == 23

    def test_amos_shares_the_tasks_of_its_ct_images_with_its_mr_images(self):
        table = paper_members()
        assert table["amos_mr"].tasks == table["amos_ct"].tasks[:13]
        assert len({task for member in table.members.values() for task in member.tasks}) == 71

    def test_a_member_that_does_not_exist_is_named_with_what_is_near(self):
        with pytest.raises(HermesError, match=r"no member 'amosct' \(did you mean 'amos_ct'\?\)"):
            paper_members()["amosct"]


class TestTables:
    def test_what_is_left_out_is_filled_in(self, table):
        read = table("members: {a: {modality: CT, labels: [x, y]}, b: {modality: PET, labels: [z]}}")
        assert read["b"].rows == (2,)
        assert (read["a"].dataset, read["a"].sampling_weight) == ("a", 1.0)
        assert read.modalities == ("CT", "PET", "unknown")
        assert (read.rows_per_case, read.most_rows, read.voxel_order) == (None, 3, "RAS")
        assert read["a"].voxel_order == "RAS"

    def test_a_member_has_the_order_of_the_table_or_its_own(self, table):
        read = table(
            "voxel_order: LPS\n"
            "members: {a: {modality: CT, labels: [x]}, b: {modality: CT, voxel_order: SPR, labels: [y]}}"
        )
        assert (read["a"].voxel_order, read["b"].voxel_order) == ("LPS", "SPR")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("members: {}", "members must be a map of names to tables"),
            ("members: {a: {modality: CT, labels: [x], weight: 2}}", r"members\.a: unknown key 'weight'"),
            ("members: {a: {modality: CT, labels: [x, x]}}", "a label stands twice"),
            ("members: {a: {modality: CT, labels: x}}", "labels must be a list of names"),
            ("members: {a: {modality: CT, tasks_of: b, labels: [x]}}", "tasks_of names 'b'"),
            (
                "members: {a: {modality: CT, labels: [x]}, b: {modality: T1, tasks_of: a, labels: [y]}}",
                "a has no label 'y' to share",
            ),
            (
                "members: {a: {modality: CT, labels: [x]}, b: {modality: T1, first_row: 0, labels: [y]}}",
                "first_row is 0, but the rows before 1 belong to members above it",
            ),
            (
                "members: {a: {modality: CT, labels: [x], voxel_order: LPL}}",
                r"members\.a\.voxel_order: voxel order 'LPL'",
            ),
            (
                "members: {a: {modality: CT, labels: [x]}}\nvoxel_order: up",
                r"members\.yaml: voxel_order: voxel order 'up'",
            ),
            (
                "members: {a: {modality: CT, labels: [x], sampling_weight: 0}}",
                r"members\.a\.sampling_weight must be a number above 0, not 0",
            ),
            (
                "members: {a: {modality: CT, labels: [x, y]}}\nrows_per_case: 1",
                "rows_per_case is 1, but a member has 2",
            ),
            ("members: {a: {modality: CT, labels: [x]}}\nmodalities: [CT]", "the last of modalities is 'CT'"),
            ("members: {a: {modality: T1, labels: [x]}}\nmodalities: [CT, unknown]", "'T1' is not among modalities"),
        ],
    )
    def test_a_mistake_is_said_in_one_line(self, table, text, message):
        with pytest.raises(HermesError, match=message) as error:
            table(text)
        assert "\n" not in str(error.value)

    def test_another_format_version_is_refused(self, tmp_path):
        (tmp_path / "members.yaml").write_text("members: {}")
        with pytest.raises(HermesError, match="has no format_version, this release reads 1"):
            read_member_table(tmp_path / "members.yaml")
