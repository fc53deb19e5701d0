"""Any task of the Medical Segmentation Decathlon."""

from hermes_nnunet.data.conversion.decathlon import decathlon_converter

CONVERTER = decathlon_converter("msd", task=None)

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
