import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from hermes_nnunet.learning.distributed.averaging import batch_means
from hermes_nnunet.learning.loss.hermes_loss import HermesLoss, adaptive_dice_loss, plain_dice_loss, with_exponent
from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.output import HermesOutput


@pytest.fixture
def loss():
    return HermesLoss([[1], [2, 3], [4]], unknown_modality=2, ignore_label=5)


def output(logits, tasks, modalities=(0, 1)):
    torch.manual_seed(1)
    context = ContextBatch(torch.tensor(tasks), torch.tensor(modalities))
    return HermesOutput([logits], torch.randn(len(tasks), 3, requires_grad=True), context)


def segmentation_loss(loss, logits, labels, task_index):
    (mean,) = batch_means([loss.segmentation_terms(logits, labels, task_index)])
    return mean


class TestReference:
    @pytest.mark.parametrize("network", ["r", "m"])
    def test_equals_the_papers_numbers(self, shared_data, network):
        reference = np.load(shared_data.parent / "reference" / f"hermes_{network}_tiny_io.npz")
        logits, labels = torch.tensor(reference["logits"]), torch.tensor(reference["label"])
        task_index = torch.tensor(reference["task_index"])
        loss = HermesLoss([[1]] * 12, unknown_modality=3)
        # The reference has a label volume for each pair, so each pair is a case of its own here.
        case, row = torch.nonzero(task_index >= 0, as_tuple=True)
        bce, dice = loss.pair_losses(
            logits[case, row][:, None], labels[case, row][:, None].long(), task_index[case, row][:, None]
        )
        assert bce.mean().item() == pytest.approx(float(reference["bce"]), abs=1e-5)
        assert dice.mean().item() == pytest.approx(float(reference["dice"]), abs=1e-5)


class TestCrossEntropyWeight:
    def test_leaves_the_dice_loss_alone(self):
        logits, labels = torch.randn(1, 2, 4, 4, 4), torch.randint(0, 3, (1, 1, 4, 4, 4))
        tasks = torch.tensor([[0, 1]])
        loss = HermesLoss([[1], [2]], unknown_modality=1, cross_entropy_weight=3.0)
        bce, dice = loss.pair_losses(logits, labels, tasks)
        assert segmentation_loss(loss, logits, labels, tasks).item() == pytest.approx((3 * bce + dice).mean().item())


class TestAdaptiveDice:
    def test_is_nought_for_a_perfect_prediction(self):
        assert adaptive_dice_loss(*torch.tensor([100.0, 0.0, 0.0])).item() == pytest.approx(0, abs=1e-6)

    def test_the_larger_kind_of_error_weighs_more(self):
        # FP 30, FN 10: a = 0.75
        got = adaptive_dice_loss(*torch.tensor([60.0, 30.0, 10.0])).item()
        assert got == pytest.approx(1 - 60 / (60 + 0.75 * 30 + 0.25 * 10), abs=1e-6)

    def test_weights_stay_between_0_2_and_0_8(self):
        assert adaptive_dice_loss(*torch.tensor([60.0, 40.0, 0.0])).item() == pytest.approx(
            1 - 60 / (60 + 0.8 * 40), abs=1e-6
        )


class TestPlainDice:
    @given(counts=st.tuples(*[st.floats(0.1, 1000)] * 3))
    def test_is_the_dice_of_the_counts(self, counts):
        true_positive, false_positive, false_negative = counts
        expected = 1 - 2 * true_positive / (2 * true_positive + false_positive + false_negative)
        assert plain_dice_loss(*torch.tensor(counts)).item() == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize(("adaptive", "expected"), [(True, 1 - 4 / (4 + 0.8 * 12 + 0.2 * 0)), (False, 1 - 8 / 20)])
    def test_is_chosen_by_the_loss(self, adaptive, expected):
        labels = torch.zeros(1, 1, 4, 4, 4, dtype=torch.long)
        labels[0, 0, 0, 0] = 1  # 4 voxels, and 12 others are predicted too
        logits = torch.full((1, 1, 4, 4, 4), -100.0)
        logits[0, 0, 0] = 100.0
        loss = HermesLoss([[1]], unknown_modality=0, adaptive_dice=adaptive)
        _, dice = loss.pair_losses(logits, labels, torch.tensor([[0]]))
        assert dice.item() == pytest.approx(expected, abs=1e-5)


EXPONENTS = st.just(0.0) | st.floats(1e-6, 1)


class TestDiceExponent:
    labels = torch.zeros(1, 1, 8, 8, 8)
    labels[..., :2] = 1

    def gradient_of_dice(self, first_logit, *, exponent, task=0, absent_weight=0.0):
        """Of the Dice loss alone, with respect to the logits."""
        logits = torch.full((1, 1, 8, 8, 8), first_logit).add_(self.labels).requires_grad_()
        options = {"dice_exponent": exponent, "absent_weight": absent_weight}
        loss = HermesLoss([[1], [2]], unknown_modality=1, **options)
        _, dice = loss.pair_losses(logits, self.labels, torch.tensor([[task]]))
        (gradient,) = torch.autograd.grad(dice.sum(), logits)
        return gradient

    def test_is_of_the_adaptive_dice_and_leaves_cross_entropy(self):
        logits, tasks = torch.randn(1, 1, 8, 8, 8), torch.tensor([[0]])
        plain, logarithmic, half = (
            HermesLoss([[1]], unknown_modality=1, dice_exponent=exponent).pair_losses(logits, self.labels, tasks)
            for exponent in (1.0, 0.0, 0.5)
        )
        torch.testing.assert_close(logarithmic[1], -torch.log(1 - plain[1]))
        torch.testing.assert_close(half[1], 2 * (1 - (1 - plain[1]).sqrt()))
        torch.testing.assert_close(logarithmic[0], plain[0])

    @given(dice=st.floats(1e-4, 1), exponents=st.tuples(EXPONENTS, EXPONENTS))
    def test_a_lower_exponent_costs_more_and_all_agree_where_the_task_is_found(self, dice, exponents):
        low, high = sorted(exponents)
        loss = torch.tensor(1 - dice, dtype=torch.float64)
        assert with_exponent(loss, low) >= with_exponent(loss, high) - 1e-9
        assert with_exponent(torch.zeros(()), low) == 0

    def test_tends_to_the_logarithm(self):
        loss = torch.tensor([0.1, 0.5, 0.99], dtype=torch.float64)
        torch.testing.assert_close(with_exponent(loss, 1e-7), with_exponent(loss, 0.0), rtol=1e-5, atol=0)

    @pytest.mark.parametrize("first_logit", [-10.0, -7.0, -4.0, -2.0])
    def test_a_task_that_is_not_found_is_pulled_as_hard_as_one_that_is_nearly(self, first_logit):
        pull = -self.gradient_of_dice(first_logit, exponent=0.0)[self.labels == 1].sum()
        assert 0.3 < pull < 1
        plain = -self.gradient_of_dice(first_logit, exponent=1.0)[self.labels == 1].sum()
        assert plain < 4 * torch.tensor(first_logit + 1).sigmoid() * pull

    @pytest.mark.parametrize("exponent", [0.0, 1.0])
    def test_a_patch_that_does_not_show_the_task_costs_by_its_weight(self, exponent):
        assert (self.gradient_of_dice(-4.0, exponent=exponent, task=1) == 0).all()
        once, twice = (self.gradient_of_dice(-4.0, exponent=exponent, task=1, absent_weight=w) for w in (0.1, 0.2))
        assert (once > 0).all()
        torch.testing.assert_close(twice, 2 * once)

    def test_few_false_positives_in_an_absent_task_are_a_dice_of_one_half(self):
        logits = torch.full((1, 1, 10, 10, 10), -100.0)
        logits[0, 0, 0, 0, 0] = 100  # one of a thousand voxels
        loss = HermesLoss([[1]], unknown_modality=1, absent_weight=1.0)
        _, dice = loss.pair_losses(logits, torch.zeros(1, 1, 10, 10, 10), torch.tensor([[0]]))
        assert dice.item() == pytest.approx(-np.log(0.5))

    def test_a_hopeless_case_stays_finite(self):
        assert self.gradient_of_dice(-80.0, exponent=0.0).isfinite().all()


class TestPartialLabels:
    def test_padded_rows_count_in_nothing(self, loss):
        logits, labels = torch.randn(2, 3, 4, 4, 4), torch.randint(0, 5, (2, 1, 4, 4, 4))
        padded = segmentation_loss(loss, logits, labels, torch.tensor([[0, -1, -1], [1, 2, -1]]))
        a = segmentation_loss(loss, logits[:1, :1], labels[:1], torch.tensor([[0]]))
        b = segmentation_loss(loss, logits[1:, :2], labels[1:], torch.tensor([[1, 2]]))
        assert padded.item() == pytest.approx((a.item() + 2 * b.item()) / 3, rel=1e-6)

    def test_padded_rows_get_no_gradient(self, loss):
        logits = torch.randn(1, 2, 4, 4, 4, requires_grad=True)
        segmentation_loss(loss, logits, torch.randint(0, 5, (1, 1, 4, 4, 4)), torch.tensor([[1, -1]])).backward()
        assert logits.grad[:, 1].abs().max() == 0
        assert logits.grad[:, 0].abs().max() > 0

    def test_a_region_is_the_union_of_its_values(self, loss):
        logits = torch.randn(1, 1, 4, 4, 4)
        labels = torch.randint(0, 5, (1, 1, 4, 4, 4))
        merged = torch.where(labels == 3, 2, labels)
        assert torch.equal(
            segmentation_loss(loss, logits, labels, torch.tensor([[1]])),
            segmentation_loss(loss, logits, merged, torch.tensor([[1]])),
        )

    def test_ignored_voxels_count_in_nothing(self, loss):
        logits, labels = torch.randn(1, 1, 4, 4, 8), torch.randint(0, 5, (1, 1, 4, 4, 8))
        labels[..., 4:] = 5
        assert segmentation_loss(loss, logits, labels, torch.tensor([[0]])).item() == pytest.approx(
            segmentation_loss(loss, logits[..., :4], labels[..., :4], torch.tensor([[0]])).item(), rel=1e-6
        )

    def test_a_case_that_is_ignored_altogether_does_not_count(self, loss):
        logits, labels = torch.randn(2, 1, 4, 4, 4), torch.randint(0, 5, (2, 1, 4, 4, 4))
        labels[1] = 5
        both = segmentation_loss(loss, logits, labels, torch.tensor([[0], [0]]))
        first = segmentation_loss(loss, logits[:1], labels[:1], torch.tensor([[0]]))
        assert both.item() == pytest.approx(first.item(), rel=1e-6)


class TestMeans:
    def test_a_batch_costs_what_processes_with_two_cases_each_would_pay_on_average(self):
        options = {"unknown_modality": 2, "scale_weights": (1.0,)}
        grouped = HermesLoss([[1], [2, 3], [4]], **options, cases_per_mean=2)
        alone = HermesLoss([[1], [2, 3], [4]], **options)
        tasks, modalities = [[0, 1, 2], [1, -1, -1], [0, -1, -1], [2, -1, -1]], [0, 2, 1, 1]
        logits, labels = torch.randn(4, 3, 4, 4, 4), torch.randint(0, 5, (4, 1, 4, 4, 4))
        whole = output(logits, tasks, modalities)
        parts = [
            HermesOutput(
                [logits[part]], whole.modality_logits[part], ContextBatch(*(index[part] for index in whole.context[:2]))
            )
            for part in (slice(0, 2), slice(2, 4))
        ]
        expected = sum(alone(own, labels[2 * number : 2 * number + 2]) for number, own in enumerate(parts)) / 2
        torch.testing.assert_close(grouped(whole, labels), expected)
        assert abs(grouped(whole, labels) - alone(whole, labels)) > 1e-3


class TestModality:
    def test_unknown_modalities_cost_nothing_but_stay_in_the_graph(self, loss):
        made = output(torch.randn(1, 1, 4, 4, 4, requires_grad=True), [[0]], [2])
        labels = torch.randint(0, 5, (1, 1, 4, 4, 4))
        total = loss(made, labels)
        assert total.item() == segmentation_loss(loss, made.logits[0], labels, made.context.task_index).item()
        total.backward()
        assert made.modality_logits.grad.abs().max() == 0

    def test_known_modalities_cost_a_hundredth_of_their_cross_entropy(self, loss):
        made = output(torch.randn(2, 1, 4, 4, 4), [[0], [1]], [1, 2])
        labels = torch.randint(0, 5, (2, 1, 4, 4, 4))
        entropy = -torch.log_softmax(made.modality_logits, dim=1)[0, 1]
        expected = segmentation_loss(loss, made.logits[0], labels, made.context.task_index) + 0.01 * entropy
        assert loss(made, labels).item() == pytest.approx(expected.item(), rel=1e-6)


class TestDeepSupervision:
    def test_outputs_are_weighted(self):
        loss = HermesLoss([[1], [2]], unknown_modality=1, scale_weights=(0.75, 0.25))
        context = ContextBatch(torch.tensor([[0, 1]]), torch.tensor([1]))
        logits = [torch.randn(1, 2, 8, 8, 8), torch.randn(1, 2, 4, 4, 4)]
        labels = [torch.randint(0, 3, (1, 1, 8, 8, 8)), torch.randint(0, 3, (1, 1, 4, 4, 4))]
        single = [segmentation_loss(loss, x, y, context.task_index) for x, y in zip(logits, labels, strict=True)]
        got = loss(HermesOutput(logits, torch.zeros(1, 2), context), labels)
        assert got.item() == pytest.approx((0.75 * single[0] + 0.25 * single[1]).item(), rel=1e-6)


class TestExtraTasks:
    """Cases annotate task 0; task 1 is extra, and excludes value 1 in the first case; it is absent in the second."""

    tasks = torch.tensor([[0, 1], [0, 1]])
    negatives = torch.tensor([[[0, 1, 0, 0, 0, 0]], [[1, 1, 1, 1, 1, 0]]]).bool()

    def example(self, dtype=torch.float64):
        torch.manual_seed(0)
        logits = torch.randn(2, 2, 4, 4, 4, dtype=dtype, requires_grad=True)
        return logits, torch.randint(0, 6, (2, 1, 4, 4, 4), dtype=torch.int16)

    def loss(self, **options):
        return HermesLoss([[1], [2, 3], [4]], unknown_modality=0, ignore_label=5, **options)

    def output(self, logits, negatives, tasks=tasks):
        context = ContextBatch(tasks, torch.zeros(len(tasks), dtype=torch.long), negatives=negatives)
        return HermesOutput(logits if isinstance(logits, list) else [logits], torch.zeros(len(tasks), 1), context)

    def plainly(self, logits, labels, absent_weight):
        """Mean of the two extra tasks' losses, as the formula reads."""
        scores, values = logits[:, 1], labels[:, 0]
        excluded = functional.softplus(scores[0][values[0] == 1]).mean()
        absent = scores[1][values[1] != 5]
        dice = absent_weight * torch.log1p(absent.sigmoid().mean() / 1e-3)
        return (excluded + functional.softplus(absent).mean() + dice) / 2

    @pytest.mark.parametrize("absent_weight", [0.0, 0.2])
    def test_equal_the_plain_formula(self, absent_weight):
        logits, labels = self.example()
        loss = self.loss(absent_weight=absent_weight, exclusion_weight=0.7)
        own = loss(self.output(logits[:, :1], None, self.tasks[:, :1]), labels)
        expected = own + 0.7 * self.plainly(logits, labels, absent_weight)
        got = loss(self.output(logits, self.negatives), labels)
        torch.testing.assert_close(got, expected)
        gradients = [torch.autograd.grad(total, logits)[0] for total in (got, expected)]
        torch.testing.assert_close(*gradients)

    def test_gradcheck(self):
        logits, labels = self.example()
        loss = self.loss(absent_weight=0.2)
        assert torch.autograd.gradcheck(lambda x: loss(self.output(x, self.negatives), labels), (logits,))

    def test_only_labelled_voxels_that_exclude_it_move_an_excluded_task(self):
        logits, labels = self.example()
        self.loss()(self.output(logits, self.negatives), labels).backward()
        moved = logits.grad[0, 1] != 0
        assert torch.equal(moved, labels[0, 0] == 1)
        assert (logits.grad[0, 1] >= 0).all()

    def test_an_absent_task_is_moved_by_all_voxels_that_are_not_ignored(self):
        logits, labels = self.example()
        self.loss()(self.output(logits, self.negatives), labels).backward()
        assert torch.equal(logits.grad[1, 1] > 0, labels[1, 0] != 5)

    def test_an_extra_task_without_a_voxel_that_counts_takes_no_part(self):
        logits, labels = self.example()
        labels[0][labels[0] == 1] = 2
        both = self.loss()(self.output(logits, self.negatives), labels)
        own = self.loss()(self.output(logits[:, :1], None, self.tasks[:, :1]), labels)
        absent = functional.softplus(logits[1, 1][labels[1, 0] != 5]).mean()
        torch.testing.assert_close(both, own + absent)

    def test_every_output_counts_them_by_its_weight(self):
        logits, labels = self.example()
        coarse = logits[..., ::2, ::2, ::2].detach() + 0.5, labels[..., ::2, ::2, ::2].clone()
        coarse[1][0, 0, 0, 0] = 1
        loss = self.loss(scale_weights=(0.75, 0.25), absent_weight=0.2)
        targets = [labels, coarse[1]]
        got = loss(self.output([logits, coarse[0]], self.negatives), targets)
        own = loss(self.output([logits[:, :1], coarse[0][:, :1]], None, self.tasks[:, :1]), targets)
        expected = 0.75 * self.plainly(logits, labels, 0.2) + 0.25 * self.plainly(*coarse, 0.2)
        torch.testing.assert_close(got - own, expected)
