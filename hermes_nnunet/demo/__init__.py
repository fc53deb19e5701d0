"""The demonstration: phantom data sets and the whole way from them to segmentations."""
