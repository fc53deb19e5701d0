import pytest

from hermes_nnunet.core.memory import available_memory, total_memory


@pytest.fixture
def machine(tmp_path):
    """A machine with 100 KiB left; a function limits a group of the process, by path below the root."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 900 kB\nMemAvailable: 100 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/slurm/job\n")

    def limit(group, most, present):
        folder = tmp_path / "groups" / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{present}\n")

    limit.total = lambda: total_memory(tmp_path / "proc", tmp_path / "groups")
    limit.available = lambda: available_memory(tmp_path / "proc", tmp_path / "groups")
    return limit


def test_is_what_the_machine_has(machine):
    assert machine.available() == 102400


@pytest.mark.parametrize("group", ["slurm/job", "slurm"])
def test_is_less_where_the_job_has_less(machine, group):
    machine("slurm/job", "max", 90000)
    machine(group, 100000, 90000)
    assert machine.available() == 10000


def test_all_memory_is_that_of_the_job_where_it_may_have_less(machine):
    of_machine = machine.total()
    assert of_machine > 2**20
    machine("slurm/job", "max", 90000)
    assert machine.total() == of_machine
    machine("slurm", 100000, 90000)
    assert machine.total() == 100000


def test_is_unknown_where_the_system_does_not_say(tmp_path):
    assert available_memory(tmp_path, tmp_path) is None


def test_is_known_here_or_nowhere():
    assert available_memory() is None or available_memory() > 2**20
