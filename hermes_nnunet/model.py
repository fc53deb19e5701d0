"""A trained model in Python: loaded once, used for many images."""

import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import nibabel
import numpy as np
from nibabel.spatialimages import SpatialImage

from hermes_nnunet.additions import RANK
from hermes_nnunet.collection import Member
from hermes_nnunet.core.expected_dice import ExpectedDice
from hermes_nnunet.core.images.geometry import in_axes_of
from hermes_nnunet.core.images.opening import OpenImage, open_array, open_image, open_itk, open_nibabel
from hermes_nnunet.core.images.remarks import remark_lines
from hermes_nnunet.core.images.spacing_choice import check_spacing_from
from hermes_nnunet.core.images.writing import nifti_on
from hermes_nnunet.errors import HermesError
from hermes_nnunet.overrides import AUTO
from hermes_nnunet.planning.image_reader_writer import in_own_direction
from hermes_nnunet.prediction.decisions import CaseDecision
from hermes_nnunet.prediction.finding import find_cases, unused_lines
from hermes_nnunet.prediction.image_sources import FileSource, ImageSource, MemorySource
from hermes_nnunet.prediction.modality_finding import check_sure, find_modality, is_to_find
from hermes_nnunet.prediction.model_folder import (
    CHECKPOINT,
    CONFIGURATION,
    PLANS,
    TRAINER,
    find_model_folder,
    read_model_folder,
)
from hermes_nnunet.prediction.passes import Pass, choose, wanted_modality
from hermes_nnunet.prediction.predictor import HermesPredictor
from hermes_nnunet.prediction.preparing import Prepared, prepare
from hermes_nnunet.prediction.running import explained, run_pass
from hermes_nnunet.segmentation import Segmentation
from hermes_nnunet.weights.additions.base import read_fold
from hermes_nnunet.weights.teaching.dataset_names import dataset_name_of
from hermes_nnunet.weights.teaching.defaults import LEFT_OUT, STEPS
from hermes_nnunet.weights.teaching.examples import examples_of
from hermes_nnunet.weights.teaching.fitting import Settings
from hermes_nnunet.weights.teaching.teaching import Report, Taught, teach

if TYPE_CHECKING:
    import torch
    from SimpleITK import Image

    # (voxels, spacing in mm): voxels (X, Y, Z), taken to run to the patient's right, front and head.
    ArrayWithSpacing: TypeAlias = tuple[np.ndarray, Sequence[float]]
    OneImage: TypeAlias = str | Path | nibabel.Nifti1Image | Image | ArrayWithSpacing


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
            model: the model's folder, or the id or name of its data set in nnUNet_results.
            trainer: with an id or name, which of the data set's models.
            plans: as `trainer`.
            configuration: as `trainer`.
            folds: folds to average; None for all finished ones.
            checkpoint: file to load from each fold's folder.
            device: None for a GPU if there is one.
            half_precision: run the network in half precision on a GPU.
            tile_step: step of the sliding window as a share of the patch.
            trust_plans: allow plans that name other classes than those of Hermes and nnU-Net; their code is run.

        Raises:
            HermesError: there is no such model, or it cannot be loaded.
        """
        path = find_model_folder(model, trainer, plans, configuration)
        folder = read_model_folder(path, folds, checkpoint, trust_plans=trust_plans)
        return cls(HermesPredictor(folder, device, half_precision=half_precision, tile_step=tile_step))

    @property
    def members(self) -> dict[str, Member]:
        """The data sets that the model was trained on, by name; in a view only its own."""
        return dict(self._predictor.model.members)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of all tasks."""
        return self._predictor.model.tasks

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that the network knows, "unknown" last."""
        return self._predictor.model.hermes_plans.modalities

    @property
    def expected_dice(self) -> dict[str, dict[str, ExpectedDice]]:
        """The Dice of the final validation's held-out cases, by member and task, as far as it is known.

        Raises:
            HermesError: the file that holds it is damaged.
        """
        return self._predictor.model.expected_dice

    def predict(
        self,
        image: "OneImage | list[OneImage]",
        *,
        tasks: Sequence[str] = (),
        members: Sequence[str] = (),
        everything: bool = False,
        all_modalities: bool = False,
        modality: str | None = None,
        spacing_from: str | None = None,
    ) -> Segmentation:
        """Segment an image.

        Args:
            image: a path (image file, or folder of one DICOM series), a nibabel or SimpleITK image, or an array
                (X, Y, Z) with its spacing in mm; a list of such for the channels of a case, in their order.
            tasks: names of the tasks to segment. Give one of `tasks`, `members` and `everything`, or none of them for a
                model with a single member.
            members: names of members, all of whose tasks to segment.
            everything: segment all tasks that the model knows in the modality.
            all_modalities: with `everything`, include tasks that never saw the modality in training.
            modality: modality of the image. None takes that of `members` if they all have the same, else "auto", which
                recognises it by the DICOM header or the appearance of the image.
            spacing_from: "affine" or "header": which to believe if a NIfTI header states two spacings and nothing in it
                decides.

        Raises:
            HermesError: a name is unknown, the image cannot be read or does not fit the model, or its modality is not
                clear.
        """
        predictor = self._predictor
        ask = partial(
            choose,
            predictor.model,
            members=members,
            tasks=tasks,
            everything=everything,
            all_modalities=all_modalities,
        )
        wanted = wanted_modality(modality)
        choice = ask(modality=None if wanted == AUTO else wanted)
        source = _source(image, spacing_from)
        unused = unused_lines(Path(image)) if isinstance(image, str | Path) else []
        remarks = source.check()
        found = None
        if is_to_find(predictor.model, members, wanted):
            with explained(Path(tempfile.gettempdir())):
                found = find_modality(source, predictor.model, lambda: predictor)
        if found is not None:
            check_sure({source.place: found})
            choice = ask(modality=found.modality)
        remark = "" if found is None else found.remark
        for warning in filter(None, (remark, *choice.warnings, *unused)):
            warnings.warn(warning, stacklevel=2)
        with explained(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory(prefix="hermes_nnunet-") as folder:
            prepared = prepare(source, choice.passes, predictor.model, predictor.configuration_manager, Path(folder))
            for line in remark_lines((*remarks, *prepared.remarks)):
                warnings.warn(line, stacklevel=2)
            decision = CaseDecision(predictor.plans_manager, predictor.configuration_manager)
            for one in choice.passes:
                decision.add(one, *run_pass(predictor, one, prepared))
            images = _images(prepared, choice.passes)
            return Segmentation(
                array=in_own_direction(decision.label_map, prepared.geometry),
                affine=images[0].affine,
                labels=choice.labels,
                image=images[0],
                modality=choice.passes[0].context.modality,
                found_modality=found,
                expected_dice=choice.expected_dice,
                image_of={
                    label.name: seen for one, seen in zip(choice.passes, images, strict=True) for label in one.labels
                },
            )

    def teach(
        self,
        examples: "str | Path | Iterable[tuple[str | Path | Sequence[str | Path], str | Path]]",
        *,
        name: str,
        modality: str,
        labels: Mapping[str, int] | None = None,
        dataset: int | str | None = None,
        fold: int | str | None = None,
        rank: int = RANK,
        steps: int = STEPS,
        leave_out: int = LEFT_OUT,
        report: Report | None = None,
    ) -> Taught:
        """Learn a structure from a few labelled images, in minutes; see docs/extend.md. The model does not change.

        Args:
            examples: a folder with images and masks, or pairs of an image's file (or files) and its mask's.
            name: name of the addition, and of the task if there is one label.
            modality: modality of the images.
            labels: name of each label -> its value in the masks; None for masks of 0 and 1.
            dataset: id or name (Dataset999_Gallbladder) under which the addition's view will be stored; None takes a
                free id that depends on `name`.
            fold: fold of the model that the addition is for; None takes the first that is loaded.
            rank: rank of the adapters.
            steps: number of the optimizer's steps.
            leave_out: how many examples at most are left out in turn, to measure the expected Dice.
            report: called as report(what, done, of): what is being done, how much of it is done, out of how much.

        Returns:
            The addition, whose `save` writes the file for `hermes_nnunet add`, and the Dice of what was left out.

        Raises:
            HermesError: an example, a name or a label does not fit, or this is the view of one member.

        Example:
            >>> taught = HermesModel.load(900).teach("examples", name="gallbladder", modality="CT")
            >>> taught.addition.save("gallbladder.hermes")
        """
        model = self._predictor.model
        return teach(
            read_fold(model.path, model.folds[0] if fold is None else fold),
            examples_of(examples),
            name=name,
            modality=modality,
            dataset_name=dataset_name_of(dataset, name, model.members),
            labels=labels,
            rank=rank,
            settings=Settings(steps=steps),
            leave_out=leave_out,
            device=self._predictor.device,
            report=report,
        )


def _source(image: Any, spacing_from: str | None) -> ImageSource:
    check_spacing_from(spacing_from)
    if not isinstance(image, list):
        if isinstance(image, str | Path):
            cases = find_cases(Path(image), spacing_from)
            if len(cases) != 1:
                raise HermesError(f"{image} holds {len(cases)} cases: give one of them at a time")
            return cases[0]
        return MemorySource("image", (_opened(image, "the image", spacing_from),))
    if not image:
        raise HermesError("the list of channels is empty: give an image for each channel")
    if all(isinstance(channel, str | Path) for channel in image):
        return FileSource("image", tuple(Path(channel) for channel in image), spacing_from)
    names = [f"channel {number} of the image" for number in range(len(image))]
    return MemorySource(
        "image", tuple(_opened(channel, name, spacing_from) for channel, name in zip(image, names, strict=True))
    )


def _images(prepared: Prepared, passes: Sequence[Pass]) -> list[nibabel.Nifti1Image]:
    """The image that each pass looks at, on the voxels of the first one's; in memory, since temporary files go."""
    files = [prepared.image_file(one) for one in passes]
    geometry = open_image(files[0]).geometry
    of_file = {}
    for file in dict.fromkeys(files):
        image = open_image(file)
        voxels = in_axes_of(geometry, image.voxels(), image.geometry)
        of_file[file] = nifti_on(voxels, geometry.affine, geometry.header)
    return [of_file[file] for file in files]


def _opened(image: Any, name: str, spacing_from: str | None) -> OpenImage:
    if isinstance(image, str | Path):
        return open_image(Path(image), spacing_from)
    if isinstance(image, SpatialImage):
        return open_nibabel(image, name, spacing_from)
    if isinstance(image, tuple) and len(image) == 2:
        return open_array(*image, name)
    if hasattr(image, "GetDirection"):
        return open_itk(image, name)
    raise HermesError(
        f"an image cannot be a {type(image).__name__}: give a path, a nibabel or SimpleITK image, or (array, spacing)"
    )
