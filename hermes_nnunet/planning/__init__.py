"""From a collection to plans and preprocessed images, and from logits back to label values.

The planners' implementation, `preprocessing` (clipping, normalisation), `resampling` of images and logits, `labels`
(the label manager and its decision). May import networks, whose memory a plan estimates, and core. Hands out what the
plug-in points in `plugin`, `planners` and `trainers` offer to nnU-Net, and the same rules to prediction.
"""
