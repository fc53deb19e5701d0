"""Which voxel order the images had that weights were trained on, found with labelled cases."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from nibabel.orientations import aff2axcodes
from tqdm import tqdm

from hermes_nnunet.core.dice import mean_of_defined
from hermes_nnunet.core.images.endings import split_ending
from hermes_nnunet.core.images.opening import open_image
from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.core.reading import reading
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.decisions import CaseDecision
from hermes_nnunet.prediction.finding import find_cases
from hermes_nnunet.prediction.image_sources import FileSource, ImageSource
from hermes_nnunet.prediction.model_folder import read_model_folder
from hermes_nnunet.prediction.passes import Pass, choose, wanted_modality
from hermes_nnunet.prediction.predictor import HermesPredictor
from hermes_nnunet.prediction.preparing import prepare
from hermes_nnunet.prediction.running import explained, run_pass
from hermes_nnunet.voxel_orders import keeps_axes, orders
from hermes_nnunet.weights.model_folder import ImportedModel, model_folder, write_model

MOST_CASES = 3


@dataclass(frozen=True)
class LabelledCases:
    """Images of a member, a file or a folder, and their segmentations in the member's label values."""

    member: str
    images: Path
    labels: Path

    @classmethod
    def parse(cls, text: str) -> "LabelledCases":
        """Read MEMBER=IMAGES,LABELS.

        Raises:
            HermesError: it is not of this form.
        """
        member, _, paths = text.partition("=")
        images, _, labels = paths.partition(",")
        if not (member and images and labels):
            raise HermesError(f"--choose-order {text}: write MEMBER=IMAGES,LABELS, two files or two folders")
        return cls(member, Path(images), Path(labels))

    def pairs(self) -> list[tuple[ImageSource, Path]]:
        """The first cases by name, at most MOST_CASES, each with the file of its labels.

        Raises:
            HermesError: an image has no labels, or cannot be read.
        """
        pairs = []
        for source in find_cases(self.images)[:MOST_CASES]:
            source.check()
            choices = [self.labels] if self.labels.is_file() else self._files_of(source.name)
            if not choices:
                raise HermesError(
                    f"{self.labels} has no {source.name}.nii.gz, the labels of {source.place}: put it there"
                )
            pairs.append((source, choices[0]))
        return pairs

    def _files_of(self, case: str) -> list[Path]:
        named = [(split_ending(path.name), path) for path in sorted(self.labels.glob("*"))]
        return [path for parts, path in named if parts is not None and parts[0] == case]


@dataclass(frozen=True)
class OrderScores:
    """Mean Dice of a member's labels in some cases under each voxel order, the best first."""

    member: str
    cases: tuple[str, ...]
    dice: dict[str, float]

    @property
    def best(self) -> str:
        return next(iter(self.dice))


def score_orders(model: ImportedModel, labelled: LabelledCases) -> OrderScores:
    """Predict labelled cases of a member under every order that keeps the axes.

    Under all 48 orders where the member's table, or a file of the cases, has other axes.

    Raises:
        HermesError: the cases cannot be read, have none of the member's labels, or no order finds anything of them.
    """
    pairs = labelled.pairs()
    codes = [_order_of_file(file) for source, _ in pairs if isinstance(source, FileSource) for file in source.files]
    own = model.voxel_orders.get(labelled.member, model.voxel_order)
    candidates = orders(of_other_axes=not all(map(keeps_axes, [own, *codes])))
    dice: dict[str, list[float]] = {order: [] for order in candidates}
    with explained(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory(prefix="hermes_nnunet-") as work:
        folder = model_folder(Path(work), "Dataset001_Trial", model.network_class)
        write_model(folder, model, {})
        predictor = HermesPredictor(read_model_folder(folder))
        (one,) = choose(predictor.model, members=[labelled.member], modality=wanted_modality(None)).passes
        for source, labels in pairs:
            reference = _reference(predictor, labels, one.labels)
            for order, label_map in _predictions(predictor, one, source, candidates, Path(work)):
                if label_map.shape != reference.shape:
                    raise HermesError(
                        f"{labels} has {reference.shape[::-1]} voxels, {source.place} {label_map.shape[::-1]}: give "
                        "labels that lie on the image"
                    )
                dice[order] += [_dice(label_map == label.value, reference == label.value) for label in one.labels]
    means = {order: mean_of_defined(values) for order, values in dice.items()}
    ranked = dict(sorted(means.items(), key=lambda item: -item[1]))
    if not next(iter(ranked.values())) > 0:
        raise HermesError(
            f"--choose-order {labelled.member}: nothing of {listed(label.name for label in one.labels)} is found in "
            "any voxel order: check that images and labels are this member's"
        )
    return OrderScores(labelled.member, tuple(source.name for source, _ in pairs), ranked)


def _order_of_file(path: Path) -> str:
    return "".join(aff2axcodes(open_image(path).geometry.affine))


def _reference(predictor: HermesPredictor, path: Path, labels: Sequence[Label]) -> np.ndarray:
    """Label map (D, H, W) of a file, in the order of nnU-Net's reader."""
    with reading(path):
        reference = predictor.plans_manager.image_reader_writer_class().read_seg(str(path))[0][0]
    if not np.isin(reference, [label.value for label in labels]).any():
        raise HermesError(f"{path} has none of the label values {listed(str(label.value) for label in labels)}")
    return reference


def _predictions(
    predictor: HermesPredictor, one: Pass, source: ImageSource, candidates: Sequence[str], work: Path
) -> Iterator[tuple[str, np.ndarray]]:
    """Each order, and the label map (D, H, W) of the case under it."""
    prepared = prepare(
        source, [one], predictor.model, predictor.configuration_manager, Path(tempfile.mkdtemp(dir=work))
    )
    for order in tqdm(candidates, desc=f"Voxel orders of {source.name}", unit="order"):
        trial = replace(one, hermes_plans=replace(one.hermes_plans, voxel_order=order))
        decision = CaseDecision(predictor.plans_manager, predictor.configuration_manager)
        decision.add(trial, *run_pass(predictor, trial, prepared))
        yield order, decision.label_map


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    total = int(one.sum() + other.sum())
    return 2 * int((one & other).sum()) / total if total else float("nan")
