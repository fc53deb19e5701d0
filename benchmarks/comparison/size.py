"""How large the comparison's images, patches and networks are: the same for all arms in a folder."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """What all arms have in common.

    Attributes:
        spacing_mm: of the preprocessed images.
        patch_size: voxels.
        widths: channels of each stage; there are as many stages.
        blocks_per_stage: residual blocks of each stage of the encoder.
    """

    spacing_mm: tuple[int, int, int]
    patch_size: tuple[int, int, int]
    widths: tuple[int, ...]
    blocks_per_stage: tuple[int, ...]


BATCH_SIZE = 2
USUAL_SIZE = "3 mm"
# A batch of 6 mm takes a tenth of the time of one of 3 mm, so trainings can be long.
LONG_SIZE = "6 mm"
SIZES = {
    USUAL_SIZE: Size((3, 3, 3), (40, 40, 40), (16, 32, 64, 128), (1, 2, 2, 2)),
    LONG_SIZE: Size((6, 6, 6), (24, 24, 24), (8, 16, 32, 64), (1, 2, 2, 2)),
}
