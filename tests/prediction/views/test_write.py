import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.views.write import MARKER, write_views

NAME = "HermesTrainer__HermesPlans__3d_fullres"


@pytest.fixture
def model(tmp_path, plans, dataset_json):
    """The folder of a universal model with two trained folds."""
    folder = tmp_path / "results" / "Dataset900_Both" / NAME
    for fold in (0, 1):
        (folder / f"fold_{fold}").mkdir(parents=True)
        (folder / f"fold_{fold}" / "checkpoint_final.pth").write_text(f"weights {fold}")
        (folder / f"fold_{fold}" / "progress.png").write_text("picture")
    for name, content in {"plans.json": plans, "dataset.json": dataset_json, "dataset_fingerprint.json": {}}.items():
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


class TestWriting:
    def test_every_member_gets_a_folder_where_its_own_model_would_lie(self, model, results):
        messages = write_views(model, results, [0])
        for member in ("Dataset011_abdomen", "Dataset012_brain"):
            view = results / member / NAME
            assert {p.name for p in view.iterdir()} == {
                MARKER,
                "plans.json",
                "dataset.json",
                "dataset_fingerprint.json",
                "fold_0",
            }
            assert (view / "fold_0/checkpoint_final.pth").read_text() == "weights 0"
            assert (view / "fold_0/progress.png").is_file()
        assert len(messages) == 2

    def test_plans_and_data_set_of_different_collections_are_refused(self, model, results, plans):
        del plans["hermes"]["members"]["brain"]
        (model / "plans.json").write_text(json.dumps(plans))
        with pytest.raises(HermesError, match=r"of different collections \(only one has the member 'brain'\)"):
            write_views(model, results, [0])
        assert not (results / "Dataset011_abdomen").exists()

    def test_a_member_without_labels_has_none(self, model, results):
        content = json.loads((model / "dataset.json").read_text())
        abdomen = content["hermes"]["members"]["abdomen"]
        content["hermes"]["members"]["images"] = {
            **abdomen,
            "name": "images",
            "dataset_name": "Dataset400_images",
            "tasks": [],
            "labels": {"background": 0},
        }
        (model / "dataset.json").write_text(json.dumps(content))
        messages = write_views(model, results, [0])
        assert [message.partition(":")[0] for message in messages] == ["abdomen", "brain"]
        assert not (results / "Dataset400_images").exists()

    def test_a_view_takes_no_space_and_outlives_the_universal_model(self, model, results):
        write_views(model, results, [0])
        view = results / "Dataset011_abdomen" / NAME / "fold_0/checkpoint_final.pth"
        assert view.samefile(model / "fold_0/checkpoint_final.pth")
        (model / "fold_0/checkpoint_final.pth").unlink()
        assert view.read_text() == "weights 0"

    def test_folds_add_up_and_weights_are_refreshed(self, model, results):
        write_views(model, results, [0])
        (model / "fold_0/checkpoint_final.pth").unlink()
        (model / "fold_0/checkpoint_final.pth").write_text("better weights")
        write_views(model, results, [1])
        write_views(model, results, [0])
        view = results / "Dataset011_abdomen" / NAME
        assert json.loads((view / MARKER).read_text())["folds"] == ["0", "1"]
        assert (view / "fold_0/checkpoint_final.pth").read_text() == "better weights"
        assert (view / "fold_1/checkpoint_final.pth").read_text() == "weights 1"

    def test_a_file_system_without_hard_links_gets_copies(self, model, results, monkeypatch):
        def refuse(*_):
            raise OSError("not supported")

        monkeypatch.setattr("os.link", refuse)
        write_views(model, results, [0])
        view = results / "Dataset011_abdomen" / NAME / "fold_0/checkpoint_final.pth"
        assert view.read_text() == "weights 0"
        assert not view.samefile(model / "fold_0/checkpoint_final.pth")


class TestFoldsOfAnotherModel:
    """A view outlives its model; one of the same name may be trained for other tasks, of as many rows."""

    @pytest.fixture
    def trained_again(self, model, results, plans):
        """The model, trained anew for other tasks, of fold 0 only."""
        for fold in (0, 1):
            torch.save({"init_args": {"plans": plans}}, model / f"fold_{fold}" / "checkpoint_final.pth")
        write_views(model, results, [0, 1])
        shutil.rmtree(model / "fold_1")
        block = plans["hermes"]
        block["tasks"] = [block["tasks"][1], block["tasks"][0], *block["tasks"][2:]]
        (model / "plans.json").write_text(json.dumps(plans))
        torch.save({"init_args": {"plans": plans}}, model / "fold_0" / "checkpoint_final.pth")
        return model

    def test_are_not_given_its_plans(self, trained_again, results):
        view = results / "Dataset011_abdomen" / NAME
        before = (view / "plans.json").read_text()
        message, _ = write_views(trained_again, results, [0])
        assert message.startswith(f"abdomen: {view} is left alone: {view / 'fold_1'}")
        assert "trained for other tasks" in message
        assert "--replace-views" in message
        assert (view / "plans.json").read_text() == before

    def test_go_where_views_are_replaced(self, trained_again, results):
        view = results / "Dataset011_abdomen" / NAME
        assert not any("left alone" in message for message in write_views(trained_again, results, [0], replace=True))
        assert [path.name for path in view.glob("fold_*")] == ["fold_0"]
        assert json.loads((view / MARKER).read_text())["folds"] == ["0"]

    def test_of_the_same_tasks_stay_also_where_views_are_replaced(self, model, results, plans):
        torch.save({"init_args": {"plans": plans}}, model / "fold_1" / "checkpoint_final.pth")
        write_views(model, results, [0, 1])
        (model / "plans.json").write_text(json.dumps({**plans, "plans_name": "Another"}))
        write_views(model, results, [0], replace=True)
        assert json.loads((results / "Dataset011_abdomen" / NAME / MARKER).read_text())["folds"] == ["0", "1"]


class TestAtTheSameTime:
    FOLDS = range(5)

    def test_folds_that_end_together_are_all_in_every_view(self, model, results):
        for fold in self.FOLDS:
            (model / f"fold_{fold}").mkdir(exist_ok=True)
            (model / f"fold_{fold}" / "checkpoint_final.pth").write_text(f"weights {fold}")
        for _ in range(4):
            ready = Barrier(len(self.FOLDS))

            def end(fold, ready=ready):
                ready.wait()
                return write_views(model, results, [fold])

            with ThreadPoolExecutor(len(self.FOLDS)) as threads:
                messages = [message for lines in threads.map(end, self.FOLDS) for message in lines]
            assert not [message for message in messages if "left alone" in message]
            for member in ("Dataset011_abdomen", "Dataset012_brain"):
                view = results / member / NAME
                assert json.loads((view / MARKER).read_text())["folds"] == [str(fold) for fold in self.FOLDS]
                for fold in self.FOLDS:
                    assert (view / f"fold_{fold}/checkpoint_final.pth").read_text() == f"weights {fold}"
                assert not list(view.glob(".writing-*"))
                shutil.rmtree(view)

    def test_a_view_that_was_cut_short_at_its_beginning_is_taken_up(self, model, results, monkeypatch):
        def killed(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as context:
            context.setattr("os.rename", killed)
            with pytest.raises(KeyboardInterrupt):
                write_views(model, results, [0])
        (results / "Dataset012_brain" / NAME).mkdir(parents=True)  # as releases without the lock left it
        assert all("left alone" not in message for message in write_views(model, results, [0]))
        assert (results / "Dataset012_brain" / NAME / "fold_0/checkpoint_final.pth").is_file()


class TestOtherModels:
    @pytest.fixture
    def other(self, model, results):
        """Another model of the same members, with one fold."""
        folder = results / "Dataset950_Others" / NAME
        (folder / "fold_0").mkdir(parents=True)
        (folder / "fold_0" / "checkpoint_final.pth").write_text("other weights")
        for name in ("plans.json", "dataset.json"):
            (folder / name).write_bytes((model / name).read_bytes())
        return folder

    def content(self, folder):
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def test_their_views_are_left_alone_and_named(self, model, other, results):
        write_views(model, results, [0, 1])
        view = results / "Dataset011_abdomen" / NAME
        before = self.content(view)
        messages = write_views(other, results, [0])
        assert self.content(view) == before
        assert all(
            "is a view of Dataset900_Both and is left alone: give it to Dataset950_Others" in m for m in messages
        )

    def test_are_replaced_where_asked_and_no_fold_of_theirs_stays(self, model, other, results):
        write_views(model, results, [0, 1])
        messages = write_views(other, results, [0], replace=True)
        view = results / "Dataset011_abdomen" / NAME
        marker = json.loads((view / MARKER).read_text())
        assert (marker["model"], marker["folds"]) == (str(other), ["0"])
        assert [path.name for path in view.glob("fold_*")] == ["fold_0"]
        assert (view / "fold_0/checkpoint_final.pth").read_text() == "other weights"
        assert sorted(path.name for path in view.parent.iterdir()) == [f".{NAME}.lock", NAME]
        assert not any("left alone" in message for message in messages)

    def test_come_back_where_writing_fails(self, model, other, results, monkeypatch):
        write_views(model, results, [0, 1])
        view = results / "Dataset011_abdomen" / NAME
        before = self.content(view)

        def fail(*_):
            raise OSError("no space left")

        monkeypatch.setattr("hermes_nnunet.prediction.views.write._write_fold", fail)
        with pytest.raises(OSError, match="no space left"):
            write_views(other, results, [0], replace=True)
        assert self.content(view) == before

    def test_a_model_knows_its_views_after_its_folder_was_moved(self, model, results, tmp_path):
        write_views(model, results, [0])
        results.rename(tmp_path / "moved")
        moved = tmp_path / "moved" / "Dataset900_Both" / NAME
        assert not any("left alone" in message for message in write_views(moved, tmp_path / "moved", [1]))
        assert json.loads((tmp_path / "moved" / "Dataset011_abdomen" / NAME / MARKER).read_text())["folds"] == [
            "0",
            "1",
        ]


class TestIds:
    @pytest.mark.parametrize("variable", ["raw", "preprocessed", "results"])
    def test_that_another_data_set_has_get_no_view(self, model, results, tmp_path, monkeypatch, variable):
        """nnU-Net refuses an id with two names."""
        if variable != "results":
            monkeypatch.setenv(f"nnUNet_{variable}", str(tmp_path / variable))
        other = (results if variable == "results" else tmp_path / variable) / "Dataset012_Mine"
        other.mkdir(parents=True)
        messages = write_views(model, results, [0])
        assert [m for m in messages if "left alone" in m] == [m for m in messages if m.startswith(f"brain: {other} is")]
        assert sorted(path.name for path in results.iterdir() if "Mine" not in path.name) == [
            "Dataset011_abdomen",
            "Dataset900_Both",
        ]


class TestRefusals:
    def test_a_folder_that_is_not_a_view_is_never_overwritten(self, model, results):
        trained = results / "Dataset011_abdomen" / NAME
        trained.mkdir(parents=True)
        (trained / "plans.json").write_text("mine")
        messages = write_views(model, results, [0])
        assert [p.name for p in trained.iterdir()] == ["plans.json"]
        assert (trained / "plans.json").read_text() == "mine"
        assert "was not made by Hermes and is left alone" in messages[0]
        assert (results / "Dataset012_brain" / NAME / MARKER).is_file()

    def test_an_untrained_fold_is_named_and_nothing_is_written(self, model, results):
        with pytest.raises(HermesError, match=r"fold_3/checkpoint_final\.pth does not exist: train fold 3"):
            write_views(model, results, [0, 3])
        assert not (results / "Dataset011_abdomen").exists()

    def test_a_model_of_stock_nnunet_is_refused(self, model, results):
        content = json.loads((model / "dataset.json").read_text())
        del content["hermes"]
        (model / "dataset.json").write_text(json.dumps(content))
        with pytest.raises(HermesError, match="no 'hermes' block"):
            write_views(model, results, [0])


def test_weights_that_were_deleted_from_a_view_are_named_by_nnunet_and_come_back_with_the_command(model, results):
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    write_views(model, results, [0])
    view = results / "Dataset011_abdomen" / NAME
    (view / "fold_0/checkpoint_final.pth").unlink()
    with pytest.raises(FileNotFoundError, match=rf"Dataset011_abdomen/{NAME}/fold_0/checkpoint_final\.pth"):
        nnUNetPredictor(device=torch.device("cpu")).initialize_from_trained_model_folder(str(view), (0,))
    write_views(model, results, [0])
    assert (view / "fold_0/checkpoint_final.pth").is_file()
