import json

import numpy as np
import pytest

from hermes_nnunet.core.viewer.windows import grey_windows


def test_ct_has_those_of_radiology_and_begins_with_soft_tissue():
    windows = grey_windows(np.array([-1024.0, 3071.0]), "CT")
    assert list(windows) == ["soft tissue", "lung", "bone", "brain", "all values"]
    widths_and_levels = {name: (high - low, (high + low) / 2) for name, (low, high) in windows.items()}
    assert widths_and_levels == {
        "soft tissue": (400, 40),
        "lung": (1500, -600),
        "bone": (1800, 400),
        "brain": (80, 40),
        "all values": (4095, 1023.5),
    }


def test_other_images_begin_without_their_extremes():
    windows = grey_windows(np.append(np.arange(1000.0), 1e6), "T1")
    assert list(windows) == ["automatic", "all values"]
    assert windows["automatic"][1] < 1000
    assert windows["all values"] == (0, 1e6)


@pytest.mark.parametrize("modality", ["CT", "T1"])
@pytest.mark.parametrize(
    "values", [[np.nan, 1, 2], [np.inf, -np.inf, 1, 2], [np.nan], [7, 7, 7], [0, 0, 0], [1e-9, 2e-9], [*[0] * 999, 5]]
)
def test_every_window_is_of_numbers_and_not_empty(values, modality):
    windows = grey_windows(np.array(values, np.float32), modality)
    assert json.dumps(windows, allow_nan=False)
    assert all(low < high for low, high in windows.values())
