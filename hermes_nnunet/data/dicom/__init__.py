"""DICOM: series of slices as volumes, and the structures that label objects (RTSTRUCT, SEG) name in them."""
