"""Patches of known modality that are told "unknown" in training, so that a prediction may say so, too."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hermes_nnunet.collection import Collection
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.planning.preprocessing.unknown_copies import folder_of_copies, needs_copy
from hermes_nnunet.plans import HermesPlans

# Behind the name of a case that is told so. No file's name has a slash, so no case's has.
_MARK = "/unknown"
# Entry of a checkpoint: share of the patches that the training told so.
SHARE_KEY = "hermes_unknown_modality_share"
# Of each identifier, so that shares are right to about one part in twenty.
_TIMES = 2


class ToldUnknown:
    """A data set of training in which every case is there once more, told to be of unknown modality.

    nnU-Net's data loader draws from the identifiers and hands them over with the voxels. So processes and data workers
    need not agree on anything, and an interrupted training draws what it would have drawn.

    Args:
        dataset: nnU-Net's; its identifiers are repeated by how often they are to be drawn.
        share: of the patches, above 0 and below 1.
        copies: data set of the cases that look different then, see `unknown_copies`; None where there are none.
        copied: their names.

    Attributes:
        identifiers: of cases as they are, and of those that are told so.
    """

    def __init__(self, dataset: Any, share: float, copies: Any, copied: Sequence[str]) -> None:
        own = np.repeat(np.asarray(dataset.identifiers, object), _TIMES)
        cases, slots = np.unique(own, return_counts=True)
        told = np.maximum(1, np.round(slots * share / (1 - share))).astype(int)
        marked = np.array([f"{case}{_MARK}" for case in cases], object)
        self.identifiers = np.concatenate([own, np.repeat(marked, told)])
        self._dataset, self._copies, self._copied = dataset, copies, frozenset(copied)

    def load_case(self, identifier: str) -> tuple[Any, ...]:
        """As nnU-Net's data sets."""
        case = case_of(identifier)
        copied = case != identifier and case in self._copied
        return (self._copies if copied else self._dataset).load_case(case)


def told_unknown(dataset: Any, share: float, folder: Path, collection: Collection, plans: HermesPlans) -> Any:
    """The data set with a share of the patches told "unknown"; the same where the share is 0.

    Args:
        folder: of the preprocessed cases.

    Raises:
        HermesError: the share is no share, or images that are normalised for it are missing.
    """
    if not share:
        return dataset
    if not 0 < share < 1:
        raise HermesError(f"unknown_modality_share is {share}: it is a share of the patches, from 0 to below 1")
    cases = sorted(set(map(str, dataset.identifiers)))
    copied = [case for case in cases if needs_copy(plans, collection.cases[case].modality)]
    copies = folder_of_copies(folder)
    missing = [case for case in copied if not (copies / f"{case}.pkl").is_file()]
    if missing:
        raise HermesError(
            f"unknown_modality_share is {share}, but {copies} lacks {missing[0]} as it is preprocessed for that: set "
            '"unknown_copies": true in the hermes block of the plans, and run nnUNetv2_preprocess again'
        )
    return ToldUnknown(dataset, share, type(dataset)(str(copies), copied) if copied else None, copied)


def cases_of(identifiers: Sequence[str]) -> list[str]:
    """Names of the cases of a batch."""
    return [case_of(str(identifier)) for identifier in identifiers]


def case_of(identifier: str) -> str:
    """Name of the case, whatever it is told."""
    return identifier.removesuffix(_MARK)


def with_told(contexts: ContextBatch, identifiers: Sequence[str], unknown_modality: int) -> ContextBatch:
    """The contexts of a batch as its identifiers say; the modality loss still wants the true modality.

    Args:
        contexts: with the true modalities.
        unknown_modality: row of the modality pool.
    """
    told = torch.tensor([str(identifier).endswith(_MARK) for identifier in identifiers])
    if not told.any():
        return contexts
    return contexts._replace(
        modality_index=contexts.modality_index.masked_fill(told, unknown_modality),
        true_modality=contexts.modality_index,
    )
