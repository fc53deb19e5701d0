"""Where nnU-Net looks for the resampling of logits of Hermes."""
