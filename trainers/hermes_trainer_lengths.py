"""HermesTrainer with other numbers of epochs, named as nnU-Net names such variants."""

from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer


class HermesTrainer_5epochs(HermesTrainer):
    epochs = 5


class HermesTrainer_10epochs(HermesTrainer):
    epochs = 10


class HermesTrainer_50epochs(HermesTrainer):
    epochs = 50


class HermesTrainer_250epochs(HermesTrainer):
    epochs = 250
