"""Telling the modality of an image from its intensities and its geometry."""
