"""How a simulated process or run may end."""

from __future__ import annotations

from dataclasses import dataclass


class Crash(BaseException):
    """The process dies here, as by SIGKILL: nothing below may catch it."""


@dataclass(frozen=True)
class Violation:
    """A broken invariant: its number, what was seen, and when (true seconds since the start)."""

    invariant: str
    text: str
    at: float


class Broken(BaseException):
    """The first violation ends the run."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(f"{violation.invariant} {violation.text}")
        self.violation = violation
