"""The picture of README's "Segment everything": a CT phantom with the tasks of two members, in one pass.

Trains the demonstration's network on phantoms: two members with CTs, one with the organs of the abdomen and one with
those of the chest, neither of which labels what the other does, and two with other modalities. Then segments a held-out
CT with `--all`, prints the Dice of every task, and copies the preview.

    python benchmarks/everything_picture.py FOLDER [--picture docs/everything.png]
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import yaml
from comparison.scoring import dice

from hermes_nnunet.core.files import read_json
from hermes_nnunet.data.phantoms.phantoms import KINDS, phantom_case, write_phantoms

COLLECTION_ID = 980
ABDOMEN = replace(KINDS["CT"], part="Abdomen")
CHEST = replace(
    KINDS["CT"],
    labels={"heart": ("heart",), "lungs": ("lungs",), "spine": ("spine", "disc")},
    sampling_weight=1.5,
    part="Chest",
)
MEMBERS = {981: ABDOMEN, 982: CHEST, 983: KINDS["T1"], 984: KINDS["T2"]}
MEMBERS_BY_NAME = {kind.name: kind for kind in MEMBERS.values()}
SIZE = ("-overwrite_target_spacing", "5", "5", "5", "-gpu_memory_target", "0.05")
# A patient whom no member has.
PATIENT = (1, 0, 0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, segment and draw what is missing in the folder."""
    options = _parser().parse_args(arguments)
    folder = options.folder.resolve()
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        os.environ[name] = str(folder / name)
    os.environ |= {"nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "2", "nnUNet_compile": "f"}
    if not (folder / "nnUNet_raw").is_dir():
        _prepare(folder)
    trainer = ("-tr", "HermesTrainerDemo", "-p", "HermesSPlans")
    if not list(folder.glob("nnUNet_results/*/*/fold_0/checkpoint_final.pth")):
        _run("nnUNetv2_train", str(COLLECTION_ID), "3d_fullres", "0", *trainer, "-device", "cpu", "--c")
    nibabel.save(phantom_case(ABDOMEN, PATIENT)[0], folder / "ct.nii.gz")
    _run(
        "hermes_nnunet", "predict", "-i", str(folder / "ct.nii.gz"), "-o", str(folder / "segmented"),
        "-m", str(COLLECTION_ID), *trainer, "--all", "--modality", "CT", "--preview", "--overwrite", "-device", "cpu",
    )  # fmt: skip
    _print_dice(folder / "segmented")
    shutil.copy(folder / "segmented" / "ct.png", options.picture)


def _prepare(folder: Path) -> None:
    write_phantoms(folder / "nnUNet_raw", tuple(MEMBERS), cases=10, test_cases=0, kinds=tuple(MEMBERS.values()))
    merge_file = folder / "merge.yaml"
    members = [
        {"dataset": number, "modality": kind.modality, "sampling_weight": kind.sampling_weight}
        for number, kind in MEMBERS.items()
    ]
    merge_file.write_text(yaml.safe_dump({"name": "Everything", "into": COLLECTION_ID, "members": members}))
    _run("hermes_nnunet", "merge", "--members", str(merge_file))
    _run(
        "nnUNetv2_plan_and_preprocess", "-d", str(COLLECTION_ID), "-pl", "HermesPlannerS", "-c", "3d_fullres",
        *SIZE, "-npfp", "2", "-np", "2",
    )  # fmt: skip


def _print_dice(folder: Path) -> None:
    """Dice of every task against what the phantom was drawn from."""
    found = np.asarray(nibabel.load(folder / "ct.nii.gz").dataobj)
    drawn = {kind.name: np.asarray(phantom_case(kind, PATIENT)[1].dataobj) for kind in (ABDOMEN, CHEST)}
    for label in read_json(folder / "labels.json", "segment again")["labels"]:
        member, _, name = label["name"].partition("/")
        if member in drawn:
            truth = drawn[member] == 1 + list(MEMBERS_BY_NAME[member].labels).index(name)
            print(f"{label['name']}: {dice(found == label['value'], truth):.3f}")


def _run(command: str, *arguments: str) -> None:
    subprocess.run([Path(sys.executable).parent / command, *arguments], check=True)


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("folder", type=Path, help="for data and training; a killed run goes on where it was")
    made.add_argument("--picture", type=Path, default=Path("docs/everything.png"), help="default: %(default)s")
    return made


if __name__ == "__main__":
    main()
