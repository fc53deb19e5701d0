"""Reading and preprocessing the images of a case for every pass."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from hermes_nnunet.core.images.remarks import Remark
from hermes_nnunet.core.reading import reading
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.image_reader_writer import REMARKS
from hermes_nnunet.prediction.image_sources import ImageSource
from hermes_nnunet.prediction.model_folder import ModelFolder
from hermes_nnunet.prediction.passes import Pass


@dataclass(frozen=True)
class Prepared:
    """A case, ready for the network.

    Attributes:
        source: where it comes from.
        folder: where files are written for it.
        files: a file for each channel, in their order.
        inputs: tensor (channels, d, h, w) and nnU-Net's properties, for each modality and channel that a pass needs.
    """

    source: ImageSource
    folder: Path
    files: list[Path]
    inputs: dict[tuple[str, int | None], tuple[torch.Tensor, dict[str, Any]]]

    def input_of(self, one: Pass) -> tuple[torch.Tensor, dict[str, Any]]:
        return self.inputs[one.context.modality, one.channel]

    @property
    def geometry(self) -> dict[str, Any]:
        """nnU-Net's properties of the image's geometry, which all passes share."""
        return next(iter(self.inputs.values()))[1]

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What people should know of the voxels."""
        found = {what: None for _, properties in self.inputs.values() for what in properties.get(REMARKS, [])}
        return tuple(Remark(what, self.source.place) for what in found)

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel of the image."""
        return float(abs(np.linalg.det(self.geometry["nibabel_stuff"]["original_affine"][:3, :3])))

    def files_of(self, one: Pass) -> list[Path]:
        """The channels that a pass looks at: by their order, whatever the files are called."""
        return self.files if one.channel is None or len(self.files) == 1 else [self.files[one.channel]]

    def image_file(self, one: Pass) -> Path:
        """The image that a pass looks at; the first channel where it looks at several."""
        return self.files_of(one)[0]

    def remove_files(self) -> None:
        """Remove what was written for the case and has no place elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)


def check_channels(source: ImageSource, files: int, passes: Sequence[Pass]) -> None:
    """See that a case has the channels that every pass needs.

    Raises:
        HermesError: it has not.
    """
    for one in passes:
        wanted = one.image_channels
        if files != wanted and not (one.channel is not None and files == 1):
            raise HermesError(
                f"{source.place}: the case has {files} channel{'s' * (files != 1)}, but {listed(one.members)} "
                f"need{'s' * (len(one.members) == 1)} {wanted}: "
                f"name its files {source.name}_0000.nii.gz and so on, one for each channel"
            )


def prepare(
    source: ImageSource,
    passes: Sequence[Pass],
    model: ModelFolder,
    configuration: ConfigurationManager,
    folder: Path,
) -> Prepared:
    """Read and preprocess a case as nnU-Net does, once for each modality and channel.

    Args:
        folder: of the case, empty; files of what is no file, or not a clear one, are written there.

    Raises:
        HermesError: an image cannot be read, or has voxels that are no numbers.
    """
    files = source.image_files(folder)
    check_channels(source, len(files), passes)
    prepared = Prepared(source, folder, files, {})
    for one in passes:
        key = one.context.modality, one.channel
        if key in prepared.inputs:
            continue
        preprocessor = configuration.preprocessor_class(verbose=False)
        preprocessor.prints_remarks = False
        with reading(Path(source.place)):
            data, _, properties = preprocessor.run_case(
                [str(file) for file in prepared.files_of(one)],
                None,
                PlansManager(one.plans(model)),
                configuration,
                one.dataset_json(model),
            )
        if not np.isfinite(data).all():
            raise HermesError(f"{source.place} has voxels that are not numbers (NaN or infinite): mend it")
        tensor = torch.from_numpy(data).to(torch.float32, memory_format=torch.contiguous_format)
        prepared.inputs[key] = tensor, properties
    return prepared
