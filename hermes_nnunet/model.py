"""A trained model in Python: loaded once, used for many images."""

import tempfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import nibabel
import numpy as np
from nibabel.spatialimages import SpatialImage

from hermes_nnunet.collection import Member
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.decisions import CaseDecision
from hermes_nnunet.prediction.finding import find_cases
from hermes_nnunet.prediction.image_sources import ImageSource, MemorySource, NiftiSource
from hermes_nnunet.prediction.model_folder import (
    CHECKPOINT,
    CONFIGURATION,
    PLANS,
    TRAINER,
    find_model_folder,
    read_model_folder,
)
from hermes_nnunet.prediction.passes import choose, wanted_modality
from hermes_nnunet.prediction.predictor import HermesPredictor
from hermes_nnunet.prediction.preparing import Prepared, prepare
from hermes_nnunet.prediction.running import explained, run_pass
from hermes_nnunet.segmentation import Segmentation

if TYPE_CHECKING:
    import torch
    from SimpleITK import Image

    # (voxels, spacing in mm): voxels (X, Y, Z), taken to run to the patient's right, front and head.
    ArrayWithSpacing = tuple[np.ndarray, Sequence[float]]
    OneImage = str | Path | nibabel.Nifti1Image | Image | ArrayWithSpacing


class HermesModel:
    """A universal model or a view, with its weights.

    Example:
        >>> from hermes_nnunet import HermesModel
        >>> model = HermesModel.load(900)
        >>> segmentation = model.predict("image.nii.gz", tasks=["liver", "spleen"], modality="CT")
        >>> segmentation.to_nifti("liver_and_spleen.nii.gz")
    """

    def __init__(self, predictor: HermesPredictor) -> None:
        self._predictor = predictor

    @classmethod
    def load(
        cls,
        model: str | int | Path,
        *,
        trainer: str = TRAINER,
        plans: str = PLANS,
        configuration: str = CONFIGURATION,
        folds: Iterable[int | str] | None = None,
        checkpoint: str = CHECKPOINT,
        device: "torch.device | str | None" = None,
        half_precision: bool = True,
        tile_step: float = 0.5,
        trust_plans: bool = False,
    ) -> "HermesModel":
        """Load a model.

        Args:
            model: its folder, or the id or name of its data set in nnUNet_results; then `trainer`, `plans` and
                `configuration` tell which of its models.
            folds: to average; None for every finished one.
            device: None takes a GPU where there is one.
            half_precision: run the network in half precision, on a GPU.
            tile_step: step of the sliding window as a share of the patch.
            trust_plans: the model's plans may name classes that are not Hermes' or nnU-Net's; their code is run.

        Raises:
            HermesError: there is no such model, or it cannot be loaded.
        """
        path = find_model_folder(model, trainer, plans, configuration)
        folder = read_model_folder(path, folds, checkpoint)
        predictor = HermesPredictor(
            folder, device, half_precision=half_precision, tile_step=tile_step, trust_plans=trust_plans
        )
        return cls(predictor)

    @property
    def members(self) -> dict[str, Member]:
        """The data sets that the model was trained on, by name; in a view the one that it is of."""
        return dict(self._predictor.model.members)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of all tasks."""
        return self._predictor.model.tasks

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that the network knows, "unknown" last."""
        return self._predictor.model.hermes_plans.modalities

    def predict(
        self,
        image: "OneImage | list[OneImage]",
        *,
        tasks: Sequence[str] = (),
        members: Sequence[str] = (),
        everything: bool = False,
        modality: str | None = None,
    ) -> Segmentation:
        """Segment an image.

        Args:
            image: a path (NIfTI file, or folder of one DICOM series), a nibabel or SimpleITK image, or an array
                (X, Y, Z) with its spacing; a list of such for the channels of a case.
            tasks, members, everything: what to segment, at most one of the three; see `hermes_nnunet predict`. A model
                of one member needs none of them.
            modality: of the image; None takes that of each member.

        Raises:
            HermesError: a name is not known, or the image cannot be read or does not fit the model.
        """
        predictor = self._predictor
        choice = choose(
            predictor.model,
            members=members,
            tasks=tasks,
            everything=everything,
            modality=wanted_modality(modality),
        )
        for warning in choice.warnings:
            warnings.warn(warning, stacklevel=2)
        source = _source(image)
        source.check()
        with explained("the temporary folder"), tempfile.TemporaryDirectory(prefix="hermes_nnunet-") as folder:
            prepared = prepare(source, choice.passes, predictor.model, predictor.configuration_manager, Path(folder))
            decision = CaseDecision(predictor.plans_manager, predictor.configuration_manager)
            for one in choice.passes:
                decision.add(one, *run_pass(predictor, one, prepared))
            # Read into memory, since the temporary files go.
            label_map = self._as_given(decision.label_map, prepared)
            shown = cast(SpatialImage, nibabel.load(prepared.image_file(choice.passes[0])))
            return Segmentation(
                array=np.asarray(label_map.dataobj).copy(),
                affine=label_map.affine,
                labels=choice.labels,
                image=nibabel.Nifti1Image(np.asarray(shown.dataobj).copy(), shown.affine),
                modality=choice.passes[0].context.modality,
            )

    def _as_given(self, label_map: np.ndarray, prepared: Prepared) -> nibabel.Nifti1Image:
        """The label map (D, H, W) in the orientation of the image."""
        path = prepared.folder / "label_map.nii"
        self._predictor.plans_manager.image_reader_writer_class().write_seg(label_map, str(path), prepared.geometry)
        return nibabel.Nifti1Image.from_filename(path)


def _source(image: Any) -> ImageSource:
    if not isinstance(image, list):
        if isinstance(image, str | Path):
            cases = find_cases(Path(image))
            if len(cases) != 1:
                raise HermesError(f"{image} holds {len(cases)} cases: give one of them at a time")
            return cases[0]
        return MemorySource("image", (_nifti(image),))
    if all(isinstance(channel, str | Path) for channel in image):
        return NiftiSource("image", tuple(Path(channel) for channel in image))
    return MemorySource("image", tuple(_nifti(channel) for channel in image))


def _nifti(image: Any) -> nibabel.Nifti1Image:
    if isinstance(image, nibabel.Nifti1Image):
        return image
    if isinstance(image, tuple) and len(image) == 2:
        voxels, spacing = image
        if np.shape(spacing) != (3,):
            raise HermesError(f"the spacing of an array is {spacing}: give three distances in mm")
        return nibabel.Nifti1Image(np.asarray(voxels), np.diag([*spacing, 1.0]))
    if hasattr(image, "GetDirection"):
        return _from_simpleitk(image)
    raise HermesError(
        f"an image cannot be a {type(image).__name__}: give a path, a nibabel or SimpleITK image, or (array, spacing)"
    )


def _from_simpleitk(image: "Image") -> nibabel.Nifti1Image:
    import SimpleITK

    from hermes_nnunet.data.dicom.slices import LPS_TO_RAS

    if image.GetDimension() != 3:
        raise HermesError(f"the image has {image.GetDimension()} dimensions: the model takes three")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return nibabel.Nifti1Image(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), LPS_TO_RAS @ affine)
