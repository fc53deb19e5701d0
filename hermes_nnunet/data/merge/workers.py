"""Reading and rewriting many cases in parallel."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hermes_nnunet.core.processes import map_cases
from hermes_nnunet.core.wording import problem_lines
from hermes_nnunet.data.merge.case_rewriting import CaseFiles, hash_images, rewrite_case
from hermes_nnunet.errors import HermesError


def rewrite_cases(cases: Sequence[CaseFiles], processes: int) -> list[str]:
    """Rewrite all cases with a progress bar; the problems of all of them, in their order.

    Raises:
        HermesError: a process died, for example because memory ran out.
    """
    return [problem for of_case in map_cases(rewrite_case, cases, processes, "Merging") for problem in of_case]


def image_hashes(images: Mapping[str, Sequence[Path]], processes: int) -> dict[str, list[str]]:
    """Hashes of each case's images.

    Raises:
        HermesError: an image cannot be read, or a process died.
    """
    results = map_cases(hash_images, list(images.values()), processes, "Comparing images")
    problems = [problem for _, of_case in results for problem in of_case]
    if problems:
        raise HermesError(problem_lines(problems, "nothing was written"))
    return {case: hashes for case, (hashes, _) in zip(images, results, strict=True)}
