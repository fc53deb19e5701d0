"""The planners that nnU-Net finds by name (-pl)."""

from hermes_nnunet.planning.planner import CollectionPlanner


class HermesPlanner(CollectionPlanner):
    """For GPUs with 8 GB or more."""

    plans_name = "HermesPlans"
    gpu_memory_gb = 8


class HermesPlannerS(CollectionPlanner):
    """For a laptop or the CPU: half the width, no more than 128 channels, fewer blocks."""

    plans_name = "HermesSPlans"
    gpu_memory_gb = 0.3
    base_num_features = 16
    max_num_features = 128
    blocks_per_stage = (1, 2, 2, 2, 2, 2, 2, 2)


class HermesPlannerL(CollectionPlanner):
    """For GPUs with 24 GB."""

    plans_name = "HermesLPlans"
    gpu_memory_gb = 24


class HermesPlannerXL(CollectionPlanner):
    """For GPUs with 40 GB."""

    plans_name = "HermesXLPlans"
    gpu_memory_gb = 40
