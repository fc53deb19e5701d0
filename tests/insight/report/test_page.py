import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from matplotlib.image import imread

from hermes_nnunet.cli import main as cli
from hermes_nnunet.learning.training.learning_curves import FILE_NAME

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; a tag that is closed in the wrong place is an error."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(path.read_text())
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def images(self):
        return [attributes for tag, attributes in self.tags if tag == "img"]


@pytest.fixture
def write(model, raw, tmp_path, monkeypatch):
    """A function that runs the command on the model and reads the page."""
    monkeypatch.setenv("nnUNet_raw", str(raw))

    def write(*options):
        assert cli.main(["report", str(model), "-o", str(tmp_path / "report.html"), *options]) == 0
        return Page(tmp_path / "report.html")

    return write


class TestPage:
    def test_never_calls_training_cases_held_out(self, write, model):
        assert "Dice on held-out cases" in write().text
        (model / "fold_0").rename(model / "fold_all")
        page = write().text
        assert "held-out" not in page
        assert "Dice on training cases" in page

    def test_names_the_checkpoint_that_was_validated_where_it_is_not_the_final_one(self, write, model):
        assert "is that of checkpoint" not in write().text
        summary = model / "fold_0" / "validation" / "summary.json"
        summary.write_text(json.dumps({**json.loads(summary.read_text()), "hermes_checkpoint": "checkpoint_best.pth"}))
        text = write().text
        assert "The Dice of fold 0 is that of checkpoint_best.pth; nothing is known of its final checkpoint." in text
        assert "0.438 mean Dice over data sets" in text

    def test_needs_nothing_but_itself(self, write, tmp_path):
        page = write()
        without_images = re.sub(r"base64,[A-Za-z0-9+/=]+", "", (tmp_path / "report.html").read_text())
        assert not re.search(r"//|@import|url\(", without_images)
        assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object"})
        assert all(image["src"].startswith("data:image/") for image in page.images())
        targets = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
        assert targets == {f"#{attributes['id']}" for _, attributes in page.tags if "id" in attributes}

    def test_holds_members_tasks_and_numbers(self, write):
        text = write().text
        assert "abdomen Dataset011_abdomen CT 3 2 75 % liver, spleen" in text
        assert "brain Dataset012_brain T1 2 1 25 % whole, core" in text
        assert "abdomen 2 0.500 liver 2 0.750 0.354 0.750 0.500 1.000 spleen 1 0.250 - 0.250 0.250 0.250" in text
        assert "brain 1 0.375 whole 1 0.125 - 0.125 0.125 0.125 core 1 0.625" in text
        assert "0.438 mean Dice over data sets" in text

    def test_has_the_shares_by_which_the_papers_trainer_draws(self, collection):
        """By the paper's weight of a case, 1.5 and 0.1, where the members are the paper's."""
        from hermes_nnunet.insight.report.page import _shares

        names = {"abdomen": "bcv", "brain": "autopet"}
        papers = replace(
            collection,
            members={names[name]: replace(member, name=names[name]) for name, member in collection.members.items()},
            cases={name: replace(case, member=names[case.member]) for name, case in collection.cases.items()},
        )
        share = 3 * 1.5 / (3 * 1.5 + 2 * 0.1)
        assert _shares("HermesTrainerPaper__HermesPlans__3d_fullres", papers) == {
            "bcv": pytest.approx(share),
            "autopet": pytest.approx(1 - share),
        }
        assert _shares("HermesTrainer__HermesPlans__3d_fullres", papers)["bcv"] == pytest.approx(0.75)
        assert _shares("HermesTrainerPaper__HermesPlans__3d_fullres", collection)["abdomen"] == pytest.approx(0.75)

    def test_tells_what_cases_annotate(self, write, model, dataset_json):
        cases = dataset_json["hermes"]["cases"]
        cases["abdomen__a"]["annotated"], cases["abdomen__b"]["annotated"] = ["abdomen/liver"], []
        (model / "dataset.json").write_text(json.dumps(dataset_json))
        text = write().text
        assert "liver (annotated in 2 cases) , spleen (annotated in 1 cases)" in text
        assert "spleen 0 - - - - -" in text  # of case a, which does not annotate it, and c, which shows none

    def test_holds_settings_and_the_versions_of_training_and_report(self, write):
        text = write().text
        assert "patch 16 x 16 x 16 voxels" in text
        assert "intensities, CT clipped to -991 to 500" in text
        assert "versions, training of fold 0 hermes_nnunet" in text
        assert "versions, report hermes_nnunet" in text

    def test_tells_of_a_normalisation_that_all_images_share(self):
        from hermes_nnunet.insight.report.page import _rule

        told = _rule({"range": [-125, 1590], "mean": 150, "std": 350})
        assert told == "clipped to -125 to 1590, mean 150 and deviation 350 of all images"
        assert _rule({"range": [-991, 500], "channels": [0, 1]}) == "clipped to -991 to 500, only channel 0, 1"

    def test_pictures_are_whole(self, write, tmp_path):
        images = {image["alt"]: image["src"] for image in write().images()}
        assert list(images) == [
            "Learning curves of fold 0",
            "Box plots of Dice by member and task",
            "Best and worst case of abdomen",
            "Best and worst case of brain",
        ]
        for source in images.values():
            kind, _, content = source.partition(";base64,")
            decoded = base64.b64decode(content, validate=True)
            if kind == "data:image/svg+xml":
                assert ElementTree.fromstring(decoded).tag.endswith("svg")
            else:
                (tmp_path / "picture.png").write_bytes(decoded)
                assert imread(tmp_path / "picture.png").ndim == 3

    def test_best_and_worst_make_two_rows_and_an_only_case_one(self, write, tmp_path):
        heights = []
        for image in write().images()[2:]:
            (tmp_path / "picture.png").write_bytes(base64.b64decode(image["src"].partition(",")[2]))
            heights.append(imread(tmp_path / "picture.png").shape[0])
        assert heights[0] == 2 * heights[1]

    def test_is_the_same_from_the_same_model(self, write, tmp_path):
        write()
        first = (tmp_path / "report.html").read_text()
        write()
        assert (tmp_path / "report.html").read_text() == first

    def test_names_are_text_and_never_markup(self, write, model):
        for name in ("plans.json", "dataset.json"):
            path = model / name
            path.write_text(path.read_text().replace("Dataset012_brain", "Dataset012_<b>rain"))
        assert "Dataset012_<b>rain" in write().text


class TestWhatIsMissing:
    def test_curves_by_member_of_an_older_model(self, write, model):
        (model / "fold_0" / FILE_NAME).unlink()
        page = write()
        assert "were not recorded when this fold was trained" in page.text
        assert page.images()[0]["alt"] == "Learning curves of fold 0"

    def test_a_validation(self, write, model):
        (model / "fold_0" / "validation" / "summary.json").unlink()
        page = write()
        assert "Fold 0 has not been validated yet" in page.text
        assert len(page.images()) == 1

    def test_images_that_are_elsewhere_now(self, write, monkeypatch, tmp_path):
        monkeypatch.setenv("nnUNet_raw", str(tmp_path / "other"))
        assert write().text.count("An image cannot be shown: ") == 2
        monkeypatch.delenv("nnUNet_raw")
        assert write().text.count("nnUNet_raw is not set, so the images cannot be found") == 2


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"), [(["-o", "none/report.html"], "does not exist"), (["-f", "4"], "has no fold 4")]
    )
    def test_are_one_line_and_leave_nothing(self, model, tmp_path, monkeypatch, capsys, options, message):
        monkeypatch.chdir(tmp_path)
        assert cli.main(["report", str(model), *options]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not list(tmp_path.rglob("*.html"))
