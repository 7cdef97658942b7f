"""The journal against the broker's own books, after every commit: A1, A3, A4, A15, A16, A22."""

from __future__ import annotations

import sqlite3
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from clock import NEW_YORK
from intents import State
from simulator.books import Order
from soak.oracle import Entry

if TYPE_CHECKING:
    from soak.world import World

NEVER_ACCEPTED = {State.REFUSED.value, State.NOT_SENT.value, State.NOT_ACCEPTED.value}
UNSETTLED = {State.SENT.value, State.UNKNOWN.value, State.ABSENT.value, State.AMBIGUOUS.value}
ENOUGH_SECONDS = 300.0  # before which nobody may say that an order is not there (faults §1.3)
SEEN_LATE = 30.0  # seconds between a look of the daemon's and this check
DAY = 86_400.0  # seconds
RECENT = timedelta(days=3)


class BooksChecker:
    """Sees every change of an intent, and asks whether it is true."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: dict[tuple[int, int], Entry] = {}
        self._fired_before: dict[tuple[int, int], Counter[str]] = {}  # of intents that became unknown

    def check(self) -> None:
        """Hold what has changed against the truth."""
        world = self._world
        try:
            since = (datetime.fromtimestamp(world.true.now().timestamp(), NEW_YORK).date() - RECENT).isoformat()
            entries = world.journal.entries("session >= ?", since)
        except sqlite3.Error:
            return  # a broken file has no verdicts in it
        world.tally.checks["장부"] += 1
        for key in list(self._seen)[:-500]:
            del self._seen[key]  # long over
        for entry in entries:
            key = (world.oracle.generation, entry.id)
            before = self._seen.get(key)
            if before != entry:
                self._seen[key] = entry
                self._check_change(before, entry)
        self._check_unsettled(entries)

    def _check_change(self, before: Entry | None, entry: Entry) -> None:
        world, key = self._world, (self._world.oracle.generation, entry.id)
        orders = world.oracle.accepted(key)
        if len(orders) > 1:
            world.broken("A1", f"intent {entry.id} has {len(orders)} orders at the broker")
        order = orders[0] if orders else None
        self._check_verdict(entry, order)
        if entry.number is not None:
            self._check_binding(entry, order)
        if before is not None and entry.filled < before.filled:
            world.broken("A15", f"the fill of intent {entry.id} went from {before.filled} to {entry.filled}")
        if entry.filled > entry.quantity or (order is not None and entry.filled > order.filled):
            world.broken("A15", f"intent {entry.id} says {entry.filled} filled, the broker {order and order.filled}")
        self._count(before, entry)

    def _check_verdict(self, entry: Entry, order: Order | None) -> None:
        world = self._world
        if order is None:
            return
        refused_later = entry.state == State.REFUSED.value and order.status == "rejected"
        if entry.state in NEVER_ACCEPTED and not refused_later:
            world.broken("A4", f"intent {entry.id} is «{entry.state}», the broker has accepted it as {order.number}")
        if entry.state == State.ABSENT.value:
            now = world.true.now().timestamp()
            if order.visible < now - SEEN_LATE or now - order.placed < ENOUGH_SECONDS:
                world.broken("A4", f"intent {entry.id} is «absent», the broker has it as {order.number}")

    def _check_binding(self, entry: Entry, order: Order | None) -> None:
        if entry.state == State.ADOPTED.value:
            return
        if order is None or order.number != entry.number:
            other = "none" if order is None else order.number
            self._world.broken("A4", f"intent {entry.id} is bound to {entry.number}; its own order is {other}")
        if (order.symbol, order.quantity) != (entry.symbol, entry.quantity):
            self._world.broken("A4", f"intent {entry.id} is bound to another order")

    def _check_unsettled(self, entries: list[Entry]) -> None:
        sides = [(entry.symbol, entry.side) for entry in entries if entry.state in UNSETTLED]
        if len(sides) != len(set(sides)):
            self._world.broken("A3", f"several unsettled intents on one side of a symbol: {sides}")

    def _count(self, before: Entry | None, entry: Entry) -> None:
        """What may be told of it at the end."""
        was, now, tally = before.state if before else "", entry.state, self._world.tally
        if was == now:
            return
        tally.orders[now] += 1
        seen = tally.sometimes
        bound = entry.number is not None and before is not None and before.number is None
        seen["불명 뒤 확인"] += was == "unknown" and bound
        seen["고장 둘이 겹친 불명"] += self._two_faults(entry, was, now)
        seen["부재 판정"] += now == "absent"
        seen["부재 뒤 나타남"] += was == "absent" and bound
        seen["접수 안 됨 확정"] += now == "not accepted"
        seen["가릴 수 없음"] += now == "ambiguous"
        seen["접수 뒤 거부"] += was == "open" and now == "refused"
        if now == "done":
            seen["취소로 끝남"] += entry.ending == "취소"
            seen["일부 체결 뒤 취소"] += entry.ending == "일부 체결 뒤 취소"

    def _two_faults(self, entry: Entry, was: str, now: str) -> bool:
        """Whether an unknown outcome has just ended in which faults of two kinds have struck."""
        key = (self._world.oracle.generation, entry.id)
        fired = Counter[str]()
        for kind, fault, _ in self._world.laid:
            fired[kind] += fault.fired
        if now == "unknown":
            self._fired_before[key] = fired
        if was != "unknown" or key not in self._fired_before:
            return False
        return len(fired - self._fired_before.pop(key)) >= 2


def check_exposure(world: World) -> None:
    """A16, the day's caps, and A22, no purchases sooner than planned; by the broker's own figures. Raises Broken."""
    if world.clock.monotonic() - world.day_off_at < DAY:
        return  # the daemon counts by the day that its clock says
    settings, session = world.settings, world.session()
    ours = [o for o in world.oracle.ours() if o.side == "buy" and o.date == session.date and o.status != "rejected"]
    spent = sum((o.value + o.rest * o.limit for o in ours), start=world.zero)
    if settings.max_buy_usd_per_day and spent > settings.max_buy_usd_per_day:
        world.broken("A16", f"purchases of {spent} USD, the day's cap is {settings.max_buy_usd_per_day}")
    if settings.max_buy_orders_per_day and len(ours) > settings.max_buy_orders_per_day:
        world.broken("A16", f"{len(ours)} purchases, the day's cap is {settings.max_buy_orders_per_day}")
    _check_pace(world, ours, settings.buy_interval_minutes * 60)


def _check_pace(world: World, ours: list[Order], interval: float) -> None:
    """A restart inside the buy interval does not buy again: there are at most three purchases to each pass.

    After a restart the daemon can only count by the wall clock, and after a step by a wrong one.
    """
    placed = sorted(order.placed for order in ours)
    for first, fourth in zip(placed, placed[3:], strict=False):
        if fourth - first < interval - 120 and not any(first <= start <= fourth for start in world.misled):
            world.broken("A22", f"four purchases within {fourth - first:.0f} s")
