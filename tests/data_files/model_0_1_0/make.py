"""Makes the files beside it with the installed hermes_nnunet: `python make.py FOLDER`, FOLDER empty. See README.md."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np

HERE = Path(__file__).resolve().parent
SHAPE = (26, 24, 22)
COLLECTION = "Dataset900_Both"
MODEL = "HermesTrainerTiny__HermesSPlans__3d_fullres"
# name -> number, cases to train and to validate, modality, labels, regions, axes of the stored voxels, brightness of
# background and structures
MEMBERS = {
    "abdomen": (11, ("ab", "c"), "CT", {"background": 0, "liver": 1, "spleen": 2}, None, "LPI", (20, 160, 300)),
    "brain": (12, ("x", "y"), "T1", {"background": 0, "whole": [1, 2], "core": 2}, [1, 2], "RAS", (300, 700, 100)),
}


def write_case(folder: Path, part: str, name: str, member: str, seed: int) -> None:
    """Two bright balls, the second beside (CT) or within (T1) the first."""
    *_, regions, axes, brightness = MEMBERS[member]
    rng = np.random.default_rng(seed)
    points = np.indices(SHAPE).astype(float)
    label = np.zeros(SHAPE, np.uint8)
    first = np.array([8, 12, 11]) + rng.uniform(-2, 2, 3)
    second = first + (0.5 if regions else 9)
    for value, centre, radius in ((1, first, rng.uniform(6, 7)), (2, second, rng.uniform(4, 5))):
        label[((points - centre[:, None, None, None]) ** 2).sum(0) < radius**2] = value
    image = np.round(np.array(brightness)[label] + rng.normal(0, 12, SHAPE)).astype(np.int16)
    affine = np.diag([2.0, 2.0, 2.5, 1.0])
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(axes)
    )
    for kind, voxels, ending in (("images", image, "_0000"), ("labels", label, "")):
        (folder / f"{kind}{part}").mkdir(parents=True, exist_ok=True)
        stored = nibabel.Nifti1Image(voxels, affine).as_reoriented(turn)
        nibabel.save(stored, folder / f"{kind}{part}" / f"{name}{ending}.nii.gz")


def main(work: Path) -> None:
    raw, results = work / "raw", work / "results"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("nnUNet_", "HERMES_"))}
    for name in ("raw", "preprocessed", "results"):
        (work / name).mkdir(parents=True)
        environment[f"nnUNet_{name}"] = str(work / name)
    environment |= {"nnUNet_extTrainer": str(HERE / "trainers"), "nnUNet_n_proc_DA": "0", "nnUNet_def_n_proc": "1"}

    def run(command: str, *arguments: object) -> None:
        subprocess.run([Path(sys.executable).parent / command, *map(str, arguments)], env=environment, check=True)

    for member, (number, (train, validate), modality, labels, regions, _, _) in MEMBERS.items():
        folder = raw / f"Dataset{number:03d}_{member}"
        cases = train + validate
        for seed, case in enumerate(cases):
            write_case(folder, "Tr", case, member, 100 * number + seed)
        write_case(folder, "Ts", member, member, 100 * number + 99)
        content = {"channel_names": {"0": modality}, "labels": labels, "numTraining": len(cases)}
        content |= {"file_ending": ".nii.gz"} | ({"regions_class_order": regions} if regions else {})
        (folder / "dataset.json").write_text(json.dumps(content))
        (folder / "splits_final.json").write_text(json.dumps([{"train": list(train), "val": list(validate)}]))
    run("hermes_nnunet", "merge", "11:CT", "12:T1", "--into", 900, "--name", "Both", "--processes", 1)
    planner = ("-pl", "HermesPlannerS", "-overwrite_target_spacing", 2.5, 2.5, 2.5, "-gpu_memory_target", 0.08)
    run("nnUNetv2_extract_fingerprint", "-d", 900, "-np", 1)
    run("nnUNetv2_plan_experiment", "-d", 900, *planner)
    file = work / "preprocessed" / COLLECTION / "HermesSPlans.json"
    plans = json.loads(file.read_text())
    configuration = plans["configurations"]["3d_fullres"]
    configuration["patch_size"] = [16, 16, 16]
    arguments = configuration["architecture"]["arch_kwargs"]
    for key in ("kernel_sizes", "strides", "n_blocks_per_stage"):
        arguments[key] = arguments[key][:3]
    arguments |= {
        "n_stages": 3,
        "features_per_stage": [4, 6, 8],
        "n_blocks_per_stage": [1, 1, 1],
        "n_conv_per_stage_decoder": [1, 1],
        "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
        "tokens_per_modality": 2,
    }
    file.write_text(json.dumps(plans, indent=2))
    run("nnUNetv2_preprocess", "-d", 900, "-plans_name", "HermesSPlans", "-c", "3d_fullres", "-np", 1)
    run("nnUNetv2_train", 900, "3d_fullres", 0, "-tr", "HermesTrainerTiny", "-p", "HermesSPlans", "-device", "cpu")

    def keep(source: Path, target: str) -> None:
        (HERE / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, HERE / target)

    folder = results / COLLECTION / MODEL
    (HERE / "model" / "fold_0").mkdir(parents=True, exist_ok=True)
    checkpoint = (folder / "fold_0" / "checkpoint_final.pth").read_bytes()
    (HERE / "model" / "fold_0" / "checkpoint_final.pth.gz").write_bytes(gzip.compress(checkpoint, mtime=0))
    for name in ("plans.json", "dataset.json"):
        keep(folder / name, f"model/{name}")
        keep(results / "Dataset012_brain" / MODEL / name, f"view/{name}")
    keep(raw / COLLECTION / "dataset.json", "collection/dataset.json")
    keep(file, "collection/HermesSPlans.json")
    images = []
    for member, (number, *_) in MEMBERS.items():
        images.append(raw / f"Dataset{number:03d}_{member}" / "imagesTs" / f"{member}_0000.nii.gz")
        keep(images[-1], f"images/{member}_0000.nii.gz")
    os.environ |= environment
    predict(folder, results / "Dataset012_brain" / MODEL, images, work)


def predict(model: Path, view: Path, images: list[Path], work: Path) -> None:
    """Segment each member's image with the model, and the last one with its view and nnU-Net's own predictor."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    from hermes_nnunet import HermesModel

    folder = HERE / "segmentations"
    folder.mkdir(exist_ok=True)
    loaded = HermesModel.load(model, device="cpu")
    for member, image in zip(MEMBERS, images, strict=True):
        loaded.predict(image, members=[member]).to_nifti(folder / f"{member}.nii.gz")
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(view), (0,))
    predictor.predict_from_files_sequential([[str(images[-1])]], [str(work / member)])
    shutil.copyfile(work / f"{member}.nii.gz", folder / f"{member}_of_view.nii.gz")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
