"""Preprocessing one case with nnU-Net's own preprocessor, so that its files appear whole."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from hermes_nnunet.core.files import naming, temporary_folder_in
from hermes_nnunet.core.shortages import line_of, memory_for
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.preprocessing.finished_cases import FinishedCases

GROUND_TRUTH = "gt_segmentations"
MEMORY_REMEDY = "give it fewer processes (-np), or take a machine with more"


@dataclass(frozen=True)
class TrainingCase:
    """A case in one configuration.

    Attributes:
        name: of the case.
        images, label: its files.
        ending: of label files in nnU-Net's folder of ground truth.
        made_from: tells its sources and settings from all others.
        plans, configuration: nnU-Net's.
        dataset_json: of the collection, with this case only.
        verbose: the preprocessor says what it does.
    """

    name: str
    images: tuple[str, ...]
    label: str
    ending: str
    finished: FinishedCases
    made_from: str
    plans: PlansManager
    configuration: ConfigurationManager
    dataset_json: dict[str, Any]
    verbose: bool = False


def preprocess_case(case: TrainingCase) -> str | None:
    """Write the files of a case; a line on why they cannot be made, where that is the case's own fault.

    Raises:
        OSError: they cannot be written.
    """
    try:
        with memory_for(case.images[0], remedy=MEMORY_REMEDY):
            _write(case)
    except HermesError as error:
        return str(error)
    except FileNotFoundError as error:
        return line_of(error)
    return None


def _write(case: TrainingCase) -> None:
    folder, identifier = case.finished.dataset, case.finished.identifier
    with temporary_folder_in(folder) as temporary:
        # A preprocessor may write into folders beside.
        written = temporary / identifier
        written.mkdir()
        with naming(folder / identifier / case.name):
            case.configuration.preprocessor_class(verbose=case.verbose).run_case_save(
                str(written / case.name),
                list(case.images),
                case.label,
                case.plans,
                case.configuration,
                case.dataset_json,
            )
        names = [str(path.relative_to(temporary)) for path in sorted(temporary.rglob("*")) if path.is_file()]
        # nnU-Net knows a case by this file, so it is the last to appear.
        names.sort(key=lambda name: name == f"{identifier}/{case.name}.b2nd")
        # As nnU-Net, without waiting for the disk: what a power cut takes has another size, and is made again.
        for name in names:
            with naming(folder / name):
                (folder / name).parent.mkdir(exist_ok=True)
                os.replace(temporary / name, folder / name)
        _copy_label(case, temporary, folder / GROUND_TRUTH / f"{case.name}{case.ending}")
        case.finished.add(case.name, case.made_from, names, temporary)


def _copy_label(case: TrainingCase, temporary: Path, target: Path) -> None:
    """As nnU-Net does, so that a validation needs no raw data."""
    if target.exists() and target.stat().st_mtime >= os.stat(case.label).st_mtime:
        return
    target.parent.mkdir(exist_ok=True)
    with naming(target):
        shutil.copy2(case.label, temporary / target.name)
        os.replace(temporary / target.name, target)
