"""A breaker: after failures in a row a silent host is left alone for a while, so that it cannot hold a whole scan."""

from __future__ import annotations

from clock import Clock


class Breaker:
    """Opens after ``failures`` in a row for ``rest`` seconds; then one more failure opens it again at once."""

    def __init__(self, clock: Clock, failures: int, rest: float) -> None:
        self._clock = clock
        self._failures = failures
        self._rest = rest
        self._count = 0
        self._open_until = float("-inf")

    def allows(self) -> bool:
        """Whether the host may be asked now."""
        return self._clock.monotonic() >= self._open_until

    def failed(self) -> None:
        """The host gave nothing usable."""
        self._count += 1
        if self._count >= self._failures:
            self._open_until = self._clock.monotonic() + self._rest

    def succeeded(self) -> None:
        """The host answered, be it with an error."""
        self._count = 0
        self._open_until = float("-inf")
