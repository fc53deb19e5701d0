"""Merge partially labelled data sets into one collection."""

from hermes_nnunet.data.merge.merge_file import read_merge_file
from hermes_nnunet.data.merge.merging import MemberChanges, MergeResult, merge
from hermes_nnunet.data.merge.specification import MemberSpecification, MergeSpecification, member_from_word

__all__ = [
    "MemberChanges",
    "MemberSpecification",
    "MergeResult",
    "MergeSpecification",
    "member_from_word",
    "merge",
    "read_merge_file",
]
