"""A variant with a constructor of its own, as nnU-Net's variants have one."""

from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer


class HermesTrainerTiny(HermesTrainer):
    epochs = 16

    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_iterations_per_epoch = 30
        self.num_val_iterations_per_epoch = 2
