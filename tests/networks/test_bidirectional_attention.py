import torch

from hermes_nnunet.networks.bidirectional_attention import BidirectionalAttentionBlock, SqueezeExcitation


def attention_by_the_formula(block, features, tokens):
    """Both sides' attention head by head, channel c in head c % heads, with one score matrix."""
    feature_query, feature_value = block.feature_query_value(block.feature_norm(features)).flatten(2).chunk(2, dim=1)
    token_query, token_value = block.token_query_value(block.token_norm(tokens)).chunk(2, dim=-1)
    heads, width = block.heads, tokens.shape[-1]
    read_tokens = torch.zeros(features.shape[0], width, feature_query.shape[-1])
    read_features = torch.zeros_like(tokens)
    for head in range(heads):
        own = slice(head, width, heads)
        scores = feature_query[:, own].transpose(1, 2) @ token_query[..., own].transpose(1, 2)
        scores = scores / (width // heads) ** 0.5
        read_tokens[:, own] = (scores.softmax(-1) @ token_value[..., own]).transpose(1, 2)
        read_features[..., own] = scores.softmax(1).transpose(1, 2) @ feature_value[:, own].transpose(1, 2)
    attended = read_tokens.reshape(features.shape[0], width, *features.shape[2:])
    features = block.feature_out(attended) + block.shortcut(features)
    return block.inverted_residual(features), tokens + block.token_out(read_features)


class TestAttention:
    def test_equals_the_formula_with_one_score_matrix(self):
        torch.manual_seed(0)
        block = BidirectionalAttentionBlock(12, 8, head_width=4)
        features, tokens = torch.randn(2, 12, 3, 4, 5), torch.randn(2, 7, 8)
        for ours, expected in zip(
            block(features, tokens), attention_by_the_formula(block, features, tokens), strict=True
        ):
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)

    def test_the_last_block_leaves_the_tokens_unprojected(self):
        block = BidirectionalAttentionBlock(8, 8, head_width=8, project_tokens=False)
        assert not list(block.token_out.parameters())
        assert block.heads == 1


class TestSqueezeExcitation:
    def test_channels_are_scaled_by_a_number_between_0_and_1(self):
        torch.manual_seed(0)
        x = torch.rand(1, 8, 2, 2, 2) + 1
        ratio = SqueezeExcitation(8)(x) / x
        torch.testing.assert_close(ratio, ratio[..., :1, :1, :1].expand_as(ratio))
        assert 0 < ratio.min() < ratio.max() < 1
