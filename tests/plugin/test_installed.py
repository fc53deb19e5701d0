"""The plug-in as nnU-Net sees it, with nnU-Net's own searches."""

import importlib
import os
from importlib import metadata
from pathlib import Path

import pytest

import hermes_nnunet
from hermes_nnunet.plugin.points import PLUGIN_POINTS

pytestmark = pytest.mark.usefixtures("installed_nnunet")


def found_class(name: str, searched_package: str) -> type | None:
    """What nnU-Net finds when a plans file or an option names a class."""
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    folder = importlib.import_module(searched_package).__path__[0]
    return recursive_find_python_class(folder, name, searched_package)


class TestInstallation:
    @pytest.mark.skipif(not os.environ.get("HERMES_TEST_INSTALLED"), reason="run by 'make test'")
    def test_tests_import_the_installed_package(self, checkout):
        assert checkout / "hermes_nnunet" != Path(hermes_nnunet.__file__).parent

    @pytest.mark.skipif(not os.environ.get("HERMES_TEST_INSTALLED"), reason="run by 'make test'")
    def test_every_module_of_the_plug_in_folders_is_installed_and_will_be_uninstalled(self, checkout):
        recorded = {str(file) for file in metadata.files("hermes-nnunet")}
        wanted = {
            str(point.installed_folder / module.name)
            for point in PLUGIN_POINTS
            for module in (checkout / point.folder).glob("*.py")
        }
        assert wanted - recorded == set()

    @pytest.mark.skipif(not os.environ.get("HERMES_TEST_INSTALLED"), reason="run by 'make test'")
    def test_version_is_that_of_the_package(self):
        assert metadata.version("hermes-nnunet") == hermes_nnunet.__version__

    def test_folders_of_nnunet_hold_no_module_but_those_of_the_checkout(self, checkout, installed_nnunet):
        for point in PLUGIN_POINTS:
            installed = {module.name for module in point.inside(installed_nnunet).glob("*.py")}
            assert installed == {module.name for module in (checkout / point.folder).glob("*.py")}


class TestSearchesOfNnunet:
    @pytest.mark.parametrize("point", [p for p in PLUGIN_POINTS if p.class_name], ids=lambda point: point.what)
    def test_our_class_is_found(self, point):
        assert found_class(point.class_name, point.searched_package).__name__ == point.class_name

    def test_the_trainer_is_found_as_the_train_command_does(self):
        from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

        found = recursive_find_trainer_class_by_name("HermesTrainer")
        assert found.__module__ == "nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer"

    def test_converters_can_be_run_as_modules(self):
        assert importlib.import_module("nnunetv2.dataset_conversion.hermes").__path__

    @pytest.mark.parametrize(
        ("name", "searched_package", "module"),
        [
            (
                "nnUNetTrainer",
                "nnunetv2.training.nnUNetTrainer",
                "nnunetv2.training.nnUNetTrainer.nnUNetTrainer",
            ),
            (
                "nnUNetPlannerResEncM",
                "nnunetv2.experiment_planning",
                "nnunetv2.experiment_planning.experiment_planners.residual_unets.residual_encoder_unet_planners",
            ),
            (
                "DefaultPreprocessor",
                "nnunetv2.preprocessing",
                "nnunetv2.preprocessing.preprocessors.default_preprocessor",
            ),
            (
                "LabelManager",
                "nnunetv2.utilities.label_handling",
                "nnunetv2.utilities.label_handling.label_handling",
            ),
        ],
    )
    def test_stock_classes_are_still_nnunets_own(self, name, searched_package, module):
        assert found_class(name, searched_package).__module__ == module
