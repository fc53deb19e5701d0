"""The folder of a universal model, as nnU-Net's training would leave it, from imported weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from hermes_nnunet.collection import HERMES_BLOCK
from hermes_nnunet.core.checkpoint_names import FINAL
from hermes_nnunet.core.files import folder_written_beside, holds_files, write_json, written_beside
from hermes_nnunet.core.images import READER_WRITER
from hermes_nnunet.core.leftovers import remove_leftovers
from hermes_nnunet.core.nnunet_folders import dataset_id, datasets_with_id
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.contextual import ContextualNetwork
from hermes_nnunet.networks.hermes_medformer import HermesMedFormer
from hermes_nnunet.networks.hermes_resunet import HermesResUNet
from hermes_nnunet.planning.paper_planner import BATCH_SIZE, PATCH_SIZE, paper_configuration
from hermes_nnunet.planning.planner import CONFIGURATION, TARGET_SPACING_MM
from hermes_nnunet.planning.preprocessing.intensity import default_intensity_clipping
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.weights.identity import ImportedIdentity

FORMAT_VERSION = 1
TRAINER = "HermesTrainerPaper"
PLANNERS: dict[type[ContextualNetwork], tuple[str, str]] = {
    HermesResUNet: ("HermesPlannerPaperR", "HermesPaperRPlans"),
    HermesMedFormer: ("HermesPlannerPaperM", "HermesPaperMPlans"),
}
FOLD = 0
# Says that a folder may be written again; also where the weights came from.
MARKER = "hermes_import.json"


@dataclass(frozen=True)
class ImportedModel:
    """A universal model, as it is imported.

    Attributes:
        network_class, arguments: the network.
        state: its weights.
        identity: what it knows.
        input_channels: of an image.
        rows_per_case: see HermesPlans.
        voxel_order, voxel_orders: see HermesPlans.
    """

    network_class: type[ContextualNetwork]
    arguments: Mapping[str, Any]
    state: Mapping[str, torch.Tensor]
    identity: ImportedIdentity
    input_channels: int
    rows_per_case: int
    voxel_order: str
    voxel_orders: dict[str, str] = field(default_factory=dict)


def model_folder(results: Path, dataset_name: str, network_class: type[ContextualNetwork]) -> Path:
    """Where nnU-Net looks for the model.

    Raises:
        HermesError: a model that was not imported is already there.
    """
    _, plans_name = PLANNERS[network_class]
    folder = results / dataset_name / f"{TRAINER}__{plans_name}__{CONFIGURATION}"
    if holds_files(folder) and not (folder / MARKER).is_file():
        raise HermesError(f"{folder} is a trained model: import into another id with --into")
    return folder


def write_model(folder: Path, model: ImportedModel, source: Mapping[str, Any]) -> None:
    """Write plans.json, dataset.json and the checkpoint of fold 0; `source` is kept beside them."""
    channel_names = {str(channel): "image" for channel in range(model.input_channels)}
    collection = model.identity.collection
    dataset_json = {
        "channel_names": channel_names,
        "labels": {"background": 0, **{task.name: task.written_value for task in collection.tasks}},
        "numTraining": 0,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": READER_WRITER,
        HERMES_BLOCK: collection.to_block(),
    }
    checkpoint = {
        "network_weights": dict(model.state),
        "trainer_name": TRAINER,
        "init_args": {"configuration": CONFIGURATION, "fold": FOLD},
        "inference_allowed_mirroring_axes": None,
    }
    plans = _plans(folder.parent.name, model)
    marker = {"format_version": FORMAT_VERSION, **source}
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.parent)
    if not (folder / MARKER).is_file():
        with folder_written_beside(folder) as new:
            _write_content(new, marker, dataset_json, checkpoint, plans)
        return
    # Without it a folder is nobody's model, so that a killed process leaves no model of two imports.
    (folder / "plans.json").unlink(missing_ok=True)
    _write_content(folder, marker, dataset_json, checkpoint, plans)


def _write_content(
    folder: Path,
    marker: Mapping[str, Any],
    dataset_json: Mapping[str, Any],
    checkpoint: Mapping[str, Any],
    plans: Mapping[str, Any],
) -> None:
    fold = folder / f"fold_{FOLD}"
    fold.mkdir(exist_ok=True)
    write_json(marker, folder / MARKER)
    write_json(dataset_json, folder / "dataset.json")
    with written_beside(fold / FINAL) as temporary:
        torch.save(checkpoint, temporary)
    write_json(plans, folder / "plans.json")


def _plans(dataset_name: str, model: ImportedModel) -> dict[str, Any]:
    planner, plans_name = PLANNERS[model.network_class]
    spacing = [TARGET_SPACING_MM] * 3
    configuration = paper_configuration(
        model.network_class,
        model.arguments,
        data_identifier=f"{plans_name}_{CONFIGURATION}",
        spacing=spacing,
        median_shape=PATCH_SIZE,
        input_channels=model.input_channels,
        batch_size=BATCH_SIZE,
    )
    hermes_plans = replace(
        HermesPlans.of_collection(model.identity.collection, default_intensity_clipping(), model.rows_per_case),
        voxel_order=model.voxel_order,
        voxel_orders=model.voxel_orders,
    )
    return {
        "dataset_name": dataset_name,
        "plans_name": plans_name,
        "original_median_spacing_after_transp": spacing,
        "original_median_shape_after_transp": list(PATCH_SIZE),
        "image_reader_writer": READER_WRITER,
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {CONFIGURATION: configuration},
        "experiment_planner_used": planner,
        "label_manager": "HermesLabelManager",
        # z-score is by image and reads none, but nnU-Net looks them up
        "foreground_intensity_properties_per_channel": {str(channel): {} for channel in range(model.input_channels)},
        HERMES_BLOCK: hermes_plans.to_block(),
    }


def check_free(folder: Path, dataset_name: str) -> None:
    """Refuse an id that another data set has.

    Raises:
        HermesError: `folder` has a data set of the same id and another name.
    """
    others = [name for name in datasets_with_id(folder, dataset_id(dataset_name)) if name != dataset_name]
    if others:
        raise HermesError(
            f"{folder / others[0]} has this id: import into another one with --into, or name it with --name"
        )
