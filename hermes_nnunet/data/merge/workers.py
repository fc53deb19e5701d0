"""Rewriting many cases in parallel."""

from collections.abc import Sequence

from hermes_nnunet.core.processes import map_cases
from hermes_nnunet.data.merge.case_rewriting import CaseFiles, rewrite_case


def rewrite_cases(cases: Sequence[CaseFiles], processes: int) -> list[str]:
    """Rewrite all cases with a progress bar; the problems of all of them, in their order.

    Raises:
        HermesError: a process died, for example because memory ran out.
    """
    return [problem for of_case in map_cases(rewrite_case, cases, processes, "Merging") for problem in of_case]
