import hashlib

import torch

from hermes_nnunet.core.digests import digest_of_file, digest_of_json, digest_of_weights


def test_file_of_several_buffers(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert digest_of_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_json_in_any_order_of_keys():
    assert digest_of_json({"a": 1, "b": [2]}) == digest_of_json({"b": [2], "a": 1})
    assert digest_of_json({"a": 1}) != digest_of_json({"a": 2})


def test_weights_by_name_type_shape_and_bytes():
    # Files of additions name their base by this.
    expected = hashlib.sha256(b"a torch.float32 (1,)\n\x00\x00\x80?b torch.int64 ()\n\x07" + bytes(7)).hexdigest()
    assert digest_of_weights({"b": torch.tensor(7), "a": torch.tensor([1.0])}) == expected
    assert digest_of_weights({"b": torch.tensor(7), "a": torch.tensor([[1.0]])}) != expected
