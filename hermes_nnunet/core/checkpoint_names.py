"""Names of the checkpoints that nnU-Net writes into a fold's folder; apart from their reading, which loads torch."""

FINAL = "checkpoint_final.pth"
LATEST = "checkpoint_latest.pth"
BEST = "checkpoint_best.pth"
# The first that a model has is what commands read.
NAMES = (FINAL, LATEST, BEST)
