"""Rewriting many cases in parallel."""

from collections.abc import Sequence

from hermes_nnunet.core.processes import map_cases
from hermes_nnunet.data.merge.case_rewriting import CaseFiles, CaseReport, rewrite_case


def rewrite_cases(cases: Sequence[CaseFiles], processes: int) -> list[CaseReport]:
    """Rewrite all cases with a progress bar; what is to be said of them, in their order.

    Raises:
        HermesError: a process died, for example because memory ran out.
    """
    return map_cases(rewrite_case, cases, processes, "Merging")
