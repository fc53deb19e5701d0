"""The first step of a training that starts from another model."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hermes_nnunet.core.files import read_json, write_json
from hermes_nnunet.core.nnunet_files import SPLITS_FILE, read_splits
from hermes_nnunet.schema import OURS, Text, Whole, versioned
from hermes_nnunet.weights.starting.base import Base, base_of_environment

if TYPE_CHECKING:
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer

FORMAT_VERSION = 1
FILE_NAME = "hermes_start.json"


@dataclass(frozen=True)
class Beginning:
    """What a training has taken over, which it needs to know when it is continued.

    Attributes:
        base: the checkpoint that it started from.
        members: that the base knows.
        rows: name of a weight with rows -> those that were taken over.
    """

    base: Text
    members: tuple[Text, ...]
    rows: dict[Text, tuple[Whole, ...]]

    __pydantic_config__ = OURS

    def write(self, folder: Path) -> None:
        """Write it into a fold's folder."""
        write_json({"format_version": FORMAT_VERSION, **asdict(self)}, folder / FILE_NAME)

    @classmethod
    def read(cls, folder: Path) -> "Beginning":
        """The inverse of `write`.

        Raises:
            HermesError: the file is missing, damaged or of another format version.
        """
        path, remedy = folder / FILE_NAME, "begin the training anew, without --c"
        return versioned(cls, read_json(path, remedy), FORMAT_VERSION, str(path), remedy)


def begin(trainer: "HermesTrainer", base: Base) -> Beginning:
    """Give the network of a training the base's weights, and tell so in its log.

    Raises:
        HermesError: the base has another network.
    """
    taken = base.start(trainer.bare_network, trainer.hermes_plans)
    held_out = []
    if trainer.fold != "all":
        splits = read_splits(Path(trainer.preprocessed_dataset_folder_base) / SPLITS_FILE, "merge again")
        held_out = trainer.collection.labelled(splits[trainer.fold]["val"])
    plans = trainer.plans_manager.plans
    for line in base.remarks(taken, plans, trainer.configuration_name, trainer.collection, held_out):
        trainer.print_to_log_file(line)
    return Beginning(str(base.checkpoint), tuple(base.hermes_plans.members), taken.rows)


def begin_from_environment(trainer: "HermesTrainer") -> Beginning | None:
    """Start a training from the model that HERMES_START_FROM names, if it is set.

    Raises:
        HermesError: there is no such model, or it has another network.
    """
    base = base_of_environment(trainer.fold, trainer.plans_manager.plans_name, trainer.configuration_name)
    return None if base is None else begin(trainer, base)
