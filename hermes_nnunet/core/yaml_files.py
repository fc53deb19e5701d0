"""Reading the YAML files that people write: a merge, a table of members, the settings of a release."""

import os
from collections import Counter
from collections.abc import Iterable
from typing import Any

import yaml

from hermes_nnunet.core.files import HALF_A_CHARACTER, MOST_LEVELS, TOO_DEEP, check_extent, read_text
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import quoted

# Far more than anybody writes, and read within a second.
_MOST_NODES = 10_000
_MOST_CHARACTERS = 100_000
_MOST_BITS = 64


def read_yaml(path: str | os.PathLike[str], remedy: str) -> Any:
    """Read a YAML file without running what it could name.

    Raises:
        HermesError: the file is missing or is not YAML, says a key twice, or is larger than people write, with what its
            anchors stand for; the message ends with `remedy`.
    """
    text = read_text(path, remedy)
    if len(text) > _MOST_CHARACTERS:
        raise HermesError(f"{path} has {len(text)} characters, more than anybody writes: {remedy}")
    loader = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        check_extent(root, _children, _MOST_NODES)
        return loader.construct_document(root)
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
    except (LookupError, AttributeError, TypeError):  # of PyYAML's constructors
        reason = "a value is not of the kind that its tag says"
    except RecursionError:
        reason = TOO_DEEP
    finally:
        if loader is not None:
            loader.dispose()
    raise HermesError(f"{path} is not valid YAML: {reason}: {remedy}")


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 041 as the id 41, not as an octal number, and refuses a key that stands twice."""

    def fetch_flow_collection_start(self, kind: type[yaml.Token]) -> None:
        # The time that PyYAML takes grows with the square of the levels.
        if self.flow_level > MOST_LEVELS:
            raise yaml.scanner.ScannerError(None, None, TOO_DEEP, self.get_mark())
        super().fetch_flow_collection_start(kind)

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, count in keys.items():
            if count > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {quoted(key)} stands twice", node.start_mark)
        return node

    def compose_scalar_node(self, anchor: str | None) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        try:
            node.value.encode()
        except UnicodeEncodeError:
            raise yaml.constructor.ConstructorError(None, None, HALF_A_CHARACTER, node.start_mark) from None
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        number = int(node.value) if node.value.isdecimal() else super().construct_yaml_int(node)
        if number.bit_length() > _MOST_BITS:
            raise yaml.constructor.ConstructorError(None, None, "a number is too large", node.start_mark)
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _children(node: yaml.Node) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else ()
