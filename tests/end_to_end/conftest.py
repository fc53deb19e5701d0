"""A collection of small cuts, trained with nnU-Net's stock commands as a user types them.

Real images of shared/data where they are; generated phantoms elsewhere.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import nibabel
import numpy as np
import pytest

SHARED_RAW = Path(__file__).resolve().parents[3] / "shared" / "data" / "raw"
CASES_A_HALF = 2
CUT_MM = 100
COLLECTION = 900
PLANS = "HermesSPlans"
TRAINER = "HermesTrainerShort"
TRAINER_SOURCE = """
from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer


class HermesTrainerShort(HermesTrainer):
    epochs = 2
    iterations_per_epoch = 4
    validation_iterations_per_epoch = 2


class HermesTrainerOnce(HermesTrainerShort):
    epochs = 1


class HermesTrainerEndless(HermesTrainerShort):
    epochs = 1000
"""
ADDITION_SOURCE = """
from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer_addition import HermesTrainerAddition


class HermesTrainerAdditionShort(HermesTrainerAddition):
    epochs = 3
    iterations_per_epoch = 50
    validation_iterations_per_epoch = 1
"""


@dataclass
class Workplace:
    """Three nnU-Net folders, the environment that names them, and the members {id: modality}."""

    collection: ClassVar[int] = COLLECTION
    plans: ClassVar[str] = PLANS
    trainer: ClassVar[str] = TRAINER

    root: Path
    members: dict[int, str]
    environment: dict[str, str]

    @property
    def raw(self) -> Path:
        return self.root / "raw"

    @property
    def results(self) -> Path:
        return self.root / "results"

    def dataset(self, number: int) -> str:
        """Name of a data set, from its folder in raw."""
        (folder,) = self.raw.glob(f"Dataset{number:03d}_*")
        return folder.name

    def model(self, number: int, trainer: str = TRAINER) -> Path:
        """Model folder of the collection or of a view."""
        return self.results / self.dataset(number) / f"{trainer}__{PLANS}__3d_fullres"

    def run(self, command: str, *arguments: object, fails: bool = False, **environment: str) -> str:
        """Run a command of the installed environment and return what it printed."""
        done = subprocess.run(
            [Path(sys.executable).parent / command, *map(str, arguments)],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        assert (done.returncode != 0) == fails, f"{command} {arguments} -> {done.returncode}\n{done.stdout[-6000:]}"
        return done.stdout

    def start(self, command: str, *arguments: object) -> subprocess.Popen:
        """Start a command in a process group of its own, its output thrown away."""
        return subprocess.Popen(
            [Path(sys.executable).parent / command, *map(str, arguments)],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @staticmethod
    def kill(process: subprocess.Popen) -> None:
        """kill -9 a command and its children."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def train(self, *options: object, trainer: str = TRAINER) -> str:
        """nnUNetv2_train of fold 0 on the CPU."""
        return self.run(
            "nnUNetv2_train", COLLECTION, "3d_fullres", 0, "-tr", trainer, "-p", PLANS, "-device", "cpu", *options
        )

    def predict(self, number: int, images: Path, output: Path, *options: object, **environment: str) -> dict:
        """nnUNetv2_predict with a model folder; the segmentations by file name. What it prints is in OUTPUT.log."""
        arguments = ("-d", number, "-i", images, "-o", output, "-tr", TRAINER, "-p", PLANS, "-c", "3d_fullres", "-f", 0)
        processes = ("-npp", 1, "-nps", 1, "-device", "cpu", "--disable_progress_bar")
        printed = self.run("nnUNetv2_predict", *arguments, *processes, *options, **environment)
        output.with_name(f"{output.name}.log").write_text(printed)
        return {path.name: nibabel.load(path) for path in sorted(output.glob("*.nii.gz"))}


def cut_out(image: nibabel.Nifti1Image, label: nibabel.Nifti1Image) -> tuple[nibabel.Nifti1Image, nibabel.Nifti1Image]:
    """About 10 cm around the middle of the labelled voxels, the affine moved along."""
    middle = np.argwhere(np.asarray(label.dataobj) > 0).mean(axis=0)
    half = CUT_MM / 2 / np.array(image.header.get_zooms())
    window = tuple(
        slice(max(0, int(m - h)), min(n, int(m + h) + 1)) for m, h, n in zip(middle, half, image.shape, strict=True)
    )
    return image.slicer[window], label.slicer[window]


def cut_member(source: Path, target: Path) -> None:
    """A member with a few small cases of a real data set: two to train and two to validate, and one to predict."""
    split = json.loads((source / "splits_final.json").read_text())[0]
    train, held_out = split["train"][:CASES_A_HALF], split["val"][: CASES_A_HALF + 1]
    dataset_json = json.loads((source / "dataset.json").read_text())
    dataset_json["numTraining"] = 2 * CASES_A_HALF
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (target / folder).mkdir(parents=True)
    for case in train + held_out:
        image, label = cut_out(
            nibabel.load(source / "imagesTr" / f"{case}_0000.nii.gz"),
            nibabel.load(source / "labelsTr" / f"{case}.nii.gz"),
        )
        is_test = case == held_out[-1]
        nibabel.save(image, target / ("imagesTs" if is_test else "imagesTr") / f"{case}_0000.nii.gz")
        if not is_test:
            nibabel.save(label, target / "labelsTr" / f"{case}.nii.gz")
    (target / "dataset.json").write_text(json.dumps(dataset_json))
    (target / "splits_final.json").write_text(json.dumps([{"train": train, "val": held_out[:-1]}]))


@pytest.fixture(scope="session")
def new_workplace(tmp_path_factory) -> Callable[[], Workplace]:
    """A function that makes empty nnU-Net folders."""

    def make() -> Workplace:
        root = tmp_path_factory.mktemp("nnunet")
        trainers = root / "trainers"
        trainers.mkdir()
        (trainers / "hermes_trainer_short.py").write_text(TRAINER_SOURCE)
        (trainers / "hermes_trainer_addition_short.py").write_text(ADDITION_SOURCE)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("nnUNet_", "HERMES_"))}
        environment |= {
            "nnUNet_extTrainer": str(trainers),
            "nnUNet_def_n_proc": "1",
            "nnUNet_n_proc_DA": "0",
            "OMP_NUM_THREADS": "2",
            "OMP_WAIT_POLICY": "passive",  # threads that spin while they wait are slow on a busy machine
        }
        for name in ("raw", "preprocessed", "results"):
            (root / name).mkdir()
            environment[f"nnUNet_{name}"] = str(root / name)
        return Workplace(root, {}, environment)

    return make


@pytest.fixture(scope="session")
def members(new_workplace) -> Workplace:
    """Members in nnUNet_raw: {id: modality}."""
    workplace = new_workplace()
    if SHARED_RAW.is_dir():
        workplace.members = {301: "CT", 302: "CT", 303: "cineMRI", 304: "LGE-MRI"}
        for source in sorted(SHARED_RAW.iterdir()):
            cut_member(source, workplace.raw / source.name)
        return workplace
    from hermes_nnunet.data.phantoms.phantoms import write_phantoms

    phantoms = write_phantoms(workplace.raw)
    workplace.members = {phantom.dataset_id: phantom.kind.modality for phantom in phantoms}
    return workplace


@pytest.fixture(scope="session")
def planned(members) -> Workplace:
    """Merged, planned and preprocessed."""
    pairs = [f"{number}:{modality}" for number, modality in members.members.items()]
    members.run("hermes_nnunet", "merge", *pairs, "--into", COLLECTION, "--name", "Universal", "--processes", 1)
    spacing = ("-overwrite_target_spacing", 3, 3, 3, "-gpu_memory_target", 0.08)
    processes = ("-npfp", 1, "-np", 1, "--no_pbar")
    members.run(
        "nnUNetv2_plan_and_preprocess",
        "-d",
        COLLECTION,
        "-pl",
        "HermesPlannerS",
        "-c",
        "3d_fullres",
        *spacing,
        *processes,
    )
    return members


@pytest.fixture(scope="session")
def trained(planned) -> Workplace:
    """Trained for two short epochs and validated."""
    (planned.root / "train.log").write_text(planned.train("--npz"))
    return planned


@pytest.fixture
def image_of(members, tmp_path) -> Callable[[int], Path]:
    """A function that makes an input folder with one test image of a member."""

    def make(number: int) -> Path:
        folder = tmp_path / f"input_{number}"
        folder.mkdir()
        source = sorted((members.raw / members.dataset(number) / "imagesTs").glob("*_0000.nii.gz"))[0]
        shutil.copy(source, folder / source.name)
        return folder

    return make
