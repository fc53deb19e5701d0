"""Pictures of images and segmentations."""
