"""Structures that a handful of images teach a base that was never shown them, and nnU-Net with the same images."""

import resource
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from comparison.arms import recipe_of
from comparison.data import MEMBERS, Workplace
from comparison.running import Training
from comparison.scoring import dice
from comparison.taught_picture import Slice, slice_of
from comparison.views import held_out_cases, image_of, predict_once, predictions_of
from hermes_nnunet.core.dice import mean_of_defined
from hermes_nnunet.core.evenly import evenly_chosen
from hermes_nnunet.core.files import folder_written_beside, read_json, write_json

BASE_NUMBER = 920
EXAMPLES = (1, 3, 5)
PLACE_OF_SINGLE = 381  # id of the first structure's own data set
PLACE_OF_VIEW = 391


@dataclass(frozen=True)
class Structure:
    """What is taught.

    Attributes:
        name: of the addition.
        member, label: where it is labelled.
    """

    name: str
    member: int
    label: str

    @property
    def number(self) -> int:
        """Id of the data set that labels nothing else."""
        return PLACE_OF_SINGLE + STRUCTURES.index(self)

    @property
    def view(self) -> int:
        """Id of the data set under whose name the addition's view lies."""
        return PLACE_OF_VIEW + STRUCTURES.index(self)


STRUCTURES = (
    Structure("Mandible", 301, "mandible"),
    Structure("LeftParotid", 302, "parotid_left"),
    Structure("LeftVentricle", 303, "left_ventricle"),
)


@dataclass(frozen=True)
class Teaching:
    """A base of all members, without the labels of STRUCTURES.

    Attributes:
        batches: of a single model; the base has as many for each member.
    """

    workplace: Workplace
    batches: int
    fold: int
    seed: int
    device: str

    @property
    def base(self) -> Training:
        name = f"base_to_teach_{self.batches}_f{self.fold}_s{self.seed}"
        return Training(name, "hermes", recipe_of(len(MEMBERS) * self.batches, self.seed), self.fold, BASE_NUMBER)

    def prepare(self) -> None:
        """Train the base."""
        hidden = {structure.member: {"labels": {structure.label: None}} for structure in STRUCTURES}
        self.workplace.prepare_collection(number=BASE_NUMBER, changes=hidden)
        self.base.run(self.workplace, self.device)

    def file(self, structure: Structure, number: int) -> Path:
        """Of the addition that `number` images taught."""
        return self.base.folder(self.workplace) / "taught" / f"{structure.name}_{number}.hermes"

    def teach(self, structure: Structure, number: int) -> dict[str, float]:
        """Seconds that passed, and seconds of a processor, that the teaching took; an addition that is there stays."""
        file = self.file(structure, number)
        times = file.with_suffix(".json")
        if not (file.is_file() and times.is_file()):
            file.parent.mkdir(exist_ok=True)
            model = ("-m", self.base.fold_folder(self.workplace).parent, "-f", self.fold)
            what = ("--name", structure.name, "--modality", MEMBERS[structure.member], "--dataset", structure.view)
            how = ("--leave-out", 0, "-device", self.device, "-o", file)
            start, busy = time.perf_counter(), _processor_seconds()
            self.workplace.run(
                f"{self.base.name}_{structure.name}_{number}",
                "hermes_nnunet",
                *("teach", *model, "--examples", self._examples(structure, number), *what, *how),
            )
            taken = {"elapsed": time.perf_counter() - start, "processor": _processor_seconds() - busy}
            write_json({key: round(value, 1) for key, value in taken.items()}, times)
        return read_json(times, "delete it")

    def added(self, files: list[Path]) -> Path:
        """nnUNet_results with the model that the base and some additions make."""
        results = self.base.folder(self.workplace) / "taught" / "_".join(["with", *(file.stem for file in files)])
        if not results.is_dir():
            with folder_written_beside(results) as folder:
                model = self.base.fold_folder(self.workplace).parent
                name = f"add_{results.name}_{self.base.name}"
                self.workplace.run(
                    name,
                    "hermes_nnunet",
                    *("add", *files, "-m", model, "--into", BASE_NUMBER + 1),
                    environment={"nnUNet_results": str(folder)},
                )
        return results

    def dice(self, structure: Structure, number: int) -> float:
        """Mean Dice of an addition on the held-out cases of its member."""
        cases = self.held_out(structure)
        images = {case: image_of(self.workplace, structure.member, case) for case in cases}
        name = f"{structure.name}_{number}"
        results = self.added([self.file(structure, number)])
        environment = {"nnUNet_results": str(results)}
        predict_once(self.base, self.workplace, images, structure.view, name, self.device, environment)
        return self.score(structure, predictions_of(self.base, self.workplace, name))

    def held_out(self, structure: Structure) -> list[str]:
        return held_out_cases(self.workplace, structure.member, count=1000, fold=self.fold)

    def score(self, structure: Structure, folder: Path) -> float:
        """Mean Dice of the label maps in a folder, 1 where the structure is."""
        references = self.workplace.raw(structure.number) / "labelsTr"
        return mean_of_defined(
            dice(_voxels(folder / f"{case}.nii.gz"), _voxels(references / f"{case}.nii.gz"))
            for case in self.held_out(structure)
        )

    def single(self, structure: Structure) -> Training:
        """nnU-Net trained with the most examples."""
        name = f"single_{structure.name}_{max(EXAMPLES)}_cases_{self.batches}_f{self.fold}_s{self.seed}"
        return Training(name, "single", recipe_of(self.batches, self.seed), self.fold, structure.number)

    def dice_of_single(self, structure: Structure) -> float:
        """Train it, and mean Dice."""
        self.workplace.prepare_single(structure.number)
        training = self.single(structure)
        training.run(self.workplace, self.device)
        return self.score(structure, training.validation(self.workplace))

    def slices(self, structure: Structure, number: int, count: int) -> list[Slice]:
        """Of some held-out cases, with what was taught and what nnU-Net has found."""
        taught = predictions_of(self.base, self.workplace, f"{structure.name}_{number}")
        plain = self.single(structure).validation(self.workplace)
        truth = self.workplace.raw(structure.number) / "labelsTr"
        return [
            slice_of(
                f"{structure.name}, {case}",
                image_of(self.workplace, structure.member, case),
                truth / f"{case}.nii.gz",
                {f"taught with {number}": taught / f"{case}.nii.gz", "nnU-Net": plain / f"{case}.nii.gz"},
            )
            for case in evenly_chosen(self.held_out(structure), count)
        ]

    def _examples(self, structure: Structure, number: int) -> Path:
        """Folder with the images and masks of the first training cases."""
        own = write_structure(self.workplace, structure)
        cases = read_json(own / "splits_final.json", "delete the folder")[self.fold]["train"][:number]
        target = self.workplace.folder / "examples" / f"{structure.name}_{number}_f{self.fold}"
        if not target.is_dir():
            target.parent.mkdir(exist_ok=True)
            with folder_written_beside(target) as folder:
                for kind, ending in (("imagesTr", "_0000.nii.gz"), ("labelsTr", ".nii.gz")):
                    (folder / kind).mkdir()
                    for case in cases:
                        (folder / kind / f"{case}{ending}").symlink_to((own / kind / f"{case}{ending}").resolve())
        return target


def write_structure(workplace: Workplace, structure: Structure) -> Path:
    """Write, if it is not there yet, a data set that labels one structure; each fold trains on the most examples."""
    source = workplace.raw(structure.member)
    target = source.with_name(f"Dataset{structure.number}_{structure.name}")
    if target.exists():
        return target
    dataset_json = read_json(source / "dataset.json", "link the members again")
    folds = read_json(source / "splits_final.json", "link the members again")
    value = dataset_json["labels"][structure.label]
    with folder_written_beside(target) as folder:
        (folder / "imagesTr").symlink_to((source / "imagesTr").resolve())
        (folder / "labelsTr").mkdir()
        for file in sorted((source / "labelsTr").glob("*.nii.gz")):
            image = nibabel.load(file)
            mask = (np.asanyarray(image.dataobj) == value).astype(np.uint8)
            nibabel.save(nibabel.Nifti1Image(mask, image.affine), folder / "labelsTr" / file.name)
        write_json({**dataset_json, "labels": {"background": 0, structure.label: 1}}, folder / "dataset.json")
        few = [{"train": sorted(fold["train"])[: max(EXAMPLES)], "val": fold["val"]} for fold in folds]
        write_json(few, folder / "splits_final.json")
    return target


def _voxels(file: Path) -> np.ndarray:
    return np.asanyarray(nibabel.load(file).dataobj) == 1


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
