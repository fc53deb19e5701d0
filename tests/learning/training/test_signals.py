import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress

import pytest

from hermes_nnunet.errors import TrainingEndedError
from hermes_nnunet.learning.training.signals import Signals, exit_code, leave_signals_to_parent

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def send(number):
    os.kill(os.getpid(), number)


def send_and_wait(number):
    send(number)
    time.sleep(30)


@pytest.fixture(autouse=True)
def handlers_are_as_before():
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    assert {number: signal.getsignal(number) for number in ENDING} == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
class TestEach:
    def test_is_noted_and_disturbs_nobody(self, number, code):
        signals = Signals()
        with signals.noted():
            send(number)
            send(number)  # torchrun passes on what the process has received already
        assert signals.received == number
        assert exit_code(signals.received) == code

    def test_ends_a_validation_at_once(self, number, code):
        with pytest.raises(SystemExit) as end, Signals().raised():
            send_and_wait(number)
        assert end.value.code == code

    def test_noted_before_ends_a_validation_before_it_begins(self, number, code):
        signals = Signals()
        with signals.noted():
            send(number)
        with pytest.raises(SystemExit) as end, signals.raised():
            pytest.fail("it has begun")
        assert end.value.code == code


def test_a_second_ctrl_c_ends_at_once(monkeypatch):
    times = iter((0.0, 0.1, 3.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    with pytest.raises(SystemExit) as end, Signals().noted():
        os.kill(os.getpid(), signal.SIGINT) or send(signal.SIGINT)
    assert end.value.code == 130


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        signals = Signals()
        with signals.noted():
            send(signal.SIGINT)
        assert signals.received is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_main_thread_that_waits_for_ever_is_woken_to_fail():
    signals = Signals()
    timer = threading.Timer(0.1, lambda: signals.fail("a process has died"))
    timer.start()
    with pytest.raises(TrainingEndedError, match="a process has died"), signals.raised():
        threading.Event().wait()
    timer.join()


def test_other_threads_may_train_too():
    signals, done = Signals(), []

    def train():
        with signals.noted(), signals.raised():
            done.append(True)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert done == [True]


def test_a_new_process_does_not_see_ctrl_c_of_a_validation():
    with Signals().raised():
        child = multiprocessing.get_context("fork").Process(target=os.kill, args=(os.getpid(), 0))
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        child.start()
        child.join()
    assert mask == {signal.SIGINT}


def test_a_worker_is_ended_by_its_parent_only():
    def work(numbers):
        leave_signals_to_parent()
        numbers.put([signal.getsignal(number) for number in ENDING])

    numbers = multiprocessing.get_context("fork").SimpleQueue()
    process = multiprocessing.get_context("fork").Process(target=work, args=(numbers,))
    with Signals().noted():
        process.start()
    process.join()
    assert numbers.get() == [signal.SIG_IGN, signal.SIG_DFL, signal.SIG_IGN]


def test_a_block_that_is_not_left_is_ended(capfd):
    def hang():
        with Signals().raised():
            with suppress(SystemExit):
                send_and_wait(signal.SIGTERM)
            threading.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hermes_nnunet.learning.training.signals._LEAVING_SECONDS", 0.2)
        process = multiprocessing.get_context("fork").Process(target=hang)
        process.start()
        process.join(20)
    assert process.exitcode == 143
    assert capfd.readouterr().err == "hermes_nnunet: error: ended by SIGTERM\n"
