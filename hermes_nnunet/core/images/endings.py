"""The image formats, by the ends of file names: those that nnU-Net reads in three dimensions, but for TIFF."""

from pathlib import Path

NIFTI_ENDINGS = (".nii.gz", ".nii")
ITK_ENDINGS = (".nrrd", ".mha", ".gipl")
IMAGE_ENDINGS = (*NIFTI_ENDINGS, *ITK_ENDINGS)
KNOWN = ", ".join(IMAGE_ENDINGS)


def split_ending(name: str) -> tuple[str, str] | None:
    """("liver_0000", ".NII.gz") of liver_0000.NII.gz, in any case; None where it is no name of an image."""
    for ending in IMAGE_ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)], name[-len(ending) :]
    return None


def is_nifti(path: Path) -> bool:
    """Whether the name is that of a NIfTI file."""
    return path.name.lower().endswith(NIFTI_ENDINGS)
