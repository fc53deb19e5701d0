import contextlib
import json

import pytest

from hermes_nnunet.core.files import read_json, write_json, written_beside
from hermes_nnunet.errors import HermesError


class TestWrittenBeside:
    def test_file_appears_only_when_the_block_ends(self, tmp_path):
        target = tmp_path / "image.nii.gz"
        with written_beside(target) as temporary:
            temporary.write_text("half")
            assert not target.exists()
            assert temporary.name.endswith(".nii.gz")
        assert target.read_text() == "half"
        assert list(tmp_path.iterdir()) == [target]

    def test_an_error_leaves_the_old_file_and_nothing_else(self, tmp_path):
        target = tmp_path / "checkpoint.pth"
        target.write_text("old")
        with contextlib.suppress(RuntimeError), written_beside(target) as temporary:
            temporary.write_text("half of the new")
            raise RuntimeError
        assert target.read_text() == "old"
        assert list(tmp_path.iterdir()) == [target]

    def test_a_block_that_writes_nothing_changes_nothing(self, tmp_path):
        target = tmp_path / "checkpoint.pth"
        target.write_text("old")
        with written_beside(target):
            pass
        assert target.read_text() == "old"


class TestJson:
    def test_content_survives(self, tmp_path):
        content = {"b": [1, 2.5, None], "a": {"name": "leber"}}
        write_json(content, tmp_path / "x.json")
        assert read_json(tmp_path / "x.json", "") == content

    def test_a_missing_file_is_named_with_the_remedy(self, tmp_path):
        with pytest.raises(HermesError, match=r"x\.json does not exist: train first"):
            read_json(tmp_path / "x.json", "train first")

    def test_broken_json_is_named_with_the_remedy(self, tmp_path):
        (tmp_path / "x.json").write_text(json.dumps({"a": 1})[:-1])
        with pytest.raises(HermesError, match=r"x\.json is not valid JSON .*: merge again"):
            read_json(tmp_path / "x.json", "merge again")
