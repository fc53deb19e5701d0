"""Preprocessing that knows the modality of an image."""
