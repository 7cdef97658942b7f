"""One KIS call on its way through the gateway."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from simulator.auth import AppKey
from simulator.faults import Fault
from simulator.messages import Request, parse_object
from simulator.routes import Asked


@dataclass
class Call:
    """The request, when it came, which faults it met, and, after the gateway's checks, whose it is."""

    request: Request
    asked: Asked
    now: datetime  # aware, KST
    at: float  # the same instant in epoch seconds
    steady: float  # the clock's monotonic seconds
    faults: list[Fault] = field(default_factory=list)
    key: AppKey | None = None

    def body(self) -> dict[str, object]:
        """The JSON object that was posted; empty when there is none."""
        return parse_object(self.request.body)

    def param(self, name: str) -> str | None:
        """A query parameter; None if it is not there (a blank one is)."""
        return self.request.query.get(name)

    def has(self, kind: str) -> Fault | None:
        """The fault of this kind that the call met."""
        return next((fault for fault in self.faults if fault.kind == kind), None)

    def about(self, kind: str, symbol: str) -> Fault | None:
        """The fault of this kind that the call met and that concerns this symbol."""
        return next((f for f in self.faults if f.kind == kind and f.symbol in (None, symbol)), None)
