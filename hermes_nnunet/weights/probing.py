"""Imported weights compared with numbers that the paper's own code computed."""

import os
import zipfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.context_batch import NULL_ROW, ContextBatch
from hermes_nnunet.weights.model_folder import ImportedModel
from hermes_nnunet.weights.settings import settings_in_words

KEYS = ("image", "task_index", "modality_index", "logits")
# Of the largest logit. Single precision on another machine differs by some 1e-5, a GPU's rounded products by 1e-3.
LARGEST_DIFFERENCE = 2e-3


def check_probe(model: ImportedModel, path: str | os.PathLike[str]) -> float:
    """Largest difference of the model's logits from those of a probe, as a share of the largest logit.

    Args:
        path: npz with image (B, channels, D, H, W), task_index (B, R; rows of the released task pool, -1 is the null
            row), modality_index (B,) or (B, 1) (-1 is the last) and logits (B, R, D, H, W).

    Raises:
        HermesError: the file is none, does not fit the weights, or the logits differ by more than LARGEST_DIFFERENCE.
    """
    image, task_index, modality_index, expected = _read(Path(path))
    row_of = {row: task for task, row in enumerate(model.identity.rows)}
    foreign = sorted({int(row) for row in task_index.flat if row != NULL_ROW} - row_of.keys())
    modalities = len(model.identity.collection.modalities)
    if foreign:
        raise HermesError(f"{path}: task_index has the rows {listed(map(str, foreign))}, which are no task's")
    if image.shape[1] != model.input_channels or not (-1 <= modality_index.min() <= modality_index.max() < modalities):
        raise HermesError(
            f"{path}: image has {image.shape[1]} channels and modality_index rows up to {modality_index.max()}, the "
            f"weights have {model.input_channels} channels and {modalities} modalities"
        )
    rows = torch.tensor([[row_of.get(int(row), NULL_ROW) for row in case] for case in task_index])
    context = ContextBatch(rows, torch.from_numpy(modality_index % modalities).long())
    network_class = cast(Any, model.network_class)
    network = network_class(model.input_channels, len(model.identity.rows), **model.arguments).eval()
    network.load_state_dict(dict(model.state))
    network.set_context(context)
    with torch.no_grad():
        logits = network(torch.from_numpy(image).float()).numpy()
    real = context.real_rows.numpy()
    difference = float(np.abs(logits[real] - expected[real]).max() / np.abs(expected[real]).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise HermesError(
            f"{path}: the logits differ by up to {difference:.2g} of the largest one. A setting is another in the "
            f"paper's code ({settings_in_words(model.network_class, model.arguments)}), which --config FILE tells; or "
            "the probe is of other weights (with or without --ema)"
        )
    return difference


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as content:
            missing = [key for key in KEYS if key not in content.files]
            if missing:
                raise HermesError(f"{path} has no {listed(missing)}: make it as docs/paper.md says")
            image, task_index, modality_index, logits = (content[key] for key in KEYS)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise HermesError(f"{path} is no probe ({error}): make it as docs/paper.md says") from None
    modality_index = modality_index.reshape(-1)
    batch = len(image)
    if (
        image.ndim != 5
        or task_index.ndim != 2
        or not batch == len(task_index) == len(modality_index)
        or logits.shape != (*task_index.shape, *image.shape[2:])
    ):
        raise HermesError(
            f"{path}: image {image.shape}, task_index {task_index.shape}, modality_index {modality_index.shape} and "
            f"logits {logits.shape} do not fit each other: make it as docs/paper.md says"
        )
    return image, task_index, modality_index, logits
