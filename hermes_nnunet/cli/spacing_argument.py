"""The argument that decides the spacing of images whose headers say two."""

import argparse

from hermes_nnunet.core.images.spacing_choice import SPACING_FROM


def add_spacing_from(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add --spacing-from."""
    parser.add_argument(
        "--spacing-from",
        choices=SPACING_FROM,
        help="which spacing is right in images whose affine (sform) and header (pixdim) disagree and no qform decides; "
        "without it they are refused",
    )
