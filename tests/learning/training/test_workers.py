import multiprocessing
import os
import signal
import sys
import threading
import time

import pytest

from hermes_nnunet.learning.training.workers import Workers, told_once

fork = multiprocessing.get_context("fork")


@pytest.fixture
def workers():
    return Workers()


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class TestDeath:
    def test_by_a_kill_is_told_with_the_memory_at_hand(self, workers):
        process = fork.Process(target=time.sleep, args=(60,), name="Process-7")
        process.start()
        workers.look()
        process.kill()
        process.join()
        told = workers.description_of_dead()
        assert f"Process-7 (pid {process.pid}) was ended by Killed (signal 9), as the system does when memory" in told
        assert "GiB of memory and " in told
        assert "GiB of /dev/shm are free now" in told

    def test_with_an_exit_code_is_told(self, workers):
        process = fork.Process(target=sys.exit, args=(3,))
        process.start()
        workers.look()
        process.join()
        assert f"(pid {process.pid}) ended with exit code 3" in workers.description_of_dead()

    def test_that_was_orderly_is_none(self, workers):
        processes = [fork.Process(target=time.sleep, args=(60,)), fork.Process(target=int)]
        for process in processes:
            process.start()
        workers.look()
        processes[0].terminate()
        for process in processes:
            process.join()
        assert workers.description_of_dead().startswith("it failed with the error above; ")

    def test_of_another_process_than_those_of_the_block_is_none(self, workers):
        others = [fork.Process(target=time.sleep, args=(60,)) for _ in range(2)]
        workers.look()
        for process in others:
            process.start()
            workers.look()
        others[0].kill()
        others[0].join()
        with workers.watched(lambda: pytest.fail("none of its own has died")):
            others[1].kill()
            others[1].join()
            time.sleep(0.5)
        assert workers.description_of_dead().startswith("it failed with the error above; ")

    def test_is_noticed_by_itself_and_told_once(self, workers):
        told = []
        with workers.watched(lambda: told.append(threading.current_thread())):
            process = fork.Process(target=time.sleep, args=(60,))
            process.start()
            time.sleep(0.5)
            assert told == []
            process.kill()
            process.join()
            wait_until(lambda: told)
            time.sleep(0.5)
        assert len(told) == 1

    def test_right_after_the_start_is_noticed_by_what_is_started_instead(self, workers, monkeypatch):
        monkeypatch.setattr("hermes_nnunet.learning.training.workers._POLL_SECONDS", 0.5)
        told = []
        with workers.watched(lambda: told.append(True)):
            for seconds in (0, 60):
                process = fork.Process(target=time.sleep, args=(seconds,))
                process.start()
                if not seconds:
                    process.kill()
                    process.join()
            wait_until(lambda: told)
            process.kill()
        number = int(process.name.split("-")[-1]) - 1
        assert f"process {number} ended right after its start" in workers.description_of_dead()


def test_an_exception_ends_what_was_started_in_the_block_only(workers):
    other = fork.Process(target=time.sleep, args=(60,))
    other.start()
    own = fork.Process(target=time.sleep, args=(60,))
    with pytest.raises(SystemExit), workers.watched():
        sys.exit(own.start())
    own.join(20)
    assert own.exitcode == -signal.SIGTERM
    assert workers.description_of_dead().startswith("it failed with the error above; ")
    assert other.is_alive()
    other.kill()
    other.join()


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (RuntimeError("One or more background workers are no longer alive. Exiting."), False),
        (EOFError(), False),
        (ConnectionResetError("by peer"), False),
        (RuntimeError("CUDA error: out of memory"), True),
    ],
)
def test_the_thread_of_batchgenerators_tells_what_the_main_thread_does_not(monkeypatch, error, is_told):
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def results_loop():
        raise error

    with told_once():
        thread = threading.Thread(target=results_loop)
        thread.start()
        thread.join()
    assert len(told) == is_told


def ignores_interrupts():
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_processes_that_have_nothing_to_do_with_a_training_are_left_alone(workers):
    with workers.watched():
        pass
    with fork.Pool(1) as pool:
        assert not pool.apply(ignores_interrupts)


def test_a_worker_does_not_outlive_a_parent_that_was_killed():
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        with Workers().watched():
            for _ in range(2):
                worker = fork.Process(target=time.sleep, args=(60,), daemon=True)
                worker.start()
                os.write(writing, f"{worker.pid}\n".encode())
            time.sleep(60)
        os._exit(0)
    with open(reading) as pipe:
        pids = [int(pipe.readline()) for _ in range(2)]
        os.close(writing)
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        assert pipe.read() == ""  # all that could write are gone
    assert len(pids) == 2
