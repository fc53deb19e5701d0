"""Train on one GPU or several, of one machine, or of several with torchrun: `python -m hermes_nnunet.train`."""

import argparse
import os
import sys
from collections.abc import Sequence

from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import escaped

EXAMPLE = """example, on four GPUs of one machine:
  python -m hermes_nnunet.train 900 3d_fullres 0 -num_gpus 4
example, on each of two machines with four GPUs (NUMBER is 0 on the first, 1 on the second):
  torchrun --nnodes 2 --node_rank NUMBER --nproc_per_node 4 --master_addr FIRST_MACHINE --master_port 29500 \\
      -m hermes_nnunet.train 900 3d_fullres 0
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Train; return 1 for an error that the user can mend.

    Raises:
        SystemExit: the call is wrong (2), help was asked for (0), or a signal ended the training (128 and its number).
    """
    arguments = _parsed(argv)
    if arguments.num_gpus == 1:
        return _train(arguments)
    from hermes_nnunet.learning.distributed.launching import launch

    return launch(_train, arguments, arguments.num_gpus)


def _train(arguments: argparse.Namespace) -> int:
    from hermes_nnunet.learning.distributed.training import train

    try:
        train(arguments)
    except HermesError as error:
        print(f"hermes_nnunet.train: error: {escaped(str(error))}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130  # as shells report it
    return 0


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m hermes_nnunet.train",
        description="Train a collection as nnUNetv2_train does, on one machine, or under torchrun on several. Whatever "
        "ends it is told in one line, and by the exit code.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", help="id or name of the collection, for example 900")
    parser.add_argument("configuration", help="nnU-Net configuration, for example 3d_fullres")
    parser.add_argument("fold", type=_number_or_all, help="number of the fold, or all")
    parser.add_argument("-tr", default="HermesTrainer", metavar="TRAINER", help="default: %(default)s")
    parser.add_argument("-p", default="HermesPlans", metavar="PLANS", help="default: %(default)s")
    parser.add_argument("-pretrained_weights", metavar="FILE", help="checkpoint of a trained model to start from")
    parser.add_argument("-device", choices=("cuda", "cpu", "mps"), default="cuda", help="default: %(default)s")
    parser.add_argument(
        "-num_gpus", type=_count, default=1, metavar="N", help="GPUs of this machine, a process each; default: 1"
    )
    parser.add_argument("--c", action="store_true", help="continue from the latest checkpoint")
    parser.add_argument("--val", action="store_true", help="only validate the final checkpoint")
    parser.add_argument("--val_best", action="store_true", help="validate the best checkpoint instead of the final one")
    parser.add_argument("--npz", action="store_true", help="keep the validation's probabilities")
    parser.add_argument("--disable_checkpointing", action="store_true", help="write no checkpoints")
    arguments = parser.parse_args(argv)
    for one, other in (
        ("c", "val"),
        ("c", "pretrained_weights"),
        ("val", "pretrained_weights"),
        ("val_best", "disable_checkpointing"),
    ):
        if getattr(arguments, one) and getattr(arguments, other):
            dashes = "-" if other == "pretrained_weights" else "--"
            parser.error(f"--{one} and {dashes}{other} exclude each other")
    if arguments.num_gpus > 1 and "RANK" in os.environ:
        parser.error("-num_gpus starts the processes that torchrun has started already: leave it out under torchrun")
    return arguments


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of GPUs: give 1 or more")
    return int(text)


def _number_or_all(text: str) -> int | str:
    return text if text == "all" else int(text)


if __name__ == "__main__":
    sys.exit(main())
