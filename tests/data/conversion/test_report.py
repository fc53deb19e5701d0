import io

from rich.console import Console

from hermes_nnunet.data.conversion.report import print_converters, print_result, result_lines


class TestResultLines:
    def test_say_what_was_done(self, toy, toy_source, lists, converted):
        toy_source.image("test/t1.nii.gz")
        result = converted(toy(lists=lists)).result
        assert result_lines(result) == [
            f"A toy -> {result.folder}",
            "training: 3 cases, the fold of the lists (fold 0: 2 train, 1 val)",
            "test: 2 cases, 1 with labels",
            "written now: 5 cases, before: 0",
        ]

    def test_say_what_to_look_at(self, toy, toy_source, lists, converted, affines):
        off = affines["oblique"] + 0
        off[0, 3] += 5e-4
        toy_source.label("a1_seg.nii.gz", [0, 2], off)
        toy_source.label("a2_seg.nii.gz", [0, 3])
        toy_source.image("z9.nii.gz")
        toy_source.label("z9_seg.nii.gz", [0, 2])
        (toy_source.path / "c1.nii.gz").unlink()
        (toy_source.path / "c1_seg.nii.gz").unlink()
        result = converted(toy(lists=lists, notes=("a note of this set",)), skip_broken=True).result
        assert result_lines(result)[3:] == [
            "written now: 2 cases, before: 0",
            "header of the label mended in 1 cases: a1",
            "left out, because the lists do not name them: 1 cases: z9 (--all-training takes them)",
            "warning: 1 of 4 published cases are missing in the source: c1",
            "a note of this set",
            f"left out: a2: {toy_source.path / 'a2_seg.nii.gz'} holds the values 3, known are 0, 2, 7, 9",
        ]

    def test_are_printed_a_line_each(self, toy, toy_source, converted):
        result = converted(toy()).result
        console = Console(width=20, record=True, file=io.StringIO())
        print_result(result, console)
        assert console.export_text().splitlines() == result_lines(result)


class TestPrintConverters:
    def test_shows_all_facts_in_80_columns(self, toy):
        console = Console(width=80, record=True, file=io.StringIO())
        print_converters([toy(modalities=("T1", "T2"), cases=None)], console)
        text = console.export_text()
        for fact in ("toy", "T1", "T2", "A toy, 1", "labels: spleen, liver", "home: https://example.org", "CC0"):
            assert fact in text
        assert all(len(line) <= 80 for line in text.splitlines())
