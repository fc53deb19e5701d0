"""Segmentation of images with a trained model: any of its members or tasks, in as few passes as possible."""
