"""The folds that members bring in a splits_final.json of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hermes_nnunet.core.nnunet_files import SPLITS_FILE
from hermes_nnunet.core.nnunet_folders import PREPROCESSED, optional_folder
from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.merge.folds import Fold, read_own_folds
from hermes_nnunet.data.merge.sources import SourceMember


@dataclass(frozen=True)
class OwnFolds:
    """Folds of all members.

    Attributes:
        folds: member -> its own folds, None where it has none.
        origins: member -> where its folds come from: "raw", "preprocessed" (its own file there) or "made".
        warnings: what people should think about in them.
    """

    folds: dict[str, list[Fold] | None]
    origins: dict[str, str]
    warnings: tuple[str, ...]


def own_folds(members: Sequence[SourceMember]) -> OwnFolds:
    """Read the members' own folds.

    Raises:
        HermesError: some cannot be used.
    """
    folds: dict[str, list[Fold] | None] = {}
    origins, warnings = {}, []
    for member in members:
        path, place = _splits_file(member)
        if path is None or member.is_unlabelled or member.has_pseudo_labels:
            folds[member.name], origins[member.name] = None, "made"
            continue
        own = read_own_folds(path, {case.name: case.patient for case in member.cases})
        folds[member.name], origins[member.name] = own, place
        warnings += _warnings(path, member, own)
    return OwnFolds(folds, origins, tuple(warnings))


def _splits_file(member: SourceMember) -> tuple[Path | None, str]:
    preprocessed = optional_folder(PREPROCESSED)
    places = [(member.folder / SPLITS_FILE, "raw")]
    if preprocessed is not None:
        places.append((preprocessed / member.dataset_name / SPLITS_FILE, "preprocessed"))
    return next(((path, place) for path, place in places if path.is_file()), (None, ""))


def _warnings(path: Path, member: SourceMember, folds: Sequence[Fold]) -> list[str]:
    """Of labelled cases in no fold: a file may leave them out on purpose, or be older than they are."""
    named = {case for fold in folds for half in fold.values() for case in half}
    labelled = [case.name for case in member.cases if case.label is not None]
    left_out = [case for case in labelled if case not in named]
    if not left_out:
        return []
    return [
        f"{path} leaves out {len(left_out)} of the {len(labelled)} labelled cases of {member.name}, which are neither "
        f"trained on nor validated: {listed(left_out)}; if that is not meant, remove the file to have folds made"
    ]
