"""Which cases an interrupted final validation has finished, so that the next one need not predict them again."""

import gzip
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hermes_nnunet.core.digests import digest_of_json, digest_of_weights
from hermes_nnunet.core.files import holds_json, write_json
from hermes_nnunet.core.versions import package_versions

FORMAT_VERSION = 1
RECORD = "hermes_unfinished_validation.json"
_ENDINGS = (".nii.gz", ".npz", ".pkl")
_PIECE = 2**22
# What a finished validation leaves beside the cases.
_RESULTS = ("summary.json", "dice_by_member.json", "dice_by_member.csv")


def forget_results(folder: Path) -> None:
    """Remove the Dice of a validation folder, which is of weights that the fold will not have any more."""
    for name in _RESULTS:
        (folder / name).unlink(missing_ok=True)


class ValidatedCases:
    """The cases of a validation folder that a validation with the same weights, plans and packages has finished.

    As long as a validation is not finished, a record says what it predicts with. All files beside the record are its
    own: whoever writes a record removes what was there before. So a file is right if it is whole, which the checksum
    in it tells.

    Args:
        folder: the validation folder.
        weights: state of the network that predicts.
        plans: content of plans.json.
        dataset_json: that of the collection.
    """

    def __init__(
        self,
        folder: Path,
        weights: Mapping[str, torch.Tensor],
        plans: Mapping[str, Any],
        dataset_json: Mapping[str, Any],
    ) -> None:
        self._folder = folder
        self._record = {
            "format_version": FORMAT_VERSION,
            "weights": digest_of_weights(weights),
            "plans": digest_of_json(plans),
            "dataset": digest_of_json(dataset_json),
            "versions": package_versions(),
        }

    def begin(self, cases: Sequence[str], *, probabilities: bool, keep: bool = True) -> list[str]:
        """Those of the cases that are whole; everything else in the folder is made ready to be predicted anew.

        Args:
            cases: all that are to be validated.
            probabilities: whether their probabilities are wanted, too.
            keep: whether anything is to be kept.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        record = self._folder / RECORD
        whole = []
        if keep and holds_json(record, self._record):
            whole = [case for case in cases if self._is_whole(case, probabilities)]
        else:
            record.unlink(missing_ok=True)
            forget_results(self._folder)
        kept = set(whole)
        for path in self._folder.iterdir():
            ending = next((ending for ending in _ENDINGS if path.name.endswith(ending)), None)
            if ending is not None and path.name.removesuffix(ending) not in kept:
                path.unlink()
        write_json(self._record, record)
        return whole

    def end(self) -> None:
        """All cases are predicted: the next validation begins anew."""
        (self._folder / RECORD).unlink(missing_ok=True)

    def _is_whole(self, case: str, probabilities: bool) -> bool:
        # The segmentation is written last.
        if not _is_whole_gzip(self._folder / f"{case}.nii.gz"):
            return False
        return not probabilities or (
            _is_whole_zip(self._folder / f"{case}.npz") and (self._folder / f"{case}.pkl").is_file()
        )


def _is_whole_gzip(path: Path) -> bool:
    read = 0
    try:
        with gzip.open(path) as content:
            while piece := content.read(_PIECE):
                read += len(piece)
    except (OSError, EOFError, zlib.error):
        return False
    return read > 0


def _is_whole_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as content:
            return content.testzip() is None
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile):
        return False
