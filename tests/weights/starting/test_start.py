import zipfile
from io import StringIO

import pytest
import torch
from rich.console import Console

from hermes_nnunet.cli.main import main
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.hermes_unet import HermesUNet
from hermes_nnunet.weights.starting.plain_checkpoint import read_plain_checkpoint
from hermes_nnunet.weights.starting.report import print_start
from hermes_nnunet.weights.starting.start import write_start


@pytest.fixture
def arguments_of(plans):
    """Arguments of the network in the plans."""
    return plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]


@pytest.fixture
def trained_from(preprocessed, plans, dataset_json, tmp_path):
    """A function that starts a network from a checkpoint as nnUNetv2_train -pretrained_weights does."""
    from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from hermes_nnunet.networks.build import build_network

    def start(checkpoint, channels=1):
        folder = preprocessed()
        write_start(checkpoint, folder, "HermesPlans", "3d_fullres", tmp_path / "start.pth")
        manager = PlansManager(plans)
        torch.manual_seed(7)
        network = build_network(manager, manager.get_configuration("3d_fullres"), channels, 4, True)
        load_pretrained_weights(network, str(tmp_path / "start.pth"))
        return network

    return start


@torch.no_grad()
def features_of_the_unet(network, image):
    found = []
    hook = network.decoder.stages[-1].register_forward_hook(lambda module, given, output: found.append(output))
    network.eval()(image)
    hook.remove()
    return found[0]


@torch.no_grad()
def features_of(network, image):
    features, _ = network.eval().features_and_posteriors(image, told(network))
    return features[0]


def told(network):
    context = ContextBatch(torch.tensor([[0, 1]]), torch.tensor([0]))
    network.set_context(context)
    return context


class TestTheNetworkBeginsAsTheUNet:
    @pytest.mark.parametrize("encoder", ["residual", "plain"])
    def test_with_the_same_features(self, plain, trained_from, arguments_of, encoder):
        arguments_of |= {"encoder_type": encoder, "modality_norms": True}
        unet, checkpoint = plain(encoder)
        image = torch.randn(1, 1, 16, 16, 16)
        wanted = features_of_the_unet(unet, image)
        assert wanted.std() > 0.1
        torch.testing.assert_close(features_of(trained_from(checkpoint), image), wanted, rtol=0, atol=2e-6)

    def test_equal_channels_of_another_number_give_the_same_features(self, plain, trained_from, dataset_json, plans):
        dataset_json["channel_names"] = {"0": "FLAIR", "1": "T1", "2": "T2"}
        plans["configurations"]["3d_fullres"]["normalization_schemes"] *= 3
        unet, checkpoint = plain(channels=2)
        image = torch.randn(1, 1, 16, 16, 16)
        wanted = features_of_the_unet(unet, image.repeat(1, 2, 1, 1, 1))
        started = features_of(trained_from(checkpoint, channels=3), image.repeat(1, 3, 1, 1, 1))
        torch.testing.assert_close(started, wanted, rtol=0, atol=1e-5)

    def test_axes_of_a_transposed_unet_are_those_of_the_image(self, plain, trained_from, arguments_of):
        kernels = [[1, 3, 3], [3, 3, 3], [3, 3, 3]]
        strides = [[1, 1, 1], [1, 2, 2], [2, 2, 2]]
        unet, checkpoint = plain(transpose=(2, 0, 1), kernel_sizes=kernels, strides=strides)
        # Axis 0 of the U-Net is axis 2 of the image.
        arguments_of |= {
            "kernel_sizes": [[3, 3, 1], [3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [2, 2, 1], [2, 2, 2]],
        }
        image = torch.randn(1, 1, 16, 20, 24)
        wanted = features_of_the_unet(unet, image.permute(0, 1, 4, 2, 3)).permute(0, 1, 3, 4, 2)
        torch.testing.assert_close(features_of(trained_from(checkpoint), image), wanted, rtol=0, atol=2e-6)


class TestWhatIsTaken:
    def test_is_everything_but_the_classifiers_and_rows(self, plain, preprocessed, tmp_path):
        _, checkpoint = plain()
        start, _ = write_start(checkpoint, preprocessed(), "HermesPlans", "3d_fullres", tmp_path / "start.pth")
        assert start.begins_as_the_unet
        assert not start.fitted
        assert set(start.left) == {f"decoder.seg_layers.{n}.{w}" for n in range(2) for w in ("weight", "bias")}
        assert all(any(part in name for part in ("fusion", "seg_layers", "decoder.heads")) for name in start.new), (
            start.new
        )

    def test_the_file_is_the_same_every_time(self, plain, preprocessed, tmp_path):
        _, checkpoint = plain()
        weights = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            write_start(checkpoint, preprocessed(), "HermesPlans", "3d_fullres", tmp_path / "start.pth")
            weights.append(torch.load(tmp_path / "start.pth", weights_only=True)["network_weights"])
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])

    def test_of_another_network_is_what_has_the_same_shape(self, plain, preprocessed, tmp_path):
        _, checkpoint = plain(features_per_stage=[4, 8, 24])
        start, read = write_start(checkpoint, preprocessed(), "HermesPlans", "3d_fullres", tmp_path / "start.pth")
        assert not start.begins_as_the_unet
        assert "encoder.stages.1.blocks.0.conv1.conv.weight" in start.taken
        assert (
            start.left["encoder.stages.2.blocks.0.conv2.conv.weight"]
            == "(24, 24, 3, 3, 3) there, (16, 16, 3, 3, 3) here"
        )
        console = Console(width=200, record=True, file=StringIO())
        print_start(start, read, console)
        assert "does not begin as that U-Net, which has another encoder.stages.2" in console.export_text()

    def test_is_printed_by_the_command(self, plain, preprocessed, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("nnUNet_preprocessed", str(preprocessed().parent))
        monkeypatch.setenv("COLUMNS", "200")
        _, checkpoint = plain(channels=2)
        assert main(["start-weights", str(checkpoint), "-d", "900", "-o", str(tmp_path / "start.pth")]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert "fitted: from 2 input channels to 1" in printed
        assert "left out: no place here" in printed
        assert "rows of tasks and modalities" in printed
        assert "begins as that U-Net" in printed

    def test_files_that_numpy_1_wrote_are_read(self, plain, tmp_path):
        _, checkpoint = plain()
        older = tmp_path / "older.pth"
        with zipfile.ZipFile(checkpoint) as source, zipfile.ZipFile(older, "w") as target:
            for name in source.namelist():
                content = source.read(name)
                if name.endswith("data.pkl"):
                    assert b"numpy._core.multiarray" in content
                    content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
                target.writestr(name, content)
        assert len(read_plain_checkpoint(older).weights) == len(read_plain_checkpoint(checkpoint).weights)


class TestBadInput:
    @pytest.fixture
    def refused(self, preprocessed, tmp_path):
        """A function that sees a file refused with one line, and nothing written."""

        def see(path, message):
            with pytest.raises(HermesError, match=message) as error:
                write_start(path, preprocessed(), "HermesPlans", "3d_fullres", tmp_path / "start.pth")
            assert "\n" not in str(error.value)
            assert not (tmp_path / "start.pth").exists()

        return see

    def test_a_missing_file(self, refused, tmp_path):
        refused(tmp_path / "none.pth", r"none\.pth does not exist")

    def test_a_2d_checkpoint(self, plain, refused):
        _, checkpoint = plain(
            conv_op="torch.nn.modules.conv.Conv2d",
            norm_op="torch.nn.modules.instancenorm.InstanceNorm2d",
            kernel_sizes=[[3, 3]] * 3,
            strides=[[1, 1], [2, 2], [2, 2]],
        )
        refused(checkpoint, r"checkpoint_final\.pth is 2D, and Hermes is 3D")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"state_dict": {}, "epoch": 3}, r"is no checkpoint of nnU-Net \(it holds state_dict, epoch\)"),
            (
                {"network_weights": {"swinViT.w": torch.zeros(1)}},
                r"is not of a U-Net of nnU-Net: no weight's name begins",
            ),
            ([1, 2], r"is no checkpoint of a training"),
        ],
    )
    def test_a_checkpoint_of_another_library(self, refused, tmp_path, content, message):
        torch.save(content, tmp_path / "other.pth")
        refused(tmp_path / "other.pth", message)

    def test_code(self, refused, tmp_path):
        class Code:
            def __reduce__(self):
                return print, ("this ran",)

        torch.save({"network_weights": Code()}, tmp_path / "bad.pth")
        refused(tmp_path / "bad.pth", r"bad\.pth holds more than a checkpoint of nnU-Net")

    def test_a_checkpoint_of_hermes(self, refused, arguments_of, tmp_path):
        from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

        network = get_network_from_plans(
            f"{HermesUNet.__module__}.HermesUNet", arguments_of, ["conv_op", "norm_op", "nonlin"], 1, 4, True, True
        )
        torch.save({"network_weights": network.state_dict()}, tmp_path / "hermes.pth")
        refused(tmp_path / "hermes.pth", r"is of a universal model, not of plain nnU-Net: train with HERMES_START")

    def test_nothing_that_fits(self, plain, refused):
        _, checkpoint = plain(features_per_stage=[5, 10, 20])
        refused(checkpoint, r"has nothing that fits the network of HermesPlans: plan one like it, with HERMES")

    def test_several_folds(self, plain, refused, tmp_path):
        _, checkpoint = plain()
        for fold in (0, 1):
            (tmp_path / "model" / f"fold_{fold}").mkdir(parents=True)
            (tmp_path / "model" / f"fold_{fold}" / checkpoint.name).write_bytes(checkpoint.read_bytes())
        refused(tmp_path / "model", r"model has several folds \(fold_0, fold_1\)")
        assert read_plain_checkpoint(tmp_path / "model" / "fold_1").path.parent.name == "fold_1"

    def test_a_network_that_is_no_unet_of_ours(self, plain, refused, plans):
        _, checkpoint = plain()
        plans["configurations"]["3d_fullres"]["architecture"] = {
            "network_class_name": "hermes_nnunet.networks.hermes_resunet.HermesResUNet",
            "arch_kwargs": {"num_modalities": 3},
            "_kw_requires_import": [],
        }
        refused(checkpoint, r"HermesPlans has a HermesResUNet, which is no U-Net of nnU-Net: plan with HermesPlanner")

    def test_plans_that_are_not_made(self, plain, preprocessed, tmp_path):
        _, checkpoint = plain()
        with pytest.raises(HermesError, match=r"HermesLPlans\.json does not exist: plan the collection"):
            write_start(checkpoint, preprocessed(), "HermesLPlans", "3d_fullres", tmp_path / "start.pth")
