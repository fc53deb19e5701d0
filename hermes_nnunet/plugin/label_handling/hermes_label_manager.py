from hermes_nnunet.planning.labels.label_manager import HermesLabelManager

__all__ = ["HermesLabelManager"]
