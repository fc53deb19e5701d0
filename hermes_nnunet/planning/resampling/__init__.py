"""Images, label maps and logits on other voxels: nnU-Net's linear resampling, computed where it is looked at."""
