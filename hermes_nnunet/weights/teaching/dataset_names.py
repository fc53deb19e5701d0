"""The data set under whose name the view of a taught addition lies, so that nnU-Net's commands find it."""

import zlib
from collections.abc import Mapping

from hermes_nnunet.collection import Member
from hermes_nnunet.core.nnunet_folders import (
    PREPROCESSED,
    RAW,
    RESULTS,
    dataset_id,
    datasets_in,
    optional_folder,
)
from hermes_nnunet.data.merge.specification import LARGEST_ID, check_id
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import check_dataset_name, check_file_name

# Few people's data sets have these ids, or collections.
OWN_IDS = range(500, 900)


def dataset_name_of(wanted: int | str | None, name: str, members: Mapping[str, Member]) -> str:
    """Name of a data set that nobody has.

    Args:
        wanted: its id, or its whole name; None takes a free id that goes by the addition's name, so that additions that
            were taught apart hardly ever meet in a model with the same one.
        name: of the addition, for a data set that is given by its id or not at all.
        members: the base's.

    Raises:
        HermesError: the id is another data set's.
    """
    check_file_name(name, "--name")
    taken = _taken(members)
    if wanted is None:
        first = OWN_IDS[zlib.crc32(name.encode()) % len(OWN_IDS)]
        free = (number for number in (*range(first, 0, -1), *range(LARGEST_ID, first, -1)) if number not in taken)
        wanted = next(free, None)
        if wanted is None:
            raise HermesError("every id of a data set is taken: name one with --dataset once it is free")
    if isinstance(wanted, str) and not wanted.isdigit():
        dataset_name = check_dataset_name(wanted, "--dataset")
    else:
        check_id(int(wanted), "--dataset")
        dataset_name = f"Dataset{int(wanted):03d}_{name}"
    owner = taken.get(dataset_id(dataset_name))
    if owner is not None:
        raise HermesError(f"--dataset {wanted}: this id is that of {owner}: choose another one")
    return dataset_name


def _taken(members: Mapping[str, Member]) -> dict[int, str]:
    """Ids that are taken, and by which data set."""
    folders = [folder for folder in map(optional_folder, (RAW, PREPROCESSED, RESULTS)) if folder is not None]
    names = [name for folder in folders for name in datasets_in(folder)]
    names += [member.dataset_name for member in members.values()]
    return {dataset_id(name): name for name in names}
