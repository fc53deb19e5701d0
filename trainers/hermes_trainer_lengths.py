"""HermesTrainer with other numbers of epochs, named like nnU-Net's own variants."""

from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer


class HermesTrainer_5epochs(HermesTrainer):
    """HermesTrainer for 5 epochs."""

    epochs = 5


class HermesTrainer_10epochs(HermesTrainer):
    """HermesTrainer for 10 epochs."""

    epochs = 10


class HermesTrainer_50epochs(HermesTrainer):
    """HermesTrainer for 50 epochs."""

    epochs = 50


class HermesTrainer_250epochs(HermesTrainer):
    """HermesTrainer for 250 epochs."""

    epochs = 250
