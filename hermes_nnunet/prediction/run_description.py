"""What is known of a run before its first case, for run.json."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hermes_nnunet.core.versions import package_versions
from hermes_nnunet.prediction.destination import Destination
from hermes_nnunet.prediction.model_folder import ModelFolder


def described_run(
    model: ModelFolder,
    device: str,
    destination: Destination,
    options: Mapping[str, Any],
    source: Path,
    warnings: Sequence[str],
) -> dict[str, Any]:
    """The description, as JSON holds it.

    Args:
        device: in words.
        options: that decide what is written, by name.
        source: the input.
        warnings: lines that people were shown.
    """
    return {
        "versions": {**package_versions(), "python": platform.python_version()},
        "platform": _described_platform(),
        "device": device,
        "model": {
            "path": str(model.path.absolute()),
            "dataset": model.plans["dataset_name"],
            "checkpoint": model.checkpoint,
        },
        "made_by": destination.provenance.to_json(),
        "options": dict(options),
        "passes": [one.to_json() for one in destination.choice.passes],
        "input": str(source.absolute()),
        "warnings": list(warnings),
    }


def _described_platform() -> str:
    """ "Linux-6.1.0-x86_64-glibc2.36". Not platform.platform(), which starts a program."""
    parts = (platform.system(), platform.release(), platform.machine(), "".join(platform.libc_ver()))
    return "-".join(filter(None, parts))


def described_device(device: torch.device) -> str:
    """ "cuda:0 (NVIDIA H100 80GB HBM3)", or "cpu (8 threads)"."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)
