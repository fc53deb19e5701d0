"""The places inside nnU-Net's package where it looks for what Hermes adds.

setup.py runs this file before anything is installed, so it uses the standard library only.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class PluginPoint:
    """One package of ours that has to lie inside one of nnU-Net's.

    Attributes:
        what: its name for people.
        class_name: the class or function that nnU-Net is asked for; None where people run the modules themselves.
        searched_package: where nnU-Net's own search for it begins.
        package: dotted name under which nnU-Net sees our package.
        folder: our package's folder in a checkout of this repository, with forward slashes.
    """

    what: str
    class_name: str | None
    searched_package: str
    package: str
    folder: str

    @property
    def installed_folder(self) -> PurePosixPath:
        """Where an installation puts it, seen from the folder that holds nnU-Net's package."""
        return PurePosixPath(*self.package.split("."))

    def inside(self, nnunet_folder: Path) -> Path:
        """Where it has to lie inside nnU-Net's package, whose folder is `nnunet_folder`."""
        return nnunet_folder.joinpath(*self.installed_folder.parts[1:])


PLUGIN_POINTS = (
    PluginPoint(
        what="trainer",
        class_name="HermesTrainer",
        searched_package="nnunetv2.training.nnUNetTrainer",
        package="nnunetv2.training.nnUNetTrainer.hermes",
        folder="trainers",
    ),
    PluginPoint(
        what="planner",
        class_name="HermesPlanner",
        searched_package="nnunetv2.experiment_planning",
        package="nnunetv2.experiment_planning.experiment_planners.hermes",
        folder="planners",
    ),
    PluginPoint(
        what="preprocessor",
        class_name="HermesPreprocessor",
        searched_package="nnunetv2.preprocessing",
        package="nnunetv2.preprocessing.hermes",
        folder="hermes_nnunet/plugin/preprocessing",
    ),
    PluginPoint(
        what="image reader",
        class_name="HermesImageIO",
        searched_package="nnunetv2.imageio",
        package="nnunetv2.imageio.hermes",
        folder="hermes_nnunet/plugin/imageio",
    ),
    PluginPoint(
        what="resampling",
        class_name="resample_logits_by_task",
        searched_package="nnunetv2.preprocessing.resampling",
        package="nnunetv2.preprocessing.resampling.hermes",
        folder="hermes_nnunet/plugin/resampling",
    ),
    PluginPoint(
        what="label manager",
        class_name="HermesLabelManager",
        searched_package="nnunetv2.utilities.label_handling",
        package="nnunetv2.utilities.label_handling.hermes",
        folder="hermes_nnunet/plugin/label_handling",
    ),
    PluginPoint(
        what="data set converters",
        class_name=None,
        searched_package="nnunetv2.dataset_conversion",
        package="nnunetv2.dataset_conversion.hermes",
        folder="dataset_converters",
    ),
)
