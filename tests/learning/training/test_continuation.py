import os

import pytest
import torch

from hermes_nnunet.core.checkpoints import loading_without_code
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
    torch.save({CHECKPOINT_KEY: {"format_version": 3}}, checkpoint)
    with pytest.raises(HermesError, match=r"checkpoint_latest\.pth has .* of format version 3"):
        Continuation.read(checkpoint)


class TestCode:
    """A checkpoint whose loading would make a file."""

    @pytest.fixture
    def touched(self, tmp_path):
        return tmp_path / "code_was_run"

    @pytest.fixture
    def hostile(self, tmp_path, touched):
        class Command:
            def __reduce__(self):
                return os.system, (f"touch {touched}",)

        path = tmp_path / "checkpoint_final.pth"
        torch.save({"network_weights": {}, CHECKPOINT_KEY: Command()}, path)
        return path

    def test_is_not_run(self, hostile, touched):
        with pytest.raises(HermesError, match=r"checkpoint_final\.pth holds more than a checkpoint.*system"):
            Continuation.read(hostile)
        assert not touched.exists()

    @pytest.mark.parametrize("variable", [None, "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
    def test_is_not_run_by_others_either(self, hostile, touched, checkpoint, monkeypatch, variable):
        if variable is not None:
            monkeypatch.setenv(variable, "1")
        torch.save({"network_weights": {"weight": torch.ones(2)}}, checkpoint)
        before = dict(os.environ)
        with loading_without_code():
            assert torch.load(checkpoint, weights_only=False)["network_weights"]["weight"].tolist() == [1, 1]
            with pytest.raises(Exception, match="system"):
                torch.load(hostile, weights_only=False)
        assert not touched.exists()
        assert dict(os.environ) == before

    def test_would_be_run_by_nnunets_own_loading(self, hostile, touched):
        torch.load(hostile, weights_only=False)
        assert touched.exists()
