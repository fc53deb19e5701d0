"""Merge partially labelled data sets into one collection."""

from hermes_nnunet.data.merge.merge_file import read_merge_file
from hermes_nnunet.data.merge.merging import MemberChanges, MergeResult, PartOfMerge, merge, merge_part
from hermes_nnunet.data.merge.specification import MemberSpecification, MergeSpecification, member_from_word

__all__ = [
    "MemberChanges",
    "MemberSpecification",
    "MergeResult",
    "MergeSpecification",
    "PartOfMerge",
    "member_from_word",
    "merge",
    "merge_part",
    "read_merge_file",
]
