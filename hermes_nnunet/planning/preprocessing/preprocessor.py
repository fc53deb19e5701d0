"""nnU-Net's preprocessor, with intensities clipped and normalised by the modality of each case."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from hermes_nnunet.collection import UNKNOWN_MODALITY, Collection
from hermes_nnunet.core.engine import Pool
from hermes_nnunet.core.files import naming, temporary_folder_in
from hermes_nnunet.core.images.endings import split_ending
from hermes_nnunet.core.images.remarks import NOT_HOUNSFIELD
from hermes_nnunet.core.images.voxels import may_be_hounsfield
from hermes_nnunet.core.nnunet_files import read_dataset_json
from hermes_nnunet.core.shortages import ending_in_one_line
from hermes_nnunet.errors import HermesError
from hermes_nnunet.modalities import CT
from hermes_nnunet.networks.told_by_image import with_mark
from hermes_nnunet.overrides import MODALITY_VARIABLE
from hermes_nnunet.planning.image_reader_writer import REMARKS, OwnReaderPlans, check_axes
from hermes_nnunet.planning.modality.finder import ModalityFinder
from hermes_nnunet.planning.preprocessing.collection import preprocess
from hermes_nnunet.planning.preprocessing.intensity import (
    channel_rules,
    clip_intensities,
    fixed_normalization,
    own_channels,
)
from hermes_nnunet.planning.preprocessing.locations import OneClass, sample_locations
from hermes_nnunet.planning.preprocessing.one_case import MEMORY_REMEDY
from hermes_nnunet.planning.preprocessing.unknown_copies import folder_of_copies, needs_copy
from hermes_nnunet.planning.resampling.size import check_size
from hermes_nnunet.plans import HermesPlans

_REMEDY = "copy the model's folder again"


class HermesPreprocessor(DefaultPreprocessor):
    """Crop to nonzero, clip and normalise by modality, resample.

    A training case has the modality that the collection says. At prediction it is that of the environment variable
    HERMES_MODALITY or of the model folder's context. If that is "unknown" and the plans have a modality classifier, the
    modality is recognised from the image, and an additional channel tells it to the network: see
    `networks.told_by_image`.
    """

    # Set to False by whoever collects what is said of images, instead.
    prints_remarks = True

    def __init__(self, verbose: bool = True) -> None:
        super().__init__(verbose)
        self._training_modality: str | None = None
        self._modality = ""
        self._rules: dict[str, dict[str, Any]] = {}
        self._name = "the image"
        self._spacing: list[float] = []

    @ending_in_one_line(remedy=MEMORY_REMEDY)
    def run(
        self, dataset_name_or_id: int | str, configuration_name: str, plans_identifier: str, num_processes: int
    ) -> None:
        """Preprocess a collection, each of whose cases is sent to a process without the table of all cases.

        Raises:
            CommandEndedError: its plans name a class that is not known, it was merged again after it was planned, a
                case cannot be read, or a process died.
        """
        engine = Pool(num_processes, when_one_died=MEMORY_REMEDY)
        preprocess(dataset_name_or_id, plans_identifier, [configuration_name], engine, verbose=self.verbose)

    def run_case_save(
        self,
        output_filename_truncated: str,
        image_files: list[str],
        seg_file: str,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        dataset_json: dict[str, Any],
    ) -> None:
        """Preprocess a training case; its name is the last part of `output_filename_truncated`."""
        case = os.path.basename(output_filename_truncated)
        collection = Collection.from_dataset_json(dataset_json, plans_manager.dataset_name)
        self._training_modality = collection.context_of(case).modality
        target = Path(output_filename_truncated)
        settings = (image_files, seg_file, plans_manager, configuration_manager, dataset_json)
        self._save_whole(target, *settings)
        plans = HermesPlans.from_plans(plans_manager.plans)
        if plans.unknown_copies and needs_copy(plans, self._training_modality):
            self._training_modality = UNKNOWN_MODALITY
            copies = folder_of_copies(target.parent)
            copies.mkdir(exist_ok=True)
            self._save_whole(copies / case, *settings)

    def _save_whole(self, target: Path, *settings: Any) -> None:
        """nnU-Net's preprocessing of a training case, whose files appear when all of them are written."""
        image = target.with_name(f"{target.name}.b2nd")
        with naming(image), temporary_folder_in(target.parent) as folder:
            super().run_case_save(str(folder / target.name), *settings)
            # A case is there for nnU-Net as soon as its image is.
            for file in sorted(folder.iterdir(), key=lambda file: file.name == image.name):
                os.replace(file, target.with_name(file.name))

    def run_case(
        self,
        image_files: list[str],
        seg_file: str | None,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        dataset_json: dict[str, Any] | str,
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Read and preprocess a case; of a multi-channel input, the channel that the context uses.

        The reader is HermesImageIO also where the plans are older than it.

        Raises:
            HermesError: the case cannot be read, or would be larger than all memory; its first image is named.
        """
        if self._training_modality is None:
            image_files = context_channel(image_files, HermesPlans.from_plans(plans_manager.plans))
        plans_manager = OwnReaderPlans(plans_manager.plans)
        self._name = image_files[0]
        return super().run_case(image_files, seg_file, plans_manager, configuration_manager, dataset_json)

    def run_case_npy(
        self,
        data: np.ndarray,
        seg: np.ndarray | None,
        properties: dict[str, Any],
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        dataset_json: dict[str, Any] | str,
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Preprocess a case (channels, D, H, W) that is already in memory.

        Raises:
            HermesError: its axes run another way than the network knows them, or it has other channels.
        """
        check_axes(properties)
        if self._training_modality is None:
            _check_channels(len(data), dataset_json, self._name)
        plans = HermesPlans.from_plans(plans_manager.plans)
        self._rules = plans.intensity_clipping
        finds = self._training_modality is None and plans.finds_modality
        self._modality = (
            self._found_modality(plans, data, properties)
            if finds
            else self._training_modality or plans.with_modality_override().context.modality
        )
        self._say_remarks(data, properties)
        self._spacing = [properties["spacing"][axis] for axis in plans_manager.transpose_forward]
        data, seg, properties = super().run_case_npy(
            data, seg, properties, plans_manager, configuration_manager, dataset_json
        )
        return with_mark(data, plans.modalities.index(self._modality)) if finds else data, seg, properties

    def _say_remarks(self, data: np.ndarray, properties: dict[str, Any]) -> None:
        """Complete what people should know of an image's voxels, and print it unless whoever predicts tells it."""
        known = properties.get(REMARKS, [])
        new = []
        if self._modality == CT:
            cts = [data[channel] for channel in own_channels(CT, self._rules, len(data))]
            if not all(may_be_hounsfield(ct.min(), ct.max()) for ct in cts):
                new = [NOT_HOUNSFIELD]
        if new:
            properties[REMARKS] = [*known, *new]
        if self.prints_remarks:
            # Of training images, the merge has told the others.
            for remark in new if self._training_modality is not None else [*known, *new]:
                print(f"warning: {self._name}: {remark}")

    def _found_modality(self, plans: HermesPlans, data: np.ndarray, properties: dict[str, Any]) -> str:
        """Recognise and print the modality of an image.

        Raises:
            HermesError: it is not clear, or cannot be recognised in such an image.
        """
        where = "the plans of this model"
        found = ModalityFinder.of_plans(plans, where).of_image(data[0], properties["spacing"], self._name)
        if not found.sure:
            raise HermesError(
                f"{self._name}: the modality is not clear, {found.in_words}: set {MODALITY_VARIABLE} to what it is"
            )
        print(found.remark or f"{self._name}: {found.in_words} by its looks")
        return found.modality

    def _normalize(
        self,
        data: np.ndarray,
        seg: np.ndarray,
        configuration_manager: ConfigurationManager,
        foreground_intensity_properties_per_channel: dict[str, Any],
    ) -> np.ndarray:
        # The last step before the image is resampled.
        check_size(data.shape, self._spacing, configuration_manager.spacing, self._name)
        rules = channel_rules(self._modality, self._rules, len(data))
        fixed = {channel: own for channel, rule in enumerate(rules) if (own := fixed_normalization(rule)) is not None}
        if len(fixed) < len(data):
            # nnU-Net's normalisation is of all channels.
            kept = {channel: data[channel].copy() for channel in fixed}
            for channel, rule in enumerate(rules):
                if channel not in fixed:
                    clip_intensities(data[channel], rule)
            data = super()._normalize(data, seg, configuration_manager, foreground_intensity_properties_per_channel)
            for channel, image in kept.items():
                data[channel] = image
        for channel, normalization in fixed.items():
            data[channel] = normalization.run(data[channel], seg[0])
        return data

    @staticmethod
    def _sample_foreground_locations(
        seg: np.ndarray, classes_or_regions: list[Any], *args: Any, **kwargs: Any
    ) -> dict[OneClass, np.ndarray]:
        return sample_locations(seg, classes_or_regions)


def _check_channels(channels: int, dataset_json: dict[str, Any] | str, name: str) -> None:
    """See that an image has as many channels as the network takes, which cannot tell one more from one of its own.

    Raises:
        HermesError: it has not.
    """
    content = read_dataset_json(Path(dataset_json), _REMEDY) if isinstance(dataset_json, str) else dataset_json
    # Whoever preprocesses a single image may give labels only.
    wanted = len(content.get("channel_names", range(channels)))
    if channels != wanted:
        raise HermesError(
            f"{name}: the case has {channels} channel{'s' * (channels != 1)}, the model takes {wanted}: give a file "
            "for each, which ends in _0000 and so on"
        )


def context_channel(image_files: list[str], plans: HermesPlans) -> list[str]:
    """The channel files that the context uses of a member whose images have more channels than the model.

    A single file is taken as the right channel.

    Raises:
        HermesError: the channel that the context needs is not among the files.
    """
    plans = plans.with_modality_override()
    channel = plans.context_channels.get(plans.context.modality)
    if channel is None or len(image_files) == 1:
        return image_files
    for file in image_files:
        parts = split_ending(os.path.basename(file))
        if parts is not None and parts[0].endswith(f"_{channel:04d}"):
            return [file]
    raise HermesError(
        f"{image_files[0]}: modality {plans.context.modality} is channel {channel} of this data set, "
        f"but there is no file of this case that ends in _{channel:04d}: add it"
    )
