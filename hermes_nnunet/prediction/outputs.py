"""Writing what was segmented in one case."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import torch

from hermes_nnunet.core.files import bring_to_disk, naming
from hermes_nnunet.core.layers import layers_of_label_map, layers_of_masks
from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.core.pictures.preview import draw_preview
from hermes_nnunet.core.viewer.page import SENT_VOXELS, whole_page
from hermes_nnunet.core.viewer.scene import PREDICTION, Scene, as_small
from hermes_nnunet.planning.image_reader_writer import HermesImageIO, in_own_direction
from hermes_nnunet.prediction.destination import Destination
from hermes_nnunet.prediction.dicom_objects import write_dicom
from hermes_nnunet.prediction.image_sources import DicomSource
from hermes_nnunet.prediction.passes import Pass
from hermes_nnunet.prediction.preparing import Prepared
from hermes_nnunet.prediction.seg_nrrd import write_seg_nrrd
from hermes_nnunet.prediction.statistics import CaseStatistics, statistics_of_label_map, statistics_of_mask
from hermes_nnunet.prediction.wishes import DICOM_OBJECTS, SEG_NRRD

# nnU-Net's name of the array in its npz files.
_PROBABILITIES = "probabilities.npy"


class CaseOutput:
    """All files of one case. They are written to the case's work folder, and get their places when all are complete.

    Attributes:
        case: its name.
        statistics: of the tasks, if they are wished for.
    """

    def __init__(self, prepared: Prepared, destination: Destination) -> None:
        self.case = prepared.source.name
        self.statistics: CaseStatistics = {}
        self._prepared = prepared
        self._properties = prepared.geometry
        self._destination = destination
        self._wishes = destination.wishes
        self._reader = HermesImageIO()
        self._choice = destination.choice_of(self.case)
        self._pass_of = {label.name: one for one in self._choice.passes for label in one.labels}
        self._images: dict[Path, np.ndarray] = {}

    def take(self, label: Label, logits: torch.Tensor) -> None:
        """Write what one task has of its own, from its logits (D, H, W)."""
        if self._wishes.probabilities:
            self._keep_probabilities(label, logits)
        if self._wishes.per_task:
            mask = (logits > 0).numpy()
            path = self._prepared.folder / self.case / self._destination.mask_name(label.name)
            with naming(self._result / path.name):
                path.parent.mkdir(exist_ok=True)
                self._reader.write_seg(mask.astype(np.uint8), str(path), self._properties)
            if self._wishes.statistics:
                image = self._image(self._pass_of[label.name])
                self.statistics[label.name] = statistics_of_mask(mask, image, self._voxel_mm3)

    def finish(self, label_map: np.ndarray) -> None:
        """Write the rest, from the label map (D, H, W), and move all files to their places."""
        if self._wishes.output_type in DICOM_OBJECTS:
            assert isinstance(self._prepared.source, DicomSource)
            voxels = in_own_direction(label_map, self._properties)
            slices = self._prepared.source.volume.slices()
            with naming(self._result):
                labels, path = self._choice.labels, self._temporary(self._result)
                write_dicom(self._wishes.output_type, voxels, labels, slices, path)
        elif self._wishes.output_type == SEG_NRRD:
            labels = self._choice.labels
            layers = layers_of_label_map(in_own_direction(label_map, self._properties), labels, own_values=True)
            affine = self._properties["nibabel_stuff"]["original_affine"]
            with naming(self._result):
                write_seg_nrrd(layers, labels, affine, self._temporary(self._result))
        elif not self._wishes.per_task:
            with naming(self._result):
                self._reader.write_seg(label_map, str(self._temporary(self._result)), self._properties)
        if self._wishes.statistics and not self._wishes.per_task:
            for one in self._choice.passes:
                self.statistics |= statistics_of_label_map(label_map, self._image(one), one.labels, self._voxel_mm3)
        if self._wishes.preview:
            self._draw(label_map)
        if self._wishes.viewer:
            self._write_viewer(label_map)
        if self._wishes.probabilities:
            self._pack_probabilities()
        self._publish()

    @property
    def _result(self) -> Path:
        return self._destination.result(self.case)

    @property
    def _voxel_mm3(self) -> float:
        return self._prepared.voxel_mm3

    def _temporary(self, target: Path) -> Path:
        return self._prepared.folder / target.name

    def _image(self, one: Pass) -> np.ndarray:
        """Voxels (D, H, W) of the image that a pass looks at, in its own units."""
        file = self._prepared.image_file(one)
        if file not in self._images:
            self._images[file] = self._reader.read_images([str(file)])[0][0]
        return self._images[file]

    def _keep_probabilities(self, label: Label, logits: torch.Tensor) -> None:
        """On the disk: one float32 volume a task is more than many machines hold."""
        # Written, not mapped: a full disk is an error then, and not the end of the process (SIGBUS).
        path = self._prepared.folder / _PROBABILITIES
        with naming(self._destination.probabilities(self.case)), open(path, "r+b" if path.exists() else "w+b") as file:
            # The channels of labels.json; those that are not segmented in this case stay 0.
            names = [own.name for own in self._destination.choice.labels]
            shape = (len(names), *logits.shape)
            header = {"descr": np.dtype(np.float32).str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            channel = logits.numel() * np.dtype(np.float32).itemsize
            file.truncate(file.tell() + len(names) * channel)
            file.seek(names.index(label.name) * channel, os.SEEK_CUR)
            file.write(torch.sigmoid(logits.float()).contiguous().numpy().data)

    def _pack_probabilities(self) -> None:
        array = self._prepared.folder / _PROBABILITIES
        target = self._destination.probabilities(self.case)
        with naming(target), zipfile.ZipFile(self._temporary(target), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(array, _PROBABILITIES)
        array.unlink()

    def _draw(self, label_map: np.ndarray) -> None:
        # (D, H, W) is (z, y, x) of an image whose axes run to the right, the front and the head.
        first = self._choice.passes[0]
        figure = draw_preview(
            self._image(first).T,
            label_map.T,
            self._properties["spacing"][::-1],
            self._choice.labels,
            modality=first.context.modality,
            title=self.case,
        )
        target = self._destination.preview(self.case)
        with naming(target):
            figure.savefig(self._temporary(target), dpi=130)

    def _write_viewer(self, label_map: np.ndarray) -> None:
        # (D, H, W) as above; masks are read again, for they may be many.
        first = self._choice.passes[0]
        if self._wishes.per_task:
            folder = self._prepared.folder / self.case
            files = {label.name: folder / self._destination.mask_name(label.name) for label in self._choice.labels}
            masks = ((task, self._reader.read_seg(str(file))[0][0].T > 0) for task, file in files.items())
            layers = layers_of_masks(masks, label_map.T.shape, len(files))
        else:
            layers = layers_of_label_map(label_map.T, self._choice.labels)
        scene = Scene(
            name=self.case,
            image=as_small(self._image(first).T),
            affine=self._properties["nibabel_stuff"]["reoriented_affine"],
            labels=self._choice.labels,
            segmentations={PREDICTION: layers},
            modality=first.context.modality,
            expected_dice=self._choice.expected_dice,
            most_voxels=SENT_VOXELS,
        )
        target = self._destination.viewer(self.case)
        with naming(target):
            self._temporary(target).write_text(whole_page(scene), encoding="utf-8")

    def _publish(self) -> None:
        targets = self._destination.files(self.case)
        for target in targets:
            written = self._temporary(target)
            with naming(target):
                for file in written.iterdir() if written.is_dir() else [written]:
                    bring_to_disk(file)
        for target in reversed(targets):
            if self._wishes.per_task and target.is_dir():
                shutil.rmtree(target)
            with naming(target):
                os.replace(self._temporary(target), target)
        self._prepared.remove_files()
