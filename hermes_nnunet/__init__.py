"""One universal segmentation network for many partially labelled medical data sets, as a plug-in of nnU-Net v2."""

__version__ = "0.1.0"
