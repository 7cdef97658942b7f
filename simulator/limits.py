"""Call limits: token buckets over the clock's steady seconds (protocol §4)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Bucket:
    """Holds up to ``rate`` calls (at least one) and refills with ``rate`` calls a second."""

    rate: float
    filled: float = field(init=False)
    asked: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.filled = max(1.0, self.rate)

    def take(self, now: float) -> bool:
        """One call at the steady second ``now``; False if it goes over the limit."""
        self.filled = min(max(1.0, self.rate), self.filled + (now - self.asked) * self.rate)
        self.asked = now
        if self.filled < 1 - 1e-9:  # a call exactly one period later passes in spite of rounding
            return False
        self.filled -= 1
        return True


class Limits:
    """One bucket for each name, made when it is first asked for."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._buckets: dict[str, Bucket] = {}

    def take(self, name: str, now: float) -> bool:
        """Whether ``name`` may make a call now."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(self._rate)
            bucket.asked = now
        return bucket.take(now)
