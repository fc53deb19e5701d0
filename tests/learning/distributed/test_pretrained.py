import numpy as np
import pytest
import torch
from torch import nn

from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.distributed.pretrained import load_pretrained


def network(tasks=2, width=3):
    made = nn.Module()
    made.body = nn.Linear(width, width)
    made.place = nn.Module()
    made.place.seg_layers = nn.ModuleDict({"priors": nn.Embedding(tasks, width)})
    return made


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint of a network with five tasks, with the kinds of numbers that nnU-Net logs."""
    trained = network(tasks=5)
    logged = {"ema_fg_dice": [np.float64(0.5)], "lrs": [np.float32(0.1)], "state": np.arange(3)}
    torch.save({"network_weights": trained.state_dict(), "logging": logged}, tmp_path / "checkpoint_final.pth")
    return trained, tmp_path / "checkpoint_final.pth"


class TestLoading:
    def test_takes_everything_but_what_belongs_to_one_collection(self, checkpoint):
        trained, path = checkpoint
        new = network()
        priors = new.place.seg_layers["priors"].weight.clone()
        load_pretrained(new, path)
        assert torch.equal(new.body.weight, trained.body.weight)
        assert torch.equal(new.place.seg_layers["priors"].weight, priors)

    def test_reads_a_checkpoint_that_a_trainer_saved(self, nnunet_folders, new_trainer, tmp_path):
        trainer, other = new_trainer(0), new_trainer(1)
        trainer.on_train_epoch_start()
        with torch.no_grad():
            for parameter in trainer.bare_network.parameters():
                parameter += 1  # also those that every network starts with
        trainer.save_checkpoint(str(tmp_path / "checkpoint_final.pth"))
        load_pretrained(other.bare_network, tmp_path / "checkpoint_final.pth")
        for name, weight in trainer.bare_network.state_dict().items():
            is_equal = torch.equal(weight, other.bare_network.state_dict()[name])
            assert is_equal == (".seg_layers." not in name), name

    def test_another_network_is_refused_by_name_and_shape(self, checkpoint):
        with pytest.raises(HermesError, match=r"body\.weight has shape \(3, 3\), the plans say \(4, 4\)"):
            load_pretrained(network(width=4), checkpoint[1])

    def test_a_file_that_runs_code_is_refused(self, tmp_path):
        class Code:
            def __reduce__(self):
                return print, ("this ran",)

        torch.save({"network_weights": Code()}, tmp_path / "bad.pth")
        with pytest.raises(HermesError, match=r"bad\.pth is not a checkpoint of nnU-Net"):
            load_pretrained(network(), tmp_path / "bad.pth")

    @pytest.mark.parametrize("content", [b"", b"no checkpoint"])
    def test_another_file_is_refused(self, tmp_path, content):
        (tmp_path / "bad.pth").write_bytes(content)
        with pytest.raises(HermesError, match=r"bad\.pth is not a checkpoint of nnU-Net"):
            load_pretrained(network(), tmp_path / "bad.pth")
