"""nnU-Net's fingerprint of a collection, which it keeps from planning to planning unless it is told --clean."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hermes_nnunet.core.nnunet_files import FINGERPRINT, read_dataset_json
from hermes_nnunet.errors import HermesError
from hermes_nnunet.plans import PLANS_REMEDY

# Of its entries, those that have one value a case, in the order of the cases.
BY_CASE = ("shapes_after_crop", "spacings")


def check_fingerprint(fingerprint: Mapping[str, Any], cases: Sequence[str], preprocessed: Path) -> None:
    """See that a fingerprint is of the cases that are planned for, whose names it does not hold.

    Args:
        fingerprint: its content.
        cases: of the collection, in its order.
        preprocessed: the collection's folder in nnUNet_preprocessed.

    Raises:
        HermesError: it has another number of cases; or it is older than the last planning, which was for others.
    """
    file, planned = preprocessed / FINGERPRINT, preprocessed / "dataset.json"
    there = min(len(fingerprint.get(key, ())) for key in BY_CASE)
    others = any(len(fingerprint.get(key, ())) != len(cases) for key in BY_CASE)
    if not others and planned.is_file() and file.stat().st_mtime_ns < planned.stat().st_mtime_ns:
        others = list(read_dataset_json(planned, PLANS_REMEDY).get("dataset", cases)) != list(cases)
    if others:
        raise HermesError(
            f"{file} was made of {there} cases, not of the {len(cases)} that the collection has since it was merged "
            "again: plan with --clean, so that nnU-Net makes it anew"
        )
