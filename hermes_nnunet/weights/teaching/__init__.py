"""Teaching: an addition from a handful of labelled images, in minutes and without a data set of nnU-Net."""
