"""Planning the collection of the common conftest; its CTs have organs of -80 and 240 HU."""

import json
from collections import defaultdict

import nibabel
import numpy as np
import pytest


@pytest.fixture
def planned(tmp_path, monkeypatch, dataset_json):
    """A function that plans the collection of conftest with a planner, given the members' image sizes in mm."""
    for name in ("raw", "preprocessed", "results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    raw, preprocessed = (tmp_path / name / "Dataset900_Both" for name in ("raw", "preprocessed"))
    raw.mkdir()
    preprocessed.mkdir()
    cases = dataset_json["hermes"]["cases"]
    dataset_json["overwrite_image_reader_writer"] = "NibabelIOWithReorient"
    dataset_json["dataset"] = {case: {"images": [f"{case}_0000.nii.gz"], "label": f"{case}.nii.gz"} for case in cases}
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[:2], labels[2:4] = 1, 2
    for case in (case for case in cases if case.startswith("abdomen")):
        hounsfield = np.choose(labels, [-1000, -80, 240]).astype(np.float32)
        for array, name in ((hounsfield, f"{case}_0000"), (labels, case)):
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), raw / f"{name}.nii.gz")
    for case in (case for case in cases if case.startswith("brain")):
        image = np.arange(6**3, dtype=np.float32).reshape(6, 6, 6)
        nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), raw / f"{case}_0000.nii.gz")

    def plan(planner_name, abdomen_mm=(210, 210, 210), brain_mm=(60, 150, 150), **arguments):
        from nnunetv2.experiment_planning.experiment_planners.hermes import hermes_planner, hermes_planner_paper

        sizes = defaultdict(lambda: abdomen_mm, brain=brain_mm)
        fingerprint = {
            "spacings": [[1.0, 1.0, 1.0]] * len(cases),
            "shapes_after_crop": [sizes[case["member"]] for case in cases.values()],
            "foreground_intensity_properties_per_channel": {"0": {}},
            "median_relative_size_after_cropping": 1.0,
        }
        (raw / "dataset.json").write_text(json.dumps(dataset_json))
        (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
        module = hermes_planner if hasattr(hermes_planner, planner_name) else hermes_planner_paper
        planner = getattr(module, planner_name)(900, **arguments)
        planner.plan_experiment()
        return json.loads((preprocessed / f"{planner.plans_identifier}.json").read_text())

    return plan
