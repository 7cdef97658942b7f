"""KIS's call limits, kept from our side (protocol §4): so many calls a second, and account queries well apart."""

from __future__ import annotations

import threading
from collections import deque

from clock import Clock
from errors import Stopping

LEDGER_SPACING = 1.1  # seconds between account queries: KIS's ledger limit is about one a second (EGW00215)
SLOWDOWN = 3600.0  # seconds at half the rate after KIS said EGW00201


class RateLimiter:
    """A sliding window over all calls of one app key."""

    def __init__(self, calls_per_second: float, clock: Clock, stop: threading.Event) -> None:
        self._rate = calls_per_second
        self._clock = clock
        self._stop = stop
        self._lock = threading.Lock()
        self._slots: deque[float] = deque()
        self._ledger_free = float("-inf")
        self._slow_until = float("-inf")

    def acquire(self, *, ledger: bool = False) -> None:
        """Wait for a free slot. Raises Stopping when the daemon ends meanwhile, so that a scan stops here."""
        if self._stop.is_set():
            raise Stopping
        delay = self._reserve(ledger) - self._clock.monotonic()
        if delay > 0 and self._clock.wait(self._stop, delay):
            raise Stopping

    def slow_down(self) -> None:
        """Halve the rate for an hour: KIS has refused a call for coming too fast."""
        with self._lock:
            self._slow_until = self._clock.monotonic() + SLOWDOWN

    def _reserve(self, ledger: bool) -> float:
        """The instant (monotonic) at which the next call may start; the slot is taken."""
        with self._lock:
            now = self._clock.monotonic()
            rate = self._rate / 2 if now < self._slow_until else self._rate
            burst = max(1, int(rate))
            at = now
            if len(self._slots) >= burst:
                at = max(at, self._slots[-burst] + burst / rate)
            if ledger:
                at = max(at, self._ledger_free)
                self._ledger_free = at + LEDGER_SPACING
            self._slots.append(at)
            while len(self._slots) > max(1, int(self._rate)):
                self._slots.popleft()
            return at
