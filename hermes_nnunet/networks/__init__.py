"""The networks: prior tokens, fusion, heads, and the backbones around them.

One file for each part of the method's figure. Plans and model folders name the network classes by their path here, so
these paths must not change. May import core and the vocabulary. Hands out `build.build_network`, the contexts' index
tensors (`context_batch`) and what every network offers to training and prediction (`contextual`).
"""
