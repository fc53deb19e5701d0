"""Weights from elsewhere: the paper's released ones, and additions to a model, made into model folders of nnU-Net.

May import prediction (for the views, and to try voxel orders), learning, planning, networks, data and core. Hands out
`importing.import_weights`, and of `additions` what trainers and commands need: `extending.extend`, `adding.add`,
`file.Addition`, `starting.start_addition` and `trained.finish_training`.
"""
