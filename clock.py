"""Time: the only module that reads a clock or waits.

Three kinds of time, because they fail differently:

* ``now()``       wall time, aware, KST. May step (NTP, the owner). For facts: expiry, log lines, market hours.
* ``monotonic()`` seconds that never step and, where the system can, go on through suspend. For ages and intervals.
* ``wait()`` and ``within()`` spend time. The system clock spends real time; a virtual one just moves on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
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
        outcome: list[tuple[bool, object]] = []
        done = threading.Event()

        def work() -> None:
            try:
                outcome.append((True, call()))
            except BaseException as exc:  # noqa: BLE001 - carried over to the caller's thread
                outcome.append((False, exc))
            done.set()

        threading.Thread(target=work, daemon=True, name="bounded-call").start()
        if not done.wait(seconds):
            raise DeadlineExceeded(f"{seconds:g} s")
        ok, value = outcome[0]
        if ok:
            return value  # type: ignore[return-value]
        assert isinstance(value, BaseException)
        raise value


def _steady_seconds() -> float:
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class VirtualClock:
    """Time that passes only when somebody waits: two days in seconds, the same every run.

    ``at(when, action)`` books something that the *world* does at an instant (a fault, an owner's hand); the parts
    under the clock cannot tell.
    """

    def __init__(self, start: datetime) -> None:
        self._utc = start.astimezone(UTC)
        self._elapsed = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def now(self) -> datetime:
        """The virtual wall time, aware, in KST."""
        return self._utc.astimezone(KST)

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
        self._utc += timedelta(seconds=seconds)

    def at(self, when: datetime, action: Callable[[], None]) -> None:
        """Book ``action`` for the virtual instant ``when``."""
        delay = (when.astimezone(UTC) - self._utc).total_seconds()
        self._events.append((self._elapsed + delay, len(self._events), action))
        self._events.sort(key=lambda event: event[:2])

    def _advance_to(self, elapsed: float) -> None:
        if elapsed > self._elapsed:
            self._utc += timedelta(seconds=elapsed - self._elapsed)
            self._elapsed = elapsed
