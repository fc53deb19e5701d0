import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hermes_nnunet.networks.modality_norm import ModalityNorm

MODALITIES, WIDTH = 3, 4


def make_norm():
    torch.manual_seed(0)
    norm = ModalityNorm(WIDTH, num_modalities=MODALITIES)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter += torch.randn_like(parameter)
    return norm


def instance_norm_of(norm, modality):
    """nnU-Net's norm with the gains and biases that a modality has."""
    own, plain = norm.seg_layers["modalities"], nn.InstanceNorm3d(WIDTH, affine=True)
    with torch.no_grad():
        plain.weight.copy_(norm.weight + own.gain[modality])
        plain.bias.copy_(norm.bias + own.bias[modality])
    return plain


@settings(max_examples=20, deadline=None)
@given(modalities=st.lists(st.integers(0, MODALITIES - 1), min_size=1, max_size=3), training=st.booleans())
def test_every_image_has_the_instance_norm_of_its_modality(modalities, training):
    norm, images = make_norm().train(training), torch.randn(len(modalities), WIDTH, 3, 4, 5)
    norm.modality_index = torch.tensor(modalities)
    expected = torch.cat([instance_norm_of(norm, m)(image[None]) for m, image in zip(modalities, images, strict=True)])
    torch.testing.assert_close(norm(images), expected)


def test_one_modality_serves_all_images():
    norm, images = make_norm(), torch.randn(3, WIDTH, 2, 2, 2)
    norm.modality_index = torch.tensor([1])
    torch.testing.assert_close(norm(images), instance_norm_of(norm, 1)(images))


def test_begins_as_nnunets_norm():
    norm, images = ModalityNorm(WIDTH, num_modalities=MODALITIES), torch.randn(1, WIDTH, 2, 2, 2)
    norm.modality_index = torch.tensor([2])
    torch.testing.assert_close(norm(images), nn.InstanceNorm3d(WIDTH, affine=True)(images))


def test_only_the_modality_that_was_seen_learns():
    norm = make_norm()
    norm.modality_index = torch.tensor([2, 2])
    norm(torch.randn(2, WIDTH, 2, 2, 2)).square().sum().backward()
    own = norm.seg_layers["modalities"]
    for parameter in (own.gain, own.bias):
        assert parameter.grad.abs().sum(dim=1).gt(0).tolist() == [False, False, True]


def test_without_a_modality_it_says_what_is_missing():
    with pytest.raises(RuntimeError, match="modality_index"):
        make_norm()(torch.randn(1, WIDTH, 2, 2, 2))


def test_without_gains_there_is_nothing_to_add_to():
    with pytest.raises(ValueError, match="affine"):
        ModalityNorm(WIDTH, num_modalities=MODALITIES, affine=False)


def test_takes_what_autocast_gives_it():
    norm, images = make_norm(), torch.randn(2, WIDTH, 4, 4, 4)
    norm.modality_index = torch.tensor([0, 2])
    with torch.autocast("cpu", torch.bfloat16):
        half = norm(images.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), norm(images), atol=0.1, rtol=0.02)
    half.float().square().sum().backward()
    assert norm.weight.grad.dtype == torch.float32
