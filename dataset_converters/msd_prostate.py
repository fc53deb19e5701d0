"""Medical Segmentation Decathlon, task 5: 32 MR images (T2 and ADC) with the zones of the prostate."""

from hermes_nnunet.data.conversion.decathlon import decathlon_converter

CONVERTER = decathlon_converter("msd_prostate", task="Prostate", cases=32, channels=("T2", "ADC"), labels=("PZ", "TZ"))

if __name__ == "__main__":
    from hermes_nnunet.cli.convert import convert_with

    convert_with(CONVERTER)
