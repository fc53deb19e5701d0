"""AMOS22, the CT images: 300 with 15 organs."""

from hermes_nnunet.data.conversion import Converter
from hermes_nnunet.data.conversion.amos import AMOS_FACTS, find_amos, is_ct

CONVERTER = Converter.of_paper(
    "amos_ct",
    title="AMOS22, CT",
    cases=300,
    find_cases=lambda source: find_amos(source, is_ct),
    **AMOS_FACTS,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
