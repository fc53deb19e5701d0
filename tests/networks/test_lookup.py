import pytest
import torch

from hermes_nnunet.networks.lookup import looked_up


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 3)])
@pytest.mark.parametrize("index", [[2], [[0, 4], [4, 2]]])
def test_rows_and_their_gradient_are_those_of_indexing(shape, index):
    torch.manual_seed(0)
    table, rows = torch.randn(shape, requires_grad=True), torch.tensor(index)
    found, expected = looked_up(table, rows), table[rows]
    assert torch.equal(found, expected)
    upper = torch.randn_like(found)
    gradients = [torch.autograd.grad(own, table, upper)[0] for own in (found, expected)]
    assert torch.equal(*gradients)


def test_an_index_that_is_not_there_is_an_error():
    with pytest.raises(IndexError):
        looked_up(torch.zeros(5, 3), torch.tensor([5]))
