import torch

from hermes_nnunet.learning.distributed.averaging import batch_means


class TestOneProcess:
    def test_means_are_of_what_counts(self):
        values = torch.tensor([[1.0, 2.0], [3.0, 100.0]])
        counting = torch.tensor([[True, True], [True, False]])
        pair, single = batch_means([(values, counting), (values[0], counting[0])])
        assert pair.item() == 2
        assert single.item() == 1.5

    def test_nothing_that_counts_gives_nought_and_stays_in_the_graph(self):
        values = torch.ones(3, requires_grad=True)
        (mean,) = batch_means([(values, torch.zeros(3, dtype=torch.bool))])
        mean.backward()
        assert mean.item() == 0
        assert values.grad.tolist() == [0, 0, 0]
