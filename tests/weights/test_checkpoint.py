import pickle

import pytest
import torch

from hermes_nnunet.errors import HermesError
from hermes_nnunet.weights.checkpoint import read_released_weights


class Surprise:
    def __reduce__(self):
        return (print, ("code that came with the weights",))


def saved(path, content):
    torch.save(content, path)
    return path


class TestReading:
    def test_tensors_come_by_their_released_names_in_float32(self, tmp_path):
        path = saved(tmp_path / "w.pth", {"model_state_dict": {"module.inc": torch.ones(2, dtype=torch.half)}})
        weights = read_released_weights(path, averaged=False)
        assert list(weights) == ["inc"]
        assert weights["inc"].dtype == torch.float32

    def test_the_average_is_taken_when_asked_for(self, released):
        plain = read_released_weights(released, averaged=False)
        averaged = read_released_weights(released, averaged=True)
        assert torch.equal(averaged["inc.conv1.weight"], plain["inc.conv1.weight"] + 1)


class TestRefusals:
    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(HermesError, match=r"nothing\.pth does not exist"):
            read_released_weights(tmp_path / "nothing.pth", averaged=False)

    def test_a_truncated_file_is_named(self, released):
        released.write_bytes(released.read_bytes()[:-1000])
        with pytest.raises(HermesError, match=r"\.pth is damaged or not complete .*: download it again"):
            read_released_weights(released, averaged=False)

    def test_a_file_of_another_kind_is_named(self, tmp_path):
        (tmp_path / "page.pth").write_text("<html>not found</html>")
        with pytest.raises(HermesError, match=r"page\.pth is no checkpoint"):
            read_released_weights(tmp_path / "page.pth", averaged=False)

    def test_more_than_tensors_is_refused_and_not_run(self, tmp_path, capsys):
        path = saved(tmp_path / "w.pth", {"model_state_dict": {}, "args": Surprise()})
        with pytest.raises(HermesError, match="holds more than tensors"):
            read_released_weights(path, averaged=False)
        assert capsys.readouterr().out == ""

    def test_an_old_pickle_is_refused_and_not_run(self, tmp_path, capsys):
        (tmp_path / "w.pth").write_bytes(pickle.dumps(Surprise()))
        with pytest.raises(HermesError, match="is no checkpoint"):
            read_released_weights(tmp_path / "w.pth", averaged=False)
        assert capsys.readouterr().out == ""

    def test_a_checkpoint_of_nnunet_is_told_from_a_released_one(self, tmp_path):
        path = saved(tmp_path / "w.pth", {"network_weights": {}, "trainer_name": "HermesTrainer"})
        with pytest.raises(HermesError, match="has no 'model_state_dict', but network_weights, trainer_name"):
            read_released_weights(path, averaged=False)

    def test_a_missing_average_is_said(self, tmp_path):
        path = saved(tmp_path / "w.pth", {"model_state_dict": {"a": torch.ones(1)}, "ema_model_state_dict": None})
        with pytest.raises(HermesError, match=r"no averaged weights .*without --ema"):
            read_released_weights(path, averaged=True)

    def test_something_between_the_tensors_is_refused(self, tmp_path):
        path = saved(tmp_path / "w.pth", {"model_state_dict": {"a": torch.ones(1), "b": 3}})
        with pytest.raises(HermesError, match="must hold tensors and nothing else"):
            read_released_weights(path, averaged=False)
