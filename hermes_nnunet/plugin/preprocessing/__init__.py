"""Where nnU-Net looks for the preprocessor of Hermes."""
