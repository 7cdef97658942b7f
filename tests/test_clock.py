"""Bounded calls: what a caller gets, and what the threads behind it cost."""

import gc
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from clock import DeadlineExceeded, SystemClock

within = SystemClock().within
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def gate():
    """An event on which hanging calls wait; opened at the end, and then waited for."""
    event = threading.Event()
    yield event
    event.set()
    until(lambda: len(workers()) <= 1)


def workers():
    return [thread for thread in threading.enumerate() if thread.name == "bounded-call"]


def until(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, threading.enumerate()
        time.sleep(0.002)


def hang(gate, times=1):
    for _ in range(times):
        with pytest.raises(DeadlineExceeded):
            within(0.02, lambda: gate.wait(10))


def test_a_call_gives_its_result_or_what_it_raised(gate):
    assert within(1, lambda: 46) == 46
    with pytest.raises(ZeroDivisionError):
        within(1, lambda: 1 // 0)
    with pytest.raises(SystemExit):
        within(1, sys.exit)
    assert within(1, lambda: 46) == 46


def test_one_call_after_another_shares_one_thread(gate):
    assert len({within(1, threading.get_ident) for _ in range(50)}) == 1
    assert len(workers()) == 1


def test_a_call_that_hangs_is_given_up_at_its_deadline_and_the_next_one_gets_a_thread_of_its_own(gate):
    began = time.monotonic()
    hang(gate)
    assert time.monotonic() - began < 1
    assert within(1, lambda: 46) == 46


def test_the_thread_of_a_call_that_was_given_up_ends_when_the_call_comes_back(gate):
    hang(gate, times=2)
    assert len(workers()) == 2
    gate.set()
    until(lambda: not workers())


def test_calls_that_hang_for_ever_do_not_pile_up(gate):
    hang(gate, times=3)
    began = time.monotonic()
    for _ in range(5):
        with pytest.raises(DeadlineExceeded):
            within(0.02, pytest.fail)  # never begun: it would be a fourth
    assert time.monotonic() - began < 1
    assert len(workers()) == 3

    waiting = ThreadPoolExecutor(1).submit(within, 5, lambda: 46)
    gate.set()
    assert waiting.result() == 46  # it has waited for its turn within its own deadline


def test_a_hanging_call_does_not_hold_the_end_of_the_process():
    script = """
import threading, clock
try:
    clock.SystemClock().within(0.05, threading.Event().wait)
except clock.DeadlineExceeded:
    print("given up")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=10)
    assert (done.stdout, done.stderr, done.returncode) == ("given up\n", "", 0)


def test_many_callers_at_once_do_not_wait_for_each_other(gate):
    together = threading.Barrier(12)
    with ThreadPoolExecutor(12) as pool:
        results = pool.map(lambda number: within(5, lambda: (together.wait(5), number)[1]), range(12))
        assert list(results) == list(range(12))
    until(lambda: len(workers()) == 1)


def test_results_never_reach_another_caller(gate):
    def ask(number):
        try:
            return within(5 if number % 3 else 0.0005, lambda: (time.sleep(0.001), number)[1]) == number
        except DeadlineExceeded:
            return number % 3 == 0

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(400)))


def test_nothing_of_a_call_outlives_it(gate):
    class Answer:
        pass

    def fail():
        answer = Answer()
        answers.append(weakref.ref(answer))
        raise ValueError

    answers = []
    gc.disable()
    try:
        for _ in range(3):
            with pytest.raises(ValueError, match=r"^$") as caught:
                within(1, fail)
            del caught
        answers.append(weakref.ref(within(1, Answer)))
        asked = Answer()
        answers.append(weakref.ref(asked))
        within(1, partial(id, asked))
        del asked
        until(lambda: not any(answer() for answer in answers))
    finally:
        gc.enable()
