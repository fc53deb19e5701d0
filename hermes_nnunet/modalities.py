"""The modality words that a merge knows; a merge may add others on purpose."""

from hermes_nnunet.collection import UNKNOWN_MODALITY

CT = "CT"
MR_MODALITIES = (
    "MRI",
    "T1",
    "T1c",
    "T2",
    "FLAIR",
    "PD",
    "DWI",
    "ADC",
    "SWI",
    "MRA",
    "cineMRI",
    "LGE-MRI",
)
KNOWN_MODALITIES = (CT, "PET", "SPECT", "US", *MR_MODALITIES, UNKNOWN_MODALITY)
