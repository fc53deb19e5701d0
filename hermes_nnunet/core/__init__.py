"""What several rooms need and what needs none of them.

Files that appear whole or not at all, the reader of image files (`images`), processes and the workers of a cluster
(`cluster`), nnU-Net's folders, checkpoints read without code, the wording of messages, Dice, pictures, and the paper's
facts (`paper`). May import the words
(errors, collection, plans) only. Hands out functions of one purpose each; a module here has at least two rooms that use
it.
"""
