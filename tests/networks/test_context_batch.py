import pytest
import torch

from hermes_nnunet.additions import AddedMember
from hermes_nnunet.collection import Context
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.context_batch import ContextIndexer


@pytest.fixture
def indexer():
    return ContextIndexer(["a", "b", "c", "d"], ["CT", "T1", "unknown"])


class TestIndices:
    def test_rows_follow_the_order_of_the_context_and_are_padded(self, indexer):
        batch = indexer([Context(("d", "b", "a"), "T1"), Context(("c",), "unknown")])
        assert batch.task_index.tolist() == [[3, 1, 0], [2, -1, -1]]
        assert batch.modality_index.tolist() == [1, 2]
        assert batch.real_rows.tolist() == [[True] * 3, [True, False, False]]

    def test_the_number_of_rows_can_be_fixed(self, indexer):
        assert indexer([Context(("c",), "CT")], rows=3).task_index.shape == (1, 3)

    def test_a_prediction_can_show_other_channels_than_the_context_has_rows(self, indexer):
        batch = indexer.for_prediction(Context(("d", "b"), "CT"), shown=("a", "b", "c", "d"))
        assert batch.task_index.tolist() == [[3, 1]]
        assert batch.channel_rows.tolist() == [-1, 1, -1, 0]

    def test_padding_of_a_prediction_adds_rows_but_no_channels(self, indexer):
        batch = indexer.for_prediction(Context(("d", "b"), "CT"), rows=3)
        assert batch.task_index.tolist() == [[3, 1, -1]]
        assert batch.channel_rows.tolist() == [0, 1]

    def test_a_context_with_more_tasks_than_rows_is_not_padded(self, indexer):
        assert indexer.for_prediction(Context(("d", "b", "a"), "CT"), rows=2).task_index.tolist() == [[3, 1, 0]]

    def test_an_unknown_task_is_named(self, indexer):
        with pytest.raises(HermesError, match=r"task 'x'.*a, b, c, d"):
            indexer([Context(("x",), "CT")])


class TestRepeating:
    def test_one_context_serves_a_whole_batch(self, indexer):
        batch = indexer([Context(("c", "a"), "T1")]).repeated(3)
        assert batch.task_index.tolist() == [[2, 0]] * 3
        assert torch.equal(batch.modality_index, torch.tensor([1, 1, 1]))

    def test_a_wrong_number_of_contexts_is_refused(self, indexer):
        with pytest.raises(ValueError, match="3 cases, but 2 contexts"):
            indexer([Context(("a",), "CT"), Context(("b",), "CT")]).repeated(3)


class TestAdditions:
    """Two additions that brought T2 each, beside a base of CT."""

    @pytest.fixture
    def indexer(self):
        first, second = (AddedMember(name, (f"{name}/x",), ("T2",), 4) for name in ("one", "two"))
        return ContextIndexer(["a", "one/x", "two/x"], ["CT", "T2", "unknown"], [first, second])

    def test_have_rows_of_their_own_for_a_modality(self, indexer):
        batches = [indexer([Context((task,), "T2")]) for task in ("one/x", "two/x")]
        assert [batch.modality_index.item() for batch in batches] == [1, 2]
        assert [batch.addition for batch in batches] == [0, 1]

    def test_share_the_rows_of_the_base(self, indexer):
        assert indexer([Context(("two/x",), "CT")]).modality_index.item() == 0
        assert indexer([Context(("two/x",), "unknown")]).modality_index.item() == indexer.unknown_modality == 3

    def test_base_takes_their_modality_for_unknown(self, indexer):
        batch = indexer([Context(("a",), "T2")])
        assert (batch.modality_index.item(), batch.addition) == (3, None)

    def test_are_not_mixed_in_a_batch(self, indexer):
        with pytest.raises(ValueError, match="tasks of the base, or of one addition"):
            indexer([Context(("a",), "CT"), Context(("one/x",), "CT")])

    def test_images_without_labels_are_the_additions_where_all_tasks_are_its_own(self, indexer):
        """As it is trained: its adapters act on them, and they have its row of the modality."""
        alone = ContextIndexer(["one/x"], ["CT", "T2", "unknown"], [AddedMember("one", ("one/x",), ("T2",), 4)])
        batch = alone([Context((), "T2"), Context((), "T2")])
        assert (batch.modality_index.tolist(), batch.addition) == ([1, 1], 0)
        assert indexer([Context((), "CT")]).addition is None
