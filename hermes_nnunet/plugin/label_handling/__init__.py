"""Where nnU-Net looks for the label manager of Hermes."""
