from pathlib import Path

from hermes_nnunet.plugin.points import PLUGIN_POINTS


class TestPluginPoints:
    def test_each_has_a_package_in_the_checkout(self, checkout):
        missing = [p.folder for p in PLUGIN_POINTS if not (checkout / p.folder / "__init__.py").is_file()]
        assert missing == []

    def test_each_lies_below_where_nnunet_begins_its_search(self):
        assert all(point.package.startswith(f"{point.searched_package}.") for point in PLUGIN_POINTS)

    def test_no_two_share_a_place(self):
        assert len({point.package for point in PLUGIN_POINTS}) == len(PLUGIN_POINTS)

    def test_place_is_told_from_nnunets_own_folder(self):
        trainer = next(point for point in PLUGIN_POINTS if point.what == "trainer")
        assert trainer.inside(Path("/x/nnunetv2")) == Path("/x/nnunetv2/training/nnUNetTrainer/hermes")
