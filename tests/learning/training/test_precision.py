import torch

from hermes_nnunet.learning.training.precision import bfloat16_by_default, has_bfloat16


def test_the_default_is_bfloat16_within_the_block_only():
    cuda = torch.device("cuda")
    with bfloat16_by_default(cuda):
        assert torch.get_autocast_dtype("cuda") is torch.bfloat16
    assert torch.get_autocast_dtype("cuda") is torch.float16


def test_only_a_gpu_counts():
    assert not has_bfloat16(torch.device("cpu"))
