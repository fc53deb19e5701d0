"""A folder of results whose images are not stored in the order that people look at, and a server of it."""

import json
import threading
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.insight.viewer.cases import Reference, ShownCase
from hermes_nnunet.insight.viewer.serving import ViewerServer
from hermes_nnunet.prediction.image_sources import FileSource

# Axes of the files: to the head, to the patient's left, and to the back.
AFFINE = np.array([[0.0, -2, 0, 40], [0, 0, -2.5, 30], [3, 0, 0, -20], [0, 0, 0, 1]])
SHAPE = (14, 24, 20)
# Front right of the patient, and above the middle: in file indices.
BLOCK = (slice(8, 12), slice(3, 9), slice(2, 8))
MARKUP = "<img src=x onerror=alert(1)>"


def write(path, voxels, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


def block_image():
    voxels = np.full(SHAPE, 20, np.int16)
    voxels[BLOCK] = 200
    return voxels


def block_labels():
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[BLOCK] = 1
    return voxels


@pytest.fixture
def scan():
    """How the images of `results` are made."""
    return SimpleNamespace(
        AFFINE=AFFINE, BLOCK=BLOCK, MARKUP=MARKUP, write=write, image=block_image, labels=block_labels
    )


@pytest.fixture
def results(tmp_path):
    """OUT and IN of two cases, with a reference of the first; the task's name is markup."""
    for case in ("a", "b"):
        write(tmp_path / "in" / f"{case}_0000.nii.gz", block_image())
        write(tmp_path / "out" / f"{case}.nii.gz", block_labels())
    write(tmp_path / "ref" / "a.nii.gz", block_labels())
    labels = [{"name": MARKUP, "value": 1, "values": [1], "member": "m", "colour": "#00ff00"}]
    content = {"format_version": 1, "labels": labels, "passes": [{"modality": "T1", "tasks": [MARKUP]}]}
    (tmp_path / "out" / "labels.json").write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def shown(results):
    """The first case, as it is shown."""
    return ShownCase(
        name="a",
        labels=(Label(MARKUP, 1, (1,), "m", "#00ff00"),),
        prediction=results / "out" / "a.nii.gz",
        image=FileSource("a", (results / "in" / "a_0000.nii.gz",)),
        reference=Reference(results / "ref" / "a.nii.gz"),
        modality="T1",
    )


@pytest.fixture
def serve():
    """A function that serves cases in the background and returns the server."""
    servers = []

    def start(cases, **options):
        server = ViewerServer(cases, **options)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
