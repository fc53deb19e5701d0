"""`hermes_nnunet priors`: how alike a model's tasks and modalities are."""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from hermes_nnunet.cli.model_arguments import add_model_arguments, model_of

if TYPE_CHECKING:
    from rich.table import Table

    from hermes_nnunet.insight.priors.similarity import MemberSimilarity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_model_arguments(parser)
    parser.add_argument("-f", "--fold", metavar="FOLD", help="fold of the model; default: the first that is trained")
    parser.add_argument(
        "--level",
        default="all",
        metavar="all|N",
        help="place of the network, counted from 0; 'all' (the default) is the mean over places",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("priors.png"),
        metavar="FILE",
        help="picture, .png, .svg or .pdf (default: %(default)s); nearest neighbours are written next to it as .csv",
    )


def run(arguments: argparse.Namespace) -> int:
    """Draw the picture, write the nearest neighbours, and print how alike the members' tasks are.

    Raises:
        HermesError: there is no such model or place, or the picture cannot be written.
    """
    from rich.console import Console

    from hermes_nnunet.core.checkpoints import best_checkpoint, read_checkpoint
    from hermes_nnunet.core.files import check_output_file
    from hermes_nnunet.insight.priors.neighbours import write_neighbours
    from hermes_nnunet.insight.priors.picture import check_format, draw_priors
    from hermes_nnunet.insight.priors.pools import choose_places, read_pools
    from hermes_nnunet.insight.priors.similarity import (
        chance,
        cosine_similarity,
        modality_vectors,
        similarity_by_member,
        task_vectors,
    )
    from hermes_nnunet.insight.priors.tasks import task_origins
    from hermes_nnunet.plans import HermesPlans
    from hermes_nnunet.prediction.model_folder import read_model_folder

    picture = arguments.output
    check_format(picture)
    check_output_file(picture)
    folder = model_of(arguments)
    content = read_model_folder(folder, None if arguments.fold is None else [arguments.fold], best_checkpoint(folder))
    plans = HermesPlans.from_plans(content.plans)
    weights = read_checkpoint(content.checkpoints[0])["network_weights"]
    modalities_of_rows = plans.modality_row_names
    pools = choose_places(read_pools(weights, len(plans.tasks), len(modalities_of_rows)), arguments.level)
    origins = task_origins(plans.tasks, plans.members)
    tasks, modalities = task_vectors(pools), modality_vectors(pools)
    places = f"mean over {len(pools)} places" if len(pools) > 1 else pools[0].place
    title = (
        f"{content.plans['dataset_name']}, fold {content.folds[0]}, prior tokens: {places}\n"
        f"cosines of tasks that have nothing to do with each other: 0 ± {chance(pools):.2f}"
    )
    draw_priors(picture, title, origins, tasks, modalities_of_rows, modalities)
    table = picture.with_suffix(".csv")
    write_neighbours(table, origins, cosine_similarity(tasks), modalities_of_rows, cosine_similarity(modalities))
    Console().print(_member_table(similarity_by_member(cosine_similarity(tasks), origins)))
    print(f"picture: {picture}\nnearest neighbours: {table}")
    return 0


def _member_table(members: "dict[str, MemberSimilarity]") -> "Table":
    from rich.table import Table

    table = Table(title="mean cosine similarity of a member's tasks")
    table.add_column("member")
    for column in ("with each other", "with other members, same modality", "other modality"):
        table.add_column(column, justify="right")
    for name, means in members.items():
        values = (means.own, means.same_modality, means.other_modality)
        table.add_row(name, *("" if math.isnan(value) else f"{value:.2f}" for value in values))
    return table
