from hermes_nnunet.labels.resampled_logits import resample_logits_by_task

__all__ = ["resample_logits_by_task"]
