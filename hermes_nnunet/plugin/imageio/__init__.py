"""Where nnU-Net looks for the image reader of Hermes."""
