"""The commands that there are, and the parser of their arguments."""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module

import hermes_nnunet

PROGRAM = "hermes_nnunet"


@dataclass(frozen=True)
class Command:
    """A command: its module, its line in the help, and a call of it as people use it."""

    module: str
    help: str
    example: str


COMMANDS = {
    "convert": Command(
        "hermes_nnunet.cli.convert",
        "convert a public data set to an nnU-Net raw data set",
        "hermes_nnunet convert bcv ~/Downloads/RawData/Training -d 11",
    ),
    "merge": Command(
        "hermes_nnunet.cli.merge",
        "merge nnU-Net raw data sets into one collection",
        "hermes_nnunet merge 301:CT 303:cineMRI --into 900 --name Universal",
    ),
    "preprocess": Command(
        "hermes_nnunet.cli.preprocess",
        "preprocess a planned collection, on one machine or many; resumes with --continue",
        "hermes_nnunet preprocess 900 -plans_name HermesPlans -c 3d_fullres",
    ),
    "predict": Command(
        "hermes_nnunet.cli.predict",
        "segment images with a trained model: any of its members or tasks",
        "hermes_nnunet predict -i IN -o OUT -m 900 --tasks liver,spleen --modality CT",
    ),
    "pseudo-label": Command(
        "hermes_nnunet.cli.pseudo_label",
        "label unlabelled images with a trained model, where it is certain",
        "hermes_nnunet pseudo-label 900 --into 950 -f 0",
    ),
    "view": Command(
        "hermes_nnunet.cli.view",
        "show results, or a trained model's validation, in the browser",
        "hermes_nnunet view OUT",
    ),
    "inspect": Command(
        "hermes_nnunet.cli.inspect",
        "show what a collection or a model consists of",
        "hermes_nnunet inspect 900",
    ),
    "extend": Command(
        "hermes_nnunet.cli.extend",
        "make and plan a collection of a new data set, to train an addition to a trained model",
        "hermes_nnunet extend 900 305:T2 --into 901",
    ),
    "add": Command(
        "hermes_nnunet.cli.add",
        "put additions into a trained model, or take them out",
        "hermes_nnunet add gallbladder.hermes -m 900 --into 902",
    ),
    "views": Command(
        "hermes_nnunet.cli.views",
        "make a model folder for every member of a trained collection",
        "hermes_nnunet views 900 3d_fullres -f 0 1",
    ),
    "import-weights": Command(
        "hermes_nnunet.cli.import_weights",
        "turn the paper's released weights into nnU-Net models",
        "hermes_nnunet import-weights hermes_r.pth --into 910 --ema",
    ),
    "teach": Command(
        "hermes_nnunet.cli.teach",
        "teach a trained model a new structure with a few labelled images",
        "hermes_nnunet teach -m 900 --examples DIR --name gallbladder --modality CT -o gallbladder.hermes",
    ),
    "start-weights": Command(
        "hermes_nnunet.cli.start_weights",
        "convert weights of plain nnU-Net, to start a training from them",
        "hermes_nnunet start-weights checkpoint_final.pth -d 900 -o start.pth",
    ),
    "install": Command(
        "hermes_nnunet.cli.install",
        "install a model that was exported as a zip, after checking that it runs no code",
        "hermes_nnunet install model.zip",
    ),
    "report": Command(
        "hermes_nnunet.cli.report",
        "show a trained model's learning curves, Dice, best and worst cases on one page",
        "hermes_nnunet report 900 -o report.html",
    ),
    "priors": Command(
        "hermes_nnunet.cli.priors",
        "draw how similar a model's tasks and modalities are",
        "hermes_nnunet priors 900 -o priors.png",
    ),
    "doctor": Command(
        "hermes_nnunet.cli.doctor",
        "say what works on this machine, what is missing and how to fix it",
        "hermes_nnunet doctor",
    ),
    "link": Command(
        "hermes_nnunet.cli.link",
        "link Hermes into nnU-Net's package, for an editable install of either",
        "pip install -e . && hermes_nnunet link",
    ),
    "unlink": Command(
        "hermes_nnunet.cli.unlink",
        "remove the links that 'link' made",
        "hermes_nnunet unlink && pip uninstall hermes-nnunet",
    ),
    "demo": Command(
        "hermes_nnunet.cli.demo",
        "generate four small data sets, merge, train and predict them, and draw a report",
        "hermes_nnunet demo",
    ),
    "completion": Command(
        "hermes_nnunet.cli.completion",
        "print the script with which a shell completes these commands",
        "hermes_nnunet completion bash > ~/.local/share/bash-completion/completions/hermes_nnunet",
    ),
}


def build_parser(commands: Iterable[str | None]) -> argparse.ArgumentParser:
    """The parser with all commands' names, and the arguments of those in `commands`, whose modules are imported."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=hermes_nnunet.__doc__)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {hermes_nnunet.__version__}")
    _add_debug(parser, default=False)
    chosen = set(commands)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        command_parser = subparsers.add_parser(
            name,
            help=command.help,
            description=f"{command.help[0].upper()}{command.help[1:]}.",
            epilog=f"example:\n  {command.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in chosen:
            import_module(command.module).add_arguments(command_parser)
        # SUPPRESS: a default here would undo a --debug before the command
        _add_debug(command_parser, default=argparse.SUPPRESS)
    return parser


def _add_debug(parser: argparse.ArgumentParser, default: bool | str) -> None:
    parser.add_argument("--debug", action="store_true", default=default, help="show the traceback of an error")
