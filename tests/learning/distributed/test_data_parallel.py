import pytest

from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.distributed import data_parallel


class TestBatchSize:
    def test_more_processes_than_cases_are_refused_before_a_folder_is_made(
        self, nnunet_folders, new_trainer, monkeypatch
    ):
        before = sorted(nnunet_folders.rglob("*"))
        monkeypatch.setattr(data_parallel, "number_of_processes", lambda: 4)
        with pytest.raises(HermesError, match=r"HermesPlans\.json .*batch_size 3 in 3d_fullres, too few for 4 GPUs"):
            new_trainer(0)
        assert sorted(nnunet_folders.rglob("*")) == before

    def test_one_case_for_each_process_is_enough(self, new_trainer, monkeypatch):
        monkeypatch.setattr(data_parallel, "number_of_processes", lambda: 3)
        assert new_trainer(0).configuration_manager.batch_size == 3
