"""The arguments by which commands that work on many cases are told where, and on which."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hermes_nnunet.core.parts import Part

if TYPE_CHECKING:
    from hermes_nnunet.core.cluster.cluster import Cluster
    from hermes_nnunet.core.cluster.wish import ClusterWish


def add_cluster_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add --cluster and --part; returns their group."""
    group = parser.add_argument_group("many images (docs/cluster.md)")
    group.add_argument(
        "--cluster",
        metavar="WHERE",
        help="work on the cases with dask: local:4 for four processes, tcp://host:8786 for a running scheduler, "
        "slurm.yaml for a file of dask-jobqueue, slurm.yaml:16 for 16 workers",
    )
    group.add_argument(
        "--part",
        metavar="K/N",
        help="only every N-th case, starting with the K-th: for job arrays, the same on every machine",
    )
    return group


def part_of(arguments: argparse.Namespace) -> Part | None:
    """The part that is asked for.

    Raises:
        UsageError: it is none.
    """
    return None if arguments.part is None else Part.from_word(arguments.part)


def wish_of(arguments: argparse.Namespace) -> "ClusterWish | None":
    """The cluster that is asked for; dask is imported only where there is one.

    Raises:
        UsageError: it is none.
        HermesError: a package is missing.
    """
    from hermes_nnunet.core.cluster.wish import cluster_wish

    return None if arguments.cluster is None else cluster_wish(arguments.cluster)


@contextmanager
def opened_cluster(wish: "ClusterWish | None", *, threads: int = 1) -> "Iterator[Cluster | None]":
    """The cluster of a wish within this block; None where there is no wish."""
    if wish is None:
        yield None
        return
    from hermes_nnunet.core.cluster.opening import opened

    with opened(wish, threads=threads) as cluster:
        yield cluster
