"""Weights of plain nnU-Net as the start of a training."""
