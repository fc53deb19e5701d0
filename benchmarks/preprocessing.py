"""How many voxels a second are preprocessed, against nnU-Net's default preprocessor at the same spacing?

Real cases (CT, cine MRI, LGE MRI) come to 1.5 mm in one thread. nnU-Net's side is its DefaultPreprocessor with the
resampling that its default planner writes (cubic images, linear labels) and z-score; Hermes' side is HermesPreprocessor
as its plans have it, which also clips intensities. "in memory" leaves out reading the files, which is the same on both
sides. What the results differ in is measured with Hermes' clipping on both sides: the mean absolute difference of the
z-scored images, and the lowest Dice of labels of more than 1 ml.

    python benchmarks/preprocessing.py [FOLDER]    (which has the data sets 301, 303 and 304; 3 minutes)
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import Row, median_seconds, parser, report
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.collection import Case, Collection, Member, Task
from hermes_nnunet.core.files import read_json
from hermes_nnunet.core.label_values import foreground_values
from hermes_nnunet.planning.preprocessing.intensity import default_intensity_clipping
from hermes_nnunet.planning.preprocessing.preprocessor import HermesPreprocessor
from hermes_nnunet.planning.resampling.options import IMAGE_FUNCTION, IMAGE_OPTIONS, SEGMENTATION_OPTIONS
from hermes_nnunet.plans import HermesPlans

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "raw"
SPACING_MM = 1.5
MODALITIES = {"Dataset301": "CT", "Dataset303": "cineMRI", "Dataset304": "LGE-MRI"}
SMALLEST_ML = 1.0
# as nnU-Net's default planner writes them
STOCK_FUNCTION = "resample_data_or_seg_to_shape"
STOCK_OPTIONS = {"order": 3, "order_z": 0, "force_separate_z": None, "is_seg": False}
STOCK_SEGMENTATION_OPTIONS = {**STOCK_OPTIONS, "order": 1, "is_seg": True}
STOCK = (STOCK_FUNCTION, STOCK_OPTIONS, STOCK_SEGMENTATION_OPTIONS)
OURS = (IMAGE_FUNCTION, IMAGE_OPTIONS, SEGMENTATION_OPTIONS)


@dataclass(frozen=True)
class Side:
    """A preprocessor with its plans."""

    preprocessor: DefaultPreprocessor
    plans: PlansManager
    dataset_json: dict[str, Any]

    def from_files(self, image: str, labels: str) -> tuple[np.ndarray, np.ndarray]:
        """Image (1, D, H, W) and labels of a case, its files read first."""
        return self.preprocessor.run_case([image], labels, *self._settings)[:2]

    def from_memory(self, image: np.ndarray, labels: np.ndarray, properties: dict[str, Any]) -> None:
        """The same without reading."""
        self.preprocessor.run_case_npy(image, labels, dict(properties), *self._settings)

    @property
    def _settings(self) -> tuple[Any, ...]:
        return self.plans, self.plans.get_configuration("3d_fullres"), self.dataset_json


def side(
    preprocessor: type[DefaultPreprocessor], dataset: Path, modality: str, resampling: tuple[str, dict, dict]
) -> Side:
    """Either side for a data set, which is taken for a collection of one member."""
    function, image_options, label_options = resampling
    labels = read_json(dataset / "dataset.json", "choose another folder")["labels"]
    names = [name for name in labels if name != "background"]
    member = Member(
        name="member",
        dataset_name=dataset.name,
        tasks=tuple(f"member/{name}" for name in names),
        labels=labels,
        regions_class_order=None,
        channels={modality: None},
        channel_names={"0": modality},
        file_ending=".nii.gz",
        sampling_weight=1.0,
    )
    tasks = tuple(Task(f"member/{name}", (labels[name],), labels[name]) for name in names)
    cases = {"member__case": Case("member", modality, "case")}
    collection = Collection(tasks, (modality, "unknown"), {"member": member}, cases)
    configuration = {
        "preprocessor_name": preprocessor.__name__,
        "spacing": [SPACING_MM] * 3,
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": function,
        "resampling_fn_data_kwargs": image_options,
        "resampling_fn_seg": function,
        "resampling_fn_seg_kwargs": label_options,
        "architecture": {},
    }
    plans = {
        "image_reader_writer": "NibabelIOWithReorient",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "HermesLabelManager" if preprocessor is HermesPreprocessor else "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
        "hermes": HermesPlans.of_collection(collection, default_intensity_clipping()).of_member("member").to_block(),
        "configurations": {"3d_fullres": configuration},
    }
    return Side(preprocessor(verbose=False), PlansManager(plans), {"labels": labels, "file_ending": ".nii.gz"})


def lowest_dice(ours: np.ndarray, stock: np.ndarray, values: Sequence[int]) -> float:
    """Over the labels of more than 1 ml; 1 where there are none."""
    dices = [1.0]
    for value in values:
        first, second = ours == value, stock == value
        if first.sum() * SPACING_MM**3 / 1000 > SMALLEST_ML:
            dices.append(float(2 * (first & second).sum() / (first.sum() + second.sum())))
    return min(dices)


def measure_case(dataset: Path, modality: str, case: str, repeats: int) -> Row:
    """Both sides on one case."""
    stock = side(DefaultPreprocessor, dataset, modality, STOCK)
    hermes = side(HermesPreprocessor, dataset, modality, OURS)
    files = str(dataset / "imagesTr" / f"{case}_0000.nii.gz"), str(dataset / "labelsTr" / f"{case}.nii.gz")
    reader = stock.plans.image_reader_writer_class()
    image, properties = reader.read_images([files[0]])
    labels, _ = reader.read_seg(files[1])
    seconds = median_seconds(
        {
            "stock": lambda: stock.from_files(*files),
            "hermes": lambda: hermes.from_files(*files),
            "stock in memory": lambda: stock.from_memory(image, labels, properties),
            "hermes in memory": lambda: hermes.from_memory(image, labels, properties),
        },
        repeats,
    )
    ours, our_labels = hermes.from_files(*files)
    same_clipping = side(HermesPreprocessor, dataset, modality, STOCK)
    expected, expected_labels = same_clipping.from_files(*files)
    values = [value for own in foreground_values(hermes.dataset_json["labels"]).values() for value in own]
    return {
        "modality": modality,
        "case": case,
        "voxels": ours.size,
        "nnU-Net voxels/s": ours.size / seconds["stock in memory"],
        "hermes voxels/s": ours.size / seconds["hermes in memory"],
        "times faster in memory": seconds["stock in memory"] / seconds["hermes in memory"],
        "times faster": seconds["stock"] / seconds["hermes"],
        "mean difference": float(np.abs(ours - expected).mean()),
        "lowest Dice": lowest_dice(our_labels, expected_labels, values),
    }


def measure(arguments: argparse.Namespace) -> list[Row]:
    """A row for each case."""
    rows = []
    for prefix, modality in MODALITIES.items():
        (dataset,) = arguments.source.glob(f"{prefix}_*")
        cases = sorted(file.name.removesuffix(".nii.gz") for file in (dataset / "labelsTr").glob("*.nii.gz"))
        rows += [measure_case(dataset, modality, case, arguments.repeats) for case in cases[: arguments.cases]]
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/preprocessing.json."""
    made = parser(__doc__, repeats=3)
    made.add_argument("source", type=Path, nargs="?", default=SHARED, help="folder of the data sets (%(default)s)")
    made.add_argument("--cases", type=int, default=2, help="of each data set")
    arguments = made.parse_args(argv)
    if not arguments.source.is_dir():
        made.exit(message=f"preprocessing: there are no images in {arguments.source}: give their folder\n")
    torch.set_num_threads(1)
    report("preprocessing", __doc__, {"cases": arguments.cases, "spacing": SPACING_MM}, measure(arguments), arguments)


if __name__ == "__main__":
    main()
