"""Batches that show next to nothing leave loss, gradients and weights finite, in the precisions of a GPU, too."""

import pytest
import torch
from torch import nn

from hermes_nnunet.learning.loss.hermes_loss import HermesLoss
from hermes_nnunet.learning.training.parameter_groups import parameter_groups
from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.hermes_unet import HermesUNet
from hermes_nnunet.networks.output import HermesOutput

# oneDNN's gradients of bfloat16 convolutions hold what was never written where a map is 2 voxels wide; here it is 3.
TASKS, IGNORE, SIZE = 3, 4, 12
# Exponents of the Dice loss at the beginning, in the middle and at the end of a training.
EXPONENTS = (0.0, 0.5, 1.0)
# torch's GradScaler may multiply a gradient by this and it still fits into float16, after two halvings of its first.
SCALE = 2.0**14
LARGEST_FLOAT16 = torch.finfo(torch.float16).max


@pytest.fixture(params=["untrained", "trained"])
def network(request):
    """Of 3 stages; "trained" has nothing that is zero, as it is at first where a residual branch ends."""
    torch.manual_seed(0)
    made = HermesUNet(
        input_channels=1,
        n_stages=3,
        features_per_stage=[4, 8, 16],
        conv_op=nn.Conv3d,
        kernel_sizes=[[3, 3, 3]] * 3,
        strides=[[1, 1, 1], *[[2, 2, 2]] * 2],
        n_blocks_per_stage=[1] * 3,
        num_classes=TASKS,
        n_conv_per_stage_decoder=[1] * 2,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=True,
        num_modalities=3,
        modality_norms=True,
    )
    made.apply(made.initialize)
    if request.param == "trained":
        with torch.no_grad():
            for parameter in made.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    return made


def loss_of_trainer(exponent):
    """The loss with HermesTrainer's weights."""
    return HermesLoss(
        [[1], [2], [3]],
        unknown_modality=2,
        ignore_label=IGNORE,
        cross_entropy_weight=3.0,
        adaptive_dice=False,
        dice_exponent=exponent,
        absent_weight=0.2,
    )


def air():
    """Images without any contrast, and labels without any task."""
    return torch.full((2, 1, SIZE, SIZE, SIZE), -1.5), torch.zeros(2, 1, SIZE, SIZE, SIZE, dtype=torch.int16)


def all_absent():
    image, labels = air()
    return torch.randn_like(image), labels


def one_voxel():
    image, labels = all_absent()
    labels[:, :, 7, 8, 9] = 2
    return image, labels


def one_voxel_in_air():
    image, labels = air()
    labels[0, :, 0, 0, 0] = 1
    return image, labels


def all_ignored():
    image, labels = air()
    return image, torch.full_like(labels, IGNORE)


def far_outliers():
    image, labels = one_voxel()
    image[:, :, 3, 3, 3] = 1e4
    return image, labels


BATCHES = {make.__name__: make for make in (air, all_absent, one_voxel, one_voxel_in_air, all_ignored, far_outliers)}


@pytest.fixture(params=BATCHES)
def batch(request):
    """Patches, labels of the only supervised resolution, and a context with an extra task in the last row."""
    torch.manual_seed(1)
    image, labels = BATCHES[request.param]()
    negatives = torch.ones(2, 1, IGNORE + 1, dtype=torch.bool)
    context = ContextBatch(torch.tensor([[0, 1, 2], [1, -1, 2]]), torch.tensor([0, 2]), negatives=negatives)
    return image, [labels], context


class TestSteps:
    @pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
    def test_leave_everything_finite(self, network, batch, precision):
        image, labels, context = batch
        assert len(labels) == len(network.supervision_scales)
        optimizer = torch.optim.AdamW(parameter_groups(network, 2e-3), weight_decay=1e-2)
        for exponent in EXPONENTS:
            optimizer.zero_grad()
            network.set_context(context)
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                loss = loss_of_trainer(exponent)(network(image), labels)
            loss.backward()
            assert loss.isfinite()
            norm = nn.utils.clip_grad_norm_(network.parameters(), 12)
            assert norm.isfinite()
            optimizer.step()
        assert all(parameter.isfinite().all() for parameter in network.parameters())


class TestGradients:
    """Of logits that nothing has found yet, and of logits that are sure and wrong."""

    @pytest.mark.parametrize("logit", [-4.0, -30.0, 30.0])
    @pytest.mark.parametrize("exponent", EXPONENTS)
    def test_fit_into_float16_with_a_scale(self, batch, logit, exponent):
        _, labels, context = batch
        logits = [torch.full((2, 3, *own.shape[2:]), logit, requires_grad=True) for own in labels]
        output = HermesOutput(logits, torch.zeros(2, 3, requires_grad=True), context)
        loss_of_trainer(exponent)(output, labels).backward()
        largest = max(own.grad.abs().max().item() for own in logits)
        assert largest * SCALE < LARGEST_FLOAT16

    def test_a_task_of_one_voxel_is_pulled_by_that_voxel(self):
        logits = torch.full((1, 1, 8, 8, 8), -4.0, requires_grad=True)
        labels = torch.zeros(1, 1, 8, 8, 8, dtype=torch.int16)
        labels[0, 0, 3, 4, 5] = 1
        loss = HermesLoss([[1]], unknown_modality=0, adaptive_dice=False, dice_exponent=0.0, cross_entropy_weight=0.0)
        context = ContextBatch(torch.tensor([[0]]), torch.tensor([0]))
        loss(HermesOutput([logits], torch.zeros(1, 1), context), labels).backward()
        # -log D of the Dice D = 2 p / (511 p + p + 1), where p = sigmoid(-4); its slope in one logit
        p = torch.sigmoid(torch.tensor(-4.0))
        slope = p * (1 - p)
        assert logits.grad[0, 0, 3, 4, 5].item() == pytest.approx(float(slope * (1 / (512 * p + 1) - 1 / p)), rel=1e-4)
        assert logits.grad[0, 0, 0, 0, 0].item() == pytest.approx(float(slope / (512 * p + 1)), rel=1e-4)
