"""Figures of merit of segmentations."""
