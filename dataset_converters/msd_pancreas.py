"""Medical Segmentation Decathlon, task 7: 281 CT images with pancreas and its tumours."""

from hermes_nnunet.data.conversion.decathlon import decathlon_converter

CONVERTER = decathlon_converter(
    "msd_pancreas", task="Pancreas", cases=281, channels=("CT",), labels=("pancreas", "cancer")
)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
