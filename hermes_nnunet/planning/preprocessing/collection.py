"""Preprocessing a collection, a case at a time, on one machine or many."""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from hermes_nnunet.collection import HERMES_BLOCK, Collection
from hermes_nnunet.core.cluster.admission import Folders
from hermes_nnunet.core.digests import digest_of_json
from hermes_nnunet.core.engine import Engine
from hermes_nnunet.core.leftovers import remove_leftovers
from hermes_nnunet.core.nnunet_files import read_dataset_json, read_plans, without_cases
from hermes_nnunet.core.nnunet_folders import PREPROCESSED, find_dataset, raw_folder, set_folder
from hermes_nnunet.core.parts import Part
from hermes_nnunet.core.trusted_plans import check_plans
from hermes_nnunet.core.versions import package_versions
from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.merge.record import check_whole
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.preprocessing.finished import Preprocessed, digests_of_merge, record_of
from hermes_nnunet.planning.preprocessing.finished_cases import FinishedCases, stamp_of
from hermes_nnunet.planning.preprocessing.one_case import TrainingCase, preprocess_case
from hermes_nnunet.planning.preprocessing.unknown_copies import folder_of_copies
from hermes_nnunet.plans import PLANS_REMEDY

# Of the files of a case, as nnU-Net names them.
_ENDINGS = ("_seg.b2nd", ".b2nd", ".pkl")


@dataclass(frozen=True)
class PreprocessingResult:
    """What was done.

    Attributes:
        folder: of the collection, in nnUNet_preprocessed.
        configurations: those of the asked ones that the plans have.
        cases: files of so many cases were written, each configuration counted by itself.
        before: so many were finished before.
    """

    folder: Path
    configurations: tuple[str, ...]
    cases: int
    before: int


def preprocess(
    dataset: int | str,
    plans_name: str,
    configurations: Sequence[str],
    engine: Engine,
    *,
    part: Part | None = None,
    go_on: bool = False,
    verbose: bool = False,
) -> PreprocessingResult:
    """Write what nnU-Net writes, with the preprocessor of the plans.

    Args:
        part: of the cases; files of the others are left.
        go_on: leave cases that were finished before, with these plans and from these files.
        verbose: the preprocessor says what it does.

    Raises:
        HermesError: the collection was not planned, or its plans are not of what was merged; or cases cannot be
            preprocessed, and all others are.
    """
    raw, folder = _folders_of(dataset)
    plans = _checked_plans(raw, folder / f"{plans_name}.json")
    known = tuple(name for name in configurations if name in plans["configurations"])
    if not known:
        raise HermesError(
            f"{folder / plans_name}.json has no configuration {listed(configurations)}, but "
            f"{listed(plans['configurations'])}: choose with -c"
        )
    # Of before the first case is read: who merges meanwhile is told of it by the training.
    merged = digests_of_merge(raw)
    cases = [case for name in known for case in _cases(raw, folder, plans, name, verbose)]
    own = set(part.of(sorted({case.name for case in cases}))) if part is not None else {case.name for case in cases}
    to_do = [
        case for case in cases if case.name in own and not (go_on and case.finished.holds(case.name, case.made_from))
    ]
    for name in known:
        identifier = plans["configurations"][name]["data_identifier"]
        redone = {case.name for case in to_do if case.finished.identifier == identifier}
        if redone:
            record_of(folder / identifier).unlink(missing_ok=True)
        _clear(folder / identifier, kept={case.name for case in cases} - redone)
        (folder / identifier).mkdir(exist_ok=True)
    remove_leftovers(folder)
    named = {f"{case.name} ({case.finished.identifier})": case for case in to_do}
    sources = {Path(file).parent for case in to_do for file in (*case.images, case.label)}
    folders = Folders(tuple(sorted(sources)), folder)
    problems = engine.map(preprocess_case, named, "Preprocessing", folders)
    failed = [f"{name}: {problem}" for name, problem in zip(named, problems, strict=True) if problem is not None]
    if failed:
        raise HermesError(
            "\n  ".join([f"{len(failed)} of {len(named)} cases cannot be preprocessed, the others are:", *failed])
        )
    mine = [case for case in cases if case.name in own]
    # Of several parts the last to finish says that all is there.
    if all(case.finished.holds(case.name, case.made_from) for case in cases if case.name not in own):
        _say_finished(folder, plans, known, {case.name: merged[case.name] for case in cases if case.name in merged})
    return PreprocessingResult(folder, known, len(to_do), len(mine) - len(to_do))


def _say_finished(folder: Path, plans: dict[str, Any], configurations: Sequence[str], merged: dict[str, str]) -> None:
    """Say, behind the last case, what the cases were made for, and from."""
    dataset_json = read_dataset_json(folder / "dataset.json", PLANS_REMEDY)
    if HERMES_BLOCK not in dataset_json:
        return
    manager = PlansManager(plans)
    for name in configurations:
        configuration = manager.get_configuration(name)
        wanted = Preprocessed.of_plans(manager, configuration, dataset_json)
        replace(wanted, merged=merged).write(folder / configuration.data_identifier)


def _folders_of(dataset: int | str) -> tuple[Path, Path]:
    """The folders of a data set in nnUNet_raw and nnUNet_preprocessed."""
    raw = raw_folder()
    name = find_dataset(raw, dataset)
    return raw / name, set_folder(PREPROCESSED) / name


def _checked_plans(raw: Path, path: Path) -> dict[str, Any]:
    plans = read_plans(path, PLANS_REMEDY)
    check_plans(plans, str(path))
    if HERMES_BLOCK in read_dataset_json(path.parent / "dataset.json", PLANS_REMEDY):
        _check_collection(raw, path.parent)
    return plans


def _check_collection(raw: Path, preprocessed: Path) -> None:
    """See that the label files in nnUNet_raw hold what the dataset.json says that the planner copied.

    Raises:
        HermesError: the collection was merged again since, or a merge was cut short.
    """
    check_whole(raw)
    merged, planned = (
        Collection.from_dataset_json(read_dataset_json(folder / "dataset.json", PLANS_REMEDY), str(folder))
        for folder in (raw, preprocessed)
    )
    if merged.tasks != planned.tasks:
        raise HermesError(
            f"{raw} was merged again after it was planned, and has other tasks or label values now: {PLANS_REMEDY}"
        )
    changed = [case for case, now in merged.cases.items() if now.annotated != planned.cases.get(case, now).annotated]
    if changed:
        raise HermesError(
            f"{raw} was merged again after it was planned, and {listed(changed)} annotate other labels now: "
            f"{PLANS_REMEDY}"
        )


def _cases(raw: Path, folder: Path, plans: dict[str, Any], configuration: str, verbose: bool) -> list[TrainingCase]:
    """All cases, in the order of their names, each with what its worker needs and nothing of the others."""
    # Read anew: nnU-Net puts paths into it, and this one is of the planning.
    dataset_json = read_dataset_json(folder / "dataset.json", PLANS_REMEDY)
    files = get_filenames_of_train_images_and_targets(str(raw), dataset_json)
    block = dataset_json.get(HERMES_BLOCK)
    common = without_cases(dataset_json)
    versions = package_versions()
    settings = digest_of_json([plans, configuration, common, versions["hermes_nnunet"], versions["nnunetv2"]])
    manager = PlansManager(plans)
    configuration_manager = manager.get_configuration(configuration)
    finished = FinishedCases(folder, configuration_manager.data_identifier)
    finished.check_folder()
    ending = read_dataset_json(raw / "dataset.json", "merge again")["file_ending"]
    cases = []
    for name in sorted(files):
        images, label = tuple(files[name]["images"]), files[name]["label"]
        own = dict(common)
        if block is not None:
            own[HERMES_BLOCK] = {**common[HERMES_BLOCK], "cases": {name: block["cases"][name]}}
        made_from = digest_of_json([settings, own.get(HERMES_BLOCK, {}).get("cases"), *map(_told, (*images, label))])
        cases.append(
            TrainingCase(name, images, label, ending, finished, made_from, manager, configuration_manager, own, verbose)
        )
    return cases


def _told(file: str) -> list[object]:
    """A file that is not there is told when it is read."""
    stamp = stamp_of(Path(file))
    return [file, None] if stamp is None else [file, *stamp]


def _clear(folder: Path, kept: Iterable[str]) -> None:
    """Remove files of all cases but the kept ones, as nnU-Net does of all, so that no old one is trained on."""
    kept = set(kept)
    for place in (folder, folder_of_copies(folder)):
        if not kept:
            shutil.rmtree(place, ignore_errors=True)
        elif place.is_dir():
            for entry in os.scandir(place):
                # The name x_seg.b2nd is that of a case x, or x_seg.
                cases = {entry.name.removesuffix(ending) for ending in _ENDINGS if entry.name.endswith(ending)}
                if cases and not cases & kept:
                    Path(entry.path).unlink(missing_ok=True)  # another part removes it as well
