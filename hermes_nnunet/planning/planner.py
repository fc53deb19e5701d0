"""nnU-Net's experiment planning, as far as it differs for collections."""

import contextlib
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.experiment_planning.experiment_planners.residual_unets.residual_encoder_unet_planners import (
    ResEncUNetPlanner,
)
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape
from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from hermes_nnunet.collection import HERMES_BLOCK, Collection
from hermes_nnunet.core.images import READER_WRITER
from hermes_nnunet.core.shortages import ending_in_one_line
from hermes_nnunet.data.merge.record import check_whole
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.contextual import ContextualNetwork
from hermes_nnunet.networks.hermes_unet import HermesUNet
from hermes_nnunet.planning.fingerprint import BY_CASE, check_fingerprint
from hermes_nnunet.planning.labelled_intensities import planned_intensity_clipping
from hermes_nnunet.planning.modality.fitting import classifier_of
from hermes_nnunet.planning.plain_plans import PLANS_LIKE_VARIABLE, PlainUNet, plain_unet_of_environment
from hermes_nnunet.planning.preprocessing.intensity import default_intensity_clipping
from hermes_nnunet.planning.resampling.images import resample_linear
from hermes_nnunet.planning.resampling.logits import resample_logits_by_task
from hermes_nnunet.planning.resampling.options import IMAGE_OPTIONS, LOGITS_OPTIONS, SEGMENTATION_OPTIONS
from hermes_nnunet.planning.splits import check_planned_splits
from hermes_nnunet.plans import HermesPlans

CONFIGURATION = "3d_fullres"
TARGET_SPACING_MM = 1.5
TOKENS_PER_MODALITY = 10
STOCK_PREPROCESSOR = "DefaultPreprocessor"


class CollectionPlanner(ResEncUNetPlanner):
    """Plans 3d_fullres of a collection: isotropic spacing, normalisation by modality, no transpose, HermesUNet.

    Subclasses set the class attributes; `-gpu_memory_target` overrides `gpu_memory_gb`. The environment variable
    HERMES_PLANS_LIKE names plans of plain nnU-Net from which to take network, patch and spacing instead.

    Attributes:
        gpu_memory_gb: GPU memory to plan for.
        base_num_features: channels of the first stage, doubled from stage to stage.
        max_num_features: upper limit of a stage's channels.
        blocks_per_stage: residual blocks of the encoder's stages; None for nnU-Net's.
        can_be_like_others: whether HERMES_PLANS_LIKE may choose the network.
    """

    plans_name: str
    gpu_memory_gb: float
    base_num_features = 32
    max_num_features = 320
    blocks_per_stage: tuple[int, ...] | None = None
    can_be_like_others = True

    # nnU-Net's own attributes that are set anew here
    dataset: dict[str, Any]

    @ending_in_one_line()
    def __init__(
        self,
        dataset_name_or_id: str | int,
        gpu_memory_target_in_gb: float | None = None,
        preprocessor_name: str = STOCK_PREPROCESSOR,
        plans_name: str | None = None,
        overwrite_target_spacing: list[float] | tuple[float, ...] | None = None,
        suppress_transpose: bool = False,
    ) -> None:
        self.like = plain_unet_of_environment()
        self._like_in_words = ""
        if self.like is not None and not self.can_be_like_others:
            raise HermesError(
                f"{PLANS_LIKE_VARIABLE} is set, but {type(self).__name__} plans the paper's network: unset it"
            )
        name = maybe_convert_to_dataset_name(dataset_name_or_id)
        check_whole(Path(nnUNet_raw) / name)
        check_planned_splits(Path(nnUNet_raw) / name, Path(nnUNet_preprocessed) / name)
        # nnU-Net's command always passes its own preprocessor's name.
        preprocessor = "HermesPreprocessor" if preprocessor_name == STOCK_PREPROCESSOR else preprocessor_name
        super().__init__(
            dataset_name_or_id,
            self.gpu_memory_gb if gpu_memory_target_in_gb is None else gpu_memory_target_in_gb,
            preprocessor,
            self.plans_name if plans_name is None else plans_name,
            overwrite_target_spacing,
            suppress_transpose,
        )
        check_fingerprint(self.dataset_fingerprint, list(self.dataset), Path(nnUNet_preprocessed) / name)
        _check_reader(self.dataset_json, self.dataset_name)
        self.collection = Collection.from_dataset_json(self.dataset_json, self.dataset_name)
        self.hermes_plans = HermesPlans.of_collection(self.collection, default_intensity_clipping())
        self._leave_out_unlabelled()
        self.UNet_class = HermesUNet
        self.UNet_base_num_features = self.base_num_features
        self.UNet_max_features_3d = self.max_num_features
        if self.blocks_per_stage is not None:
            self.UNet_blocks_per_stage_encoder = self.blocks_per_stage
        # A collection is large; what limits the batch size is memory. (And no low-resolution configuration.)
        self.max_dataset_covered = 1
        self.lowres_creation_threshold = 0

    def _leave_out_unlabelled(self) -> None:
        """Plan for images with labels only: the others do not tell what is to be segmented."""
        labelled = set(self.collection.labelled(self.dataset))
        if len(labelled) == len(self.dataset):
            return
        there = [case in labelled for case in self.dataset]
        for key in BY_CASE:
            values = self.dataset_fingerprint[key]
            self.dataset_fingerprint[key] = [own for own, kept in zip(values, there, strict=True) if kept]
        self.dataset = {case: files for case, files in self.dataset.items() if case in labelled}

    def generate_data_identifier(self, configuration_name: str) -> str:
        """Name of the preprocessed folder: one for each plans name, since spacings may differ."""
        return f"{self.plans_identifier}_{configuration_name}"

    def determine_fullres_target_spacing(self) -> np.ndarray:
        """1.5 mm isotropic, the spacing of HERMES_PLANS_LIKE, or that of -overwrite_target_spacing.

        Raises:
            HermesError: the spacing is not three positive numbers.
        """
        spacing = self.overwrite_target_spacing
        if spacing is None:
            return np.full(3, TARGET_SPACING_MM) if self.like is None else np.array(self.like.spacing)
        if len(spacing) != 3 or min(spacing) <= 0:
            raise HermesError(f"-overwrite_target_spacing {spacing}: give three positive numbers in mm, z y x")
        return np.array(spacing)

    def determine_transpose(self) -> tuple[list[int], list[int]]:
        """No transpose: all members share one orientation."""
        return [0, 1, 2], [0, 1, 2]

    def determine_normalization_scheme_and_whether_mask_is_used_for_norm(self) -> tuple[list[str], list[bool]]:
        """z-score of the whole image, unless its modality's rule has a mean of its own; see HermesPreprocessor."""
        channels = len(self.dataset_json["channel_names"])
        return ["ZScoreNormalization"] * channels, [False] * channels

    def determine_resampling(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """See hermes_nnunet.planning.resampling.options."""
        return resample_linear, IMAGE_OPTIONS, resample_linear, SEGMENTATION_OPTIONS

    def determine_segmentation_softmax_export_fn(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """See hermes_nnunet.planning.resampling.options."""
        return resample_logits_by_task, LOGITS_OPTIONS

    def static_estimate_VRAM_usage(  # noqa: N802 (nnU-Net's name)
        self,
        patch_size: tuple[int, ...],
        input_channels: int,
        output_channels: int,
        arch_class_name: str,
        arch_kwargs: dict[str, Any],
        arch_kwargs_req_import: tuple[str, ...],
    ) -> int:
        """Numbers kept for the backward pass, with fusion places and one logit channel for each task of a case."""
        network = self._network_of_shapes(
            arch_class_name, {**arch_kwargs, **self._hermes_arguments()}, arch_kwargs_req_import, input_channels
        )
        return network.compute_conv_feature_map_size(patch_size)

    def _network_of_shapes(
        self, class_name: str, arguments: Mapping[str, Any], required_imports: Sequence[str], input_channels: int
    ) -> ContextualNetwork:
        """The network of an architecture on the meta device: the sizes of its layers, but no weights."""
        with torch.device("meta"):
            return get_network_from_plans(
                class_name,
                arguments,
                required_imports,
                input_channels,
                len(self.hermes_plans.tasks),
                allow_init=False,
                deep_supervision=True,
            )

    def _hermes_arguments(self) -> dict[str, Any]:
        """Arguments of HermesUNet that nnU-Net's own networks do not have."""
        return {
            "num_modalities": len(self.hermes_plans.modalities),
            "rows_per_case": self.hermes_plans.rows_per_case,
            "tokens_per_modality": TOKENS_PER_MODALITY,
            "encoder_type": "residual",
            "modality_norms": True,
        }

    def get_plans_for_configuration(
        self,
        spacing: np.ndarray,
        median_shape: np.ndarray,
        data_identifier: str,
        approximate_n_voxels_dataset: float,
        _cache: dict[str, int],
    ) -> dict[str, Any]:
        """Plans of 3d_fullres; an empty stub for nnU-Net's 2d, which `save_plans` drops."""
        if len(spacing) == 2:
            return {}
        return self._plan_3d_fullres(spacing, median_shape, data_identifier, approximate_n_voxels_dataset, _cache)

    def _plan_3d_fullres(
        self,
        spacing: np.ndarray,
        median_shape: np.ndarray,
        data_identifier: str,
        voxels_of_dataset: float,
        cache: dict[str, int],
    ) -> dict[str, Any]:
        """Patch, batch and network as nnU-Net derives them."""
        plan = super().get_plans_for_configuration(
            spacing, self._largest_member_shape(spacing), data_identifier, voxels_of_dataset, cache
        )
        plan["median_image_size_in_voxels"] = median_shape
        plan["architecture"]["arch_kwargs"].update(self._hermes_arguments())
        return plan if self.like is None else {**plan, **self._network_like(self.like, plan["architecture"])}

    def _network_like(self, like: PlainUNet, architecture: Mapping[str, Any]) -> dict[str, Any]:
        """The other plans' network and patch, and as many cases as fit by nnU-Net's estimate, at least its minimum."""
        arguments = {**architecture["arch_kwargs"], **like.arguments}
        network = self._network_of_shapes(
            architecture["network_class_name"],
            arguments,
            architecture["_kw_requires_import"],
            len(self.dataset_json["channel_names"]),
        )
        needed = network.compute_conv_feature_map_size(like.patch_size)
        there = self.UNet_reference_val_3d * self.UNet_vram_target_GB / self.UNet_reference_val_corresp_GB
        cases = round(there / needed * self.UNet_reference_val_corresp_bs_3d)
        batch_size = max(cases, self.UNet_min_batch_size)
        gigabytes = self.UNet_vram_target_GB * batch_size / self.UNet_reference_val_corresp_bs_3d * needed / there
        self._like_in_words = f", network and patch as in {like.source}" + (
            f", for which {batch_size} cases need about {gigabytes:.0f} GB of GPU memory, more than the "
            f"{self.UNet_vram_target_GB:g} GB that the planner is for"
            if cases < batch_size
            else ""
        )
        return {
            "architecture": {**architecture, "arch_kwargs": arguments},
            "patch_size": list(like.patch_size),
            "batch_size": batch_size,
        }

    def _largest_member_shape(self, spacing: np.ndarray) -> np.ndarray:
        """For each axis the largest of the members' median image sizes, in voxels of `spacing`.

        nnU-Net makes no patch larger than the median image; over all members, many thin images would flatten the
        patches of the others.
        """
        shapes = defaultdict(list)
        fingerprint = self.dataset_fingerprint
        for case, shape, own in zip(
            self.dataset, fingerprint["shapes_after_crop"], fingerprint["spacings"], strict=True
        ):
            size = np.maximum(compute_new_shape(shape, own, spacing), 1)
            shapes[self.collection.cases[case].member].append(size)
        return np.max([np.median(sizes, axis=0) for sizes in shapes.values()], axis=0)

    @ending_in_one_line()
    def plan_experiment(self) -> dict[str, Any]:
        """Plan, save the plans and return them."""
        self.hermes_plans = replace(
            self.hermes_plans,
            intensity_clipping=self._intensity_clipping(),
            modality_classifier=self._modality_classifier(),
        )
        # nnU-Net announces the 2d and low-resolution plans, which do not exist here.
        with contextlib.redirect_stdout(io.StringIO()):
            plans = super().plan_experiment()
        configuration = plans["configurations"][CONFIGURATION]
        print(
            f"{self.plans_identifier}: {len(self.hermes_plans.tasks)} tasks of {len(self.collection.members)} members, "
            f"spacing {_row(configuration['spacing'])} mm, patch {_row(configuration['patch_size'])}, "
            f"batch size {configuration['batch_size']}, {self._network_in_words(configuration)}"
        )
        return plans

    def _intensity_clipping(self) -> dict[str, dict[str, Any]]:
        """See planned_intensity_clipping."""
        return planned_intensity_clipping(self.collection, self.dataset, self.dataset_json)

    def _modality_classifier(self) -> dict[str, Any] | None:
        """What recognises the modality of an image at prediction; None if all images have the same."""
        classifier, line = classifier_of(self.collection, self.dataset, self._reader())
        if line:
            print(line)
        return None if classifier is None else classifier.to_json()

    def _reader(self) -> type[BaseReaderWriter]:
        example = next(iter(self.dataset.values()))["images"][0]
        return determine_reader_writer_from_dataset_json(self.dataset_json, example, verbose=False)

    def _network_in_words(self, configuration: Mapping[str, Any]) -> str:
        widths = _row(configuration["architecture"]["arch_kwargs"]["features_per_stage"])
        return f"widths {widths}{self._like_in_words}"

    def save_plans(self, plans: dict[str, Any]) -> None:
        """Save 3d_fullres and the `hermes` block."""
        plans["configurations"] = {CONFIGURATION: plans["configurations"][CONFIGURATION]}
        plans["label_manager"] = "HermesLabelManager"
        plans[HERMES_BLOCK] = self.hermes_plans.to_block()
        super().save_plans(plans)


def _check_reader(dataset_json: Mapping[str, Any], dataset_name: str) -> None:
    """Check that nnU-Net finds the reader that a collection names.

    Otherwise nnU-Net only warns and takes one that reads images as they are stored, so left and right may swap.

    Raises:
        HermesError: nnU-Net does not find the reader.
    """
    named = dataset_json.get("overwrite_image_reader_writer")
    if named == READER_WRITER:
        found = determine_reader_writer_from_dataset_json(dict(dataset_json), verbose=False).__name__
        if found != named:
            raise HermesError(
                f"nnU-Net does not find the image reader {named} of {dataset_name} and has taken {found}: run "
                "'hermes_nnunet doctor' for what to install or link, then plan again with --clean"
            )


def _row(numbers: Any) -> str:
    return " x ".join(f"{number:g}" for number in np.ravel(numbers))
