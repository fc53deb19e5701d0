"""From data sets to a collection.

`merge` makes a collection of nnU-Net raw data sets, `conversion` turns public data sets into nnU-Net raw ones (the
converters themselves are in dataset_converters), `dicom` reads series and their segmentations, `phantoms` draws data
sets for the demo and the tests. May import core. Hands out `merge.merge`, `conversion.Converter` with its volumes,
DICOM series.
"""
