"""What people say where an image's header says two spacings and nothing in it decides."""

from hermes_nnunet.errors import UsageError

AFFINE = "affine"
HEADER = "header"
SPACING_FROM = (AFFINE, HEADER)


def check_spacing_from(spacing_from: str | None) -> None:
    """Raises: UsageError where it is neither None nor one of SPACING_FROM."""
    if spacing_from not in (None, *SPACING_FROM):
        raise UsageError(f"spacing_from is {spacing_from!r}: choose '{AFFINE}', '{HEADER}', or leave it out")
