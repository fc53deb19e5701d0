"""AMOS22, the MR images: 60 with 13 organs; bladder and prostate or uterus are outside of most of them."""

from hermes_nnunet.core.paper.members import paper_members
from hermes_nnunet.data.conversion import Converter
from hermes_nnunet.data.conversion.amos import AMOS_FACTS, find_amos, is_ct

_MEMBERS = paper_members()
_KEPT = _MEMBERS["amos_mr"].labels

CONVERTER = Converter.of_paper(
    "amos_mr",
    title="AMOS22, MR",
    channels=("MRI",),
    cases=60,
    # Values are those of the CT images.
    values={value: name if name in _KEPT else None for value, name in enumerate(_MEMBERS["amos_ct"].labels, start=1)},
    find_cases=lambda source: find_amos(source, lambda number: not is_ct(number)),
    **AMOS_FACTS,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
