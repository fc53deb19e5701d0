"""StructSeg 2019, task 3: 50 CT images of the thorax with 6 organs at risk."""

from hermes_nnunet.data.conversion import Converter
from hermes_nnunet.data.conversion.structseg import STRUCTSEG_FACTS, find_structseg

TASK = "Thoracic_OAR"

CONVERTER = Converter.of_paper(
    "structseg_oar",
    title="StructSeg 2019, organs at risk of the thorax",
    cases=50,
    layout=(f"{TASK}/1/data.nii.gz, {TASK}/1/label.nii.gz",),
    find_cases=lambda source: find_structseg(source, TASK),
    **STRUCTSEG_FACTS,
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
