"""What a folder of preprocessed cases was made for, and whether it is finished: a training asks before its first epoch.

The record lies beside the folder, for nnU-Net takes every file in it for a case. It goes before the cases do and comes
after them, so that an interrupted preprocessing has none.
"""

from collections.abc import Collection as AnyCollection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from pydantic import Field

from hermes_nnunet.collection import CASE_SEPARATOR, Collection
from hermes_nnunet.core.digests import digest_of_json
from hermes_nnunet.core.files import read_json, write_json
from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.merge.record import RECORD_FILE, read_record
from hermes_nnunet.errors import HermesError
from hermes_nnunet.plans import HermesPlans, IntensityRule
from hermes_nnunet.schema import OURS, Number, Text, Whole, versioned

FORMAT_VERSION = 1
PREPROCESS_REMEDY = "run 'nnUNetv2_preprocess -d ID -plans_name PLANS -c 3d_fullres' to its end"
_DIGITS = 16
_IN_WORDS = {
    "tasks": "other tasks or label values",
    "spacing": "another spacing",
    "intensity_clipping": "other rules of intensities",
}


@dataclass(frozen=True)
class Preprocessed:
    """What decides the voxels of preprocessed cases, and what these were made from.

    Attributes:
        tasks: name of each -> its values in the label maps.
        spacing: in mm.
        intensity_clipping: see HermesPlans.
        merged: see `digests_of_merge`, of the preprocessed cases; releases that did not keep it wrote none.
    """

    tasks: dict[Text, list[Whole]]
    spacing: Annotated[list[Number], Field(min_length=3, max_length=3)]
    intensity_clipping: dict[Text, IntensityRule]
    merged: dict[Text, Text] = field(default_factory=dict)

    __pydantic_config__ = OURS

    @classmethod
    def of_plans(
        cls, plans: PlansManager, configuration: ConfigurationManager, dataset_json: dict[str, Any]
    ) -> "Preprocessed":
        """What these plans ask for."""
        collection = Collection.from_dataset_json(dataset_json, plans.dataset_name)
        return cls(
            tasks={task.name: list(task.values) for task in collection.tasks},
            spacing=[float(size) for size in configuration.spacing],
            intensity_clipping=HermesPlans.from_plans(plans.plans).intensity_clipping,
        )

    def write(self, folder: Path) -> None:
        """Say that the cases in a folder are finished."""
        write_json({"format_version": FORMAT_VERSION, **asdict(self)}, record_of(folder))


def record_of(folder: Path) -> Path:
    """The record of a folder of preprocessed cases."""
    return folder.with_name(f"{folder.name}_preprocessed.json")


def check_preprocessed(folder: Path, wanted: Preprocessed) -> None:
    """Check that a folder of preprocessed cases was made for what a training wants.

    Older releases wrote no record: such folders are taken as they are.

    Raises:
        HermesError: it was made for other label values, spacing or intensities.
    """
    if not folder.is_dir():
        raise HermesError(f"{folder} does not exist: {PREPROCESS_REMEDY}")
    there = _read(folder)
    if there is None:
        return
    for name, words in _IN_WORDS.items():
        if getattr(there, name) != getattr(wanted, name):
            raise HermesError(f"{folder} was preprocessed for {words} than its plans have now: {PREPROCESS_REMEDY}")


def _read(folder: Path) -> Preprocessed | None:
    """The record of a folder; None where there is none."""
    path = record_of(folder)
    if not path.is_file():
        return None
    return versioned(Preprocessed, read_json(path, PREPROCESS_REMEDY), FORMAT_VERSION, str(path), PREPROCESS_REMEDY)


def digests_of_merge(raw: Path) -> dict[str, str]:
    """Case -> digest of what a collection in nnUNet_raw has made it from; none where it has no record of its merge.

    Raises:
        HermesError: the record cannot be read.
    """
    if not (raw / RECORD_FILE).is_file():
        return {}
    record = read_record(raw, "run the merge again")
    return {
        case: digest_of_json(record.made_from(case, case.partition(CASE_SEPARATOR)[0]))[:_DIGITS]
        for case in record.cases
    }


def changes_since(folder: Path, raw: Path) -> str:
    """What a merge has changed in a collection since a folder of preprocessed cases was made of it, in words.

    Nothing where one of the two keeps no record of the merge, as on a machine without the collection in nnUNet_raw.

    Raises:
        HermesError: one of the two records cannot be read.
    """
    there, now = _read(folder), digests_of_merge(raw)
    if there is None or not there.merged or not now:
        return ""
    differences = {
        "changed": [case for case, digest in there.merged.items() if now.get(case, digest) != digest],
        "new": [case for case in now if case not in there.merged],
        "gone": [case for case in there.merged if case not in now],
    }
    return ", ".join(f"{len(cases)} {what} ({listed(cases)})" for what, cases in differences.items() if cases)


def check_cases(folder: Path, cases: AnyCollection[str]) -> None:
    """Check that cases are in a folder of preprocessed cases.

    Raises:
        HermesError: some are not, as where the preprocessing was interrupted.
    """
    there = {path.name for path in folder.iterdir()}
    missing = [case for case in cases if f"{case}.b2nd" not in there and f"{case}.npz" not in there]
    if missing:
        raise HermesError(
            f"{folder} lacks {len(missing)} of {len(cases)} cases of this fold ({listed(missing)}), as where the "
            f"preprocessing was interrupted: {PREPROCESS_REMEDY}"
        )
