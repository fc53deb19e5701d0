import multiprocessing
import os
import signal
import sys
import threading
import time

import pytest

from hermes_nnunet.errors import TrainingEndedError
from hermes_nnunet.learning.training.signals import EndedBySignalError, Signals, leave_signals_to_parent

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
        assert EndedBySignalError(signals.received).code == code

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
        send(signal.SIGINT) or send(signal.SIGINT) or send(signal.SIGINT)
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


@pytest.mark.parametrize("act", [lambda _: send(signal.SIGTERM), lambda signals: signals.fail("a process has died")])
def test_what_hangs_while_the_exception_passes_is_raised_from_again(act, monkeypatch):
    monkeypatch.setattr("hermes_nnunet.learning.training.signals._LEAVING_SECONDS", 0.1)
    signals, raised = Signals(), []

    def hang():
        """As a pool whose lock a killed process held."""
        try:
            threading.Event().wait()
        except SystemExit as error:
            raised.append(error)
            if len(raised) < 3:
                hang()
            raise

    timer = threading.Timer(0.1, act, [signals])
    timer.start()
    with pytest.raises(SystemExit) as end, signals.raised():
        hang()
    timer.join()
    assert len(raised) == 3
    assert {str(error) for error in raised} == {str(end.value)}
    time.sleep(0.3)  # nothing comes after the block


def test_a_failure_outside_the_block_disturbs_nobody():
    """What wakes the main thread would end a process that has no handler for it."""
    Signals().fail("a process has died")
    time.sleep(0.1)


def test_the_next_block_of_the_same_process_knows_nothing_of_the_last_ones_signal():
    signals = Signals()
    for block in (signals.noted, signals.raised):
        with pytest.raises(SystemExit), block():
            sys.exit(send(signal.SIGTERM))
        assert signals.received is None
    with pytest.raises(TrainingEndedError), signals.raised():
        time.sleep(signals.fail("a process has died") or 30)
    with signals.raised():
        pass


def test_handlers_that_are_not_of_python_stay(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", lambda *_: pytest.fail("it could not be set again"))
    with Signals().noted():
        pass
    monkeypatch.undo()
