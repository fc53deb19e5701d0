"""The work on cases with a client that is not dask's: what happens when, without processes."""

import pytest

from hermes_nnunet.core.cluster import cluster as module
from hermes_nnunet.core.cluster.admission import COMPARED, Folders
from hermes_nnunet.core.cluster.cluster import Cluster, Connection, WorkerUnfitError
from hermes_nnunet.errors import HermesError

distributed = pytest.importorskip("distributed")


class Future:
    def __init__(self):
        self.status, self.outcome, self.callbacks = "pending", None, []

    def end(self, status, outcome=None):
        self.status, self.outcome = status, outcome
        for callback in self.callbacks:
            callback(self)

    def add_done_callback(self, callback):
        self.callbacks.append(callback)
        if self.status != "pending":
            callback(self)

    def result(self, timeout):
        if self.status == "finished" and self.outcome is None:
            raise TimeoutError
        return self.outcome

    def exception(self):
        return self.outcome


class Client:
    """Runs every task when it comes; `deadly` cases end their worker, in whose place another comes."""

    status = "running"
    dashboard_link = "http://127.0.0.1:8787/status"

    def __init__(self, *workers, deadly=(), lost=(), threads=1, lacking=()):
        self.workers = dict.fromkeys(workers, threads)
        self.deadly, self.lost, self.lacking = set(deadly), set(lost), set(lacking)
        self.given, self.cancelled, self.keys = [], [], []

    def nthreads(self):
        return dict(self.workers)

    def submit(self, function, calls, *, key, workers, allow_other_workers, pure):
        assert (allow_other_workers, pure) == (False, False)
        (worker,) = workers
        self.keys.append(key)
        future = Future()
        if calls == COMPARED:
            future.end("finished", function(calls))
            return future
        if calls.function is module.problem_here:
            future.end("finished", [f"the worker {worker} has no torch" if worker in self.lacking else None])
            return future
        self.given.append((worker, calls.arguments))
        if worker not in self.workers:
            return future
        if self.deadly.intersection(calls.arguments):
            del self.workers[worker]
            self.workers[f"{worker}'"] = 1
        elif self.lost.intersection(calls.arguments):
            self.lost.difference_update(calls.arguments)
            del self.workers[worker]
            self.workers[f"{worker}'"] = 1
            future.end("finished")  # the result died with the worker
        else:
            try:
                future.end("finished", function(calls))
            except Exception as error:
                future.end("error", error)
        return future

    def cancel(self, futures, force):
        self.cancelled += futures


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(module, "_LOOK_S", 0.01)


def run(client, function, cases, **options):
    results = {}
    lost = Cluster(lambda _: Connection(client)).run(
        function, {case: case for case in cases}, "Testing", results.__setitem__, Folders(), **options
    )
    return results, lost


def test_every_case_is_worked_on_once(capsys):
    client = Client("x", "y")
    assert run(client, str.upper, "abcde") == ({case: case.upper() for case in "abcde"}, {})
    assert sorted(case for _, (case,) in client.given) == list("abcde")
    assert len(set(client.keys)) == len(client.keys)
    assert client.cancelled == []
    assert "hermes_nnunet: dashboard: http://127.0.0.1:8787/status" in capsys.readouterr().err


def test_results_come_in_the_order_of_the_cases():
    cluster = Cluster(lambda _: Connection(Client("x", "y")))
    assert cluster.map(len, {name: name for name in ("abc", "", "ab")}, "Counting", Folders()) == [3, 0, 2]


def test_nothing_is_asked_for_without_cases():
    assert Cluster(lambda _: pytest.fail("connected")).map(len, {}, "Counting", Folders()) == []


def test_quick_cases_go_in_bundles():
    client = Client("x")
    results, _ = run(client, str.upper, "abcdefghijklmnopqrst", bundle=4)
    assert len(results) == 20
    assert max(len(cases) for _, cases in client.given) == 4


def test_a_worker_has_no_more_cases_than_threads():
    client = Client("x", threads=2)
    seen = []

    def watched(case):
        seen.append(len([key for key in client.keys if key]) - 1 - len(seen))
        return case

    run(client, watched, "abcdef", slots=3)
    assert len(seen) == 6


class TestAWorkerThatDies:
    def test_costs_its_case_only(self, capsys):
        results, lost = run(Client("x", "y", deadly="c"), str.upper, "abcdef")
        assert sorted(results) == list("abdef")
        assert list(lost) == ["c"]
        assert lost["c"].startswith("3 workers died on it (on ")
        said = capsys.readouterr().err
        assert said.count("has died; for another: ") == 2
        assert "has died; given up: c\n" in said

    def test_is_told_after_the_others_are_finished(self):
        done = []
        cluster = Cluster(lambda _: Connection(Client("x", deadly="a")))
        with pytest.raises(HermesError, match=r"1 of 3 cases are not done, the others are kept:\n  a: 3 workers died"):
            cluster.map(done.append, {case: case for case in "abc"}, "Testing", Folders())
        assert done == ["b", "c"]

    def test_with_a_result_has_the_case_done_again(self):
        client = Client("x", lost="b")
        assert run(client, str.upper, "abc") == ({case: case.upper() for case in "abc"}, {})
        assert [case for _, (case,) in client.given].count("b") == 2


class TestAWorkerThatLacksSomething:
    def test_is_told_before_the_first_case(self):
        client = Client("x", "y", lacking="y")
        with pytest.raises(HermesError, match="the worker y has no torch"):
            run(client, str.upper, "abc")
        assert client.given == []

    def test_gets_nothing_if_it_comes_later(self, capsys):
        client = Client("x", lacking="y")

        def joined(case):
            client.workers["y"] = 1
            return case

        results, lost = run(client, joined, [f"{number}" for number in range(40)])
        assert (len(results), lost) == (40, {})
        assert {worker for worker, _ in client.given} == {"x"}

    def test_of_our_packages_is_told(self, monkeypatch):
        client = Client("x")
        monkeypatch.setattr(client, "submit", lambda *_, **__: ended("finished", ("node7", {"torch": "1.0"})))
        with pytest.raises(HermesError, match=r"the worker on node7 has torch 1\.0, .* has torch"):
            run(client, str.upper, "a")

    def test_and_cannot_answer_is_told(self, monkeypatch):
        client = Client("x")
        monkeypatch.setattr(client, "submit", lambda *_, **__: ended("error", ValueError("unsupported pickle")))
        with pytest.raises(HermesError, match=r"the worker x cannot be asked what it has \(unsupported pickle"):
            run(client, str.upper, "a")


def ended(status, outcome):
    future = Future()
    future.end(status, outcome)
    return future


class TestErrors:
    def test_of_a_case_end_the_run_and_take_back_what_is_under_way(self):
        class Endless(Client):
            def submit(self, function, calls, **others):
                if getattr(calls, "arguments", None) == ("a",):
                    return Future()
                return super().submit(function, calls, **others)

        def fails(case):
            raise OSError(28, "No space left on device", "label.nii.gz")

        client = Endless("x", "y")
        with pytest.raises(OSError, match="No space left"):
            run(client, fails, "ab")
        assert [future.status for future in client.cancelled] == ["pending"]

    def test_of_a_worker_leave_the_case_to_others(self, capsys):
        client = Client("x", "y")
        failed = []

        def fails_once(case):
            if case == "a" and not failed:
                failed.append(case)
                raise WorkerUnfitError("the GPU failed")
            return case

        results, lost = run(client, fails_once, "abcdef")
        assert (sorted(results), lost) == (list("abcdef"), {})
        first, *_ = [worker for worker, cases in client.given if cases == ("a",)]
        after = client.given.index((first, ("a",)))
        assert first not in {worker for worker, _ in client.given[after + 2 :]}
        assert "is given nothing any more (the GPU failed)" in capsys.readouterr().err

    def test_of_all_workers_end_the_run(self):
        def fails(case):
            raise WorkerUnfitError("the GPU failed")

        with pytest.raises(HermesError, match="the GPU failed"):
            run(Client("x"), fails, "ab")

    def test_of_the_scheduler_are_one_line(self, monkeypatch):
        client = Client("x")
        monkeypatch.setattr(client, "nthreads", lambda: (_ for _ in ()).throw(OSError("connection closed")))
        with pytest.raises(HermesError, match=r"the scheduler is gone \(connection closed\): start it"):
            run(client, str.upper, "a")


def test_workers_are_waited_for(monkeypatch, capsys):
    monkeypatch.setattr(module, "_LONELY_S", 0.02)
    client = Client()
    kept_up = []

    def keep_up():
        kept_up.append(1)
        if len(kept_up) > 5:
            client.workers["x"] = 1

    results = {}
    Cluster(lambda _: Connection(client, keep_up)).run(str.upper, {"a": "a"}, "Testing", results.__setitem__, Folders())
    assert results == {"a": "A"}
    assert capsys.readouterr().err.count("no worker is there: waiting for one") == 1
