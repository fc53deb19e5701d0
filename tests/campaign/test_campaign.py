"""A small part of `make campaign`, the same in every run; and that what it counts would be found."""

import errno
import json
import os
import random
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from unittest import mock

import damage
import pytest
from children import FILE_SIZE, FULL, KILL, READ_ONLY
from hostile import attacked, attacks
from interruptions import KINDS, SMALL_DISK, Interruptions, common_findings
from ledger import HANG, LOST, MIXED, OUTSIDE, STUCK, TRACEBACK, VERDICTS, Ledger
from setting import prepare
from small_disk import PAGE, can_be_made
from subject import Subject
from subjects import SUBJECTS

pytestmark = pytest.mark.slow
if not hasattr(os, "fork"):
    pytest.skip("processes are forked here", allow_module_level=True)

SEED = 0
OF_ATTACKS = 20
MUTATIONS = 6
# A preprocessing whose files nnU-Net writes, and what trains or draws, take too long here.
TOO_LONG = ("preprocess", "train", "train, an addition", "teach", "priors")
OURS = [subject for subject in SUBJECTS if subject.name not in TOO_LONG]
# What test_mutated_files.py leaves out.
BINARY = [target for target in damage.TARGETS if target.tries < 500]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A world, and what runs commands in it."""
    with mock.patch.dict(os.environ), mock.patch.object(tempfile, "tempdir", None):
        yield prepare(tmp_path_factory.mktemp("campaign"))


@pytest.mark.parametrize("subject", OURS, ids=lambda subject: subject.name)
def test_an_interrupted_command_leaves_the_old_or_the_new_and_goes_on(stage, subject):
    interruptions = Interruptions(subject, *stage)
    generator = random.Random(f"{SEED} {subject.name}")
    for kind in (KILL, generator.choice((FULL, READ_ONLY, FILE_SIZE))):
        number = generator.randrange(interruptions.tries_of(kind))
        assert interruptions.interrupt(kind, number) == [], (kind, number)


@pytest.mark.parametrize(
    "attack", attacks()[::OF_ATTACKS], ids=lambda attack: attack.name.encode("unicode_escape").decode()
)
def test_an_attack_changes_nothing(stage, attack):
    assert attacked(attack, *stage) == []


@pytest.mark.parametrize("target", BINARY, ids=lambda target: target.name)
def test_a_damaged_file_is_read_or_refused_in_one_line(stage, target):
    world, children = stage

    def tries():
        return [found for _, found in damage.damaged(target, world, children.watch(), range(MUTATIONS), SEED) if found]

    # On a line of its own, between progress bars.
    ended = children.run(lambda: print(f"\nfound {json.dumps(tries())}\n", flush=True))
    assert "found []" in ended.output.splitlines(), ended.output


class TestVerdicts:
    """The campaign itself: each of its findings is one."""

    @pytest.fixture
    def interrupted(self, stage):
        """A function that makes Interruptions of a command of two files, a and b, which are of one version."""

        def make(run, **options):
            def start(world):
                world.clear()
                (world.root / "a").write_text("old")
                (world.root / "b").write_text("old")

            return Interruptions(Subject("two files", start, run, **options), *stage)

        return make

    @staticmethod
    def verdicts(found):
        return {verdict for verdict, _ in found}

    def test_a_temporary_file_that_stays(self, interrupted):
        def run(world):
            (world.root / "new").write_text("new")
            os.replace(world.root / "new", world.root / "a")

        files = interrupted(run)
        assert [self.verdicts(files.interrupt(KILL, number)) for number in range(len(files.changes))] == [
            set(),
            {MIXED},
        ]

    def test_a_half_written_file(self, interrupted):
        def run(world):
            (world.root / "a").write_text("")
            (world.root / "a").write_text("new")

        assert self.verdicts(interrupted(run).interrupt(KILL, 1)) == {MIXED}

    def test_a_file_that_is_gone_and_a_command_that_refuses_for_ever(self, interrupted):
        def run(world):
            if not (world.root / "b").exists():
                raise SystemExit("b is gone")
            os.rename(world.root / "b", world.root / "c")
            os.rename(world.root / "c", world.root / "b")

        assert self.verdicts(interrupted(run).interrupt(KILL, 1)) == {LOST, STUCK, MIXED}

    def test_a_shortage_without_a_word(self, interrupted):
        def run(world):
            with suppress(OSError):
                (world.root / "a").write_text("new")

        assert self.verdicts(interrupted(run).interrupt(FULL, 0)) == {LOST}

    def test_a_file_that_is_too_large(self, interrupted):
        def run(world):
            try:
                (world.root / "a").write_bytes(b"newer")
            except OSError as error:
                return 1 if error.errno == errno.EFBIG else 70
            return 0

        assert self.verdicts(interrupted(run).interrupt(FILE_SIZE, 1)) == {LOST, MIXED}

    def test_a_disk_that_is_too_small_without_a_word(self, interrupted, stage):
        if not can_be_made(stage[0].root):
            pytest.skip("no disk can be mounted here")

        def run(world):
            with suppress(OSError):
                (world.root / "a").write_bytes(bytes(8 * PAGE))

        assert self.verdicts(interrupted(run).interrupt(SMALL_DISK, 4)) == {LOST, MIXED}

    def test_a_traceback_and_a_file_elsewhere(self, stage, tmp_path):
        children = stage[1]

        def run():
            (tmp_path / "x").write_text("")
            raise ValueError

        assert self.verdicts(common_findings(children.run(run))) == {TRACEBACK, OUTSIDE}

    def test_a_command_that_is_run(self, stage):
        assert self.verdicts(common_findings(stage[1].run(partial(os.system, "true")))) == {"code executed"}

    def test_a_hang(self, stage, monkeypatch):
        monkeypatch.setattr("children.CPU_SECONDS", 0.1)

        def run():
            while True:
                pass

        assert self.verdicts(common_findings(stage[1].run(run))) == {HANG}


class TestLedger:
    def test_goes_on_and_tries_again_what_was_found(self, tmp_path):
        first = Ledger(tmp_path / "tries", 0)
        first.add(KILL, "merge", 1, [])
        first.add(KILL, "merge", 2, [(LOST, "a file")])
        again = Ledger(tmp_path / "tries", 0)
        assert [again.has(KILL, "merge", number) for number in (1, 2, 3)] == [True, True, False]
        assert again.summary() == first.summary()
        assert first.summary()["totals"] == {
            KILL: {"tries": 2, "of_this_code": 2, **dict.fromkeys(VERDICTS, 0), LOST: 1}
        }
        other = tmp_path / "tries"
        other.write_text(other.read_text().replace(first._code, "other"))
        assert [Ledger(other, 0).has(KILL, "merge", number) for number in (1, 2)] == [True, False]

    def test_of_another_seed_begins_anew(self, tmp_path):
        Ledger(tmp_path / "tries", 0).add(KILL, "merge", 1, [])
        assert not Ledger(tmp_path / "tries", 1).has(KILL, "merge", 1)

    def test_forgets_a_line_that_was_cut(self, tmp_path):
        Ledger(tmp_path / "tries", 0).add(KILL, "merge", 1, [])
        with (tmp_path / "tries").open("a") as file:
            file.write('{"kind": "ki')
        assert Ledger(tmp_path / "tries", 0).has(KILL, "merge", 1)


def test_the_committed_counts_are_of_this_format():
    content = json.loads((Path(__file__).parents[2] / "benchmarks" / "results" / "campaign.json").read_text())
    assert content["format_version"] == 1
    assert set(content["totals"]) == {*KINDS, "hostile", damage.KIND}
    assert all(row[verdict] == 0 for row in content["totals"].values() for verdict in VERDICTS)
