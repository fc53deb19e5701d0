"""Converters that bring data sets into the raw format of nnU-Net."""
