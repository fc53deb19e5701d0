from hermes_nnunet.cli import link, unlink
from hermes_nnunet.cli.main import main
from hermes_nnunet.plugin.points import PLUGIN_POINTS


def fake_places(tmp_path, monkeypatch):
    """An empty nnU-Net and a checkout for the commands to work on."""
    nnunet, root = tmp_path / "nnunetv2", tmp_path / "checkout"
    for point in PLUGIN_POINTS:
        point.inside(nnunet).parent.mkdir(parents=True, exist_ok=True)
        (root / point.folder).mkdir(parents=True)
    monkeypatch.setattr(link, "nnunet_folder", lambda: nnunet)
    monkeypatch.setattr(link, "hermes_root", lambda: root)
    monkeypatch.setattr(unlink, "nnunet_folder", lambda: nnunet)
    return nnunet, root


class TestLinkAndUnlink:
    def test_print_a_line_for_each_place(self, tmp_path, monkeypatch, capsys):
        nnunet, root = fake_places(tmp_path, monkeypatch)
        place = nnunet / "training" / "nnUNetTrainer" / "hermes"

        assert main(["link"]) == 0
        printed = capsys.readouterr().out.splitlines()
        assert printed[0] == f"{place}: linked to {root / 'trainers'}"
        assert len(printed) == len(PLUGIN_POINTS)

        assert main(["unlink"]) == 0
        assert capsys.readouterr().out.splitlines()[0] == f"{place}: removed the link to {root / 'trainers'}"
        assert not place.is_symlink()

    def test_a_taken_place_is_one_line_of_error(self, tmp_path, monkeypatch, capsys):
        nnunet, _ = fake_places(tmp_path, monkeypatch)
        place = nnunet / "preprocessing" / "hermes"
        place.mkdir()
        assert main(["link"]) == 1
        assert capsys.readouterr().err.startswith(f"hermes_nnunet: error: {place} is there and is not a link")
