"""Hermes against nnU-Net's single models, on real images: what benchmarks/accuracy.py is made of."""
