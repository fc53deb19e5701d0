"""The place where the documentation's commands are run: data sets, a collection, and a model that looks trained."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hermes_nnunet.cli import main as cli
from hermes_nnunet.collection import Collection
from hermes_nnunet.data.phantoms.phantoms import write_phantoms
from hermes_nnunet.learning.training.learning_curves import FILE_NAME, LearningCurves
from hermes_nnunet.learning.training.member_dice import summary_key
from hermes_nnunet.networks.fusion import PoolSizes, PriorPools
from hermes_nnunet.planning.preprocessing.intensity import default_intensity_clipping
from hermes_nnunet.plans import HermesPlans

MEMBERS = ("301:CT", "302:CT", "303:cineMRI", "304:LGE-MRI")
COLLECTION = "Dataset900_HeadHeart"


@pytest.fixture
def environment(tmp_path, monkeypatch, plans) -> dict[str, str]:
    """Environment of a shell in tmp_path: data sets 301 to 304, collection 900 of them, its model with one fold."""
    for name in ("raw", "preprocessed", "results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    write_phantoms(tmp_path / "raw", ids=range(301, 305), cases=5, test_cases=1)
    assert cli.main(["merge", *MEMBERS, "--into", "900", "--name", "HeadHeart", "--processes", "1"]) == 0
    model = tmp_path / "results" / COLLECTION / "HermesTrainer__HermesPlans__3d_fullres"
    pretend_training(tmp_path / "raw" / COLLECTION, model, plans)
    # Not resolved: in a virtual environment the commands lie beside the link to the interpreter.
    commands = Path(sys.executable).parent
    return {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}


def pretend_training(collection_folder: Path, model: Path, plans: dict) -> None:
    """A model folder with one fold: random prior tokens, learning curves, a validation that found everything."""
    dataset_json = json.loads((collection_folder / "dataset.json").read_text())
    collection = Collection.from_dataset_json(dataset_json, COLLECTION)
    block = HermesPlans.of_collection(collection, default_intensity_clipping()).to_block()
    fold = model / "fold_0"
    (fold / "validation").mkdir(parents=True)
    (model / "plans.json").write_text(json.dumps({**plans, "dataset_name": COLLECTION, "hermes": block}))
    (model / "dataset.json").write_text(json.dumps(dataset_json))
    sizes = PoolSizes(len(collection.tasks), len(collection.modalities), tokens_per_modality=4)
    pools = PriorPools(sizes, width=16)
    weights = {f"encoder_fusion.2.seg_layers.priors.{name}": tensor for name, tensor in pools.state_dict().items()}
    torch.save({"network_weights": weights}, fold / "checkpoint_final.pth")
    curves = LearningCurves()
    sums = np.ones((len(collection.members), 4))
    curves.add(0, 2e-3, 0.5, 0.5, dict.fromkeys(collection.task_names, 0.5), sums, list(collection.members))
    curves.write(fold / FILE_NAME)
    split = json.loads((collection_folder / "splits_final.json").read_text())[0]
    keys = [summary_key(task.values) for task in collection.tasks]
    for case in split["val"]:
        shutil.copy(collection_folder / "labelsTr" / f"{case}.nii.gz", fold / "validation")
    entries = [
        {"prediction_file": f"{case}.nii.gz", "metrics": {key: {"Dice": 1.0} for key in keys}} for case in split["val"]
    ]
    (fold / "validation" / "summary.json").write_text(json.dumps({"metric_per_case": entries}))
