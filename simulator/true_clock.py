"""True time under a clock that steps: the broker's watch does not care for what happens to the daemon's."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any


class TrueClock:
    """The wall time of ``clock`` at this moment, carried on by its steady seconds.

    Give it to the simulator, and the bare clock to the daemon: a step of the daemon's wall clock then leaves KIS's time
    alone. ``advance`` goes through to a virtual clock.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._begun: datetime = clock.now()
        self._steady: float = clock.monotonic()

    def now(self) -> datetime:
        """True wall time, aware."""
        return self._begun + timedelta(seconds=self._clock.monotonic() - self._steady)

    def monotonic(self) -> float:
        """The clock's own steady seconds."""
        return float(self._clock.monotonic())

    def advance(self, seconds: float) -> None:
        """Let virtual time pass; real time passes by itself."""
        advance = getattr(self._clock, "advance", None)
        if advance is not None:
            advance(seconds)
