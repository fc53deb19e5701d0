import builtins

import nibabel
import numpy as np
import pytest

from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.errors import HermesError
from hermes_nnunet.segmentation import Segmentation

# To the patient's left, back and head.
AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])


@pytest.fixture
def segmentation():
    array = np.zeros((4, 5, 6), np.uint8)
    array[0, 0, 0], array[1, 1, 1] = 1, 2
    image = nibabel.Nifti1Image(np.arange(120, dtype=np.float32).reshape(4, 5, 6), AFFINE)
    labels = (Label("whole", 1, (1, 2), "brain", "#ff0000"), Label("core", 2, (2,), "brain", "#0000ff"))
    return Segmentation(array, AFFINE, labels, image, "T1")


def test_shows_image_and_tasks_in_their_colours(segmentation):
    pytest.importorskip("ipyniivue")
    widget = segmentation.show(height=321)
    assert widget.height == 321
    assert widget.opts.is_radiological_convention
    image, *layers = widget.volumes
    shown = nibabel.Nifti1Image.from_bytes(image.data)
    np.testing.assert_array_equal(shown.get_fdata(), segmentation.image.get_fdata()[::-1, ::-1])
    whole, core = (nibabel.Nifti1Image.from_bytes(layer.data).get_fdata() for layer in layers)
    assert np.argwhere(whole).tolist() == [[2, 3, 1], [3, 4, 0]]
    assert np.argwhere(core).tolist() == [[2, 3, 1]]
    assert set(np.unique(core)) == {0, 2}
    # Red, green, blue and opacity of each value.
    colours = np.array(layers[0].colormap_label.lut).reshape(-1, 4)
    assert colours[1:].tolist() == [[255, 0, 0, 255], [0, 0, 255, 255]]
    assert colours[0, 3] == 0


def test_without_ipyniivue_it_says_what_to_install(segmentation, monkeypatch):
    real = builtins.__import__

    def refuse(name, *arguments, **options):
        if name == "ipyniivue":
            raise ImportError("no module named ipyniivue")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(HermesError, match=r"pip install 'hermes-nnunet\[notebook\]'"):
        segmentation.show()
