"""Released weights of the paper's networks as nnU-Net models."""
