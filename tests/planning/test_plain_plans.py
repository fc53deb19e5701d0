import json

import pytest

from hermes_nnunet.errors import HermesError

NETWORK = {
    "n_stages": 4,
    "features_per_stage": [16, 32, 64, 96],
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]],
    "n_blocks_per_stage": [1, 2, 3, 4],
    "n_conv_per_stage_decoder": [1, 1, 1],
    "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": "torch.nn.LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}


@pytest.fixture
def named(tmp_path, monkeypatch):
    """A function that writes plans of plain nnU-Net and names them in HERMES_PLANS_LIKE; returns the file."""

    def write(network="ResidualEncoderUNet", arguments=NETWORK, transpose=(0, 1, 2), patch=(24, 64, 48)):
        configuration = {
            "patch_size": list(patch),
            "batch_size": 2,
            "spacing": [3.0, 0.8, 0.9],
            "architecture": {
                "network_class_name": f"dynamic_network_architectures.architectures.unet.{network}",
                "arch_kwargs": arguments,
                "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
            },
        }
        backward = [list(transpose).index(axis) for axis in range(3)]
        content = {"transpose_backward": backward, "configurations": {"3d_fullres": configuration}}
        folder = tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres"
        folder.mkdir(exist_ok=True)
        (folder / "plans.json").write_text(json.dumps(content))
        monkeypatch.setenv("HERMES_PLANS_LIKE", str(folder))
        return folder

    return write


class TestPlansLikeOthers:
    def test_have_their_network_patch_and_spacing(self, named, planned, capsys):
        folder = named()
        configuration = planned("HermesPlanner")["configurations"]["3d_fullres"]
        arguments = configuration["architecture"]["arch_kwargs"]
        assert {key: arguments[key] for key in NETWORK} == NETWORK
        assert arguments["encoder_type"] == "residual"
        assert arguments["modality_norms"] is True
        assert configuration["patch_size"] == [24, 64, 48]
        assert configuration["spacing"] == [3.0, 0.8, 0.9]
        assert configuration["batch_size"] > 2  # the patch is small
        assert f"network and patch as in {folder}" in capsys.readouterr().out

    def test_have_blocks_of_a_plain_encoder(self, named, planned):
        arguments = {key: value for key, value in NETWORK.items() if key != "n_blocks_per_stage"}
        named("PlainConvUNet", {**arguments, "n_conv_per_stage": [2, 2, 2, 2]})
        arguments = planned("HermesPlanner")["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
        assert (arguments["encoder_type"], arguments["n_blocks_per_stage"]) == ("plain", [2, 2, 2, 2])

    def test_are_not_transposed(self, named, planned):
        named(transpose=(2, 0, 1))
        configuration = planned("HermesPlanner")["configurations"]["3d_fullres"]
        arguments = configuration["architecture"]["arch_kwargs"]
        assert configuration["patch_size"] == [64, 48, 24]
        assert configuration["spacing"] == [0.8, 0.9, 3.0]
        assert arguments["kernel_sizes"][0] == [3, 3, 1]
        assert arguments["strides"][1] == [2, 2, 1]

    def test_have_a_spacing_that_is_asked_for(self, named, planned):
        named()
        plans = planned("HermesPlanner", overwrite_target_spacing=[2.0, 2.0, 2.0])
        assert plans["configurations"]["3d_fullres"]["spacing"] == [2, 2, 2]

    def test_say_how_much_memory_a_large_patch_needs(self, named, planned, capsys):
        named(patch=(192, 192, 192))
        configuration = planned("HermesPlannerS")["configurations"]["3d_fullres"]
        assert configuration["batch_size"] == 2
        assert "for which 2 cases need about" in capsys.readouterr().out


class TestBadInput:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"patch": (64, 64)}, "3d_fullres is 2D, and Hermes is 3D"),
            ({"patch": (24, 64, "x")}, "are no plans of nnU-Net 2"),
            ({"patch": (24, 64, float("inf"))}, "are no plans of nnU-Net 2"),
            ({"network": "ResidualUNet"}, "the network is 'ResidualUNet', and HermesUNet can only be like"),
            ({"arguments": {**NETWORK, "stem_channels": 8}}, "HermesUNet has no stem_channels"),
            (
                {"arguments": {**NETWORK, "norm_op": "torch.nn.modules.batchnorm.BatchNorm3d"}},
                "the norm is 'torch.nn.modules.batchnorm.BatchNorm3d', HermesUNet needs InstanceNorm3d",
            ),
        ],
    )
    def test_another_network_is_refused(self, named, planned, tmp_path, changes, message):
        named(**changes)
        with pytest.raises(HermesError, match=f"HERMES_PLANS_LIKE: .*{message}"):
            planned("HermesPlanner")
        assert not list((tmp_path / "preprocessed").rglob("Hermes*"))

    def test_another_file_is_refused(self, planned, monkeypatch, tmp_path):
        (tmp_path / "x.json").write_text("[]")
        for path, message in (
            (tmp_path / "none.json", r"none\.json does not exist"),
            (tmp_path / "x.json", "are no plans of nnU-Net 2"),
        ):
            monkeypatch.setenv("HERMES_PLANS_LIKE", str(path))
            with pytest.raises(HermesError, match=f"HERMES_PLANS_LIKE: .*{message}"):
                planned("HermesPlanner")

    def test_the_papers_planners_have_networks_of_their_own(self, named, planned):
        named()
        with pytest.raises(HermesError, match="HERMES_PLANS_LIKE is set, but HermesPlannerPaperR plans the paper's"):
            planned("HermesPlannerPaperR")
