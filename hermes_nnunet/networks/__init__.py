"""The networks: prior tokens, fusion, heads, and the backbones around them.

One file for a part of the method's figure. Plans and model folders name the network classes by their path here, so
these paths stay. May import the words and core. Hands out `build.build_network`, the contexts' index tensors
(`context_batch`) and what every network offers to training and prediction (`contextual`).
"""
