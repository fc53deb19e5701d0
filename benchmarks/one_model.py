"""What does it cost to predict a case of each of four members with one universal model, against four plain models?

Loading is included: four checkpoints there, one here. Both predict arrays with nnU-Net's sliding window, from
preprocessing to label map. Memory is the peak of all tensors with every model kept loaded, as a service would.

    python benchmarks/one_model.py                  (widths 32 to 320)
    python benchmarks/one_model.py --device cuda
"""

import argparse
import contextlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import made_collection as made
import numpy as np
import torch
from measuring import Row, median_seconds, parser, peak_megabytes, report

from hermes_nnunet import HermesModel
from hermes_nnunet.networks.build import build_network

WIDTHS = (32, 64, 128, 256, 320)
BLOCKS = (1, 3, 4, 6, 6)


def save_model(folder: Path, plans: dict[str, Any], dataset_json: dict[str, Any], trainer: str) -> Path:
    """A model folder with random weights; returns it."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans)
    outputs = manager.get_label_manager(dataset_json).num_segmentation_heads
    build = build_network if made.HERMES_BLOCK in plans else nnUNetTrainer.build_network_architecture
    network = build(manager, manager.get_configuration(made.CONFIGURATION), 1, outputs, True)
    checkpoint = {
        "network_weights": network.state_dict(),
        "trainer_name": trainer,
        "init_args": {"configuration": made.CONFIGURATION},
        "inference_allowed_mirroring_axes": None,
    }
    (folder / "fold_0").mkdir(parents=True)
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset_json))
    return folder


def load_plain(folder: Path, device: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    """nnU-Net's predictor of one model, as a function of an image (D, H, W)."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    with contextlib.redirect_stdout(io.StringIO()):
        predictor = nnUNetPredictor(use_mirroring=False, device=device, allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(folder), (0,))
    properties = {"spacing": [made.SPACING_MM] * 3}
    return lambda image: predictor.predict_single_npy_array(image[None], dict(properties))


def measure(arguments: argparse.Namespace) -> list[Row]:
    """A row for loading alone, and one for loading and predicting."""
    torch.manual_seed(0)
    collection = made.make_collection(cases_of_member=1)
    sizes = (arguments.patch, arguments.widths, arguments.blocks)
    image = np.random.default_rng(0).standard_normal((arguments.size,) * 3, np.float32)
    with made.nnunet_folders() as folder:
        universal = save_model(
            folder / "results" / made.NAME / "HermesTrainer__HermesPlans__3d_fullres",
            made.hermes_plans(collection, *sizes),
            made.dataset_json(collection),
            "HermesTrainer",
        )
        plain = [
            save_model(
                folder / "results" / member.dataset_name / "nnUNetTrainer__nnUNetResEncUNetPlans__3d_fullres",
                made.plain_plans(member.dataset_name, *sizes),
                {"channel_names": member.channel_names, "labels": member.labels, "file_ending": ".nii.gz"},
                "nnUNetTrainer",
            )
            for member in collection.members.values()
        ]

        def load_four() -> list[Callable[[np.ndarray], np.ndarray]]:
            return [load_plain(model, arguments.device) for model in plain]

        def load_one() -> HermesModel:
            return HermesModel.load(universal, device=arguments.device)

        def predict_with_four() -> None:
            for predict in load_four():
                predict(image)

        def predict_with_one() -> None:
            model = load_one()
            for member in collection.members:
                model.predict((image, [made.SPACING_MM] * 3), members=[member])

        pairs = {
            "load": {"four plain": load_four, "one universal": load_one},
            "load and predict": {"four plain": predict_with_four, "one universal": predict_with_one},
        }
        return [_row(name, sides, arguments) for name, sides in pairs.items()]


def _row(name: str, sides: dict[str, Callable[[], object]], arguments: argparse.Namespace) -> Row:
    seconds = median_seconds(sides, arguments.repeats, arguments.device)
    row: dict[str, str | float] = {"what": name}
    memory = {side: peak_megabytes(call, arguments.device) for side, call in sides.items()}
    for unit, kind, values in (("s", "time", seconds), ("MB", "memory", memory)):
        row |= {f"{side} {unit}": value for side, value in values.items()}
        row[f"{kind} ratio"] = values["one universal"] / values["four plain"]
    return row


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/one_model*.json."""
    made_parser = parser(__doc__, repeats=3)
    made_parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    made_parser.add_argument("--patch", type=int, default=64, help="voxels an axis")
    made_parser.add_argument("--size", type=int, default=64, help="voxels an axis of a case")
    made_parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    made_parser.add_argument("--blocks", type=int, nargs="+", default=BLOCKS, help="residual blocks of each stage")
    arguments = made_parser.parse_args(argv)
    settings = {name: getattr(arguments, name) for name in ("patch", "size", "widths", "blocks")}
    name = "one_model" if arguments.device.type == "cpu" else f"one_model_{arguments.device.type}"
    report(name, __doc__, settings, measure(arguments), arguments)


if __name__ == "__main__":
    main()
