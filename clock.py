"""Time: the only module that reads a clock or waits.

Three kinds of time, because they fail differently:

* ``now()``       wall time, aware, KST. May step (NTP, the owner). For facts: expiry, log lines, market hours.
* ``monotonic()`` seconds that never step and, where the system can, go on through suspend. For ages and intervals.
* ``wait()`` and ``within()`` spend time. The system clock spends real time; a virtual one just moves on.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

KST = ZoneInfo("Asia/Seoul")
NEW_YORK = ZoneInfo("America/New_York")

T = TypeVar("T")


class DeadlineExceeded(Exception):
    """A call did not come back in the time it was given."""


class Clock(Protocol):
    """What every part of the daemon may ask of time."""

    def now(self) -> datetime:
        """Wall time, aware, in KST."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed instant; never steps, counts suspend where the system can."""
        ...

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Let ``seconds`` pass or return early when ``stop`` is set; True if it is set."""
        ...

    def within(self, seconds: float, call: Callable[[], T]) -> T:
        """The result of ``call``, or DeadlineExceeded after ``seconds``; what ``call`` raises is raised here."""
        ...


class SystemClock:
    """Real time."""

    def now(self) -> datetime:
        """Wall time, aware, in KST."""
        return datetime.now(KST)

    def monotonic(self) -> float:
        """CLOCK_BOOTTIME where there is one: unlike CLOCK_MONOTONIC it goes on while the machine sleeps."""
        return _steady_seconds()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Sleep on the event, so that a signal ends the wait at once."""
        return stop.wait(max(0.0, seconds))

    def within(self, seconds: float, call: Callable[[], T]) -> T:
        """Run ``call`` in a daemon thread, because neither DNS nor a dripping body obeys a socket time-out."""
        return _workers.run(seconds, call)


def _steady_seconds() -> float:
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class _Worker(threading.Thread):
    """Runs one job after another until it is told to end; never keeps the process alive."""

    def __init__(self, at_end: Callable[[_Worker], None]) -> None:
        super().__init__(daemon=True, name="bounded-call")
        self._at_end = at_end
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def run(self) -> None:
        """The thread's life."""
        while job := self._jobs.get():
            job()
            del job  # what it holds must not live until the next one
        self._at_end(self)

    def begin(self, call: Callable[[], object]) -> queue.SimpleQueue[tuple[bool, object]]:
        """Start ``call``; in what comes back its result will lie, or False and what it raised."""
        outcome: queue.SimpleQueue[tuple[bool, object]] = queue.SimpleQueue()

        def job() -> None:
            try:
                outcome.put((True, call()))
            except BaseException as exc:  # noqa: BLE001 - carried over to the caller's thread
                outcome.put((False, exc))

        self._jobs.put(job)
        return outcome

    def end(self) -> None:
        """End now, or as soon as the call in hand comes back."""
        self._jobs.put(None)


class _Workers:
    """The threads of bounded calls: a used one is kept for the next call, a hanging one is left to end by itself.

    Callers may be many, each gets a worker of its own. While ``MOST_HANGING`` calls that were given up still hang,
    the next one waits for its turn, so that a network that swallows everything cannot pile up threads.
    """

    MOST_KEPT = 1
    MOST_HANGING = 3

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._kept: list[_Worker] = []
        self._hanging: set[_Worker] = set()

    def run(self, seconds: float, call: Callable[[], T]) -> T:
        """The result of ``call``, or what it raises, or DeadlineExceeded."""
        give_up_at = time.monotonic() + seconds
        worker = self._take(seconds)
        if time.monotonic() >= give_up_at:  # the wait for a worker has used it up: nothing may begin now
            self._put_back(worker)
            raise DeadlineExceeded(f"{seconds:g} s")
        outcome = worker.begin(call)
        try:
            good, value = outcome.get(timeout=max(0.0, give_up_at - time.monotonic()))
        except queue.Empty:
            self._give_up(worker)
            raise DeadlineExceeded(f"{seconds:g} s") from None
        except BaseException:  # Ctrl+C
            self._give_up(worker)
            raise
        self._put_back(worker)
        if good:
            return value  # type: ignore[return-value]
        assert isinstance(value, BaseException)
        try:
            raise value
        finally:
            del value  # or exception and frame keep each other, and the connection in it, alive

    def _take(self, seconds: float) -> _Worker:
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._hanging) < self.MOST_HANGING, seconds):
                raise DeadlineExceeded(f"{seconds:g} s")
            if self._kept:
                return self._kept.pop()
        worker = _Worker(self._has_ended)
        worker.start()
        return worker

    def _put_back(self, worker: _Worker) -> None:
        with self._changed:
            if len(self._kept) < self.MOST_KEPT:
                self._kept.append(worker)
                return
        worker.end()

    def _give_up(self, worker: _Worker) -> None:
        with self._changed:
            self._hanging.add(worker)
        worker.end()

    def _has_ended(self, worker: _Worker) -> None:
        with self._changed:
            self._hanging.discard(worker)
            self._changed.notify_all()


_workers = _Workers()  # one for the process, as its threads are counted for the process


class VirtualClock:
    """Time that passes only when somebody waits: two days in seconds, the same every run.

    ``at(when, action)`` books something that the *world* does at an instant (a fault, an owner's hand); the parts
    under the clock cannot tell.
    """

    def __init__(self, start: datetime) -> None:
        self._wall = start.astimezone(KST)  # Seoul never moves its clocks, so that plain sums stay right
        self._elapsed = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def now(self) -> datetime:
        """The virtual wall time, aware, in KST."""
        return self._wall

    def monotonic(self) -> float:
        """Virtual seconds since the start."""
        return self._elapsed

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Move on by ``seconds``, running what is booked on the way; ends early when ``stop`` gets set."""
        end = self._elapsed + max(0.0, seconds)
        while self._events and self._events[0][0] <= end and not stop.is_set():
            when, _, action = self._events.pop(0)
            self._advance_to(when)
            action()
        if not stop.is_set():
            self._advance_to(end)
        return stop.is_set()

    def within(self, seconds: float, call: Callable[[], T]) -> T:
        """Run ``call`` in place: whatever hangs under a virtual clock advances it and raises by itself."""
        return call()

    def advance(self, seconds: float) -> None:
        """Let time pass for something that takes time by itself, such as a network round trip."""
        self._advance_to(self._elapsed + seconds)

    def step(self, seconds: float) -> None:
        """Step the wall clock only, as NTP or an owner's hand does."""
        self._wall += timedelta(seconds=seconds)

    def at(self, when: datetime, action: Callable[[], None]) -> None:
        """Book ``action`` for the virtual instant ``when``."""
        delay = (when.astimezone(KST) - self._wall).total_seconds()
        self._events.append((self._elapsed + delay, len(self._events), action))
        self._events.sort(key=lambda event: event[:2])

    def _advance_to(self, elapsed: float) -> None:
        if elapsed > self._elapsed:
            self._wall += timedelta(seconds=elapsed - self._elapsed)
            self._elapsed = elapsed
