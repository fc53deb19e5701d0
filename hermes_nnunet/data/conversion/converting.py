"""Convert a data set: find its cases, check them, write them, and say what was done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from hermes_nnunet.core.images.spacing_choice import HEADER, check_spacing_from
from hermes_nnunet.core.nnunet_folders import raw_folder
from hermes_nnunet.core.processes import default_processes, map_cases
from hermes_nnunet.core.shortages import line_of
from hermes_nnunet.core.wording import LISTED, did_you_mean, listed
from hermes_nnunet.data.conversion.checks import check_case
from hermes_nnunet.data.conversion.converter import Converter, SourceCase
from hermes_nnunet.data.conversion.parts import Parts, divide, folds_of, missing_names
from hermes_nnunet.data.conversion.target import Settings, TargetFolder
from hermes_nnunet.data.conversion.volumes import FILE_ENDING
from hermes_nnunet.data.conversion.writing import write_case
from hermes_nnunet.data.merge.folds import Fold
from hermes_nnunet.data.merge.specification import check_id, check_word
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import check_case_name
from hermes_nnunet.version import __version__


@dataclass(frozen=True)
class ConversionResult:
    """What a conversion did.

    Attributes:
        folder: the nnU-Net data set.
        parts: its cases, without those left out.
        written: number of cases written now; the others were finished before.
        replaced: those of them that were there, made from something else, or nobody knows from what.
        mended: cases whose label got the image's header, because they differed as far as is allowed.
        aligned: cases in which a channel got the first one's header.
        respaced: files whose headers said two spacings, of which the right one was taken.
        placeless: images whose headers say neither place nor spacing.
        gaps: case -> number of voxels that were no numbers and were mended; of the cases that were written now.
        rounded: those of the cases written now whose label values were rounded to whole numbers.
        left_out: broken case -> its problem.
        missing: names of published cases that the source does not hold.
    """

    converter: Converter
    folder: Path
    parts: Parts
    folds: Sequence[Fold]
    written: int
    replaced: Sequence[str]
    mended: Sequence[str]
    aligned: Sequence[str]
    respaced: Sequence[str]
    placeless: Sequence[str]
    gaps: Mapping[str, int]
    rounded: Sequence[str]
    left_out: Mapping[str, str]
    missing: Sequence[str]


def convert(
    converter: Converter,
    source: Path,
    number: int,
    *,
    all_training: bool = False,
    link: bool = False,
    skip_broken: bool = False,
    channels: Sequence[str] = (),
    name: str | None = None,
    options: Mapping[str, Sequence[str]] | None = None,
    spacing_from: str | None = None,
    processes: int | None = None,
) -> ConversionResult:
    """Convert the data set in the folder `source` to nnUNet_raw/Dataset<number>_<name>.

    Everything that names and headers can tell is checked before anything is written. A conversion that was interrupted
    resumes when it is called again.

    Args:
        converter: says what the data set is and where its cases are.
        source: folder of the downloaded data set.
        number: id of the nnU-Net data set, 1 to 999.
        all_training: use all labelled cases for training, in folds of our own, instead of the paper's lists.
        link: link to image files that need no change, instead of copying them.
        skip_broken: leave out broken cases instead of raising.
        channels: names of the channels to take, in this order; empty for the converter's default.
        name: last part of the folder's name; None for the converter's.
        options: options that only some converters have, by name.
        spacing_from: "affine" or "header": which to believe if a NIfTI header states two spacings and nothing in it
            decides.
        processes: number of cases at the same time; None for one for each core.

    Raises:
        HermesError: the arguments or the data do not allow it.
    """
    check_spacing_from(spacing_from)
    raw = raw_folder()
    check_id(number, "-d")
    _check_source(source, raw)
    if name is not None:
        check_word(name, "--name")
    options = options or {}
    _check_options(converter, options)
    if converter.resolve is not None:
        converter = converter.resolve(source, **options)
    cases = sorted(converter.find_cases(source), key=lambda case: case.name)
    converter, cases = _with_channels(converter, cases, channels or converter.default_channels)
    _check_names(cases)
    cases = [_told(case, spacing_from) for case in cases]
    settings = Settings.of(converter, source, all_training, options, spacing_from)
    target = TargetFolder(raw / f"Dataset{number:03d}_{name or converter.dataset}")
    target.check_free(raw, number, settings)
    parts = divide(converter, cases, all_training=all_training)
    processes = processes or default_processes()

    checked = [*parts.train, *parts.test]
    findings = map_cases(check_case, checked, processes, "Checking")
    left_out = {
        case.name: "; ".join(found.problems) for case, found in zip(checked, findings, strict=True) if found.problems
    }
    _refuse_broken(left_out, skip_broken, "nothing was written")
    parts = _without(parts, left_out)
    folds_of(converter, parts.train, all_training=all_training)

    tasks = target.tasks(converter, source, parts, link=link)
    pending = target.pending(tasks)
    replaced = [task.case.name for task in pending if task.is_written()]
    target.begin(settings, tasks, pending)
    try:
        outcomes = map_cases(write_case, pending, processes, "Converting")
    except OSError as error:
        line = line_of(error, place=target.path)
        raise HermesError(f"{line}, and run it again: finished cases are kept") from None
    outcome_of = {task.case.name: outcome for task, outcome in zip(pending, outcomes, strict=True)}
    broken = {name: outcome.problem for name, outcome in outcome_of.items() if outcome.problem is not None}
    _refuse_broken(broken, skip_broken, "all other cases are written: mend these and run it again")
    left_out.update(broken)
    parts = _without(parts, left_out)
    folds = folds_of(converter, parts.train, all_training=all_training)
    target.finish(dataset_json(converter, parts), folds, settings, tasks, sorted(left_out.items()))
    kept = [(case.name, found) for case, found in zip(checked, findings, strict=True) if case.name not in left_out]
    return ConversionResult(
        converter=converter,
        folder=target.path,
        parts=parts,
        folds=folds,
        written=len(pending) - len(broken),
        replaced=[name for name in replaced if name not in broken],
        mended=[name for name, found in kept if found.mended],
        aligned=[name for name, found in kept if found.aligned],
        respaced=[file for _, found in kept for file in found.respaced],
        placeless=[file for _, found in kept for file in found.placeless],
        gaps={name: outcome.gaps for name, outcome in outcome_of.items() if outcome.gaps},
        rounded=[name for name, outcome in outcome_of.items() if outcome.rounded],
        left_out=left_out,
        missing=missing_names(converter, cases),
    )


def _check_source(source: Path, raw: Path) -> None:
    if not source.is_dir():
        raise HermesError(f"{source} is not a folder: give the folder of the downloaded data set")
    if raw.resolve().is_relative_to(source.resolve()):
        raise HermesError(f"{source} holds nnUNet_raw={raw} too: give the folder of the downloaded data set alone")


def _check_options(converter: Converter, options: Mapping[str, Sequence[str]]) -> None:
    for option in options:
        if option not in converter.options:
            raise HermesError(f"{converter.name} takes no --{option}: leave it out")


def dataset_json(converter: Converter, parts: Parts) -> dict[str, Any]:
    """nnU-Net's dataset.json, with where the data come from."""
    return {
        "name": converter.title,
        "channel_names": {str(index): channel for index, channel in enumerate(converter.channels)},
        "labels": {"background": 0, **{label: value for value, label in enumerate(converter.labels, start=1)}},
        "numTraining": len(parts.train),
        "file_ending": FILE_ENDING,
        # nnU-Net's default reader of NIfTI takes the axes as stored; this one brings any direction into one.
        "overwrite_image_reader_writer": "NibabelIOWithReorient",
        "licence": converter.licence,
        "reference": converter.reference,
        "release": converter.release,
        "converted_by": f"hermes_nnunet {__version__}, {converter.name}",
    }


def _with_channels(
    converter: Converter, cases: Sequence[SourceCase], names: Sequence[str]
) -> tuple[Converter, list[SourceCase]]:
    """The converter and its cases with the chosen channels only."""
    if not names:
        return converter, list(cases)
    for name in names:
        if name not in converter.channels:
            raise HermesError(
                f"{converter.name} has no channel '{name}'{did_you_mean(name, converter.channels)}: it has "
                f"{listed(converter.channels)}"
            )
    indices = [converter.channels.index(name) for name in names]
    chosen = [
        replace(case, images=tuple(case.images[index] for index in indices)) if case.images else case for case in cases
    ]
    return replace(converter, channels=tuple(names)), chosen


def _told(case: SourceCase, spacing_from: str | None) -> SourceCase:
    # The spacing of a label that gets the image's header decides nothing.
    of_label = HEADER if case.label_on_image else spacing_from
    return replace(
        case,
        images=tuple(volume.told(spacing_from) for volume in case.images),
        label=None if case.label is None else case.label.told(of_label),
    )


def _check_names(cases: Sequence[SourceCase]) -> None:
    for case in cases:
        check_case_name(case.name)
    for first, second in pairwise(cases):
        if first.name == second.name:
            raise HermesError(f"two cases have the name {first.name}: remove one from the folder")


def _refuse_broken(problems: Mapping[str, str], skip_broken: bool, state: str) -> None:
    if not problems or skip_broken:
        return
    lines = [f"case {name}: {problem}" for name, problem in problems.items()]
    remedy = f"{state}; --skip-broken leaves broken cases out"
    if len(lines) == 1:
        raise HermesError(f"{lines[0]} ({remedy})")
    first = f", the first {LISTED}" if len(lines) > LISTED else ""
    raise HermesError("\n  ".join([f"{len(lines)} broken cases{first} ({remedy}):", *lines[:LISTED]]))


def _without(parts: Parts, left_out: Mapping[str, str]) -> Parts:
    return replace(
        parts,
        train=tuple(case for case in parts.train if case.name not in left_out),
        test=tuple(case for case in parts.test if case.name not in left_out),
    )
