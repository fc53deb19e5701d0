"""`hermes_nnunet predict --viewer`: what the page of a case holds is what was segmented."""

import base64
import gzip
import json
import re

import nibabel
import numpy as np
import pytest

from hermes_nnunet.cli.main import main


def read_page(path):
    """Scene and unpacked parts."""
    found = re.search(r'id="embedded">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)
    content = json.loads(found[1])
    parts = {name: gzip.decompress(base64.b64decode(part)) for name, part in content["parts"].items()}
    return content["scene"], parts


@pytest.mark.parametrize("options", [[], ["--per-task"]])
def test_holds_image_and_segmentation(options, model, images, tmp_path):
    out = tmp_path / "out"
    arguments = ["-i", str(images / "b_0000.nii.gz"), "-o", str(out), "-m", str(model), "--device", "cpu", "-f", "0"]
    assert main(["predict", *arguments, "--member", "brain", "--modality", "CT", "--viewer", *options]) == 0
    scene, parts = read_page(out / "b.viewer.html")
    assert scene["name"] == "b"
    assert [task["name"] for task in scene["tasks"]] == ["brain/whole", "brain/core"]
    # The image is oblique and LPI; the page has it in RAS.
    image = nibabel.as_closest_canonical(nibabel.load(images / "b_0000.nii.gz"))
    assert scene["shape"] == list(image.shape)
    np.testing.assert_allclose(scene["affine"], image.affine, atol=1e-5)
    np.testing.assert_allclose(nibabel.Nifti1Image.from_bytes(parts["image"]).get_fdata(), image.get_fdata(), rtol=1e-6)
    if options:
        files = [out / "b" / f"brain__{name}.nii.gz" for name in ("whole", "core")]
        masks = [nibabel.as_closest_canonical(nibabel.load(file)).get_fdata() > 0 for file in files]
    else:
        label_map = nibabel.as_closest_canonical(nibabel.load(out / "b.nii.gz")).get_fdata()
        masks = [np.isin(label_map, (1, 2)), label_map == 2]
    for task, mask in zip(scene["tasks"], masks, strict=True):
        place = task["prediction"]
        layer = np.frombuffer(parts[f"prediction/layer/{place['layer']}"], np.uint8).reshape(mask.shape, order="F")
        np.testing.assert_array_equal(layer == place["value"], mask)
        assert place["volume_ml"] == pytest.approx(mask.sum() * 0.01, rel=1e-3)


def test_is_one_of_the_files_of_a_case(model, images, tmp_path):
    out = tmp_path / "out"
    arguments = ["predict", "-i", str(images), "-o", str(out), "-m", str(model), "--device", "cpu", "-f", "0"]
    arguments += ["--member", "abdomen", "--viewer"]
    assert main(arguments) == 0
    untouched = (out / "a.nii.gz").stat().st_mtime_ns
    (out / "b.viewer.html").unlink()
    assert main([*arguments, "--continue"]) == 0
    assert (out / "b.viewer.html").is_file()
    assert (out / "a.nii.gz").stat().st_mtime_ns == untouched
