"""Weights from elsewhere: the paper's released ones, additions to a model, and what a training starts from.

May import prediction (for the views, and to try voxel orders), learning, planning, networks, data and core. Hands out
`importing.import_weights`, and of `additions` what trainers and commands need: `extending.extend`, `adding.add`,
`file.Addition`, `starting.start_addition` and `trained.finish_training`; `teaching.teaching.teach`; of `starting`
`start.write_start` for plain nnU-Net's weights and `beginning.begin` for a universal model's.
"""
