"""Measures on held-out cases how sure a model may be of each task."""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from hermes_nnunet.collection import Collection
from hermes_nnunet.core.evenly import evenly_chosen
from hermes_nnunet.core.nnunet_files import SPLITS_FILE, read_dataset_json, read_splits
from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.image_reader_writer import HermesImageIO
from hermes_nnunet.prediction.decisions import CaseDecision, LabelScores
from hermes_nnunet.prediction.image_sources import FileSource
from hermes_nnunet.prediction.model_folder import ModelFolder
from hermes_nnunet.prediction.passes import Choice, Pass, choose, wanted_modality
from hermes_nnunet.prediction.predictor import HermesPredictor
from hermes_nnunet.prediction.preparing import prepare
from hermes_nnunet.prediction.pseudo_labels.thresholds import ScoreCounts
from hermes_nnunet.prediction.running import explained, run_pass

_REMEDY = "merge the collection again"


def count_scores(
    model: ModelFolder,
    load: Callable[[str], HermesPredictor],
    dataset: Path,
    choices: Mapping[str, Choice],
    cases_per_member: int,
) -> dict[str, ScoreCounts]:
    """How many voxels of held-out cases have which logit, by task.

    A task is measured in images like those that are to be labelled: of their modalities, and in their contexts. Only of
    tasks that none of these annotates, images of other modalities tell.

    Args:
        model: each of its folds is asked of the cases that it has not seen.
        load: makes the predictor of a fold.
        dataset: folder of the collection in nnUNet_raw.
        choices: what is asked for, by the modality of the images that are to be labelled.
        cases_per_member: most cases of a member in each fold, evenly over their names.

    Raises:
        HermesError: a fold, a file or a case of it is missing.
    """
    collection = model.collection
    assert collection is not None
    files = read_dataset_json(dataset / "dataset.json", _REMEDY).get("dataset", {})
    values = {task.name: task.values for task in collection.tasks}
    ignore = model.dataset_json["labels"].get("ignore")
    held_out = {fold: _held_out(dataset, fold) for fold in model.folds}
    tasks_of = _tasks_to_measure([case for cases in held_out.values() for case in cases], collection, choices)
    counts: dict[str, ScoreCounts] = defaultdict(ScoreCounts)
    for fold, cases in held_out.items():
        predictor = load(fold)
        chosen = list(_some(filter(tasks_of.get, cases), collection, cases_per_member))
        for case in tqdm(chosen, desc=f"Asking fold {fold} of held-out cases", unit="case"):
            if case not in files:
                raise HermesError(
                    f"{dataset / 'dataset.json'} does not have {case}, which {SPLITS_FILE} names: {_REMEDY}"
                )
            modality = collection.cases[case].modality
            choice = choices.get(modality)
            if choice is None:
                choice = choose(model, tasks=tasks_of[case], modality=wanted_modality(modality))
            images = tuple(dataset / image for image in files[case]["images"])
            labels = HermesImageIO().read_seg(str(dataset / files[case]["label"]))[0][0]
            add = _Adding(counts, {task: values[task] for task in tasks_of[case]}, labels, ignore)
            score_case(predictor, FileSource(case, images), choice.passes, add)
    return counts


def _tasks_to_measure(
    cases: Sequence[str], collection: Collection, choices: Mapping[str, Choice]
) -> dict[str, list[str]]:
    """What to measure in each held-out case, of what it annotates."""
    asked = {modality: {label.name for label in choice.labels} for modality, choice in choices.items()}
    alike = {
        case: [task for task in context.tasks if task in asked.get(context.modality, ())]
        for case in cases
        for context in (collection.context_of(case),)
    }
    left = {task for tasks in asked.values() for task in tasks}.difference(*alike.values())
    return {
        case: own or [task for task in collection.context_of(case).tasks if task in left]
        for case, own in alike.items()
        if own or collection.cases[case].modality not in choices
    }


class _Adding:
    """Adds a case to the counts of the tasks that it annotates."""

    def __init__(
        self,
        counts: Mapping[str, ScoreCounts],
        annotated: Mapping[str, Sequence[int]],
        labels: np.ndarray,
        ignore: int | None,
    ) -> None:
        self._counts = counts
        self._annotated = annotated
        self._labels = labels
        self._counted = None if ignore is None else labels != ignore

    def __call__(self, label: Label, logits: torch.Tensor) -> None:
        if label.name in self._annotated:
            target = np.isin(self._labels, self._annotated[label.name])
            self._counts[label.name].add(logits.float().numpy(), target, self._counted)


def score_case(predictor: HermesPredictor, source: FileSource, passes: Sequence[Pass], take: LabelScores) -> None:
    """Show `take` the logits of every label of the passes over an image."""
    with explained(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory(prefix="hermes_nnunet-") as folder:
        prepared = prepare(source, passes, predictor.model, predictor.configuration_manager, Path(folder))
        decision = CaseDecision(predictor.plans_manager, predictor.configuration_manager)
        for one in passes:
            decision.add(one, *run_pass(predictor, one, prepared), take)


def _held_out(dataset: Path, fold: str) -> list[str]:
    """Cases that a fold validates, by name."""
    path = dataset / SPLITS_FILE
    folds = read_splits(path, _REMEDY)
    if not fold.isdecimal() or int(fold) >= len(folds):
        raise HermesError(
            f"fold {fold} has no held-out cases in {path}, so nobody knows how sure it may be: use others"
        )
    return sorted(folds[int(fold)]["val"])


def _some(cases: Iterable[str], collection: Collection, most: int) -> Iterator[str]:
    """At most so many cases of each member, evenly over their order."""
    of_members = defaultdict(list)
    for case in cases:
        of_members[collection.cases[case].member].append(case)
    for own in of_members.values():
        yield from evenly_chosen(own, most)
