"""The eleven data sets of the paper, and what its release knows about them."""
