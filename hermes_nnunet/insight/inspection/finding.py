"""The files that say what a collection or a model is made of."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hermes_nnunet.collection import HERMES_BLOCK, Collection
from hermes_nnunet.core.nnunet_files import FINGERPRINT, SPLITS_FILE, read_dataset_json, read_plans
from hermes_nnunet.core.nnunet_folders import PREPROCESSED, RAW, RESULTS, datasets_with_id, optional_folder
from hermes_nnunet.data.merge.record import check_whole
from hermes_nnunet.errors import HermesError
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.model_folder import DATASET_FILE, PLANS_FILE, find_model_folder, own_member

COLLECTION = "collection"
PLANS = "plans"
MODEL = "model"
VIEW = "view"


@dataclass(frozen=True)
class Found:
    """A collection, its plans, a universal model, or a view.

    Attributes:
        kind: which of the four.
        path: the folder or file that was found.
        name: of the data set, as nnU-Net has it.
        dataset_json: content.
        collection: None for a view.
        plans: None for a collection.
    """

    kind: str
    path: Path
    name: str
    dataset_json: dict[str, Any]
    collection: Collection | None
    plans: HermesPlans | None

    def file(self, name: str) -> Path | None:
        """A file beside the found one, or else in the data set's preprocessed or raw folder."""
        folders = [self.path if self.path.is_dir() else self.path.parent]
        folders += [folder / self.name for variable in (PREPROCESSED, RAW) if (folder := optional_folder(variable))]
        return next((folder / name for folder in folders if (folder / name).is_file()), None)

    @property
    def fingerprint(self) -> Path | None:
        return self.file(FINGERPRINT)

    @property
    def splits(self) -> Path | None:
        return self.file(SPLITS_FILE)

    @property
    def trained_folds(self) -> list[str]:
        """Folds of a model that have weights."""
        return sorted({path.parent.name.removeprefix("fold_") for path in self.path.glob("fold_*/checkpoint_*.pth")})


def find(asked: str) -> Found:
    """The collection, plans file or model that is asked for: a path, or the id or name of a collection.

    Raises:
        HermesError: there is none, or it is not of Hermes.
    """
    path = Path(asked)
    if not asked.isdigit():
        if path.is_file():
            return _plans_file(path)
        if (path / PLANS_FILE).is_file():
            return _model(path)
        if (path / DATASET_FILE).is_file():
            return _collection(path)
    for variable in (RAW, PREPROCESSED):
        folder = optional_folder(variable)
        if folder is None:
            continue
        names = datasets_with_id(folder, int(asked)) if asked.isdigit() else [asked]
        for name in names:
            if (folder / name / DATASET_FILE).is_file():
                return _collection(folder / name)
    if optional_folder(RESULTS) is not None:
        return _model(find_model_folder(asked))
    raise HermesError(
        f"{asked} is neither a folder nor a data set in {RAW} or {PREPROCESSED}: give the id of a collection, or the "
        "folder of a model"
    )


def _collection(path: Path) -> Found:
    check_whole(path)
    dataset_json = read_dataset_json(path / DATASET_FILE, "merge again")
    collection = Collection.from_dataset_json(dataset_json, str(path))
    return Found(COLLECTION, path, path.resolve().name, dataset_json, collection, None)


def _plans_file(path: Path) -> Found:
    plans = read_plans(path, "give a plans file, a folder or the id of a collection")
    hermes_plans = HermesPlans.from_plans(plans)
    dataset_json = read_dataset_json(path.parent / DATASET_FILE, "a plans file lies beside it")
    collection = Collection.from_dataset_json(dataset_json, str(path.parent))
    return Found(PLANS, path, plans["dataset_name"], dataset_json, collection, hermes_plans)


def _model(path: Path) -> Found:
    remedy = "copy the model's folder again"
    plans = read_plans(path / PLANS_FILE, remedy)
    dataset_json = read_dataset_json(path / DATASET_FILE, remedy)
    hermes_plans = HermesPlans.from_plans(plans)
    if HERMES_BLOCK in dataset_json:
        collection = Collection.from_dataset_json(dataset_json, str(path))
        return Found(MODEL, path, plans["dataset_name"], dataset_json, collection, hermes_plans)
    hermes_plans = replace(hermes_plans, members=own_member(hermes_plans, plans, path))
    return Found(VIEW, path, plans["dataset_name"], dataset_json, None, hermes_plans)
