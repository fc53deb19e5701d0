import multiprocessing
import os
import signal
import sys
import threading
import time

import pytest

from hermes_nnunet.learning.training.workers import Workers

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


def test_a_worker_does_not_outlive_a_parent_that_was_killed():
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        kept = Workers()
        for _ in range(2):
            worker = fork.Process(target=time.sleep, args=(60,), daemon=True)
            worker.start()
            os.write(writing, f"{worker.pid}\n".encode())
        time.sleep(60)
        del kept
        os._exit(0)
    with open(reading) as pipe:
        pids = [int(pipe.readline()) for _ in range(2)]
        os.close(writing)
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        assert pipe.read() == ""  # all that could write are gone
    assert len(pids) == 2
