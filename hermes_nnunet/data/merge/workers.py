"""Reading and rewriting many cases in parallel."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hermes_nnunet.core.processes import map_cases
from hermes_nnunet.core.shortages import line_of
from hermes_nnunet.core.wording import problem_lines
from hermes_nnunet.data.merge.case_rewriting import CaseFiles, CaseReport, hash_images, rewrite_case
from hermes_nnunet.errors import HermesError


def rewrite_cases(cases: Sequence[CaseFiles], processes: int) -> list[CaseReport]:
    """Rewrite all cases with a progress bar; what is to be said of them, in their order.

    Raises:
        HermesError: a process died, for example because memory ran out, or the disk is full. What is finished stays
            for the next merge.
    """
    try:
        return map_cases(rewrite_case, cases, processes, "Merging")
    except OSError as error:
        raise HermesError(f"{line_of(error)}, and run it again: finished cases are kept") from None


def image_hashes(
    images: Mapping[str, Sequence[Path]], spacing_from: str | None, processes: int
) -> dict[str, list[str]]:
    """Hashes of each case's images.

    Raises:
        HermesError: an image cannot be read, or a process died.
    """
    items = [(tuple(paths), spacing_from) for paths in images.values()]
    results = map_cases(hash_images, items, processes, "Comparing images")
    problems = [problem for _, of_case in results for problem in of_case]
    if problems:
        raise HermesError(problem_lines(problems, "nothing was written"))
    return {case: hashes for case, (hashes, _) in zip(images, results, strict=True)}
