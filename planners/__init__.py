"""Experiment planners of Hermes, as nnU-Net finds them."""
