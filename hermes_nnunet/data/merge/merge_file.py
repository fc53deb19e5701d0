"""A merge as a YAML file."""

import os
from collections.abc import Sequence
from typing import Any

from hermes_nnunet.core.yaml_files import read_yaml
from hermes_nnunet.data.merge.specification import MergeSpecification
from hermes_nnunet.schema import checked


def read_merge_file(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    into: int | None = None,
    new_modalities: Sequence[str] = (),
    spacing_from: str | None = None,
) -> MergeSpecification:
    """Read a merge from a YAML file; what is given here wins over the file's, but `new_modalities` add to it.

    The keys are the fields of MergeSpecification and MemberSpecification.

    Raises:
        HermesError: the file is missing or is no YAML, or a key or value in it is not possible.
    """
    content = read_yaml(path, "give --members the YAML file of the merge")
    remedy = "docs/merge.md explains the keys"
    if isinstance(content, dict):
        given = _said({"name": name, "into": into, "spacing_from": spacing_from})
        content = {**_said(content), **given}
        if not {"name", "into"} <= content.keys():
            remedy += ", and --name and --into give these two without the file"
        if isinstance(content.get("members"), list):
            content["members"] = [_said(member) for member in content["members"]]
        words = content.get("new_modalities", [])
        if isinstance(words, list):
            content["new_modalities"] = [*words, *new_modalities]
    return checked(MergeSpecification, content, str(path), remedy)


def _said(content: Any) -> Any:
    """Without the keys that have no value, which say nothing."""
    return {key: value for key, value in content.items() if value is not None} if isinstance(content, dict) else content
