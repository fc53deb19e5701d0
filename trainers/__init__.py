"""Trainers of Hermes, as nnU-Net finds them."""
