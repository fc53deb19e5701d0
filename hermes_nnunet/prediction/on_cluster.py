"""Predicting cases on the workers of a cluster, each of which loads the model once."""

import platform
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hermes_nnunet.core.cluster.admission import Folders
from hermes_nnunet.core.cluster.cluster import Cluster, WorkerUnfitError
from hermes_nnunet.core.shortages import is_of_the_gpu, line_of
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import escaped
from hermes_nnunet.overrides import MODALITY_VARIABLE, modality_override
from hermes_nnunet.prediction.destination import Destination
from hermes_nnunet.prediction.failures import Failures
from hermes_nnunet.prediction.folder_record import FinishedCase, FolderRecord
from hermes_nnunet.prediction.image_sources import ImageSource
from hermes_nnunet.prediction.model_folder import ModelFolder, read_model_folder
from hermes_nnunet.prediction.predictor import HermesPredictor
from hermes_nnunet.prediction.provenance import Provenance
from hermes_nnunet.prediction.run_description import described_device
from hermes_nnunet.prediction.running import explained, run_cases

# While one case is in the network, the next is read and the last is written, if the worker has as many threads.
CASES_OF_WORKER = 3


@dataclass(frozen=True)
class ModelToLoad:
    """What a worker needs to load the model, and to see that it is the same.

    Attributes:
        path: of its folder.
        folds, checkpoint, trust_plans: see ModelFolder.
        device: None takes a GPU where there is one.
        options: of the provenance, the tile step and the precision among them.
        made_by: hash of the provenance.
        modality: what HERMES_MODALITY says here.
    """

    path: Path
    folds: tuple[str, ...]
    checkpoint: str
    trust_plans: bool
    device: str | None
    options: tuple[tuple[str, Any], ...]
    made_by: str
    modality: str | None

    @classmethod
    def of(cls, model: ModelFolder, device: str | None, provenance: Provenance) -> "ModelToLoad":
        return cls(
            model.path.absolute(),
            model.folds,
            model.checkpoint,
            model.trust_plans,
            device,
            tuple(provenance.options.items()),
            provenance.hash,
            modality_override(),
        )


@dataclass(frozen=True)
class CaseToPredict:
    """A case for a worker, with a destination that knows of no other."""

    model: ModelToLoad
    source: ImageSource
    destination: Destination


@dataclass(frozen=True)
class Outcome:
    """What became of a case: it is finished, or there is a line on why not."""

    finished: FinishedCase | None
    problem: str | None


def device_of_workers(cluster: Cluster, model: ModelToLoad, cases: int) -> str:
    """Load the model on a worker, so that what is wrong with it is told before anything is written.

    Args:
        cases: that are to be predicted then.

    Returns:
        The device there, in words.

    Raises:
        HermesError: the model cannot be loaded there.
    """
    found: dict[str, str] = {}
    folders = Folders((model.path,))
    lost = cluster.run(_device_of, {"the model": model}, "Loading", found.__setitem__, folders, coming=cases)
    for what, reason in lost.items():
        raise HermesError(f"{what}: {reason}")
    return found["the model"]


def predict_on(
    cluster: Cluster,
    model: ModelToLoad,
    cases: Sequence[ImageSource],
    destination: Destination,
    record: FolderRecord,
    failures: Failures,
) -> None:
    """As `running.predict_cases`, on the workers; a case on which workers die is a failed one."""
    total = len(cases) + len(failures.reasons)

    def take(case: str, outcome: Outcome) -> None:
        if outcome.finished is None:
            failures.reasons[case] = str(outcome.problem)
            return
        for line in outcome.finished.remarks:
            tqdm.write(f"hermes_nnunet: warning: {escaped(line)}", file=sys.stderr)
        record.add(outcome.finished)

    work = {case.name: CaseToPredict(model, case, _of_one_case(destination, case.name)) for case in cases}
    places = {path.absolute().parent for case in cases for path in case.paths}
    folders = Folders((model.path, *sorted(places)), destination.folder.absolute())
    with explained(destination.folder, failures):
        try:
            failures.reasons |= cluster.run(predict_case, work, "Predicting", take, folders, slots=CASES_OF_WORKER)
        finally:
            record.write()
        record.end(failures.reasons)
    failures.raise_any(total)


def predict_case(case: CaseToPredict) -> Outcome:
    """On a worker: predict a case and write its files.

    Raises:
        WorkerUnfitError: this worker's GPU has failed.
        HermesError: a disk is full or cannot be written to, or the model is another one here.
    """
    failures = Failures()
    finished: list[FinishedCase] = []
    try:
        predictor = _loaded(case.model)
        with explained(case.destination.folder):
            try:
                run_cases(predictor, [case.source], case.destination, failures, finished.append, turn=_network)
            except RuntimeError as error:
                if is_of_the_gpu(error):
                    raise WorkerUnfitError(str(line_of(error))) from None
                raise
    except HermesError as error:
        raise type(error)(f"machine {platform.node()}: {error}") from None
    return Outcome(finished[0] if finished else None, failures.reasons.get(case.source.name))


def _device_of(model: ModelToLoad) -> str:
    return described_device(_loaded(model).device)


# A worker has several cases in threads of its own, but one network.
_network = threading.Lock()
_predictors: dict[ModelToLoad, HermesPredictor] = {}


def _loaded(wanted: ModelToLoad) -> HermesPredictor:
    """The predictor of this process, which keeps one.

    Raises:
        HermesError: the folder holds another model here than where the run was started, or HERMES_MODALITY is another.
    """
    with _network:
        if wanted not in _predictors:
            if modality_override() != wanted.modality:
                raise HermesError(
                    f"{MODALITY_VARIABLE} is {modality_override() or 'not set'} here, {wanted.modality or 'not set'} "
                    "where the run was started: set it alike"
                )
            model = read_model_folder(wanted.path, wanted.folds, wanted.checkpoint, trust_plans=wanted.trust_plans)
            options = dict(wanted.options)
            if Provenance.of(model, **options).hash != wanted.made_by:
                raise HermesError(
                    f"{wanted.path} holds another model here than where the run was started: share the folder"
                )
            _predictors.clear()
            _predictors[wanted] = HermesPredictor(
                model, wanted.device, half_precision=options["half_precision"], tile_step=options["tile_step"]
            )
        return _predictors[wanted]


def _of_one_case(destination: Destination, case: str) -> Destination:
    choices = {case: destination.choices[case]} if case in destination.choices else {}
    return replace(destination, folder=destination.folder.absolute(), choices=choices, found={})
