"""Reading and rewriting many cases in parallel."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hermes_nnunet.core.cluster.admission import Folders
from hermes_nnunet.core.engine import Engine
from hermes_nnunet.core.shortages import line_of
from hermes_nnunet.core.wording import problem_lines
from hermes_nnunet.data.merge.case_rewriting import CaseFiles, CaseReport, hash_images, rewrite_case
from hermes_nnunet.errors import HermesError

# A small case takes about as long as telling of it.
_BUNDLE = 16


def rewrite_cases(cases: Sequence[CaseFiles], engine: Engine, folders: Folders) -> list[CaseReport]:
    """Rewrite all cases with a progress bar; what is to be said of them, in their order.

    Args:
        folders: of the members, and the one that is written.

    Raises:
        HermesError: a process died, for example because memory ran out, or the disk is full. What is finished stays
            for the next merge.
    """
    named = {_name_of(case): case for case in cases}
    try:
        return engine.map(rewrite_case, named, "Merging", folders, bundle=_BUNDLE)
    except OSError as error:
        raise HermesError(f"{line_of(error)}, and run it again: finished cases are kept") from None


def image_hashes(
    images: Mapping[str, Sequence[Path]], spacing_from: str | None, engine: Engine, folders: Folders
) -> dict[str, list[str]]:
    """Hashes of each case's images.

    Raises:
        HermesError: an image cannot be read, or a process died.
    """
    items = {case: (tuple(paths), spacing_from) for case, paths in images.items()}
    results = engine.map(hash_images, items, "Comparing images", folders, bundle=_BUNDLE)
    problems = [problem for _, of_case in results for problem in of_case]
    if problems:
        raise HermesError(problem_lines(problems, "nothing was written"))
    return {case: hashes for case, (hashes, _) in zip(images, results, strict=True)}


def _name_of(case: CaseFiles) -> str:
    """Name of (the first of) the cases of the collection that are written together."""
    return case.outputs[0].name.partition(".nii")[0]
