"""Cases on the workers of dask.distributed: here, of a scheduler that runs already, or as jobs of a cluster.

`wish` reads what a person asks for, `opening` makes it a `cluster.Cluster`, which hands out one case after another.
dask is imported by `opening` and `cluster` only, inside their functions, so that nobody else needs it.
"""
