"""hermes_nnunet inspect: show what a collection or a model consists of."""

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "asked",
        metavar="COLLECTION_OR_MODEL",
        help="id or name of a collection, its folder, its plans file, or the folder of a model or view",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def run(arguments: argparse.Namespace) -> int:
    """Find it, gather the facts, print them."""
    from hermes_nnunet.insight.inspection.facts import facts_of
    from hermes_nnunet.insight.inspection.finding import find

    facts = facts_of(find(arguments.asked))
    if arguments.json:
        print(json.dumps(facts, indent=4))
        return 0
    from rich.console import Console

    from hermes_nnunet.insight.inspection.tables import print_facts

    print_facts(facts, Console())
    return 0
