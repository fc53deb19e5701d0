"""A small collection that most tests use: two members of different modality, one with regions; and kills."""

import gzip
import os
import random
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest

# Before nnU-Net is imported: each process of its pools imports it again, for seconds, and the tests have few cases.
os.environ.setdefault("nnUNet_def_n_proc", "1")

from hermes_nnunet.collection import Case, Collection, Member, Task

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
    abdomen = Member(
        name="abdomen",
        dataset_name="Dataset011_abdomen",
        tasks=("abdomen/liver", "abdomen/spleen"),
        labels={"background": 0, "liver": 2, "spleen": 1},
        regions_class_order=None,
        channels={"CT": None},
        channel_names={"0": "CT"},
        file_ending=".nii.gz",
        sampling_weight=3.0,
    )
    brain = Member(
        name="brain",
        dataset_name="Dataset012_brain",
        tasks=("brain/whole", "brain/core"),
        labels={"background": 0, "whole": [1, 2], "core": 2},
        regions_class_order=(1, 2),
        channels={"T1": 1},
        channel_names={"0": "FLAIR", "1": "T1"},
        file_ending=".nii",
        sampling_weight=1.0,
    )
    return Collection(
        tasks=(
            Task("abdomen/liver", (1,), 1),
            Task("abdomen/spleen", (2,), 2),
            Task("brain/whole", (3, 4), 3),
            Task("brain/core", (4,), 4),
        ),
        modalities=("CT", "T1", "unknown"),
        members={"abdomen": abdomen, "brain": brain},
        cases={
            "abdomen__a": Case("abdomen", "CT", "a"),
            "abdomen__b": Case("abdomen", "CT", "b"),
            "abdomen__c": Case("abdomen", "CT", "c"),
            "brain__x": Case("brain", "T1", "x"),
            "brain__y": Case("brain", "T1", "y"),
        },
    )


@pytest.fixture
def dataset_json(collection: Collection) -> dict:
    """dataset.json of `collection`."""
    return {
        "channel_names": {"0": "image"},
        "labels": {
            "background": 0,
            "abdomen/liver": 1,
            "abdomen/spleen": 2,
            "brain/whole": [3, 4],
            "brain/core": 4,
        },
        "regions_class_order": [1, 2, 3, 4],
        "numTraining": 5,
        "file_ending": ".nii.gz",
        "hermes": collection.to_block(),
    }


@pytest.fixture
def plans(collection: Collection) -> dict:
    """Plans of `collection` with a network that is small enough for a unit test."""
    from hermes_nnunet.planning.preprocessing.intensity import default_intensity_clipping
    from hermes_nnunet.planning.resampling.options import (
        IMAGE_FUNCTION,
        IMAGE_OPTIONS,
        LOGITS_FUNCTION,
        LOGITS_OPTIONS,
        SEGMENTATION_OPTIONS,
    )
    from hermes_nnunet.plans import HermesPlans

    configuration = {
        "data_identifier": "HermesPlans_3d_fullres",
        "preprocessor_name": "HermesPreprocessor",
        "batch_size": 2,
        "patch_size": [16, 16, 16],
        "median_image_size_in_voxels": [16, 16, 16],
        "spacing": [1.5, 1.5, 1.5],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": IMAGE_FUNCTION,
        "resampling_fn_data_kwargs": IMAGE_OPTIONS,
        "resampling_fn_seg": IMAGE_FUNCTION,
        "resampling_fn_seg_kwargs": SEGMENTATION_OPTIONS,
        "resampling_fn_probabilities": LOGITS_FUNCTION,
        "resampling_fn_probabilities_kwargs": LOGITS_OPTIONS,
        "architecture": {
            "network_class_name": "hermes_nnunet.networks.hermes_unet.HermesUNet",
            "arch_kwargs": {
                "n_stages": 3,
                "features_per_stage": [4, 8, 16],
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": [[3, 3, 3]] * 3,
                "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
                "n_blocks_per_stage": [1, 1, 1],
                "n_conv_per_stage_decoder": [1, 1],
                "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-5, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
                "num_modalities": 3,
                "rows_per_case": 2,
                "tokens_per_modality": 4,
                "encoder_type": "residual",
                "modality_norms": True,
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    return {
        "dataset_name": "Dataset900_Both",
        "plans_name": "HermesPlans",
        "image_reader_writer": "NibabelIOWithReorient",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "HermesPlanner",
        "label_manager": "HermesLabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
        "hermes": HermesPlans.of_collection(collection, default_intensity_clipping()).to_block(),
    }


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
    return _write_released


def _write_released(topology: str, path: Path, *, task_rows: int, num_modalities: int) -> Path:
    """Hermes-R ("r") or Hermes-M ("m") at `path`; the averaged weights are the weights plus one."""
    import torch

    from hermes_nnunet.networks.hermes_medformer import HermesMedFormer
    from hermes_nnunet.networks.hermes_resunet import HermesResUNet
    from hermes_nnunet.weights.released_names import our_name

    torch.manual_seed(0)
    network_class, sizes = {
        "r": (HermesResUNet, {}),
        "m": (
            HermesMedFormer,
            {
                "widths": (8, 16, 32, 40, 32, 16, 8, 4),
                "attention_blocks": (1, 2, 2, 2, 1),
                "num_codes": 8,
                "head_width": 8,
                "fusion_width": 40,
            },
        ),
    }[topology]
    state = network_class(1, task_rows, base_width=4, num_modalities=num_modalities, **sizes).state_dict()
    names = (Path(__file__).parent / "weights" / f"released_names_{topology}.txt").read_text().split()
    weights = {name: state[our_name(name, network_class)] for name in names}
    averaged = {name: tensor + 1 for name, tensor in weights.items()}
    content = {"epoch": 1, "model_state_dict": weights, "ema_model_state_dict": averaged, "optimizer_state_dict": {}}
    torch.save(content, path)
    return path


class Kills:
    """Ends a process right before one of its changes of files in a folder, as a kill at that moment would.

    Attributes:
        folder: where the process works; every process finds the same files there.
    """

    STATUS = 137
    CHANGES = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"})
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
            if self._is_change(event, arguments):
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

    def _is_change(self, event: str, arguments: tuple) -> bool:
        if event == "open":
            path, _, flags = arguments
            if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return False
        elif event in self.CHANGES:
            path = arguments[0]
        else:
            return False
        # shutil.rmtree names files below an open folder.
        return isinstance(path, str | os.PathLike) and (
            not os.path.isabs(path) or os.fspath(path).startswith(str(self.folder))
        )


@pytest.fixture
def kills(tmp_path: Path) -> Kills:
    """Kills in tmp_path/work, which is there."""
    if not hasattr(os, "fork"):
        pytest.skip("processes are forked here")
    import sklearn.model_selection  # noqa: F401 (here, not in every process)

    (tmp_path / "work").mkdir()
    return Kills(tmp_path / "work")
