from hermes_nnunet.planning.resampling.images import resample_linear
from hermes_nnunet.planning.resampling.logits import resample_logits_by_task

__all__ = ["resample_linear", "resample_logits_by_task"]
