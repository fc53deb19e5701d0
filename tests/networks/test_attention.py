import torch
from torch.nn import functional

from hermes_nnunet.networks.attention import CrossAttention, FusionBlock


def attention_in_plain_words(layer, receiver, giver):
    """The same attention with explicit matrices, head by head."""
    query = layer.to_query(layer.norm_receiver(receiver))
    key, value = layer.to_key_value(layer.norm_giver(giver)).chunk(2, dim=-1)
    heads = []
    for head in range(layer.heads):
        channels = slice(32 * head, 32 * (head + 1))
        scores = query[..., channels] @ key[..., channels].transpose(1, 2) / 32**0.5
        heads.append(functional.softmax(scores, dim=-1) @ value[..., channels])
    return receiver + layer.to_out(torch.cat(heads, dim=-1))


class TestCrossAttention:
    def test_equals_attention_written_plainly(self):
        torch.manual_seed(0)
        layer = CrossAttention(80)
        receiver, giver = torch.randn(2, 7, 80), torch.randn(2, 5, 80)
        assert layer.heads == 2
        torch.testing.assert_close(layer(receiver, giver), attention_in_plain_words(layer, receiver, giver))

    def test_a_narrow_layer_still_has_one_head(self):
        assert CrossAttention(16).heads == 1

    def test_masked_givers_are_as_good_as_absent(self):
        torch.manual_seed(0)
        layer = CrossAttention(32)
        receiver, giver = torch.randn(1, 4, 32), torch.randn(1, 6, 32)
        mask = torch.tensor([[True, False, True, True, False, False]])
        torch.testing.assert_close(layer(receiver, giver, mask), layer(receiver, giver[:, mask[0]]))


class TestFusionBlock:
    def test_voxels_read_the_tokens_after_their_update(self):
        torch.manual_seed(0)
        block = FusionBlock(32)
        tokens, voxels = torch.randn(1, 3, 32), torch.randn(1, 9, 32)
        updated = block.tokens_from_voxels(tokens, voxels)
        updated = updated + block.token_mlp(block.token_norm(updated))
        read = block.voxels_from_tokens(voxels, updated)
        expected = read + block.voxel_mlp(block.voxel_norm(read))
        got_tokens, got_voxels = block(tokens, voxels)
        torch.testing.assert_close(got_tokens, updated)
        torch.testing.assert_close(got_voxels, expected)

    def test_memory_estimate_counts_what_autograd_keeps(self):
        block = FusionBlock(64)
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
            block(torch.randn(1, 13, 64), torch.randn(1, 4096, 64, requires_grad=True))
        numbers = sum({t.data_ptr(): t.numel() for t in kept if t.shape[-2:-1] == (4096,)}.values())
        assert 0.7 < numbers / (4096 * block.elements_per_voxel) < 1.3
