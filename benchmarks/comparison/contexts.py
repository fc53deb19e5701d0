"""Segmentations of a trained model with contexts of one's own choice, as no command offers them all."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np

from comparison.data import Workplace
from hermes_nnunet.collection import Collection, Context, Task
from hermes_nnunet.core.files import read_json
from hermes_nnunet.core.label_values import foreground_values
from hermes_nnunet.core.pictures.labels import Label, colour_of
from hermes_nnunet.prediction.decisions import CaseDecision
from hermes_nnunet.prediction.image_sources import FileSource
from hermes_nnunet.prediction.model_folder import read_model_folder
from hermes_nnunet.prediction.passes import Pass
from hermes_nnunet.prediction.predictor import HermesPredictor
from hermes_nnunet.prediction.preparing import prepare
from hermes_nnunet.prediction.running import run_pass


@dataclass(frozen=True)
class Segmented:
    """One image segmented with one context.

    Attributes:
        masks: (X, Y, Z) of each task of the context, where they compete as in a label map.
        seconds: that the network and the decision took.
    """

    masks: dict[str, np.ndarray]
    seconds: float


class ContextModel:
    """A universal model of one fold, which runs any tasks in any modality."""

    def __init__(self, folder: Path, fold: int, device: str, tile_step: float = 0.5) -> None:
        # Trained here, maybe with a network of comparison.networks.
        model = read_model_folder(folder, [fold], trust_plans=True)
        self.predictor = HermesPredictor(model, device, tile_step=tile_step)
        self.model = self.predictor.model
        collection = self.model.collection
        assert collection is not None
        self.collection = collection

    def segment(self, image: Path, contexts: Mapping[str, Context]) -> Iterator[tuple[str, Segmented]]:
        """The image, a NIfTI file, with one context after another; read and preprocessed once a modality."""
        passes = {name: self._pass(context) for name, context in contexts.items()}
        configuration = self.predictor.configuration_manager
        with tempfile.TemporaryDirectory() as folder:
            source = FileSource("image", (image,))
            prepared = prepare(source, list(passes.values()), self.model, configuration, Path(folder))
            for name, one in passes.items():
                start = time.perf_counter()
                decision = CaseDecision(self.predictor.plans_manager, configuration)
                decision.add(one, *run_pass(self.predictor, one, prepared))
                label_map = self._as_file(decision.label_map, prepared.geometry, Path(folder))
                seconds = time.perf_counter() - start
                yield (
                    name,
                    Segmented(
                        {label.name: np.isin(label_map, label.values) for label in one.labels}, round(seconds, 2)
                    ),
                )

    def _as_file(self, label_map: np.ndarray, geometry: dict, folder: Path) -> np.ndarray:
        """The label map (X, Y, Z) in the order of the image's file."""
        file = folder / "label_map.nii"
        self.predictor.plans_manager.image_reader_writer_class().write_seg(label_map, str(file), geometry)
        return np.asarray(nibabel.load(file).dataobj)

    def _pass(self, context: Context) -> Pass:
        plans = self.model.hermes_plans
        tasks: Mapping[str, Task] = {task.name: task for task in self.collection.tasks}
        labels = tuple(_label(tasks[name], plans.tasks) for name in context.tasks)
        members = tuple(dict.fromkeys(label.member for label in labels))
        # A context says the modality, also where it is unknown: none is looked for.
        told = replace(plans, context=context, modality_classifier=None)
        return Pass(members, labels, told, image_channels=1)


def _label(task: Task, pool: Sequence[str]) -> Label:
    member = task.name.split("/")[0]
    return Label(task.name, task.written_value, tuple(task.values), member, colour_of(pool.index(task.name)))


def reference_masks(workplace: Workplace, number: int, case: str, collection: Collection) -> dict[str, np.ndarray]:
    """Reference masks (X, Y, Z) of a case, by the collection's task."""
    raw = workplace.raw(number)
    labels = np.asarray(nibabel.load(raw / "labelsTr" / f"{case}.nii.gz").dataobj)
    own = foreground_values(read_json(raw / "dataset.json", "link the members again")["labels"])
    tasks = collection.members[workplace.member_name(number)].tasks
    return {task: np.isin(labels, values) for task, values in zip(tasks, own.values(), strict=True)}
