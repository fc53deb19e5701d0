"""The rule of a folder of results: what its records call finished is what they say, after any runs, kills and parts."""

import random
import time
from contextlib import suppress
from pathlib import Path

import pytest

from hermes_nnunet.core.parts import Part
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction import folder_record
from hermes_nnunet.prediction.destination import Destination
from hermes_nnunet.prediction.earlier import read_labels
from hermes_nnunet.prediction.folder_record import FinishedCase, FolderRecord
from hermes_nnunet.prediction.image_sources import FileSource
from hermes_nnunet.prediction.image_stamps import ImageStamp
from hermes_nnunet.prediction.parts import gather
from hermes_nnunet.prediction.passes import choose
from hermes_nnunet.prediction.provenance import Provenance
from hermes_nnunet.prediction.statistics import read_statistics, write_statistics
from hermes_nnunet.prediction.wishes import Wishes

CASES = "abcd"
RUNS = 12
SEQUENCES = 12


class Killed(Exception):  # noqa: N818
    """A process ends here."""


class Folder:
    """A folder of results that runs without a network write into: a file tells of what it was made."""

    def __init__(self, path: Path, choices, generator: random.Random) -> None:
        self.out, self.images, self._choices, self._random = path / "out", path / "images", choices, generator
        self.images.mkdir()
        self._steps = 0
        for case in CASES:
            self.change_image(case)

    def change_image(self, case: str) -> None:
        (self.images / f"{case}.nii.gz").write_text(f"{case} {self._random.random()}")

    def step(self) -> None:
        """What a kill may come before."""
        self._steps -= 1
        if self._steps == 0:
            raise Killed

    def stepping(self, write):
        """A function that writes, and before whose return a kill may come."""

        def write_and_step(*arguments):
            write(*arguments)
            self.step()

        return write_and_step

    def some(self, fold: str, *, part: Part | None = None, wishes: Wishes | None = None, choice: str = "abdomen"):
        """Where a run writes to, of any wishes unless they are given."""
        if wishes is None:
            kind = self._random.choice(("nifti", "nifti", "seg_nrrd"))
            wished = (self._random.random() < 0.4 for _ in range(3))
            wishes = Wishes(kind, False, *wished, statistics=self._random.random() < 0.5)
        provenance = Provenance({"0": fold}, "model", {})
        return Destination(self.out, wishes, self._choices[choice], ".nii.gz", provenance, part=part)

    def run(self, to: Destination, *, overwrite: bool = False, kill_at: int = 0, cases: str = CASES) -> list[str]:
        """A run with --continue or --overwrite; the cases that it finds finished."""
        self._steps = kill_at
        sources = [FileSource(case, (self.images / f"{case}.nii.gz",)) for case in cases]
        try:
            if to.part is None:
                gather(to.folder, overwrite=overwrite)
            else:
                sources = to.part.of(sources)
            work = to.to_do(sources, overwrite=overwrite, go_on=not overwrite)
        except HermesError:  # of other tasks
            return []
        to.open(work)
        record = FolderRecord(to, work.measured)
        for source in work.cases:
            stamp = ImageStamp.of(source.paths)
            made = self.made(to.provenance.hash, to.choice, source.name)
            for path in reversed(to.files(source.name)):
                self.step()
                path.write_text(f"{made} {path.name}")
            self.step()
            record.add(
                FinishedCase(
                    source.name, source.paths, stamp, 1.0, (), {made: {"volume_ml": 1.0, "mean_intensity": None}}
                )
            )
        record.end({})
        return [source.name for source in sources if source not in work.cases]

    def made(self, run: str, choice, case: str) -> str:
        return f"{run} {choice.labels[0].name} {(self.images / f'{case}.nii.gz').read_text()}"

    def check(self) -> None:
        """See that what the records call finished is what they say."""
        for to in (self.some("0"), self.some("1"), self.some("0", choice="brain")):
            said = read_labels(self.out)
            if said is None or not said.says_the_same(to._labels):
                continue
            measured = read_statistics(self.out)
            for case, run in said.cases.items():
                source = FileSource(case, (self.images / f"{case}.nii.gz",))
                if said.has_other_images(source):
                    continue
                made = self.made(run, to.choice, case)
                for ending in said.files[case]:
                    assert (self.out / f"{case}{ending}").read_text() == f"{made} {case}{ending}"
                assert list(measured.get(case, {made: None})) == [made]


@pytest.fixture
def choices(read_model):
    return {
        "abdomen": choose(read_model, members=["abdomen"]),
        "brain": choose(read_model, members=["brain"], modality="CT"),
    }


@pytest.mark.parametrize("seed", range(4))
def test_what_is_called_finished_is_what_the_records_say(choices, tmp_path, monkeypatch, seed):
    for number in range(SEQUENCES):
        generator = random.Random(100 * seed + number)
        (tmp_path / str(number)).mkdir()
        folder = Folder(tmp_path / str(number), choices, generator)
        with monkeypatch.context() as patched:
            patched.setattr(folder_record, "write_statistics", folder.stepping(write_statistics))
            for _ in range(RUNS):
                run_any(folder, generator)
                time.sleep(0.005)  # the order of records is that of their times
                if not list(folder.out.glob(".part-*")):
                    folder.check()
            end_whole(folder, overwrite=generator.random() < 0.3)


def run_any(folder, generator):
    part = generator.choice([None, None, Part(1, 2), Part(2, 2), Part(1, 3)])
    choice = "brain" if part is None and generator.random() < 0.15 else "abdomen"
    if generator.random() < 0.3:
        folder.change_image(generator.choice(CASES))
    to = folder.some(generator.choice("01"), part=part, choice=choice)
    kill_at = generator.choice([0, 0, generator.randrange(1, 9)])
    cases = generator.choice([CASES, CASES, "a", "bd"])
    with suppress(Killed):
        folder.run(to, overwrite=generator.random() < 0.4, kill_at=kill_at, cases=cases)


def end_whole(folder, *, overwrite):
    """A last run of all cases makes all files, and another finds them finished; unless what is there is refused."""
    last = folder.some("1", wishes=Wishes("nifti", False, True, True, True, True))
    folder.run(last, overwrite=overwrite)
    said = read_labels(folder.out)
    if said is None or not said.says_the_same(last._labels):
        return
    folder.check()
    assert all({*last.endings} <= {*said.files[case]} for case in CASES)
    assert {*said.cases.values()} == {last.provenance.hash}
    assert {*read_statistics(folder.out)} == {*CASES}
    assert folder.run(last) == [*CASES]
