from hermes_nnunet.labels.label_manager import HermesLabelManager

__all__ = ["HermesLabelManager"]
