"""Planners of the paper's networks, as nnU-Net finds them by name (-pl)."""

from hermes_nnunet.networks.hermes_medformer import HermesMedFormer
from hermes_nnunet.networks.hermes_resunet import HermesResUNet
from hermes_nnunet.planning.paper_planner import PaperPlanner


class HermesPlannerPaperR(PaperPlanner):
    """Hermes-R: the residual U-Net."""

    plans_name = "HermesPaperRPlans"
    network_class = HermesResUNet


class HermesPlannerPaperM(PaperPlanner):
    """Hermes-M: MedFormer."""

    plans_name = "HermesPaperMPlans"
    network_class = HermesMedFormer
