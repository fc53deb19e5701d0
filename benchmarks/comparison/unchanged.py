"""Whether a model gives a member the same logits and masks as another one."""

import io
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from comparison.data import CONFIGURATION, Workplace
from comparison.running import Training
from comparison.views import held_out_cases, image_of, predict_once
from hermes_nnunet.core.checkpoints import read_checkpoint
from hermes_nnunet.networks.build import build_network
from hermes_nnunet.prediction.model_folder import read_model_folder


@dataclass(frozen=True)
class Difference:
    """Of two models, on some cases of a member.

    Attributes:
        voxels: of the segmentations.
        other_voxels: that have another label.
        logits: of all tiles together.
        other_logits: that are not equal to the last bit.
    """

    cases: int
    voxels: int
    other_voxels: int
    logits: int
    other_logits: int


def difference(
    base: Training, workplace: Workplace, after: Path, members: list[int], count: int, name: str
) -> dict[str, Difference]:
    """What has changed for each of a base's members, on some held-out cases, on the CPU.

    Args:
        after: nnUNet_results of the other model, with views of these members.
        count: cases of a member.
        name: of the other model, for its predictions.
    """
    found = {}
    for member in members:
        cases = held_out_cases(workplace, member, count, base.fold)
        images = {case: image_of(workplace, member, case) for case in cases}
        before_masks = predict_once(base, workplace, images, member, f"before_{member}", "cpu")
        environment = {"nnUNet_results": str(after)}
        after_masks = predict_once(base, workplace, images, member, f"{name}_{member}", "cpu", environment)
        voxels = [differing(_labels(before_masks[case]), _labels(after_masks[case])) for case in cases]
        view = Path(workplace.raw(member).name) / base.fold_folder(workplace).parent.name
        before = base.folder(workplace) / "nnUNet_results"
        both = [ViewLogits(results / view, base.fold) for results in (before, after)]
        logits = [differing(*(own(image).numpy() for own in both)) for image in images.values()]
        found[workplace.member_name(member)] = Difference(
            len(cases), *map(sum, zip(*voxels, strict=True)), *map(sum, zip(*logits, strict=True))
        )
    return found


class ViewLogits:
    """Logits that a member's view gives: the network as nnU-Net's predictor runs it, before anything is resampled."""

    def __init__(self, view: Path, fold: int) -> None:
        model = read_model_folder(view, [fold])
        self._dataset_json = model.dataset_json
        self._plans = PlansManager(model.plans)
        self._configuration = self._plans.get_configuration(CONFIGURATION)
        weights = [read_checkpoint(model.checkpoints[0])["network_weights"]]
        with redirect_stdout(io.StringIO()):
            network = build_network(
                self._plans,
                self._configuration,
                determine_num_input_channels(self._plans, self._configuration, self._dataset_json),
                self._plans.get_label_manager(self._dataset_json).num_segmentation_heads,
                enable_deep_supervision=False,
            )
            self._predictor = nnUNetPredictor(
                device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False
            )
            self._predictor.manual_initialization(
                network, self._plans, self._configuration, weights, self._dataset_json, "", None
            )

    def __call__(self, image: Path) -> torch.Tensor:
        """(T, D, H, W), on the network's voxels."""
        preprocessor = self._configuration.preprocessor_class(verbose=False)
        data, _, _ = preprocessor.run_case([str(image)], None, self._plans, self._configuration, self._dataset_json)
        return self._predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data))


def differing(one: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """Number of elements, and of those that are not the same bits."""
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return one.size, one.size
    bits = [np.ascontiguousarray(array).view(f"u{array.itemsize}") for array in (one, other)]
    return one.size, int((bits[0] != bits[1]).sum())


def _labels(file: Path) -> np.ndarray:
    return np.asanyarray(nibabel.load(file).dataobj)
