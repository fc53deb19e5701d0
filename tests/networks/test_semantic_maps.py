import torch

from hermes_nnunet.networks.semantic_maps import MapFusion, MapGeneration, PatchMerging


class TestPatchMerging:
    def test_channels_are_sub_lattices_depth_offset_slowest(self):
        merging = PatchMerging(2, 4)
        merging.norm = torch.nn.Identity()
        merging.reduce = torch.nn.Identity()
        x = torch.arange(2 * 4 * 4 * 4).float().reshape(1, 2, 4, 4, 4)
        merged = merging(x)
        assert merged.shape == (1, 16, 2, 2, 2)
        for channel in range(16):
            lattice, own = divmod(channel, 2)
            depth, height, width = lattice // 4, lattice // 2 % 2, lattice % 2
            assert torch.equal(merged[0, channel], x[0, own, depth::2, height::2, width::2])


class TestMapGeneration:
    def test_a_code_is_the_mean_of_features_weighted_by_its_scores(self):
        torch.manual_seed(0)
        generation, x = MapGeneration(6, 3), torch.randn(2, 6, 4, 4, 4)
        features, scores = generation.to_features(x), generation.to_scores(x)
        codes = generation(x)
        assert codes.shape == (2, 3, 6)
        shares = scores[1, 2].exp() / scores[1, 2].exp().sum()
        torch.testing.assert_close(codes[1, 2], (features[1] * shares).sum(dim=(1, 2, 3)), rtol=1e-4, atol=1e-5)


class TestMapFusion:
    def test_codes_of_all_resolutions_read_each_other_and_keep_their_shapes(self):
        torch.manual_seed(0)
        fusion = MapFusion([4, 6, 8], fusion_width=16, depth=1, head_width=8)
        codes = [torch.randn(1, 5, width) for width in (4, 6, 8)]
        fused = fusion(codes)
        assert [tuple(own.shape) for own in fused] == [(1, 5, 4), (1, 5, 6), (1, 5, 8)]
        others = fusion([codes[0], codes[1], codes[2] + 1])
        assert not torch.allclose(others[0], fused[0], atol=1e-4)
