"""Predicting many cases: while one is in the network, the next is read and the last is written."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from hermes_nnunet.core.files import temporary_folder_in
from hermes_nnunet.core.images.remarks import remark_lines
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.decisions import CaseDecision
from hermes_nnunet.prediction.destination import Destination
from hermes_nnunet.prediction.image_sources import ImageSource
from hermes_nnunet.prediction.outputs import CaseOutput
from hermes_nnunet.prediction.passes import Pass
from hermes_nnunet.prediction.predictor import HermesPredictor
from hermes_nnunet.prediction.preparing import Prepared, prepare
from hermes_nnunet.prediction.run_record import RunRecord
from hermes_nnunet.prediction.statistics import CaseStatistics, write_statistics

Item = TypeVar("Item")
Result = TypeVar("Result")


def predict_cases(
    predictor: HermesPredictor,
    cases: Sequence[ImageSource],
    destination: Destination,
    measured: dict[str, CaseStatistics],
    record: RunRecord,
) -> None:
    """Predict the cases one after another and write their files.

    Args:
        measured: statistics of cases that were finished before; those of the new ones are added.
        record: of this run; gets every case.

    Raises:
        HermesError: an image cannot be read, memory or disk ran out, or the folder cannot be written to. Cases that
            were finished before are complete, the others have no files.
    """
    passes = destination.choice.passes
    begun: dict[str, float] = {}
    with (
        explained(str(destination.folder)),
        # On the disk of the results, so that a file gets its place by a change of its name.
        temporary_folder_in(destination.folder) as work,
        ThreadPoolExecutor(1) as ahead,
        ThreadPoolExecutor(1) as behind,
        tqdm(total=len(cases), desc="Predicting", unit="case", disable=not cases) as progress,
    ):

        def prepare_case(source: ImageSource) -> Prepared:
            folder = Path(tempfile.mkdtemp(dir=work))
            begun[source.name] = time.monotonic()
            return prepare(source, passes, predictor.model, predictor.configuration_manager, folder)

        def finish_case(prepared: Prepared, output: CaseOutput, decision: CaseDecision) -> None:
            output.finish(decision.label_map)
            name, remarks = prepared.source.name, remark_lines(prepared.remarks)
            record.add_case(name, prepared.source.paths, time.monotonic() - begun[name], remarks)
            if destination.wishes.statistics:
                measured[output.case] = output.statistics
                write_statistics(measured, destination.folder)
            progress.update()

        finishing = _Behind(behind)
        for prepared in _one_ahead(prepare_case, cases, ahead):
            for line in remark_lines(prepared.remarks):
                progress.write(f"hermes_nnunet: warning: {line}", file=sys.stderr)
            output = CaseOutput(prepared, destination)
            decision = CaseDecision(predictor.plans_manager, predictor.configuration_manager)
            for one in passes:
                logits, properties = run_pass(predictor, one, prepared)
                finishing.submit(decision.add, one, logits, properties, output.take)
            finishing.submit(finish_case, prepared, output, decision)
        finishing.wait()
        record.end()


def run_pass(predictor: HermesPredictor, one: Pass, prepared: Prepared) -> tuple[torch.Tensor, dict[str, Any]]:
    """Logits (T, d, h, w), half precision, of a pass over a case, and the properties of its image."""
    predictor.tell(one)
    data, properties = prepared.input_of(one)
    return predictor.predict_logits_from_preprocessed_data(data), properties


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn what the machine lacks into one line.

    Raises:
        HermesError: memory or disk ran out, or `place` cannot be written to.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise HermesError("the memory of the GPU ran out: end other programs on it, or choose the device cpu") from None
    except MemoryError:
        raise HermesError("memory ran out: end other programs, or choose fewer tasks at a time") from None
    except OSError as error:
        raise HermesError(f"{error.filename or place} cannot be written ({error.strerror or error})") from None


def _one_ahead(
    function: Callable[[Item], Result], items: Sequence[Item], executor: ThreadPoolExecutor
) -> Iterator[Result]:
    """`function` of every item, the next one already at work while one is used."""
    waiting: Future[Result] | None = None
    for item in items:
        following = executor.submit(function, item)
        if waiting is not None:
            yield waiting.result()
        waiting = following
    if waiting is not None:
        yield waiting.result()


class _Behind:
    """Calls in the background, one at a time: the next waits for the last, and raises its error."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor
        self._last: Future[None] | None = None

    def submit(self, function: Callable[..., None], *arguments: Any) -> None:
        self.wait()
        self._last = self._executor.submit(function, *arguments)

    def wait(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            last.result()
