"""What several rooms need, and what depends on none of them.

Files that appear whole or not at all, the reader of image files (`images`), processes and the workers of a cluster
(`cluster`), nnU-Net's folders, checkpoints read without running code, the wording of messages, Dice, pictures, and
facts from the paper (`paper`). May import only the vocabulary (errors, collection, plans). Hands out functions with one
purpose each; at least two rooms use each module here.
"""
