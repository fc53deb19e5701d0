from pathlib import Path

import pytest

from hermes_nnunet.core.cluster.wish import Jobs, LocalWorkers, RunningScheduler, cluster_wish, gpu_wish
from hermes_nnunet.errors import UsageError


@pytest.mark.parametrize(
    ("word", "wish"),
    [
        ("local:4", LocalWorkers(4)),
        ("tcp://host:8786", RunningScheduler("tcp://host:8786")),
        ("tls://[::1]:8786", RunningScheduler("tls://[::1]:8786")),
        ("slurm.yaml", Jobs(Path("slurm.yaml"), 8)),
        ("my jobs/pbs.yml:16", Jobs(Path("my jobs/pbs.yml"), 16)),
    ],
)
def test_a_word_says_where_the_workers_are(word, wish):
    assert cluster_wish(word) == wish


@pytest.mark.parametrize(
    "word", ["local", "local:0", "local:-1", "local:x", "host:8786", "tcp://host", "slurm.json", ""]
)
def test_another_word_is_refused_with_examples(word):
    with pytest.raises(UsageError, match=r"is no cluster: give local:4, tcp://host:8786, or a file of dask-jobqueue"):
        cluster_wish(word)


class TestGpus:
    def test_each_has_a_worker(self):
        assert gpu_wish("0,2", None) == LocalWorkers(2, ("0", "2"))

    def test_are_counted_among_the_visible_ones(self):
        assert gpu_wish("1,0", "5, GPU-abc") == LocalWorkers(2, ("GPU-abc", "5"))

    def test_one_that_is_not_visible_is_refused(self):
        with pytest.raises(UsageError, match=r"GPU 2 is not among those of CUDA_VISIBLE_DEVICES=5,7"):
            gpu_wish("0,2", "5,7")

    @pytest.mark.parametrize("word", ["", "0,", "0,0", "cuda:1", "-1", "0 1"])
    def test_what_is_no_list_is_refused(self, word):
        with pytest.raises(UsageError, match="give their numbers, as 0,1,2,3"):
            gpu_wish(word, None)
