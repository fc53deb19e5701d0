"""Settings that no tensor tells: from the release's YAML, and compared with a probe."""

import numpy as np
import pytest
import torch
import yaml

from hermes_nnunet.core.files import read_json
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.weights.checkpoint import read_released_weights
from hermes_nnunet.weights.importing import import_weights
from hermes_nnunet.weights.released_names import our_name
from hermes_nnunet.weights.sizes import network_arguments

# Of the generated checkpoints.
CONFIG = {
    "r": {"arch": "resunet", "base_chan": 4, "norm": "in", "block": "BasicBlock", "tn": 6, "mn": 3},
    "m": {
        "arch": "medformer",
        "base_chan": 4,
        "norm": "in",
        "act": "relu",
        "conv_block": "BasicBlock",
        "num_heads": [1, 2, 4, 5, 4, 2, 1, 1],
        "fusion_heads": 5,
        "tn": 6,
        "mn": 3,
    },
}
OTHER = {
    "r": {"down_scale": [[1, 2, 2], [2, 2, 2], [2, 2, 2], [2, 2, 2]]},
    "m": {"act": "gelu", "num_heads": [1, 4, 4, 5, 4, 2, 1, 1], "fusion_heads": 2},
}
OTHER_ARGUMENTS = {
    "r": {"strides": [[1, 2, 2], [2, 2, 2], [2, 2, 2], [2, 2, 2]]},
    "m": {"activation": "gelu", "heads": [4, 4, 5, 4, 2], "fusion_heads": 2},
}


@pytest.fixture
def config(tmp_path, topology):
    """A function that writes the release's YAML, with changes."""

    def write(**changes):
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({**CONFIG[topology], **changes}))
        return path

    return write


@pytest.fixture
def probe(tmp_path, released, network_class, topology):
    """A function that writes a probe of the generated weights in a network with further arguments."""

    def write(**changes):
        weights = read_released_weights(released, averaged=False)
        arguments = network_arguments(weights, network_class, "")
        network = network_class(1, 6, **{**arguments, **changes}).eval()
        network.load_state_dict({our_name(name, network_class): tensor for name, tensor in weights.items()})
        image, tasks = torch.randn(2, 1, 32, 32, 32), torch.tensor([[0, 3, -1], [1, -1, -1]])
        network.set_context(ContextBatch(tasks, torch.tensor([0, 2])))
        with torch.no_grad():
            logits = network(image)
        content = {"image": image, "task_index": tasks, "modality_index": [[0], [-1]], "logits": logits}
        np.savez(tmp_path / "probe.npz", **content)
        return tmp_path / "probe.npz"

    return write


@pytest.fixture
def imported(released, results):
    def run(**options):
        return import_weights(released, into=910, name="Ours", results=results, **options)

    return run


def arguments_of(result):
    plans = read_json(result.folder / "plans.json", "")
    return plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]


class TestConfiguration:
    def test_what_is_assumed_is_said(self, imported, topology):
        (notice,) = imported().notices
        words = {
            "r": "pooling by 2x2x2, 2x2x2, 2x2x2, 2x2x2",
            "m": "activation relu, attention heads 2, 4, 5, 4, 2 (stages 2, 3, 4 down and 1, 2 up) and 5 (fusion",
        }
        assert notice.startswith(f"assumed, as no tensor tells it: {words[topology]}")

    def test_the_releases_settings_are_those_that_are_assumed(self, imported, config, probe):
        path = config()
        result = imported(config=path, probe=probe())
        assert result.notices[0].startswith(f"as {path} says: ")
        assert "logits differ by" in result.notices[1]

    def test_other_settings_are_taken(self, imported, config, topology):
        arguments = arguments_of(imported(config=config(**OTHER[topology])))
        assert {key: arguments[key] for key in OTHER_ARGUMENTS[topology]} == OTHER_ARGUMENTS[topology]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"arch": "unet"}, "arch is unet, the weights have"),
            ({"base_chan": 32}, "base_chan is 32, the weights have 4: give their own configuration"),
            ({"tn": 72}, "tn is 72, the weights have 6"),
            ({"norm": "bn"}, "norm is bn, Hermes.* has 'in' only"),
            ({"down_scale": [2, 2]}, r"down_scale is \[2, 2\]: it must be a list of 4"),
        ],
    )
    def test_another_network_is_refused(self, imported, config, results, changes, message):
        with pytest.raises(HermesError, match=message):
            imported(config=config(**changes))
        assert list(results.iterdir()) == []

    def test_files_of_another_kind_are_refused(self, imported, tmp_path):
        for content, message in (("a: 1", "other\\.yaml: arch is missing: give hermes"), ("a: [", "is not valid YAML")):
            (tmp_path / "other.yaml").write_text(content)
            with pytest.raises(HermesError, match=message):
                imported(config=tmp_path / "other.yaml")
        with pytest.raises(HermesError, match="does not exist: give the YAML file of the release"):
            imported(config=tmp_path / "none.yaml")


@pytest.mark.parametrize("topology", ["m"])
class TestConfigurationOfMedFormer:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"act": "elu"}, "act is elu, HermesMedFormer knows relu, gelu, swish"),
            ({"num_heads": [1, 3, 4, 5, 4, 2, 1, 1]}, "3 attention heads do not share 16 channels evenly"),
            ({"fusion_heads": 7}, "7 attention heads do not share 40 channels evenly"),
            ({"down_scale": [[1, 2, 2]] * 4}, "HermesMedFormer halves every axis at every stage"),
        ],
    )
    def test_what_our_network_does_not_do_is_refused(self, imported, config, topology, changes, message):
        with pytest.raises(HermesError, match=message):
            imported(config=config(**changes))


class TestProbe:
    def test_equal_logits_are_accepted(self, imported, probe):
        path = probe()
        assert imported(probe=path).notices[-1].startswith(f"{path}: logits differ by ")

    def test_weights_of_other_settings_are_refused_and_accepted_with_their_configuration(
        self, imported, probe, config, results, topology
    ):
        path = probe(**OTHER_ARGUMENTS[topology])
        with pytest.raises(
            HermesError, match=r"the logits differ by up to .* A setting is another in the paper's code"
        ):
            imported(probe=path)
        assert list(results.iterdir()) == []
        imported(probe=path, config=config(**OTHER[topology]))

    def test_the_reference_numbers_are_probes(self, reference, topology, results):
        path = reference.checkpoint.with_name(f"hermes_{topology}_tiny_io.npz")
        result = import_weights(reference.checkpoint, into=910, name="Tiny", results=results, probe=path)
        assert float(result.notices[-1].split("differ by ")[1].split()[0]) < 1e-4

    @pytest.mark.parametrize("topology", ["r"])
    def test_rows_and_shapes_that_do_not_fit_are_named(self, imported, tmp_path, topology):
        fitting = {
            "image": np.zeros((1, 1, 16, 16, 16)),
            "task_index": [[0, -1]],
            "modality_index": [0],
            "logits": np.zeros((1, 2, 16, 16, 16)),
        }
        for changes, message in (
            ({"task_index": [[0, 6]]}, "task_index has the rows 6, which are no task's"),
            ({"modality_index": [3]}, "rows up to 3, the weights have 1 channels and 3 modalities"),
            ({"logits": np.zeros((1, 1, 16, 16, 16))}, "do not fit each other"),
        ):
            np.savez(tmp_path / "probe.npz", **{**fitting, **changes})
            with pytest.raises(HermesError, match=message):
                imported(probe=tmp_path / "probe.npz")
        np.savez(tmp_path / "probe.npz", image=1)
        with pytest.raises(HermesError, match="has no task_index, modality_index, logits"):
            imported(probe=tmp_path / "probe.npz")
        (tmp_path / "probe.npz").write_text("no numbers")
        with pytest.raises(HermesError, match="is no probe"):
            imported(probe=tmp_path / "probe.npz")
