"""The trainer of `hermes_nnunet demo`."""

from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer

from hermes_nnunet.learning.training.demo_schedule import EPOCHS, ITERATIONS_PER_EPOCH, VALIDATION_ITERATIONS_PER_EPOCH


class HermesTrainerDemo(HermesTrainer):
    """HermesTrainer for a few minutes on a CPU."""

    epochs = EPOCHS
    iterations_per_epoch = ITERATIONS_PER_EPOCH
    validation_iterations_per_epoch = VALIDATION_ITERATIONS_PER_EPOCH
