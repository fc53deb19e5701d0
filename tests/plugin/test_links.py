import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hermes_nnunet.errors import HermesError
from hermes_nnunet.plugin.links import link_plugin, unlink_plugin
from hermes_nnunet.plugin.points import PLUGIN_POINTS

TRAINER, PLANNER = PLUGIN_POINTS[:2]
# what may lie at a place beforehand -> whether it is ours to replace or remove
BEFORE = {
    "nothing": True,
    "our link": True,
    "link to another checkout": True,
    "dangling link to a checkout": True,
    "foreign link": False,
    "dangling foreign link": False,
    "folder": False,
    "file": False,
}


def lay(what: str, place: Path, point, root: Path) -> None:
    """Put one of `BEFORE` at `place`."""
    if place.is_dir() and not place.is_symlink():
        (place / "theirs.py").unlink()
        place.rmdir()
    place.unlink(missing_ok=True)
    other = root.parent / "other"
    (other / point.folder).mkdir(parents=True, exist_ok=True)
    if what == "folder":
        place.mkdir()
        (place / "theirs.py").touch()
    elif what == "file":
        place.touch()
    elif what != "nothing":
        place.symlink_to(
            {
                "our link": root / point.folder,
                "link to another checkout": other / point.folder,
                "dangling link to a checkout": root.parent / "gone" / point.folder,
                "foreign link": other,
                "dangling foreign link": root.parent / "gone",
            }[what]
        )


def content(folder: Path) -> dict[str, str]:
    """Every path below `folder`, with the target of links."""
    paths = [Path(parent) / name for parent, *names in os.walk(folder) for name in (*names[0], *names[1])]
    return {str(path): os.readlink(path) if path.is_symlink() else "" for path in paths}


class TestLinkPlugin:
    def test_every_place_leads_to_our_folder(self, empty_nnunet, root):
        link_plugin(empty_nnunet, root)
        for point in PLUGIN_POINTS:
            assert (point.inside(empty_nnunet) / "module.py").samefile(root / point.folder / "module.py")

    def test_says_what_was_done_at_each_place(self, empty_nnunet, root):
        done = link_plugin(empty_nnunet, root)
        assert done[TRAINER.inside(empty_nnunet)] == f"linked to {root / 'trainers'}"
        assert len(done) == len(PLUGIN_POINTS)

    def test_a_second_run_changes_nothing(self, empty_nnunet, root):
        link_plugin(empty_nnunet, root)
        before = {point: point.inside(empty_nnunet).lstat() for point in PLUGIN_POINTS}
        done = link_plugin(empty_nnunet, root)
        assert all(text.endswith("already") for text in done.values())
        assert before == {point: point.inside(empty_nnunet).lstat() for point in PLUGIN_POINTS}

    @pytest.mark.parametrize("before", [what for what, ours in BEFORE.items() if ours])
    def test_replaces_what_is_ours(self, before, empty_nnunet, root):
        place = PLANNER.inside(empty_nnunet)
        lay(before, place, PLANNER, root)
        link_plugin(empty_nnunet, root)
        assert place.readlink() == root / "planners"

    @pytest.mark.parametrize("before", [what for what, ours in BEFORE.items() if not ours])
    def test_refuses_what_is_not_ours_and_links_nothing(self, before, empty_nnunet, root):
        lay(before, PLANNER.inside(empty_nnunet), PLANNER, root)
        tree = content(empty_nnunet)
        with pytest.raises(HermesError, match=r"hermes is there and is not a link of hermes_nnunet: remove it"):
            link_plugin(empty_nnunet, root)
        assert content(empty_nnunet) == tree

    def test_an_installation_inside_nnunet_needs_no_link(self, empty_nnunet):
        for point in PLUGIN_POINTS:
            point.inside(empty_nnunet).mkdir()
        done = link_plugin(empty_nnunet, root=empty_nnunet.parent)
        assert set(done.values()) == {"installed there, needs no link"}

    def test_an_editable_nnunet_is_linked_to_the_installation(self, empty_nnunet, tmp_path):
        site_packages = tmp_path / "installed"
        for point in PLUGIN_POINTS:
            (site_packages / point.installed_folder).mkdir(parents=True)
        link_plugin(empty_nnunet, site_packages)
        assert TRAINER.inside(empty_nnunet).readlink() == site_packages / TRAINER.installed_folder

    def test_an_nnunet_without_the_package_is_named(self, empty_nnunet, root):
        TRAINER.inside(empty_nnunet).parent.rmdir()
        with pytest.raises(HermesError, match=r"nnU-Net has no folder .*nnUNetTrainer: install nnunetv2>=2.8,<2.9"):
            link_plugin(empty_nnunet, root)

    def test_a_checkout_without_our_folder_is_named(self, empty_nnunet, tmp_path):
        with pytest.raises(HermesError, match=r"trainers is missing"):
            link_plugin(empty_nnunet, tmp_path / "nowhere")

    def test_a_place_that_cannot_be_written_is_named(self, empty_nnunet, root, monkeypatch):
        def denied(*args, **kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "symlink_to", denied)
        with pytest.raises(HermesError, match=r"nnUNetTrainer/hermes cannot be changed \(Permission denied\)"):
            link_plugin(empty_nnunet, root)


class TestUnlinkPlugin:
    def test_undoes_link(self, empty_nnunet, root):
        before = content(empty_nnunet)
        link_plugin(empty_nnunet, root)
        assert content(empty_nnunet) != before
        unlink_plugin(empty_nnunet)
        assert content(empty_nnunet) == before

    def test_leaves_our_folders_as_they_are(self, empty_nnunet, root):
        before = content(root)
        link_plugin(empty_nnunet, root)
        unlink_plugin(empty_nnunet)
        assert content(root) == before

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
    @given(st.lists(st.sampled_from(sorted(BEFORE)), min_size=len(PLUGIN_POINTS), max_size=len(PLUGIN_POINTS)))
    def test_removes_ours_and_nothing_else(self, empty_nnunet, root, before):
        places = [point.inside(empty_nnunet) for point in PLUGIN_POINTS]
        for what, place, point in zip(before, places, PLUGIN_POINTS, strict=True):
            lay(what, place, point, root)
        unlink_plugin(empty_nnunet)
        assert [os.path.lexists(place) for place in places] == [not BEFORE[what] for what in before]

    def test_says_where_a_link_led(self, empty_nnunet, root):
        link_plugin(empty_nnunet, root)
        assert unlink_plugin(empty_nnunet)[TRAINER.inside(empty_nnunet)] == f"removed the link to {root / 'trainers'}"
