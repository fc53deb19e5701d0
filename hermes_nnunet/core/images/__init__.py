"""Image files as people's archives hold them: one reader for merge, prediction, Python, converters and nnU-Net.

`opening.open_image` opens a file of any format, checks its header and says where its voxels lie; `nifti_headers`
decides between the places where a NIfTI header says so; `labels` writes label maps on an image's grid.
"""

# Name of planning.image_reader_writer's class, by which dataset.json and plans ask nnU-Net for it.
READER_WRITER = "HermesImageIO"
