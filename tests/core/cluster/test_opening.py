import contextlib
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hermes_nnunet.core.cluster import opening
from hermes_nnunet.core.cluster.admission import Folders
from hermes_nnunet.core.cluster.opening import check_installed, opened
from hermes_nnunet.core.cluster.wish import Jobs, LocalWorkers, RunningScheduler
from hermes_nnunet.errors import HermesError

pytest.importorskip("dask_jobqueue")
psutil = pytest.importorskip("psutil")

NEEDS_NO_CLUSTER = """
import sys
import hermes_nnunet.cli.cluster_arguments, hermes_nnunet.cli.merge, hermes_nnunet.cli.predict
import hermes_nnunet.cli.preprocess, hermes_nnunet.core.engine, hermes_nnunet.data.merge
import hermes_nnunet.core.cluster.cluster, hermes_nnunet.core.cluster.opening
{imports}
from hermes_nnunet.cli.main import main
assert main(["merge", "1:CT", "--into", "900", "--name", "All"]) == 1
print(sorted({{"dask", "distributed", "dask_jobqueue"}} & set(sys.modules)))
"""


@pytest.mark.slow
def test_dask_is_not_imported_without_the_option(tmp_path):
    script = NEEDS_NO_CLUSTER.format(
        imports="import hermes_nnunet.planning.preprocessing.collection, hermes_nnunet.prediction.on_cluster"
    )
    process = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"PATH": "", "nnUNet_raw": str(tmp_path)},
        check=True,
    )
    assert process.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("wish", "package"), [(LocalWorkers(1), "distributed"), (Jobs(Path("slurm.yaml"), 1), "dask_jobqueue")]
)
def test_a_package_that_is_missing_is_told_with_its_extra(monkeypatch, wish, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(HermesError, match=rf"{package} is not installed, .* pip install 'hermes-nnunet\[cluster\]'"):
        check_installed(wish)


def test_what_an_interrupt_does_stays(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "dask_jobqueue"]:
        monkeypatch.delitem(sys.modules, name)
    before = signal.getsignal(signal.SIGINT)
    check_installed(Jobs(Path("slurm.yaml"), 1))
    assert signal.getsignal(signal.SIGINT) is before


class TestNoScheduler:
    def test_at_the_address_is_told_at_once(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        start = time.monotonic()
        with (
            pytest.raises(HermesError, match=rf"no scheduler of dask answers at {address} \(.*refused"),
            opened(RunningScheduler(address)),
        ):
            pass
        assert time.monotonic() - start < opening.CONNECT_S

    def test_but_another_program_is_told_in_time(self, monkeypatch):
        monkeypatch.setattr(opening, "CONNECT_S", 1)
        with socket.create_server(("127.0.0.1", 0)) as other:
            address = f"tcp://127.0.0.1:{other.getsockname()[1]}"
            start = time.monotonic()
            with (
                pytest.raises(HermesError, match=f"no scheduler of dask answers at {address}"),
                opened(RunningScheduler(address)),
            ):
                pass
            assert time.monotonic() - start < 5

    @pytest.mark.parametrize("address", ["tcp://no.such.host.invalid:8786", "tcp://127.0.0.1:99999999"])
    def test_can_be_there(self, address):
        with pytest.raises(HermesError, match=f"answers at {address}"), opened(RunningScheduler(address)):
            pass


class TestJobs:
    @pytest.fixture
    def refused(self, tmp_path):
        """A function that opens a file with a content, and returns what is said of it."""

        def open_file(content):
            file = tmp_path / "slurm.yaml"
            file.write_text(content)
            with pytest.raises(HermesError) as error, opened(Jobs(file, 2)):
                pass
            line = str(error.value)
            assert line.startswith(f"{file}")
            assert "\n" not in line
            return line

        return open_file

    @pytest.mark.parametrize("content", ["jobs: 3", "[1, 2]", "jobqueue: 3", "jobqueue: {slurm: {}, pbs: {}}"])
    def test_a_file_without_one_system_is_refused(self, refused, content):
        assert "has no 'jobqueue:' with one system of slurm, pbs, sge, lsf" in refused(content)

    def test_an_unknown_system_is_named(self, refused):
        assert "jobqueue has 'slrum' (did you mean 'slurm'?)" in refused("jobqueue: {slrum: {cores: 1}}")

    def test_an_unknown_setting_is_named(self, refused):
        line = refused("jobqueue: {slurm: {cores: 1, memory: 4GB, wall-time: '01:00:00'}}")
        assert "jobqueue.slurm has no setting 'wall-time' (did you mean 'walltime'?)" in line

    def test_a_setting_that_is_missing_is_named(self, refused):
        assert "dask-jobqueue does not take it (You must specify" in refused("jobqueue: {slurm: {}}")

    def test_a_value_that_is_none_is_told(self, refused):
        assert "dask-jobqueue does not take it" in refused("jobqueue: {slurm: {cores: 1, memory: much}}")

    def test_a_file_that_is_no_yaml_is_told(self, refused):
        assert "is not valid YAML" in refused("jobqueue: [")

    def test_a_file_that_is_not_there_is_told(self, tmp_path):
        with (
            pytest.raises(HermesError, match=r"absent\.yaml does not exist"),
            opened(Jobs(tmp_path / "absent.yaml", 1)),
        ):
            pass


class TestLocalWorkers:
    @pytest.mark.parametrize(
        ("cause", "reason"),
        [(None, "Nanny failed to start."), (OSError("no memory"), "no memory"), (OSError(), "OSError")],
    )
    def test_that_do_not_start_are_told(self, monkeypatch, cause, reason):
        def fail(*_):
            raise RuntimeError("Nanny failed to start.") from cause

        monkeypatch.setattr(opening, "_local_workers", fail)
        line = rf"a worker of this machine did not start \({reason}\): run it again, or with fewer than 2 workers"
        with opened(LocalWorkers(2)) as cluster, pytest.raises(HermesError, match=line):
            cluster.run(str, {"a": 1, "b": 2}, "Working", lambda *_: None, Folders())

    def test_share_the_cores_unless_people_say_otherwise(self, monkeypatch):
        monkeypatch.setattr(opening, "available_cores", lambda: 8)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setenv("MKL_NUM_THREADS", "3")
        monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
        assert opening._environment(3) == {
            "MALLOC_ARENA_MAX": "1",
            "OMP_NUM_THREADS": "2",
            "MKL_NUM_THREADS": "3",
            "OPENBLAS_NUM_THREADS": "2",
        }


@pytest.mark.distributed
def test_workers_of_this_machine_of_jobs_and_of_a_running_scheduler(tmp_path, capfd):
    """Real processes on the loopback; one test, for each of them takes seconds to start."""
    folders = Folders((tmp_path,), tmp_path)
    with opened(LocalWorkers(2, ("0", "GPU-1"))) as cluster:
        names = dict.fromkeys("ab", "CUDA_VISIBLE_DEVICES")
        assert set(cluster.map(os.getenv, names, "Looking", folders)) <= {"0", "GPU-1"}
        assert cluster._connected.client.scheduler.address.startswith("tls://127.0.0.1:")
    assert "dashboard: http://127.0.0.1:" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert multiprocessing.active_children() == []

    file = tmp_path / "local.yaml"
    file.write_text(f"jobqueue: {{local: {{cores: 1, memory: 2GB, interface: lo, log-directory: {tmp_path}}}}}")
    with opened(Jobs(file, 2)) as cluster:
        assert cluster.map(len, {"a": "abc", "b": "ab"}, "Counting", folders) == [3, 2]
        address = cluster._connected.client.scheduler.address
        with opened(RunningScheduler(address)) as other:
            assert other.map(len, {"a": "abc", "b": "ab"}, "Counting", folders) == [3, 2]
        # Others' workers stay.
        assert cluster.map(len, {"a": "abcd"}, "Counting", folders) == [4]


SLEEPING = """
import sys, time
from hermes_nnunet.core.cluster.admission import Folders
from hermes_nnunet.core.cluster.opening import opened
from hermes_nnunet.core.cluster.wish import LocalWorkers

if __name__ == "__main__":
    with opened(LocalWorkers(1)) as cluster:
        cluster.map(time.sleep, dict.fromkeys("ab", 0), "Waking", Folders())
        print("awake", flush=True)
        cluster.map(time.sleep, dict.fromkeys("ab", 600), "Sleeping", Folders())
"""


@pytest.mark.distributed
def test_an_interrupt_ends_the_workers(tmp_path):
    script = tmp_path / "sleeping.py"
    script.write_text(SLEEPING)
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        assert process.stdout.readline() == b"awake\n"
        # As a terminal does, which sends it to all of them.
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
        deadline = time.monotonic() + 10
        while running(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert running(process.pid) == []


def running(group):
    """Processes of a group that are no zombies."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
    return found


PAGE = Path(__file__).resolve().parents[3] / "docs" / "cluster.md"


@pytest.mark.skipif(not PAGE.exists(), reason="the documentation is in the checkout")
class TestFilesOfTheDocumentation:
    @pytest.fixture
    def scripts(self, tmp_path):
        """The script of a job for each file of the page."""
        scripts = []
        for number, content in enumerate(re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)):
            file = tmp_path / f"{number}.yaml"
            file.write_text(content)
            with opening._jobs(file) as cluster:
                scripts.append(cluster.job_script())
        return scripts

    def test_are_scripts_of_their_systems(self, scripts):
        slurm, pbs = scripts
        directives = ("#SBATCH -p gpu", "#SBATCH --gres=gpu:1", "#SBATCH -t 08:00:00")
        for words in (*directives, "--nthreads 3", "OMP_NUM_THREADS=4"):
            assert words in slurm
        for words in ("#PBS -q cpu", "#PBS -l walltime=04:00:00", "--nthreads 1", "--nworkers 16"):
            assert words in pbs
        assert all(sys.executable in script for script in scripts)
