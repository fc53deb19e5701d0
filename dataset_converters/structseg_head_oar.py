"""StructSeg 2019, task 1: 50 CT images of the head with 22 organs at risk."""

from hermes_nnunet.data.conversion import Converter
from hermes_nnunet.data.conversion.structseg import STRUCTSEG_FACTS, find_structseg

TASK = "HaN_OAR"

CONVERTER = Converter.of_paper(
    "structseg_head_oar",
    title="StructSeg 2019, organs at risk of the head and neck",
    cases=50,
    layout=(f"{TASK}/1/data.nii.gz, {TASK}/1/label.nii.gz",),
    find_cases=lambda source: find_structseg(source, TASK),
    **STRUCTSEG_FACTS,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
