"""YAML files: what people write is read, what explodes is not, at once."""

import time

import pytest
from mutations import exploding_yaml

from hermes_nnunet.core.yaml_files import read_yaml
from hermes_nnunet.errors import HermesError


@pytest.fixture
def read(tmp_path):
    def call(content: str | bytes):
        path = tmp_path / "x.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_yaml(path, "write it anew")

    return call


class TestRead:
    def test_anchors_stand_for_what_they_name(self, read):
        content = read("a: &organs {liver: 1, spleen: 2}\nb: *organs\nc: {<<: *organs, spleen: 3}")
        assert content["b"] == {"liver": 1, "spleen": 2}
        assert content["c"] == {"liver": 1, "spleen": 3}

    def test_a_number_with_a_leading_zero_is_decimal(self, read):
        assert read("[041, 0x10]") == [41, 16]

    def test_a_byte_order_mark_is_no_matter(self, read):
        assert read(b"\xef\xbb\xbfa: 1") == {"a": 1}

    def test_comments_alone_are_nothing(self, read):
        assert read("# nothing") is None


class TestRefused:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (exploding_yaml(), "it unfolds to too many entries"),
            ("a: &a [*a, *a]", "it (is nested too deeply|unfolds to too many entries)"),
            ("a: &a {b: 1}\nc: &c {<<: [" + "*a," * 5000 + "]}\nd: [*c, *c]", "it unfolds to too many entries"),
            ("[" * 5000, "it is nested too deeply"),
            ("- " * 3000, "it is nested too deeply"),
            ("{a: " * 3000, "it is nested too deeply"),
            ("- a\n" * 24_000, "it unfolds to too many entries"),
            ("a: 0x" + "f" * 5000, "a number is too large"),
            ("a: " + "9" * 5000, "Exceeds the limit|a number is too large"),
            ("a: 2020-99-99", "month must be in 1..12"),
            ("a: !!bool maybe", "a value is not of the kind that its tag says"),
            ("a: !!timestamp x", "a value is not of the kind that its tag says"),
            ("? [a]\n: 1", "found unhashable key"),
            ("a: {b: 1, b: 2}", "key 'b' stands twice"),
            (r'a: "\ud800"', "an escape sequence is half of a character"),
            ("a: *b", "found undefined alias"),
            ("a: 1\n---\nb: 2", "expected a single document"),
            ("a\x07: 1", "special characters are not allowed"),
        ],
        ids=lambda value: value[:20],
    )
    def test_within_a_second_and_in_one_line(self, read, content, message):
        start = time.process_time()
        with pytest.raises(HermesError, match=rf"x\.yaml is not valid YAML: .*({message}).*: write it anew") as error:
            read(content)
        assert time.process_time() - start < 2
        assert "\n" not in str(error.value)

    def test_more_than_anybody_writes(self, read):
        with pytest.raises(HermesError, match="has 100001 characters, more than anybody writes"):
            read("#" * 100_001)

    def test_utf_16(self, read):
        with pytest.raises(HermesError, match="is not UTF-8 but UTF-16"):
            read("a: 1".encode("utf-16"))
