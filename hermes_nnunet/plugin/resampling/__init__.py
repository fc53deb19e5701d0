"""Where nnU-Net looks for the resampling functions of Hermes."""
