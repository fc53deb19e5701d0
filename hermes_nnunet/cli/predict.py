"""hermes_nnunet predict: segment images with a trained model."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hermes_nnunet.cli.cluster_arguments import add_cluster_arguments, opened_cluster, part_of, wish_of
from hermes_nnunet.cli.repeating import DEFAULTS, completed, recorded
from hermes_nnunet.cli.spacing_argument import add_spacing_from
from hermes_nnunet.core.parts import Part
from hermes_nnunet.errors import HermesError, UsageError
from hermes_nnunet.file_names import escaped
from hermes_nnunet.prediction.wishes import OUTPUT_TYPES, Wishes

if TYPE_CHECKING:
    from hermes_nnunet.core.cluster.cluster import Cluster
    from hermes_nnunet.core.cluster.wish import ClusterWish
    from hermes_nnunet.prediction.destination import Destination, ToDo
    from hermes_nnunet.prediction.failures import Failures
    from hermes_nnunet.prediction.image_sources import ImageSource
    from hermes_nnunet.prediction.model_folder import ModelFolder
    from hermes_nnunet.prediction.predictor import HermesPredictor

# While one case is in the network, the next is read and the last is written.
_CASES_OF_WORKER = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "-i", "--input", type=Path, metavar="IN",
        help="image file (NIfTI, NRRD, MHA, GIPL), folder of such files, folder of a DICOM series, or folder of such "
        "folders",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="folder for the results")
    parser.add_argument(
        "-m", "--model", metavar="MODEL", help="folder of a model or view, or id or name of its data set"
    )
    parser.add_argument(
        "--like", type=Path, metavar="FILE",
        help="run.json of earlier results: repeat that run, on the same images (or -i) with the same model (or -m)",
    )  # fmt: skip
    chosen = parser.add_argument_group("what to segment").add_mutually_exclusive_group()
    chosen.add_argument("--member", nargs="+", default=[], metavar="NAME", help="all tasks of these members")
    chosen.add_argument(
        "--tasks", nargs="+", default=[], metavar="TASK", help="tasks of any members, separated by commas or spaces"
    )
    chosen.add_argument("--all", action="store_true", help="every task that the model knows in the modality")
    parser.add_argument(
        "--modality",
        help="modality of the images; default: that of the named members if they all have the same, else 'auto', which "
        "recognises it for each image by its DICOM header or appearance",
    )
    parser.add_argument(
        "--all-modalities",
        action="store_true",
        help="with --all: include tasks that never saw the modality in training",
    )
    add_spacing_from(parser)
    _add_output_arguments(parser.add_argument_group("results"))
    _add_model_arguments(parser.add_argument_group("model"))
    group = add_cluster_arguments(parser)
    group.add_argument("--gpus", metavar="0,1,2,3", help="start a worker for each of these GPUs of this machine")


def _add_output_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--per-task", action="store_true", help="write a mask for each task, which may overlap")
    group.add_argument("--output-type", choices=OUTPUT_TYPES, help=f"default: {DEFAULTS['output_type']}")
    group.add_argument("--preview", action="store_true", help="draw a picture of each case")
    group.add_argument("--viewer", action="store_true", help="write an interactive page of each case, for browsers")
    group.add_argument("--statistics", action="store_true", help="write volume and mean intensity of each task")
    group.add_argument("--probabilities", action="store_true", help="write an npz file for each case, like nnU-Net's")
    existing = group.add_mutually_exclusive_group()
    existing.add_argument("--continue", action="store_true", dest="go_on", help="skip cases that are finished")
    existing.add_argument("--overwrite", action="store_true", help="replace results that exist")


def _add_model_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-tr", "--trainer", default="HermesTrainer", help="default: %(default)s")
    group.add_argument("-p", "--plans", default="HermesPlans", help="default: %(default)s")
    group.add_argument("-c", "--configuration", default="3d_fullres", help="default: %(default)s")
    group.add_argument("-f", "--folds", nargs="+", metavar="FOLD", help="folds to average; default: all finished ones")
    group.add_argument("-chk", "--checkpoint", help=f"default: {DEFAULTS['checkpoint']}")
    group.add_argument("-device", "--device", help="cpu, cuda, cuda:1, mps; default: a GPU if there is one")
    group.add_argument(
        "-step_size", "--tile-step", type=float, metavar="SHARE",
        help=f"step of the sliding window as a share of the patch; default: {DEFAULTS['tile_step']}",
    )  # fmt: skip
    group.add_argument("--full-precision", action="store_true", help="do not use half precision on a GPU")
    group.add_argument(
        "--trust-plans",
        action="store_true",
        help="run the code of other classes than those of Hermes and nnU-Net that the model's plans name: your own",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check model, tasks, images and output folder; then load the weights and predict."""
    from hermes_nnunet.prediction.parts import writing_part

    arguments, before = completed(arguments)
    part, wish = part_of(arguments), _wish_of(arguments)
    if wish is not None:
        arguments.input = arguments.input.absolute()  # a worker may have another working directory
    with writing_part(arguments.output, part), opened_cluster(wish, threads=_CASES_OF_WORKER) as cluster:
        return _run(arguments, before, part, cluster)


def _wish_of(arguments: argparse.Namespace) -> "ClusterWish | None":
    """The cluster that is asked for; --gpus asks for one of this machine."""
    from hermes_nnunet.core.cluster.wish import gpu_wish

    if arguments.gpus is None:
        return wish_of(arguments)
    for name in ("cluster", "device"):
        if getattr(arguments, name) is not None:
            raise UsageError(f"--gpus and --{name} both say where to predict: choose one")
    return gpu_wish(arguments.gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))


def _run(
    arguments: argparse.Namespace, before: dict[str, Any] | None, part: Part | None, cluster: "Cluster | None"
) -> int:
    from hermes_nnunet.core.leftovers import remove_leftovers
    from hermes_nnunet.overrides import AUTO
    from hermes_nnunet.prediction.checking import check_cases, check_wishes
    from hermes_nnunet.prediction.destination import Destination
    from hermes_nnunet.prediction.failures import Failures
    from hermes_nnunet.prediction.finding import find_cases, unused_lines
    from hermes_nnunet.prediction.modality_finding import is_to_find, lines_of, with_found_modalities
    from hermes_nnunet.prediction.model_folder import find_model_folder, read_model_folder
    from hermes_nnunet.prediction.parts import gather
    from hermes_nnunet.prediction.passes import choose, wanted_modality
    from hermes_nnunet.prediction.provenance import Provenance
    from hermes_nnunet.prediction.run_record import check_same_model

    wishes = Wishes(
        output_type=arguments.output_type,
        per_task=arguments.per_task,
        probabilities=arguments.probabilities,
        preview=arguments.preview,
        viewer=arguments.viewer,
        statistics=arguments.statistics,
    )
    check_wishes(wishes)
    folder = find_model_folder(arguments.model, arguments.trainer, arguments.plans, arguments.configuration)
    model = read_model_folder(folder, arguments.folds, arguments.checkpoint, trust_plans=arguments.trust_plans)
    wanted = wanted_modality(arguments.modality)
    to_find = is_to_find(model, arguments.member, wanted)
    ask = partial(
        choose,
        model,
        members=arguments.member,
        tasks=[task for word in arguments.tasks for task in word.split(",") if task.strip()],
        everything=arguments.all,
        all_modalities=arguments.all_modalities,
    )
    choice = ask(modality=None if wanted == AUTO else wanted)
    cases = find_cases(arguments.input, arguments.spacing_from)
    if part is not None:
        if to_find:
            raise HermesError(
                f"--part {part} knows the modality of its own images only, and what is written depends on that of all: "
                "name it with --modality"
            )
        cases = part.of(cases)
    provenance = Provenance.of(
        model,
        tile_step=arguments.tile_step,
        half_precision=not arguments.full_precision,
        spacing_from=arguments.spacing_from,
    )
    if before is not None:
        check_same_model(provenance, before, arguments.like)
    destination = Destination(arguments.output, wishes, choice, model.file_ending, provenance, part=part)
    remove_leftovers(destination.folder)
    gathered = []
    if part is None and (arguments.go_on or arguments.overwrite):
        gathered = gather(destination.folder, overwrite=arguments.overwrite)
    failures = Failures()

    @cache
    def load() -> "HermesPredictor":
        from hermes_nnunet.prediction.predictor import HermesPredictor

        return HermesPredictor(
            model,
            arguments.device,
            half_precision=not arguments.full_precision,
            tile_step=arguments.tile_step,
            show_tiles=len(cases) == 1,
        )

    if to_find:
        destination.check_free(cases, overwrite=arguments.overwrite, go_on=arguments.go_on)
        destination = with_found_modalities(destination, model, ask, load, cases, failures)
    work = destination.to_do(cases, overwrite=arguments.overwrite, go_on=arguments.go_on)
    to_do = work.cases
    found = {case.name: destination.found[case.name] for case in to_do if case.name in destination.found}
    for line in lines_of(found):
        print(escaped(line))
    notes = [*destination.choice.warnings, *unused_lines(arguments.input), *work.lines]
    warnings = [*notes, *check_cases(to_do, destination, failures)]
    _warn(warnings)
    readable = [case for case in to_do if case.name not in failures]
    if readable:
        _predict(arguments, model, load, readable, work, destination, failures, warnings, before, cluster)
    else:
        if gathered and not to_do:
            destination.open(work)
        failures.raise_any(len(to_do))
    done = f", {len(cases) - len(to_do)} were finished before" if len(to_do) < len(cases) else ""
    print(f"{len(to_do)} case{'s' * (len(to_do) != 1)} segmented to {escaped(str(arguments.output))}{done}")
    return 0


def _predict(
    arguments: argparse.Namespace,
    model: "ModelFolder",
    load: "Callable[[], HermesPredictor]",
    cases: "Sequence[ImageSource]",
    work: "ToDo",
    destination: "Destination",
    failures: "Failures",
    warnings: "Sequence[str]",
    like: dict[str, Any] | None,
    cluster: "Cluster | None",
) -> None:
    from hermes_nnunet.prediction.folder_record import FolderRecord
    from hermes_nnunet.prediction.run_description import described_run
    from hermes_nnunet.prediction.run_record import RunRecord, other_circumstances, runs_in

    before = runs_in(destination.records)
    predict, device = (
        _predicting_here(load())
        if cluster is None
        else _predicting_on(cluster, arguments, model, destination, len(cases))
    )
    options = recorded(arguments, model.folds)
    run = described_run(model, device, destination, options, arguments.input, warnings)
    others = [] if like is None else other_circumstances(run, like, arguments.like)
    _warn(others)
    run["warnings"] += others
    destination.open(work)
    record = FolderRecord(destination, work.measured, RunRecord(destination.records, before, run))
    predict(cases, destination, record, failures)


def _predicting_here(predictor: "HermesPredictor") -> tuple[Callable[..., None], str]:
    """What predicts cases in this process, and its device in words."""
    from hermes_nnunet.prediction.run_description import described_device
    from hermes_nnunet.prediction.running import predict_cases

    return partial(predict_cases, predictor), described_device(predictor.device)


def _predicting_on(
    cluster: "Cluster", arguments: argparse.Namespace, model: "ModelFolder", destination: "Destination", cases: int
) -> tuple[Callable[..., None], str]:
    """The same on the workers, one of which has the weights loaded."""
    from hermes_nnunet.prediction.on_cluster import ModelToLoad, device_of_workers, predict_on

    # Without a GPU a worker would take the CPU.
    device = arguments.device if arguments.gpus is None else "cuda"
    to_load = ModelToLoad.of(model, device, destination.provenance)
    words = device_of_workers(cluster, to_load, cases)
    where = arguments.cluster or f"local:{len(arguments.gpus.split(','))}"
    return partial(predict_on, cluster, to_load), f"{words}, workers of {where}"


def _warn(lines: "Sequence[str]") -> None:
    for line in lines:
        print(f"hermes_nnunet: warning: {escaped(line)}", file=sys.stderr)
