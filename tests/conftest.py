"""A small collection that most tests use: two members of different modality, one with regions; and kills."""

import gzip
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest

# Before nnU-Net is imported: each process of its pools imports it again, for seconds, and the tests have few cases.
os.environ.setdefault("nnUNet_def_n_proc", "1")

# Shells let what runs in the background ignore Ctrl-C, and every process would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from file_changes import is_change
from small_models import small_collection, small_dataset_json, small_plans, write_released

from hermes_nnunet.collection import Collection

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """Folder of the real images; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real images in {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def write_nifti() -> Callable[..., Path]:
    """A function that writes a NIfTI file with a header that may contradict itself."""
    return _write_nifti


def _write_nifti(
    path: Path,
    voxels: np.ndarray,
    affine: np.ndarray | None = None,
    *,
    sform: int = 2,
    qform: np.ndarray | None = None,
    qform_code: int = 1,
    zooms: Sequence[float] | None = None,
    slope: float = 1,
    inter: float = 0,
) -> Path:
    """`affine` goes into the sform; the header's zooms are its own unless given; without `qform` that has no code."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape)
    if qform is not None:
        header.set_qform(qform, qform_code)
    elif affine is not None:
        header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    if affine is not None:
        header["srow_x"], header["srow_y"], header["srow_z"] = affine[:3]
        header["sform_code"] = sform
    if zooms is not None:
        header["pixdim"][1:4] = zooms
    header["scl_slope"], header["scl_inter"], header["vox_offset"], header["magic"] = slope, inter, 352, b"n+1"
    content = header.binaryblock + bytes(4) + voxels.tobytes(order="F")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, 1, mtime=0) if path.name.lower().endswith(".gz") else content)
    return path


@pytest.fixture
def collection() -> Collection:
    """abdomen (CT, two organs, 3 cases) and brain (T1, whole tumour and its core as regions, 2 cases)."""
    return small_collection()


@pytest.fixture
def dataset_json(collection: Collection) -> dict:
    """dataset.json of `collection`."""
    return small_dataset_json(collection)


@pytest.fixture
def plans(collection: Collection) -> dict:
    """Plans of `collection` with a network that is small enough for a unit test."""
    return small_plans(collection)


@pytest.fixture(scope="session")
def older_files(tmp_path_factory) -> Path:
    """What release 0.1.0 left: see tests/data_files/model_0_1_0/README.md. Do not write into it."""
    folder = tmp_path_factory.mktemp("older") / "files"
    shutil.copytree(Path(__file__).parent / "data_files" / "model_0_1_0", folder)
    (packed,) = folder.glob("model/fold_0/checkpoint_final.pth.gz")
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


@pytest.fixture(scope="session", params=["r", "m"])
def topology(request) -> str:
    """Hermes-R, then Hermes-M: the paper's networks."""
    return request.param


@pytest.fixture(scope="session")
def network_class(topology) -> type:
    """The class of `topology`."""
    from hermes_nnunet.networks.hermes_medformer import HermesMedFormer
    from hermes_nnunet.networks.hermes_resunet import HermesResUNet

    return {"r": HermesResUNet, "m": HermesMedFormer}[topology]


@pytest.fixture(scope="session")
def network_sizes(topology) -> dict:
    """Arguments of `network_class` that make it small enough for a unit test."""
    if topology == "r":
        return {"base_width": 4}
    return {
        "base_width": 4,
        "widths": [4, 8, 8, 12, 12, 8, 4, 4],
        "attention_blocks": [1, 1, 1, 1, 1],
        "num_codes": 2,
        "head_width": 4,
        "fusion_width": 8,
    }


@pytest.fixture(scope="session")
def make_released() -> Callable[..., Path]:
    """A function that writes a checkpoint in the paper's released format, with small random weights."""
    return write_released


class Kills:
    """Ends a process right before one of its changes of files in a folder, as a kill at that moment would.

    Attributes:
        folder: where the process works; every process finds the same files there.
    """

    STATUS = 137
    # All of them are tried with the variable HERMES_EVERY_KILL=1.
    CHOSEN = 6

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept = folder.with_name(f"{folder.name}.kept")

    def keep(self) -> None:
        """Let every process begin with the files that are there now."""
        shutil.copytree(self.folder, self._kept, symlinks=True)

    def restore(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self._kept, self.folder, symlinks=True)

    def snapshot(self) -> dict[str, bytes | None]:
        """Content of every file, None for folders, by path below the folder."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes() if path.is_file() else None
            for path in sorted(self.folder.rglob("*"))
        }

    def run(self, action: Callable[[], object], kill_at: int | None = None) -> int:
        """Run in a process of its own, which ends well, or before its change of this number; returns their number."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            self._run_and_exit(action, kill_at, writing)
        os.close(writing)
        with open(reading, "rb") as pipe:
            counted = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if kill_at is not None:
            assert status == self.STATUS
            return kill_at
        assert status == 0, "see the traceback above"
        return int(counted)

    def each(self, action: Callable[[], object]) -> Iterator[int]:
        """Yield after a kill of `action` at each of some of its changes."""
        self.restore()
        total = self.run(action)
        every = list(range(total))
        chosen = every if os.environ.get("HERMES_EVERY_KILL") else random.Random(0).sample(every, self.CHOSEN)
        for change in sorted(chosen):
            self.restore()
            self.run(action, kill_at=change)
            yield change

    def leave_all_or_nothing(self, action: Callable[[], object], *parts: str) -> None:
        """See that a killed `action` leaves all or nothing of each part, and that the next one makes the whole.

        Args:
            parts: what the paths below the folder begin with.
        """
        self.keep()
        self.run(action)
        whole = self.snapshot()
        for change in self.each(action):
            left = self.snapshot()
            for part in parts:
                assert self.part_of(left, part) in ({}, self.part_of(whole, part)), change
            self.run(action)
            assert self.snapshot() == whole, change

    @staticmethod
    def part_of(files: Mapping[str, bytes | None], part: str) -> dict[str, bytes | None]:
        """Files of a snapshot whose paths begin with `part`, but for what is still being written."""
        return {
            name.removeprefix(part): content
            for name, content in files.items()
            if name.startswith(part) and ".writing-" not in name
        }

    def _run_and_exit(self, action: Callable[[], object], kill_at: int | None, writing: int) -> None:
        from hermes_nnunet.core.leftovers import remove_leftovers

        changes = 0

        def watch(event: str, arguments: tuple) -> None:
            nonlocal changes
            if is_change(event, arguments, str(self.folder)):
                if changes == kill_at:
                    os._exit(self.STATUS)
                changes += 1

        try:
            remove_leftovers.cache_clear()
            if "torch" in sys.modules:
                sys.modules["torch"].set_num_threads(1)  # a forked process has none of the other threads
            sys.addaudithook(watch)
            action()
            os.write(writing, str(changes).encode())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)


@pytest.fixture
def kills(tmp_path: Path) -> Kills:
    """Kills in tmp_path/work, which is there."""
    if not hasattr(os, "fork"):
        pytest.skip("processes are forked here")
    import sklearn.model_selection  # noqa: F401 (here, not in every process)

    (tmp_path / "work").mkdir()
    return Kills(tmp_path / "work")
