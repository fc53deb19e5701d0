"""Installing a model that nnU-Net has exported as a zip, without trusting the zip."""

import lzma
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hermes_nnunet.collection import HERMES_BLOCK, Collection
from hermes_nnunet.core.checkpoints import read_checkpoint
from hermes_nnunet.core.files import temporary_folder_in
from hermes_nnunet.core.nnunet_files import read_dataset_json, read_plans
from hermes_nnunet.core.nnunet_folders import dataset_id, datasets_with_id
from hermes_nnunet.core.trusted_plans import check_plans, trusting_plans
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import LONGEST_FILE_NAME, check_dataset_name, check_file_name, quoted
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.model_folder import DATASET_FILE, PLANS_FILE

# Pickles run code when they are read; of these, nnU-Net writes and reads postprocessing.pkl.
_CODE = (".pkl", ".pickle")
_MODEL = "*__*__*"


@dataclass(frozen=True)
class Installed:
    """What was installed: folders of models, other entries of their data sets, and files that were left out."""

    models: tuple[Path, ...]
    others: tuple[Path, ...]
    left_out: tuple[str, ...]


def install(archive: Path, results: Path, *, overwrite: bool = False, trust_plans: bool = False) -> Installed:
    """Unpack the models of a zip into nnUNet_results, as nnUNetv2_install_pretrained_model_from_zip does.

    All is unpacked and checked beside first. A model appears whole, or not at all.

    Args:
        results: nnUNet_results.
        overwrite: replace models that are there already.
        trust_plans: plans may name any class.

    Raises:
        HermesError: the zip is none, damaged or holds no model; a file in it would lie elsewhere, runs code, or is
            damaged; or a model is there already.
    """
    with _opened(archive) as zipped:
        entries = [entry for entry in zipped.infolist() if not entry.is_dir()]
        left_out = tuple(entry.filename for entry in entries if entry.filename.lower().endswith(_CODE))
        wanted = [entry for entry in entries if entry.filename not in left_out]
        places = {_place(entry, archive) for entry in wanted}
        if len(places) < len(wanted):
            raise HermesError(f"{archive} holds a file twice, so it is not clear which is meant: ask for another zip")
        units = sorted({PurePosixPath(*place.parts[:2]) for place in places})
        if not any(unit.match(_MODEL) for unit in units):
            raise HermesError(f"{archive} holds no DatasetXXX_Name/TRAINER__PLANS__CONFIGURATION, so it is no model")
        _check_free(units, results, overwrite)
        needed, free = sum(entry.file_size for entry in wanted), shutil.disk_usage(results).free
        if needed > free:
            raise HermesError(
                f"{archive} unpacks to {needed / 1e9:.1f} GB, {results} has {free / 1e9:.1f} GB: make room"
            )
        with temporary_folder_in(results) as staging, trusting_plans(trust_plans):
            for entry in wanted:
                zipped.extract(entry, staging)
            try:
                for unit in units:
                    if unit.match(_MODEL):
                        _check_model(staging / unit)
            except HermesError as error:
                reason = str(error).replace(f"{staging}/", "")
                raise HermesError(f"{archive}, {reason}; nothing was installed") from None
            for unit in units:
                _put(staging / unit, results / unit, staging)
    return Installed(
        models=tuple(results / unit for unit in units if unit.match(_MODEL)),
        others=tuple(results / unit for unit in units if not unit.match(_MODEL)),
        left_out=left_out,
    )


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(archive) as zipped:
            yield zipped
    except FileNotFoundError:
        raise HermesError(f"{archive} does not exist: give the zip of nnUNetv2_export_model_to_zip") from None
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, IsADirectoryError) as error:
        raise HermesError(f"{archive} is no zip, or damaged ({error}): copy it again") from None


def _place(entry: zipfile.ZipInfo, archive: Path) -> PurePosixPath:
    """Where a file of the zip goes, below nnUNet_results."""
    where = f"{archive}: part of {quoted(entry.orig_filename)}"
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise HermesError(f"{archive}: {quoted(entry.orig_filename)} is a link, so nothing was installed")
    if entry.flag_bits & 1:
        raise HermesError(f"{archive}: {quoted(entry.orig_filename)} is encrypted: unpack it, and zip it without")
    parts = entry.orig_filename.split("/")
    for part in parts:
        check_file_name(part, where, LONGEST_FILE_NAME)
    check_dataset_name(parts[0], where)
    if len(parts) < 2:
        raise HermesError(f"{archive}: {quoted(entry.orig_filename)} lies beside the data sets, so it is no model's")
    return PurePosixPath(*parts)


def _check_free(units: list[PurePosixPath], results: Path, overwrite: bool) -> None:
    for name in sorted({unit.parts[0] for unit in units}):
        others = [other for other in datasets_with_id(results, dataset_id(name)) if other != name]
        if others:
            raise HermesError(f"{results / others[0]} has the id of {name}: move one of them to another id, or away")
    there = [str(results / unit) for unit in units if (results / unit).exists()]
    if there and not overwrite:
        raise HermesError(f"{listed(there)} exists: add --overwrite to replace it")


def _check_model(folder: Path) -> None:
    """Read all that a prediction reads, so that what is installed can be used."""
    remedy = "export the model again"
    plans = read_plans(folder / PLANS_FILE, remedy)
    dataset_json = read_dataset_json(folder / DATASET_FILE, remedy)
    check_plans(plans, str(folder / PLANS_FILE))
    if HERMES_BLOCK in plans:
        HermesPlans.from_plans(plans)
    if HERMES_BLOCK in dataset_json:
        Collection.from_dataset_json(dataset_json, str(folder))
    for checkpoint in folder.glob("fold_*/*.pth"):
        read_checkpoint(checkpoint)


def _put(source: Path, target: Path, staging: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        os.rename(target, staging / f"replaced-{target.parent.name}-{target.name}")
    os.rename(source, target)
