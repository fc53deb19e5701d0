"""The cases of a folder that `hermes_nnunet predict` or nnUNetv2_predict has written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hermes_nnunet.core.images.endings import IMAGE_ENDINGS, split_ending
from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.insight.viewer.cases import Masks, Reference, ShownCase
from hermes_nnunet.insight.viewer.table import Table, table_in, table_of_references
from hermes_nnunet.prediction.finding import find_cases
from hermes_nnunet.prediction.image_sources import ImageSource
from hermes_nnunet.prediction.labels_file import LabelsFile
from hermes_nnunet.prediction.run_record import RUN_FILE, runs_in
from hermes_nnunet.prediction.seg_nrrd import is_seg_nrrd
from hermes_nnunet.prediction.wishes import SEG_NRRD_ENDING

_UNKNOWN = "unknown"


def cases_of_results(folder: Path, source: Path | None, references: Path | None) -> list[ShownCase]:
    """The cases of a folder of results, by name.

    Args:
        source: where the images are, as for `hermes_nnunet predict`; None takes what run.json says.
        references: folder of label maps, named like the cases; None for none. Where labels.json or dataset.json beside
            them, or dataset.json above them, tells their values, tasks are found by name; else they are the same.

    Raises:
        HermesError: there are no results, or not what was asked for beside them.
    """
    table = table_in(folder)
    predictions = _masks(folder, table) if table.files else _label_maps(folder, table.said)
    if not predictions:
        raise HermesError(
            f"{folder} holds no segmentation to see (label maps {', '.join(IMAGE_ENDINGS)}, or a folder of masks for "
            "each case): give the folder that 'hermes_nnunet predict' or nnUNetv2_predict wrote"
        )
    reference_of = {} if references is None else _references(references, predictions, table, folder)
    if source is None:
        images, gone = _recorded_images(folder)
    else:
        images, gone = {case.name: case for case in find_cases(source)}, {}
        if not images.keys() & predictions.keys():
            raise HermesError(f"{source} holds no image of a case in {folder}: give the folder that was predicted from")
    return [
        ShownCase(
            name=name,
            labels=_labels_of(prediction, table),
            prediction=prediction,
            image=images.get(name),
            reference=reference_of.get(name),
            modality=(table.said.modality(name) if table.said else table.channel) or _UNKNOWN,
            expected_dice=table.said.expected_dice(name) if table.said else {},
            notes=() if name in images else (_no_image(name, folder, source, gone.get(name)),),
        )
        for name, prediction in predictions.items()
    ]


def _no_image(name: str, folder: Path, source: Path | None, gone: str | None) -> str:
    if source is not None:
        return f"The image is left out: {source} holds no case {name}."
    if gone is not None:
        return f"The image is left out: {gone}; name its folder with -i."
    return f"The image is left out: {folder / RUN_FILE} does not say where it is; name its folder with -i."


def _recorded_images(folder: Path) -> tuple[dict[str, ImageSource], dict[str, str]]:
    """Images by case, where the record of the runs says them; and why those are not to be had that are gone."""
    found: dict[str, ImageSource] = {}
    gone: dict[str, str] = {}
    for run in runs_in(folder):
        source = Path(run["input"])
        try:
            cases = {case.name: case for case in find_cases(source, run["options"].get("spacing_from"))}
        except HermesError as error:
            cases, problem = {}, str(error)
        else:
            problem = f"{source} has it no more"
        for name in run["cases"]:
            if name in cases:
                found[name] = cases[name]
            else:
                gone[name] = problem
    return found, gone


def _references(folder: Path, predictions: Mapping[str, Any], table: Table, results: Path) -> dict[str, Reference]:
    """References by case."""
    found = _label_maps(folder)
    if not found.keys() & predictions.keys():
        raise HermesError(f"{folder} holds no label map of a case: name its files like the cases")
    own = table_of_references(folder)
    if own is None:
        return {name: Reference(path) for name, path in found.items()}
    place, theirs = own
    values = {label.name: same.values for label in table.labels if (same := _same_task(label, theirs.labels))}
    if not values:
        named, held = (listed(label.name for label in one.labels) for one in (theirs, table))
        raise HermesError(f"{place} names {named}, and {results} holds {held}: give label maps of the same tasks")
    return {name: Reference(path, values, theirs.ignored) for name, path in found.items()}


def _same_task(label: Label, others: Sequence[Label]) -> Label | None:
    """The one of the same name; a data set's own names have no member before them."""
    by_name = {other.name: other for other in others}
    by_own_name = {other.own_name: other for other in reversed(others)}
    return by_name.get(label.name) or by_own_name.get(label.own_name)


def _label_maps(folder: Path, said: LabelsFile | None = None) -> dict[str, Path]:
    """Label maps by case.

    Args:
        said: which files a prediction wrote of its cases; others that lie beside them are not its own.
    """
    if not folder.is_dir():
        raise HermesError(f"{folder} is not a folder: give one")
    found = {}
    for path in sorted(folder.iterdir()):
        parts = split_ending(path.name)
        if parts is not None and path.is_file() and not path.name.startswith("."):
            case = path.name[: -len(SEG_NRRD_ENDING)] if is_seg_nrrd(path) else parts[0]
            ending = path.name[len(case) :]
            if said is None or ending in said.files.get(case, [ending]):
                found[case] = path
    return found


def _masks(folder: Path, table: Table) -> dict[str, Masks]:
    """Masks of the tasks that were segmented in a case, by case: not all, where cases are of several modalities."""
    found: dict[str, Masks] = {}
    for path in sorted(folder.iterdir()):
        masks = {task: path / name for task, name in table.files.items() if (path / name).is_file()}
        if masks and not path.name.startswith("."):
            found[path.name] = masks
    return found


def _labels_of(prediction: Path | Masks, table: Table) -> tuple[Label, ...]:
    """The tasks that a case shows."""
    if isinstance(prediction, Path):
        return table.labels
    return tuple(label for label in table.labels if label.name in prediction)
