"""The arguments that every command of the comparison has."""

import argparse
import shutil
from pathlib import Path

from measuring import RESULTS

from comparison.size import SIZES, USUAL_SIZE

SMALL = 300
FOLDS = range(3)


def comparison_parser(description: str | None) -> argparse.ArgumentParser:
    """Where to work, and the size, length, fold and seed of the trainings."""
    made = place_parser(description, USUAL_SIZE)
    made.add_argument("--batches", type=int, default=SMALL, help="of a single model (default: %(default)s)")
    made.add_argument("--fold", type=int, default=0, choices=FOLDS)
    made.add_argument("--seed", type=int, default=0)
    return made


def place_parser(description: str | None, size_name: str) -> argparse.ArgumentParser:
    """Where to work, on what, and with what size of the trainings if it is not said."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("source", type=Path, help="folder with Dataset301_... to Dataset304_...")
    made.add_argument("folder", type=Path, help="where to work; what is done there is not done again")
    made.add_argument(
        "--size", default=size_name, choices=SIZES, help="of images, patches and networks; each needs its own FOLDER"
    )
    made.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    made.add_argument("--results", type=Path, default=RESULTS, help="folder for the result (default: %(default)s)")
    made.add_argument("--commands", type=Path, default=Path(shutil.which("hermes_nnunet") or ".").parent)
    return made
