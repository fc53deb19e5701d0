"""The paper's released weights: from a checkpoint of its authors to model folders of nnU-Net.

May import prediction (for the views, and to try voxel orders), planning, networks, data and core. Hands out
`importing.import_weights`.
"""
