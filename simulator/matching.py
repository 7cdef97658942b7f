"""Orders meet the moving market.

Nothing runs by itself: ``advance`` works out, when somebody asks, what has happened since. Every execution depends
only on the seed, the order and the market, so that asking often, seldom or never gives the same books.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from simulator.books import Account, Order, Side
from simulator.hours import following
from simulator.listings import find_listing
from simulator.market import TICK_SECONDS, Market

AT_OPEN = {"31", "32"}  # MOO, LOO: one try at the session's first price
AT_CLOSE = {"33", "34"}  # MOC, LOC: one try at its last
WITHOUT_LIMIT = {"31", "33"}
_PARTS_APART = 15.0  # seconds between two executions of one order
_CENT, _TENTH_OF_A_MIL = Decimal("0.01"), Decimal("0.0001")


@dataclass(frozen=True, order=True)
class _Trade:
    at: float
    order: int
    quantity: int
    price: Decimal


class Matching:
    """The exchange's side of an order's life."""

    def __init__(self, market: Market, seed: int) -> None:
        self._market = market
        self._seed = seed

    def advance(self, account: Account, now: float) -> list[Order]:
        """Let everything happen up to ``now``; the orders that changed, in no particular order."""
        if not account.open:
            account.settle(self._market.hours.current(now).date)
            return []
        orders = list(account.open.values())
        trades = sorted(trade for order in orders for trade in self._trades(order, now))
        changed: list[Order] = []
        for trade in trades:
            order = account.orders[trade.order]
            changed += self.execute(account, order, trade.at, trade.quantity, trade.price)
        for order in orders:
            if order.status == "open" and _end_of(order) <= now:
                changed += _finish(account, order)
        account.settle(self._market.hours.current(now).date)
        return list({order.id: order for order in changed}.values())

    def execute(self, account: Account, order: Order, at: float, quantity: int, price: Decimal) -> list[Order]:
        """Trade now, at this price; the orders that changed."""
        account.fill(order, at, quantity, price, following(self._market.hours, order.date))
        return [order, *(_refuse_cancellation(account, order, at) if order.status == "filled" else [])]

    def uniform(self, order_id: int, purpose: str) -> float:
        """A number in [0, 1) that belongs to the order and the purpose."""
        digest = hashlib.blake2b(f"{self._seed}:{order_id}:{purpose}".encode(), digest_size=7).digest()
        return int.from_bytes(digest, "big") / (1 << 56)

    def _trades(self, order: Order, now: float) -> Iterator[_Trade]:
        """The executions until ``now`` or the order's end; sets ``due`` to where to go on looking."""
        if order.kind == "cancel":
            return
        rest, count = order.rest, len(order.fills)
        while rest and (at := self._crossing(order, now)) is not None:
            quantity = self._part(order, rest, count)
            rest, count = rest - quantity, count + 1
            order.due = at + _PARTS_APART
            yield _Trade(at, order.id, quantity, self._price(order, at))

    def _crossing(self, order: Order, now: float) -> float | None:
        """The next instant at which the market is at the limit or better; before the order's end, and by now."""
        end = _end_of(order)
        last = min(now, end)
        if order.due > last:
            return None
        listing = find_listing(order.symbol)
        assert listing is not None
        if order.division in AT_OPEN | AT_CLOSE:
            at, order.due = order.due, float("inf")
            return at if self._is_good(order, self._price_at(order, at)) else None
        search = self._market.first_at_or_below if order.side == "buy" else self._market.first_at_or_above
        at_or_none = search(listing, order.limit, order.due, last if now < end else last - 1e-3)
        if at_or_none is None:
            order.due = last - last % TICK_SECONDS + TICK_SECONDS
        return at_or_none

    def _part(self, order: Order, rest: int, count: int) -> int:
        """How many shares the next execution takes, after so many others."""
        if order.share >= 1:
            return rest
        share = order.share * (0.4 + 0.6 * self.uniform(order.id, f"part {count}"))
        return min(rest, max(1, int(order.quantity * share)))

    def _price(self, order: Order, at: float) -> Decimal:
        """What is paid: the market's price on the order's side of the tick, never worse than the limit."""
        return on_tick(self._price_at(order, at), order.side)

    def _price_at(self, order: Order, at: float) -> Decimal:
        listing = find_listing(order.symbol)
        assert listing is not None
        if order.division in AT_CLOSE:  # the close itself belongs to the session that ends with it
            return self._market.close(listing, self._market.hours.recent(order.date, 1)[0])
        return self._market.price(listing, at)

    def _is_good(self, order: Order, price: Decimal) -> bool:
        if order.division in WITHOUT_LIMIT:
            return True
        return price <= order.limit if order.side == "buy" else price >= order.limit


def on_tick(price: Decimal, side: Side) -> Decimal:
    """The price a trade really has: whole cents from a dollar up, rounded up for a purchase and down for a sale."""
    step = _CENT if price >= 1 else _TENTH_OF_A_MIL
    return price.quantize(step, ROUND_CEILING if side == "buy" else ROUND_FLOOR)


def _end_of(order: Order) -> float:
    """When the order ends if nothing more is traded."""
    return min(order.expires, order.cancel_at or float("inf"), order.reject_at or float("inf"))


def _finish(account: Account, order: Order) -> list[Order]:
    """The order's end has come: refused by the exchange, cancelled or expired."""
    if order.kind == "cancel":
        return []
    end = _end_of(order)
    if order.reject_at == end:
        account.finish(order, "rejected", end, order.reason or "거래소 거부")
        return [order, *_refuse_cancellation(account, order, end)]
    if order.cancel_at == end:
        canceller = account.orders[order.canceller]
        account.finish(order, "cancelled", end)
        account.finish(canceller, "done", end)
        return [order, canceller]
    account.finish(order, "expired", end)
    return [order, *_refuse_cancellation(account, order, end)]


def _refuse_cancellation(account: Account, order: Order, at: float) -> list[Order]:
    """A cancellation that comes too late is refused by the exchange."""
    canceller = account.open.get(order.canceller)
    if canceller is None:
        return []
    account.finish(canceller, "rejected", at, "원주문 체결 또는 종료")
    return [canceller]
