from importlib import metadata, util
from importlib.machinery import ModuleSpec

import pytest

from hermes_nnunet.errors import HermesError
from hermes_nnunet.plugin.places import nnunet_folder, plugin_folder
from hermes_nnunet.plugin.points import PLUGIN_POINTS

POINT = PLUGIN_POINTS[0]


def no_such_distribution(name):
    raise metadata.PackageNotFoundError(name)


class TestPluginFolder:
    def test_is_the_checkouts_where_nothing_is_installed(self, root):
        assert plugin_folder(POINT, root) == root / POINT.folder

    def test_is_the_installed_one_where_there_is_one(self, root):
        installed = root / POINT.installed_folder
        installed.mkdir(parents=True)
        assert plugin_folder(POINT, root) == installed

    def test_a_link_is_no_installation(self, root):
        installed = root / POINT.installed_folder
        installed.parent.mkdir(parents=True)
        installed.symlink_to(root / "planners")
        assert plugin_folder(POINT, root) == root / POINT.folder


class TestNnunetFolder:
    def test_is_the_folder_of_the_imported_package(self):
        import nnunetv2

        assert str(nnunet_folder()) == nnunetv2.__path__[0]

    def test_without_nnunet_says_how_to_install_it(self, monkeypatch):
        monkeypatch.setattr(util, "find_spec", lambda name: None)
        monkeypatch.setattr(metadata, "version", no_such_distribution)
        with pytest.raises(HermesError, match="nnU-Net is not installed here: run pip install"):
            nnunet_folder()

    def test_our_installed_folders_alone_are_not_nnunet(self, monkeypatch):
        monkeypatch.setattr(util, "find_spec", lambda name: ModuleSpec(name, None, is_package=True))
        monkeypatch.setattr(metadata, "version", no_such_distribution)
        with pytest.raises(HermesError, match="nnU-Net is not installed here"):
            nnunet_folder()

    def test_names_the_folder_that_hides_an_editable_nnunet(self, monkeypatch):
        hiding = ModuleSpec("nnunetv2", None, is_package=True)
        hiding.submodule_search_locations = ["/env/site-packages/nnunetv2"]
        monkeypatch.setattr(util, "find_spec", lambda name: hiding)
        monkeypatch.setattr(metadata, "version", lambda name: "2.8.1")
        with pytest.raises(HermesError, match="/env/site-packages/nnunetv2 hides an editable nnU-Net"):
            nnunet_folder()
