from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_nnunet.core.cluster.assignment import MOST_DEATHS, Assignment


def given_out(assignment, workers):
    return list(assignment.hand_out(workers))


class TestHandingOut:
    def test_a_worker_gets_as_many_cases_as_it_has_slots(self):
        assignment = Assignment("abcdef")
        assert given_out(assignment, {"x": 1, "y": 3}) == [("a", "x"), ("b", "y"), ("c", "y"), ("d", "y")]
        assert given_out(assignment, {"x": 1, "y": 3}) == []

    def test_the_least_busy_worker_is_first(self):
        assignment = Assignment("abcd")
        given_out(assignment, {"x": 2})
        assert given_out(assignment, {"x": 2, "y": 1}) == [("c", "y")]

    def test_a_finished_case_makes_room_for_the_next(self):
        assignment = Assignment("ab")
        given_out(assignment, {"x": 1})
        assignment.finished("a")
        assert given_out(assignment, {"x": 1}) == [("b", "x")]
        assert not assignment.is_done
        assignment.finished("b")
        assert assignment.is_done

    def test_cases_wait_at_workers_while_there_are_enough_for_all(self):
        assignment = Assignment(range(20), ahead=2)
        assert Counter(worker for _, worker in given_out(assignment, {"x": 1, "y": 1})) == {"x": 3, "y": 3}

    def test_none_waits_for_one_worker_when_another_could_begin_it(self):
        assignment = Assignment("abc", ahead=8)
        assert given_out(assignment, {"x": 1, "y": 1}) == [("a", "x"), ("b", "y")]


class TestWorkersThatDie:
    def test_their_cases_go_to_others(self):
        assignment = Assignment("ab")
        given_out(assignment, {"x": 1, "y": 1})
        assert assignment.lost("x") == ["a"]
        assignment.finished("b")
        assert given_out(assignment, {"y": 1}) == [("a", "y")]

    def test_a_case_is_given_up_after_three_deaths(self):
        assignment = Assignment("ab")
        for worker in ("x", "y", "z"):
            assert ("a", worker) in given_out(assignment, {worker: 1})
            assignment.lost(worker)
        assert assignment.given_up == {"a": ["x", "y", "z"]}
        assert given_out(assignment, {"w": 1}) == [("b", "w")]
        assignment.finished("b")
        assert assignment.is_done

    def test_a_suspect_has_a_worker_of_its_own(self):
        assignment = Assignment("abcdef")
        given_out(assignment, {"x": 2})
        assignment.lost("x")
        assert given_out(assignment, {"y": 2}) == [("a", "y")]
        assert given_out(assignment, {"y": 2}) == []
        assignment.finished("a")
        assert given_out(assignment, {"y": 2}) == [("b", "y")]
        assignment.finished("b")
        assert given_out(assignment, {"y": 2}) == [("c", "y"), ("d", "y")]

    def test_a_busy_worker_gets_nothing_until_a_suspect_can_have_it(self):
        assignment = Assignment("abcdef")
        given_out(assignment, {"x": 1})
        given_out(assignment, {"y": 2})
        assignment.lost("x")
        assignment.finished("b")
        assert given_out(assignment, {"y": 2}) == []
        assignment.finished("c")
        assert given_out(assignment, {"y": 2}) == [("a", "y")]

    def test_a_worker_without_cases_is_no_loss(self):
        assert Assignment("a").lost("x") == []


@given(
    deadly=st.sets(st.integers(0, 19), max_size=4),
    slots=st.integers(1, 3),
    ahead=st.integers(0, 4),
    workers=st.integers(1, 4),
)
def test_every_case_is_done_but_those_that_kill_every_worker(deadly, slots, ahead, workers):
    assignment = Assignment(range(20), ahead)
    done: list[int] = []
    names = [f"w{number}" for number in range(workers)]
    for _ in range(1000):
        if assignment.is_done:
            break
        for case, worker in given_out(assignment, dict.fromkeys(names, slots)):
            if case not in deadly:
                continue
            # It takes with it what else the worker has, and another comes in its place.
            assignment.lost(worker)
            names[names.index(worker)] = f"{worker}'"
            break
        else:
            for worker in names:
                for case in sorted(assignment._cases_of[worker]):
                    if case in deadly:
                        assignment.lost(worker)
                        break
                    assignment.finished(case)
                    done.append(case)
    assert assignment.is_done
    assert set(assignment.given_up) == deadly
    assert sorted(done) == sorted(set(range(20)) - deadly)
    assert all(len(deaths) == MOST_DEATHS for deaths in assignment.given_up.values())


def test_it_is_quick_with_many_cases_and_workers():
    assignment = Assignment(range(20_000), ahead=1)
    workers = {f"w{number}": 1 for number in range(50)}
    done = 0
    while not assignment.is_done:
        for case, _ in given_out(assignment, workers):
            assignment.finished(case)
            done += 1
    assert done == 20_000


@pytest.mark.parametrize("cases", [[], "a"])
def test_no_case_is_no_work(cases):
    assert Assignment(cases).is_done == (not cases)
