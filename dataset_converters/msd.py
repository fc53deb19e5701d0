"""Any task of the Medical Segmentation Decathlon."""

from hermes_nnunet.conversion.decathlon import decathlon_converter

CONVERTER = decathlon_converter("msd", task=None)

if __name__ == "__main__":
    CONVERTER.main()
