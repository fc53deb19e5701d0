import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.distributed import shared_folders
from hermes_nnunet.learning.distributed.inputs import Inputs, find_inputs
from hermes_nnunet.learning.distributed.meeting import Meeting, Place
from hermes_nnunet.learning.distributed.shared_folders import check_shared_folders

MACHINES = ("north", "south", "west")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(shared_folders, "PATIENCE_S", 0.1)


@pytest.fixture
def views(tmp_path):
    """What three machines see when everything is shared."""
    digests = {"HermesPlans.json": "a", "splits_final.json": "b"}
    return [Inputs(machine, str(tmp_path / "results"), "/data/Dataset900_X", digests) for machine in MACHINES]


def meet(looks, timeout=timedelta(seconds=20)):
    """Every machine's error, or None; each is a thread here."""
    from torch.distributed import HashStore

    store = HashStore()
    store.set_timeout(timeout)

    def one(rank):
        place = Place(rank, len(MACHINES), 0)
        try:
            check_shared_folders(Meeting(store, place), place, MACHINES[rank], looks[rank])
        except HermesError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(len(MACHINES)) as pool:
        return list(pool.map(one, range(len(looks))))


def looking(views):
    return [lambda view=view: view for view in views]


class TestAgreement:
    def test_shared_folders_are_fine_and_nothing_is_left_in_them(self, views, tmp_path):
        assert meet(looking(views)) == [None] * 3
        assert list((tmp_path / "results").iterdir()) == []

    def test_every_process_names_the_machine_with_another_results_folder(self, views, tmp_path):
        views[1] = replace(views[1], results=str(tmp_path / "own"))
        messages = meet(looking(views))
        assert len(set(messages)) == 1
        assert messages[0] == (
            f"machine south: nnUNet_results={tmp_path}/own does not show what machine north writes into "
            f"{tmp_path}/results: set nnUNet_results to one folder that all machines share"
        )
        assert list((tmp_path / "results").iterdir()) == []

    def test_every_process_names_the_machine_and_file_that_differ(self, views, tmp_path):
        views[2] = replace(views[2], digests={"HermesPlans.json": "a", "splits_final.json": "c"})
        messages = meet(looking(views))
        assert len(set(messages)) == 1
        assert "machine west: /data/Dataset900_X/splits_final.json is not the same as on machine north" in messages[0]
        assert not (tmp_path / "results").exists()

    def test_every_process_tells_what_one_could_not_find(self, views):
        def look():
            raise HermesError("nnUNet_results is not set")

        assert meet([look, *looking(views[1:])]) == ["machine north: nnUNet_results is not set"] * 3

    def test_a_results_folder_that_cannot_be_written_is_told(self, views, tmp_path):
        (tmp_path / "results").write_text("a file")
        messages = meet(looking(views))
        assert len(set(messages)) == 1
        assert messages[0].startswith(f"machine north: cannot write into nnUNet_results={tmp_path}/results")

    def test_a_process_that_never_answers_is_not_waited_for_without_end(self, views):
        messages = meet(looking(views[:2]), timeout=timedelta(seconds=0.5))
        assert all("not all of the 3 processes answered" in message for message in messages)


class TestInputs:
    @pytest.fixture
    def folder(self, tmp_path, monkeypatch):
        for name in ("raw", "preprocessed", "results"):
            monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
        folder = tmp_path / "preprocessed/Dataset900_X"
        (folder / "images").mkdir(parents=True)
        configurations = {"3d_fullres": {"data_identifier": "images"}}
        plans = {"dataset_name": folder.name, "configurations": configurations}
        (folder / "HermesPlans.json").write_text(json.dumps(plans))
        for name in ("dataset.json", "splits_final.json"):
            (folder / name).write_text("{}")
        return folder

    @staticmethod
    def find(configuration="3d_fullres", weights=None):
        return find_inputs("900", "HermesPlans", configuration, weights)

    def test_names_the_folders_and_what_is_in_them(self, folder, tmp_path):
        inputs = self.find()
        assert inputs.results == str(tmp_path / "results")
        assert inputs.dataset == str(folder)
        assert set(inputs.digests) == {"HermesPlans.json", "dataset.json", "splits_final.json", "images"}

    @pytest.mark.parametrize("changed", ["HermesPlans.json", "dataset.json", "splits_final.json", "images"])
    def test_a_change_of_a_file_or_of_the_cases_changes_its_digest(self, folder, changed):
        before = self.find().digests
        if changed == "images":
            (folder / "images/case.b2nd").touch()
        else:
            (folder / changed).write_text((folder / changed).read_text() + " ")
        after = self.find().digests
        assert {name for name in before if before[name] != after[name]} == {changed}

    def test_what_is_missing_is_named_with_its_remedy(self, folder, monkeypatch):
        (folder / "splits_final.json").unlink()
        with pytest.raises(HermesError, match=r"splits_final\.json does not exist: plan"):
            self.find()
        with pytest.raises(HermesError, match="has no configuration 2d: use 3d_fullres"):
            self.find(configuration="2d")
        (folder / "HermesPlans.json").unlink()
        with pytest.raises(HermesError, match=r"HermesPlans\.json does not exist: plan"):
            self.find()
        monkeypatch.delenv("nnUNet_preprocessed")
        with pytest.raises(HermesError, match="nnUNet_preprocessed is not set"):
            self.find()

    def test_missing_pretrained_weights_are_refused(self, folder, tmp_path):
        with pytest.raises(HermesError, match=r"-pretrained_weights: .*none\.pth does not exist"):
            self.find(weights=str(tmp_path / "none.pth"))
