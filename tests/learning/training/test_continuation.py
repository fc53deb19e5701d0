import pytest
import torch

from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training.continuation import CHECKPOINT_KEY, Continuation


@pytest.fixture
def checkpoint(tmp_path):
    return tmp_path / "checkpoint_latest.pth"


def test_an_entry_is_read_again(checkpoint):
    torch.save(Continuation([{"python": 1}], {"weight": torch.zeros(2)}, 7).to_entry(), checkpoint)
    read = Continuation.read(checkpoint)
    assert read.random_states == [{"python": 1}]
    assert read.training_weights["weight"].tolist() == [0, 0]
    assert read.averaged_updates == 7


def test_a_checkpoint_without_it_has_none(checkpoint):
    torch.save({"network_weights": {"weight": torch.ones(2)}}, checkpoint)
    assert Continuation.read(checkpoint) is None


def test_another_format_version_is_refused(checkpoint):
    torch.save({CHECKPOINT_KEY: {"format_version": 2}}, checkpoint)
    with pytest.raises(HermesError, match=r"checkpoint_latest\.pth has .* of format version 2"):
        Continuation.read(checkpoint)
