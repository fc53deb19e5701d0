import pytest
import torch
from torch.nn import functional

from hermes_nnunet.learning.loss import voxel_sums as module
from hermes_nnunet.learning.loss.voxel_sums import counted_voxels, voxel_sums


def sums_written_plainly(logits, labels, values, ignore_label):
    target = (labels[:, :, None] == values[:, :, :, None, None, None]).any(2).to(logits.dtype)
    counted = torch.ones_like(labels, dtype=logits.dtype)
    if ignore_label is not None:
        counted = (labels != ignore_label).to(logits.dtype)
    bce = functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * counted
    probability = torch.sigmoid(logits) * counted
    parts = (bce, probability * target, probability, target * counted)
    return torch.stack([part.flatten(2).sum(-1) for part in parts])


def example(dtype=torch.float64, size=5):
    torch.manual_seed(0)
    logits = torch.randn(2, 3, size, size, size, dtype=dtype, requires_grad=True)
    labels = torch.randint(0, 6, (2, 1, size, size, size), dtype=torch.int16)
    values = torch.tensor([[[1, -1], [2, 3], [-1, -1]], [[4, 1], [5, -1], [3, 2]]])
    return logits, labels, values


class TestSums:
    def test_equal_the_plain_formula(self):
        for ignore_label in (None, 5):
            logits, labels, values = example()
            torch.testing.assert_close(
                voxel_sums(logits, labels, values, ignore_label),
                sums_written_plainly(logits, labels, values, ignore_label),
            )

    def test_gradients_equal_the_plain_formulas(self):
        for ignore_label in (None, 5):
            logits, labels, values = example()
            weights = torch.randn(4, 2, 3, dtype=torch.float64)
            (got,) = torch.autograd.grad((voxel_sums(logits, labels, values, ignore_label) * weights).sum(), logits)
            plain = sums_written_plainly(logits, labels, values, ignore_label)
            (expected,) = torch.autograd.grad((plain * weights).sum(), logits)
            torch.testing.assert_close(got, expected)

    def test_gradcheck(self):
        logits, labels, values = example(size=2)
        assert torch.autograd.gradcheck(lambda x: voxel_sums(x, labels, values, 5), (logits,))

    @pytest.mark.parametrize("piece", [50, 125, 300])  # parts of a row of 125 voxels, one row, two of three rows
    @pytest.mark.parametrize("ignore_label", [None, 5])
    def test_sums_and_gradients_do_not_depend_on_the_pieces(self, monkeypatch, piece, ignore_label):
        monkeypatch.setattr(module, "PIECE_ON_CPU", piece)
        logits, labels, values = example()
        weights = torch.randn(4, 2, 3, dtype=torch.float64)
        got = voxel_sums(logits, labels, values, ignore_label)
        expected = sums_written_plainly(logits, labels, values, ignore_label)
        torch.testing.assert_close(got, expected)
        gradients = [torch.autograd.grad((sums * weights).sum(), logits)[0] for sums in (got, expected)]
        torch.testing.assert_close(*gradients)

    def test_half_precision_logits_are_summed_in_single_precision(self):
        logits, labels, values = example(torch.float32, size=16)
        half = logits.detach().half()
        got = voxel_sums(half, labels, values)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, sums_written_plainly(half.float(), labels, values, None))

    @pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
    def test_automatic_mixed_precision_sums_organs_of_many_voxels_in_single_precision(self, precision):
        torch.manual_seed(0)
        logits = (torch.randn(1, 2, 64, 64, 64) + 3).to(precision)
        labels = (torch.rand(1, 1, 64, 64, 64) < 0.6).short()  # 157,000 voxels; float16 ends at 65,504
        negatives = torch.ones(1, 1, 2, dtype=torch.bool)
        arguments = (labels, torch.tensor([[[1], [1]]]), None, negatives)
        with torch.autocast("cpu", precision):
            sums = voxel_sums(logits, *arguments)
        assert sums[0, 0, 0] > 0
        torch.testing.assert_close(sums.double(), voxel_sums(logits.double(), *arguments), rtol=1e-4, atol=0)

    def test_only_logits_labels_and_values_are_kept_for_the_backward_pass(self):
        logits, labels, values = example()
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
            voxel_sums(logits, labels, values)
        assert kept == [logits.shape, labels.shape, values.shape]


def example_with_extra_rows(size=5):
    """Two rows of three are extra: one counts nothing, others some values, one all but the ignored."""
    logits, labels, values = example(size=size)
    negatives = torch.tensor([[[0, 1, 0, 1, 0, 0], [0] * 6], [[0, 0, 0, 0, 1, 0], [1, 1, 1, 1, 1, 0]]]).bool()
    return logits, labels, values, negatives


def extra_sums_written_plainly(logits, labels, negatives):
    counted = torch.stack([table[:, own[0].long()] for table, own in zip(negatives, labels, strict=True)])
    logits = logits[:, -negatives.shape[1] :]
    bce = functional.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits), reduction="none")
    parts = (bce, torch.zeros_like(logits), torch.sigmoid(logits), torch.ones_like(logits))
    return torch.stack([(part * counted).flatten(2).sum(-1) for part in parts])


class TestExtraRows:
    @pytest.mark.parametrize("piece", [50, 125, 300, 2**18])
    @pytest.mark.parametrize("ignore_label", [None, 5])
    def test_sums_and_gradients_equal_the_plain_formula(self, monkeypatch, piece, ignore_label):
        monkeypatch.setattr(module, "PIECE_ON_CPU", piece)
        logits, labels, values, negatives = example_with_extra_rows()
        own = sums_written_plainly(logits[:, :1], labels, values[:, :1], ignore_label)
        expected = torch.cat((own, extra_sums_written_plainly(logits, labels, negatives)), dim=2)
        got = voxel_sums(logits, labels, values, ignore_label, negatives)
        torch.testing.assert_close(got, expected)
        weights = torch.randn(4, 2, 3, dtype=torch.float64)
        gradients = [torch.autograd.grad((sums * weights).sum(), logits)[0] for sums in (got, expected)]
        torch.testing.assert_close(*gradients)

    def test_gradcheck(self):
        logits, labels, values, negatives = example_with_extra_rows(size=2)
        assert torch.autograd.gradcheck(lambda x: voxel_sums(x, labels, values, 5, negatives), (logits,))

    def test_own_rows_have_the_same_bits_without_them(self):
        logits, labels, values, negatives = example_with_extra_rows()
        with_extra = voxel_sums(logits, labels, values, 5, negatives)[..., :1]
        assert torch.equal(with_extra, voxel_sums(logits[:, :1], labels, values[:, :1], 5))

    def test_no_volume_of_them_is_kept_for_the_backward_pass(self):
        logits, labels, values, negatives = example_with_extra_rows()
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
            voxel_sums(logits, labels, values, None, negatives)
        assert kept == [logits.shape, labels.shape, values.shape, negatives.shape]


def test_counted_voxels_leaves_out_the_ignored():
    labels = torch.tensor([[[0, 1, 9]], [[9, 9, 2]]])
    assert counted_voxels(labels, 9).tolist() == [2, 1]
    assert counted_voxels(labels, None).tolist() == [3, 3]
