"""Predicting many cases: while one is in the network, the next is read and the last is written."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from hermes_nnunet.core.files import temporary_folder_in
from hermes_nnunet.core.images.remarks import remark_lines
from hermes_nnunet.core.reading import reading
from hermes_nnunet.core.shortages import line_of
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import escaped
from hermes_nnunet.prediction.decisions import CaseDecision
from hermes_nnunet.prediction.destination import Destination
from hermes_nnunet.prediction.failures import MEMORY_REMEDY, Failures
from hermes_nnunet.prediction.folder_record import FinishedCase, FolderRecord
from hermes_nnunet.prediction.image_sources import ImageSource
from hermes_nnunet.prediction.image_stamps import ImageStamp
from hermes_nnunet.prediction.outputs import CaseOutput
from hermes_nnunet.prediction.passes import Pass
from hermes_nnunet.prediction.predictor import HermesPredictor
from hermes_nnunet.prediction.preparing import Prepared, prepare

Item = TypeVar("Item")
Result = TypeVar("Result")


def predict_cases(
    predictor: HermesPredictor,
    cases: Sequence[ImageSource],
    destination: Destination,
    record: FolderRecord,
    failures: Failures | None = None,
) -> None:
    """Predict the cases one after another and write their files.

    Args:
        record: gets every case.
        failures: what has been found wrong with other cases already; what is with these is added.

    Raises:
        FailedCasesError: an image cannot be read, or is too large for the memory; the other cases are finished.
        HermesError: a disk is full or cannot be written to, or the GPU failed. Cases that were finished before are
            complete, the others have no files.
    """
    failures = Failures() if failures is None else failures
    total = len(cases) + len(failures.reasons)
    with explained(destination.folder, failures):
        try:
            with tqdm(total=len(cases), desc="Predicting", unit="case", disable=not cases) as progress:
                run_cases(predictor, cases, destination, failures, record.add, progress)
        finally:
            record.write()
        record.end(failures.reasons)
    failures.raise_any(total)


def run_cases(
    predictor: HermesPredictor,
    cases: Sequence[ImageSource],
    destination: Destination,
    failures: Failures,
    take: Callable[[FinishedCase], None],
    progress: "tqdm[Any] | None" = None,
    turn: AbstractContextManager[Any] | None = None,
) -> None:
    """Predict the cases and write the files of each, but nothing about all of them.

    Args:
        failures: gets the cases that cannot be predicted.
        take: is called with the others, each when its files are in their places.
        turn: is held while a case is in the network, where others use it as well.

    Raises:
        OSError, RuntimeError: a disk or a GPU fails.
    """
    begun: dict[str, float] = {}
    stamps: dict[str, ImageStamp] = {}
    with (
        # On the disk of the results, so that a file gets its place by a change of its name.
        temporary_folder_in(destination.folder) as work,
        ThreadPoolExecutor(1) as ahead,
        ThreadPoolExecutor(1) as behind,
    ):

        def prepare_case(source: ImageSource) -> Prepared | None:
            begun[source.name] = time.monotonic()
            with failures.of(source.name):
                folder = Path(tempfile.mkdtemp(dir=work))
                if source.paths:
                    # Before they are read: images that are replaced from now on are others than those of the stamp.
                    with reading(source.place):
                        stamps[source.name] = ImageStamp.of(source.paths)
                passes = destination.choice_of(source.name).passes
                return prepare(source, passes, predictor.model, predictor.configuration_manager, folder)
            shutil.rmtree(folder, ignore_errors=True)
            return None

        def add_pass(
            output: CaseOutput, decision: CaseDecision, one: Pass, logits: torch.Tensor, properties: dict[str, Any]
        ) -> None:
            if output.case not in failures:
                with failures.of(output.case):
                    decision.add(one, logits, properties, output.take)

        def finish_case(prepared: Prepared, output: CaseOutput, decision: CaseDecision) -> None:
            if output.case not in failures:
                with failures.of(output.case):
                    output.finish(decision.label_map)
            if output.case in failures:
                prepared.remove_files()
            else:
                seconds = time.monotonic() - begun[output.case]
                remarks = tuple(remark_lines(prepared.remarks))
                stamp = stamps.get(output.case)
                take(FinishedCase(output.case, prepared.source.paths, stamp, seconds, remarks, output.statistics))
            if progress is not None:
                progress.update()

        finishing = _Behind(behind)
        for prepared in _one_ahead(prepare_case, cases, ahead):
            if prepared is None:
                if progress is not None:
                    progress.update()
                continue
            if progress is not None:
                for line in remark_lines(prepared.remarks):
                    progress.write(f"hermes_nnunet: warning: {escaped(line)}", file=sys.stderr)
            output = CaseOutput(prepared, destination)
            decision = CaseDecision(predictor.plans_manager, predictor.configuration_manager)
            with turn or nullcontext():
                for one in destination.choice_of(output.case).passes:
                    with failures.of_network(output.case):
                        result = run_pass(predictor, one, prepared)
                    if output.case in failures:
                        break
                    finishing.submit(add_pass, output, decision, one, *result)
            finishing.submit(finish_case, prepared, output, decision)
        finishing.wait()


def run_pass(predictor: HermesPredictor, one: Pass, prepared: Prepared) -> tuple[torch.Tensor, dict[str, Any]]:
    """Logits (T, d, h, w), half precision, of a pass over a case, and the properties of its image."""
    predictor.tell(one)
    data, properties = prepared.input_of(one)
    return predictor.predict_logits_from_preprocessed_data(data), properties


@contextmanager
def explained(place: Path, failures: Failures | None = None) -> Iterator[None]:
    """Turn what the machine lacks into one line.

    Args:
        place: the folder that is worked in, for errors that name no file.
        failures: of cases before, which are told, too.

    Raises:
        HermesError: memory or disk ran out, `place` cannot be written to, or the GPU failed.
    """
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        line = line_of(error, place=place, remedy=MEMORY_REMEDY)
        if line is None:
            raise
        before = [f"{case}: {reason}" for case, reason in failures.reasons.items()] if failures else []
        raise HermesError("\n  ".join([line, *before])) from None


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
