import io

import pytest
import torch

from hermes_nnunet.core.checkpoints import read_checkpoint
from hermes_nnunet.errors import HermesError


@pytest.fixture
def data():
    """The bytes of a checkpoint of one tensor."""
    stream = io.BytesIO()
    torch.save({"network_weights": {"a": torch.ones(3)}}, stream)
    return stream.getvalue()


@pytest.mark.parametrize("opcode", [b"h\x7f", b"a", b"s", b"R", b"Q"])
def test_a_damaged_pickle_is_named(data, tmp_path, opcode):
    """Whatever torch's unpickler raises of it: KeyError, IndexError, AttributeError ..."""
    start = data.index(b"network_weights") + len(b"network_weights")
    (tmp_path / "x.pth").write_bytes(data[:start] + opcode + data[start + len(opcode) :])
    with pytest.raises(
        HermesError, match=r"x\.pth (is damaged or not complete|holds more than a checkpoint)"
    ) as raised:
        read_checkpoint(tmp_path / "x.pth")
    assert "\n" not in str(raised.value)


def test_one_that_is_no_table_is_refused(tmp_path):
    torch.save(3, tmp_path / "x.pth")
    with pytest.raises(HermesError, match=r"x\.pth is no checkpoint of a training: it holds int, not a table"):
        read_checkpoint(tmp_path / "x.pth")
