import contextlib
import errno
import json
import math
import resource

import numpy as np
import pytest
import torch

from hermes_nnunet.core.files import folder_written_beside, read_json, write_json, written_beside
from hermes_nnunet.core.images.writing import save_voxels
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


class TestNames:
    """Errors of the file system name the file that was to be written, not a temporary one, whoever raises them."""

    @staticmethod
    def named(path, work):
        with pytest.raises(OSError) as raised, written_beside(path) as temporary:  # noqa: PT011 (looked at below)
            work(temporary)
        return raised.value.errno, raised.value.filename, raised.value.filename2

    def test_where_none_is_named(self, tmp_path):
        def write(temporary):
            raise OSError(errno.ENOSPC, "No space left on device")

        assert self.named(tmp_path / "a.json", write) == (errno.ENOSPC, str(tmp_path / "a.json"), None)

    def test_where_a_temporary_one_is_named(self, tmp_path):
        def copy(temporary):
            raise OSError(errno.ENOSPC, "No space left on device", "/there/a", None, str(temporary))

        assert self.named(tmp_path / "a.json", copy) == (errno.ENOSPC, str(tmp_path / "a.json"), None)

    def test_but_leave_those_that_name_another(self, tmp_path):
        other = tmp_path / "b"
        assert self.named(tmp_path / "a", lambda _: other.read_text()) == (errno.ENOENT, str(other), None)

    def test_where_it_is_within_a_folder_that_is_written_beside(self, tmp_path):
        with contextlib.suppress(OSError), folder_written_beside(tmp_path / "model") as folder:
            try:
                (folder / "plans.json").mkdir()
                write_json({}, folder / "plans.json")
            except OSError as error:
                named = error
                raise
        assert named.filename == str(tmp_path / "model" / "plans.json")

    def test_where_the_folder_cannot_be_written(self, tmp_path):
        (tmp_path / "file").touch()
        path = tmp_path / "file" / "a.json"
        assert self.named(path, lambda _: None) == (errno.ENOTDIR, str(path), None)

    @pytest.mark.parametrize("write", ["text", "torch", "nii", "nii.gz", "nrrd", "mha", "gipl"])
    def test_where_files_may_not_be_large(self, tmp_path, write):
        voxels = np.random.default_rng(0).integers(0, 255, (40, 40, 40), dtype=np.uint8)
        path = tmp_path / f"a.{write}"

        def work(temporary):
            if write == "text":
                temporary.write_text("x" * 64_000)
            elif write == "torch":
                torch.save({"weights": torch.rand(16_000)}, temporary)
            else:
                save_voxels(voxels, temporary, np.eye(4), {})

        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        try:
            code, named, _ = self.named(path, work)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        # Some libraries do not say why.
        assert code in (errno.EFBIG, errno.EIO)
        assert named == str(path)
        assert list(tmp_path.iterdir()) == []


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


DEEP = 3000
ODD_FILES = {
    "empty": (b"", "is empty"),
    "blank": (b" \n", "is empty"),
    "nul": (b"{\0}", "is not UTF-8 but UTF-16 or UTF-32: save it as UTF-8"),
    "utf-16": ('{"a": 1}'.encode("utf-16"), "is not UTF-8 but UTF-16 or UTF-32"),
    "utf-16 without a mark": ('{"a": 1}'.encode("utf-16-be"), "is not UTF-8 but UTF-16 or UTF-32"),
    "latin-1": ('{"a": "ü"}'.encode("latin-1"), r"is no text in UTF-8 \(byte 7 is none of it\)"),
    "deep": (b"[" * DEEP + b"]" * DEEP, r"is not valid JSON \(it is nested too deeply\)"),
    "deep enough to be parsed": (b"[" * 60 + b"]" * 60, r"is not valid JSON \(it is nested too deeply\)"),
    "long number": (b'{"a": ' + b"9" * 5000 + b"}", r"is not valid JSON \(a number of thousands of digits\)"),
    "key twice": (b'{"a": 1, "b": {"c": 1, "c": 2}}', r"is not valid JSON \(key 'c' stands twice\)"),
    "half a character": (rb'{"a": "\ud83d"}', r"is not valid JSON \(an escape sequence is half of a character\)"),
}


class TestOddFiles:
    @pytest.mark.parametrize(("content", "message"), ODD_FILES.values(), ids=ODD_FILES)
    def test_are_told_in_one_line_with_the_remedy(self, tmp_path, content, message):
        (tmp_path / "x.json").write_bytes(content)
        with pytest.raises(HermesError, match=rf"x\.json {message}.*merge again") as error:
            read_json(tmp_path / "x.json", "merge again")
        assert "\n" not in str(error.value)

    def test_a_folder_and_a_path_through_a_file_are_told(self, tmp_path):
        with pytest.raises(HermesError, match="is a folder, not a file: merge again"):
            read_json(tmp_path, "merge again")
        (tmp_path / "x").touch()
        with pytest.raises(HermesError, match=r"cannot be read \(Not a directory\): merge again"):
            read_json(tmp_path / "x" / "y.json", "merge again")

    def test_a_byte_order_mark_and_whole_characters_are_no_matter(self, tmp_path):
        (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf" + rb'{"a": "\ud83d\ude00", "b": "\\ud83d"}')
        assert read_json(tmp_path / "x.json", "") == {"a": "\N{GRINNING FACE}", "b": "\\ud83d"}

    def test_not_a_number_is_read_for_files_that_may_hold_it(self, tmp_path):
        (tmp_path / "x.json").write_text("[NaN]")
        assert math.isnan(read_json(tmp_path / "x.json", "")[0])

    def test_a_large_file_with_a_key_twice_is_told_at_once(self, tmp_path):
        pairs = ", ".join(f'"{number}": 0' for number in range(50_000))
        (tmp_path / "x.json").write_text(f'{{{pairs}, "49999": 1}}')
        with pytest.raises(HermesError, match="key '49999' stands twice"):
            read_json(tmp_path / "x.json", "")
