"""The folds of a collection that was planned before."""

from pathlib import Path

from hermes_nnunet.core.nnunet_files import SPLITS_FILE, read_splits
from hermes_nnunet.errors import HermesError


def check_planned_splits(raw: Path, preprocessed: Path) -> None:
    """Compare the folds of an earlier planning with those of the merge, as nnU-Net will, but with an explanation.

    Args:
        raw: the collection's folder in nnUNet_raw.
        preprocessed: its folder in nnUNet_preprocessed.

    Raises:
        HermesError: the folds of the merge are not those that were planned with.
    """
    merged, planned = raw / SPLITS_FILE, preprocessed / SPLITS_FILE
    if not (merged.is_file() and planned.is_file()):
        return
    new, old = (read_splits(file, "merge again") for file in (merged, planned))
    same = len(new) <= len(old) and all(
        set(a[half]) == set(b[half]) for a, b in zip(new, old, strict=False) for half in ("train", "val")
    )
    if not same:
        raise HermesError(
            f"{planned} has other folds than {merged}, because the collection was merged again or the file was edited: "
            f"delete {planned} to train with the folds of the merge, and plan with --clean if there are other cases now"
        )
