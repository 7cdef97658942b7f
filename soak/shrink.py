"""From a plan that breaks an invariant to the smallest that still breaks the same: delta debugging on the events."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from soak.plan import Event, Plan

Breaks = Callable[[Plan], bool]
HOUR, DAY = 3600.0, 86_400.0
MOST_RUNS = 400


class Shrinker:
    """``breaks`` runs a plan and says whether it still breaks the same invariant; ``runs`` counts those runs."""

    def __init__(self, breaks: Breaks, most_runs: int = MOST_RUNS) -> None:
        self._breaks = breaks
        self._most_runs = most_runs
        self.runs = 0

    def shrink(self, plan: Plan, broken_at: float | None = None) -> Plan:
        """The smallest plan that was found: first fewer days, then fewer events, then simpler ones.

        ``broken_at`` is the virtual second of the violation: what was to come later is left out.
        """
        if broken_at is not None:
            plan = self._fewer_days(plan, broken_at)
        plan = self._fewer(plan)
        plan = self._simpler(plan)
        return self._fewer(plan) if len(plan.events) > 1 else plan

    def _fewer_days(self, plan: Plan, broken_at: float) -> Plan:
        """End on the day of the violation, and begin as few days before it as still lead to it."""
        shorter = _until(plan, math.ceil((broken_at + 1) / DAY))
        if shorter.days < plan.days and self._still_breaks(shorter):
            plan = shorter
        for days in (2, 4, 8, 16, 32):
            if days < plan.days and self._still_breaks(later := _from(plan, plan.days - days)):
                return later
        return plan

    def _fewer(self, plan: Plan) -> Plan:
        """ddmin: drop chunks of events, ever smaller ones, until none can be spared."""
        size = max(1, len(plan.events) // 2)
        while plan.events:
            smaller = self._without_a_chunk(plan, size)
            if smaller is not None:
                plan = smaller
                size = min(size, max(1, len(plan.events) // 2))
            elif size == 1:
                break
            else:
                size //= 2
        return plan

    def _without_a_chunk(self, plan: Plan, size: int) -> Plan | None:
        for first in range(0, len(plan.events), size):
            rest = plan.events[:first] + plan.events[first + size :]
            smaller = replace(plan, events=rest)
            if self._still_breaks(smaller):
                return smaller
        return None

    def _simpler(self, plan: Plan) -> Plan:
        for number in range(len(plan.events)):
            for change in (_certain, _shorter, _on_the_hour):
                events = _with(plan.events, number, change(plan.events[number]))
                simpler = replace(plan, events=events)
                if events != plan.events and self._still_breaks(simpler):
                    plan = simpler
        return plan

    def _still_breaks(self, plan: Plan) -> bool:
        if self.runs >= self._most_runs:
            return False
        self.runs += 1
        return self._breaks(plan)


def _until(plan: Plan, days: int) -> Plan:
    events = tuple(event for event in plan.events if event.at < days * DAY)
    return replace(plan, days=min(days, plan.days), events=events)


def _from(plan: Plan, day: int) -> Plan:
    """The same without its first days."""
    start = (plan.begins + timedelta(days=day)).date().isoformat()
    events = tuple(replace(event, at=round(event.at - day * DAY, 1)) for event in plan.events if event.at >= day * DAY)
    return replace(plan, start=start, days=plan.days - day, events=events)


def _with(events: Sequence[Event], number: int, event: Event) -> tuple[Event, ...]:
    return (*events[:number], event, *events[number + 1 :])


def _certain(event: Event) -> Event:
    """A fault that strikes every call it meets."""
    fault: dict[str, Any] = dict(event.args.get("fault", {}))
    if "chance" not in fault:
        return event
    del fault["chance"]
    return replace(event, args={**event.args, "fault": fault})


def _shorter(event: Event) -> Event:
    lasts = event.args.get("lasts")
    return event if lasts is None or lasts < 10 else replace(event, args={**event.args, "lasts": round(lasts / 2, 1)})


def _on_the_hour(event: Event) -> Event:
    return replace(event, at=event.at - event.at % HOUR)
