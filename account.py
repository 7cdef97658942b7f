"""The account in our own words: cash, positions, orders. An answer that fails or is half raises; it is never empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from clock import Clock
from errors import KISRefusal
from kis_trading import ORDER_CODES, KISTrading, read_pages
from kis_transport import Answer
from portfolio import Cash, OrderRow, Position, read_cash, read_orders, read_positions
from recovery import Recovery


@dataclass(frozen=True)
class OrderList:
    """A complete read of KIS's orders, and when (monotonic seconds)."""

    rows: tuple[OrderRow, ...]
    at: float

    def numbers(self) -> frozenset[int]:
        """Every order number on it."""
        return frozenset(row.number for row in self.rows)


class Account:
    """Reads one account through the one recovery. Every method raises KISError or Stopping."""

    def __init__(self, kis: KISTrading, recovery: Recovery, clock: Clock) -> None:
        self._kis = kis
        self._recovery = recovery
        self._clock = clock
        self._lists_open_orders = True

    def positions(self) -> dict[str, Position]:
        """What is held, by symbol."""
        exchanges = ORDER_CODES.values() if self._kis.paper else ("NASD",)
        return read_positions([row for exchange in exchanges for row in self._balance_rows(exchange)])

    def _balance_rows(self, exchange: str) -> list[Mapping[str, Any]]:
        def page(context: Mapping[str, str]) -> Answer:
            return self._recovery.call("잔고", lambda: self._kis.balance_page(exchange, context))

        return read_pages(page, "output1")

    def cash(self, exchange: str, symbol: str, price: Decimal) -> Cash:
        """What may be spent on US stocks now; KIS wants to be asked for a symbol at a price."""
        answer = self._recovery.call("주문가능금액", lambda: self._kis.buyable(exchange, symbol, f"{price:.2f}"))
        return read_cash(answer.body)

    def orders(self, first: date, last: date) -> OrderList:
        """Every order of these New York dates, ours and the owner's own, filled or not."""
        days = f"{first:%Y%m%d}", f"{last + timedelta(days=1):%Y%m%d}"  # a Korean date may be one ahead
        rows = read_pages(
            lambda context: self._recovery.call("주문내역", lambda: self._kis.orders_page(*days, context)), "output"
        )
        found = {order.key: order for order in self._open_orders()}
        found.update({order.key: order for order in read_orders(rows)})
        return OrderList(tuple(found.values()), self._clock.monotonic())

    def _open_orders(self) -> list[OrderRow]:
        """KIS's other list of the same orders; where a mode does not have it, the first alone must do (§8.1)."""
        if not self._lists_open_orders:
            return []
        try:
            rows = read_pages(
                lambda context: self._recovery.call("미체결", lambda: self._kis.open_orders_page(context)), "output"
            )
        except KISRefusal:
            if not self._kis.paper:
                raise
            self._lists_open_orders = False
            return []
        return read_orders(rows)
