"""The fault plan: an explicit list of events, so that it can be printed, edited, replayed and shrunk. Pure data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from clock import KST

NOON = time(12)  # KST; a run begins and ends with both markets closed


@dataclass(frozen=True)
class Event:
    """Something that the world does ``at`` so many true seconds after the start."""

    at: float
    kind: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """One run, whole: the same plan and commit give the same run."""

    seed: int
    days: int
    start: str  # Seoul date, YYYY-MM-DD; the run begins at noon
    profile: str  # real or paper
    options: Mapping[str, Any]  # of the embedded broker
    settings: Mapping[str, Any]  # of the daemon, by field
    events: tuple[Event, ...]

    @property
    def begins(self) -> datetime:
        """The first instant, aware, KST."""
        return datetime.combine(datetime.fromisoformat(self.start), NOON, KST)

    @property
    def ends(self) -> datetime:
        """The last instant, aware, KST."""
        return self.begins + timedelta(days=self.days)


def to_json(plan: Plan) -> str:
    """The plan as a person edits it: one event a line."""
    head = {name: value for name, value in vars(plan).items() if name != "events"}
    lines = [f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}," for name, value in head.items()]
    events = [f"    {json.dumps(_event_row(event), ensure_ascii=False)}" for event in plan.events]
    return "\n".join(["{", *lines, '  "events": [', ",\n".join(events), "  ]", "}"]) + "\n"


def from_json(text: str) -> Plan:
    """The plan in a file. Raises ValueError with what is wrong in it."""
    try:
        body = json.loads(text)
        events = tuple(Event(row.pop("at"), row.pop("kind"), row) for row in body.pop("events"))
        return Plan(**body, events=events)
    except (TypeError, KeyError, AttributeError) as exc:
        raise ValueError(f"not a plan: {exc}") from exc


def read_plan(path: Path) -> Plan:
    """The plan in a file. Raises OSError, ValueError."""
    return from_json(path.read_text("utf-8"))


def _event_row(event: Event) -> dict[str, Any]:
    return {"at": event.at, "kind": event.kind, **event.args}
