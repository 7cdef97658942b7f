"""Real time that can be pushed forward, so that nobody waits out the 61 seconds between two token issuances."""

from __future__ import annotations

from datetime import datetime, timedelta

from clock import SystemClock


class PushedClock(SystemClock):
    """The system's clock, ahead by what it was pushed. Waits and deadlines take real time."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> datetime:
        """Wall time, aware, in KST."""
        return super().now() + timedelta(seconds=self._ahead)

    def monotonic(self) -> float:
        """Seconds that never step back."""
        return super().monotonic() + self._ahead

    def push(self, seconds: float) -> None:
        """Let ``seconds`` have passed."""
        self._ahead += seconds
