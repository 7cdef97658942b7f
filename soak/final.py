"""F1–F6: what must hold after an hour without faults inside a session. Chaos proves safety, this proves healing."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from books import replay
from order_desk import MOST_CANCELS

if TYPE_CHECKING:
    from soak.world import World

OPEN_AT_MOST = 35 * 60.0  # seconds (F3)
LATE, LONG_SCAN = 1.5, 45.0  # of the watch interval, and seconds more in which the prices come in (F4)
THREADS = 6  # besides the simulator's (A19)


def check_healed(world: World) -> None:
    """Raise Broken for the first thing that has not healed."""
    if world.daemon.ledger.fault:
        world.broken("F4", f"the books are still out of order: {world.daemon.ledger.fault}")
    world.check_books()
    _orders(world)
    _fills(world)
    _mode(world)
    _leftovers(world)
    world.tally.checks["F"] += 1


def check_closed(world: World) -> None:
    """Seconds before the close: what is still open has been cancelled, or was filled, or KIS was told so."""
    if world.daemon.ledger.fault:
        return  # told of by F4
    told = {entry.number for entry in world.journal.entries("cancels > 0")}
    left = [order for order in world.oracle.ours() if order.rest and order.number not in told]
    if left:
        world.broken("F3", f"order {left[0].number} is open at the close and was not cancelled")


def _orders(world: World) -> None:
    bound = {entry.id for entry in world.journal.entries("number IS NOT NULL")}
    for order in world.oracle.ours():
        key = world.oracle.owner_of(order)
        assert key is not None
        if key[1] not in bound:
            world.broken("F1", f"order {order.number} of intent {key[1]} is only remembered by the broker")
    now = world.true.now().timestamp()
    stuck = {
        entry.number for entry in world.journal.entries(f"cancels >= {MOST_CANCELS}")
    }  # told, and left to the close
    old = [o for o in world.oracle.ours() if o.rest and now - o.placed > OPEN_AT_MOST and o.number not in stuck]
    if old:
        world.broken("F3", f"order {old[0].number} is open for {now - old[0].placed:.0f} s")
    open_states = world.journal.entries("state IN ('unknown', 'sent', 'prepared', 'ambiguous')")
    if open_states:
        world.broken("F3", f"intent {open_states[0].id} is still «{open_states[0].state}»")


def _fills(world: World) -> None:
    now = world.true.now().timestamp()
    for entry in world.journal.entries("number IS NOT NULL AND state = 'done'"):
        orders = world.oracle.accepted((world.oracle.generation, entry.id))
        if orders and entry.filled != orders[0].filled:
            world.broken("F2", f"intent {entry.id}: {entry.filled} filled, the broker says {orders[0].filled}")
    if any(order.rest or now - (order.ended or now) < 300 for order in world.oracle.ours()):
        return  # a fill may be on its way
    mine = dict(replay(world.daemon.ledger.fills()).quantities)
    truth = {symbol: shares for symbol, shares in world.owner.expected_shares().items() if shares}
    if mine != truth:
        world.broken("F2", f"our books say {mine}, the broker's {truth}")


def _mode(world: World) -> None:
    reason = world.daemon.trader.distrust()
    if reason:
        world.broken("F4", f"still not trading: {reason}")
    now, fresh = world.clock.monotonic(), LATE * world.settings.watch_interval_seconds + LONG_SCAN
    for symbol in world.symbols:
        seen = world.border.priced.get(symbol)
        if not seen or now - seen[-1][0] > fresh:
            world.broken("F4", f"KIS has not been asked for {symbol} for {now - seen[-1][0] if seen else now:.0f} s")
        if world.sources.get(symbol) != "KIS":
            world.broken("F4", f"the last quote of {symbol} is from {world.sources.get(symbol)}")


def _leftovers(world: World) -> None:
    if threading.active_count() > THREADS:
        world.broken("F5", f"{threading.active_count()} threads: {[t.name for t in threading.enumerate()]}")
    world.loudness.check()
