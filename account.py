"""The account in our own words: cash, positions, orders. An answer that fails or is half raises; it is never empty."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from clock import Clock
from errors import KISRefusal, NoAnswer
from kis_trading import ORDER_CODES, KISTrading, read_pages
from kis_transport import Answer
from portfolio import Cash, OrderRow, Position, read_cash, read_orders, read_positions
from quotes import Quote

T = TypeVar("T")

CASH_TRIES = 3  # symbols to ask the cash for


@dataclass(frozen=True)
class OrderList:
    """A complete read of KIS's orders, and when (monotonic seconds)."""

    rows: tuple[OrderRow, ...]
    at: float

    def keys(self) -> frozenset[tuple[str, int]]:
        """Date and number of every order on it."""
        return frozenset((row.date, row.number) for row in self.rows)


class Caller(Protocol):
    """Whoever mends what can be mended around a call: the one recovery, or nobody."""

    def call(self, name: str, ask: Callable[[], T]) -> T:
        """The result of ``ask``; ``name`` is the kind of call."""
        ...


class Account:
    """Reads one account through the one recovery. Every method raises KISError or Stopping."""

    def __init__(self, kis: KISTrading, recovery: Caller, clock: Clock) -> None:
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

    def first_cash(self, quotes: Sequence[Quote]) -> Cash:
        """The cash by the first of these that KIS lets us ask for: one that may not be traded must not hide it."""
        for number, quote in enumerate(quotes, start=1):
            try:
                return self.cash(quote.exchange or "나스닥", quote.symbol, quote.price)
            except KISRefusal:
                if number == min(CASH_TRIES, len(quotes)):
                    raise
        raise NoAnswer("현금을 물을 종목이 없음")

    def orders(self, first: date, last: date, ours: Collection[str] | None = None) -> OrderList:
        """Every order of these New York dates, ours and the owner's own, filled or not.

        A day more on both sides is asked for: Korea's date may be one ahead, and what a broker files under New York's
        calendar date may belong to the session that began in the evening of it (protocol §9.3).
        """
        days = f"{first - timedelta(days=1):%Y%m%d}", f"{last + timedelta(days=1):%Y%m%d}"
        rows = read_pages(
            lambda context: self._recovery.call("주문내역", lambda: self._kis.orders_page(*days, context)), "output"
        )
        found = read_orders([*self._open_rows(), *rows], ours)
        return OrderList(tuple(found), self._clock.monotonic())

    def _open_rows(self) -> list[Mapping[str, Any]]:
        """KIS's other list of the same orders; where a host does not have it, the first alone must do (§8.1)."""
        if not self._lists_open_orders:
            return []
        try:
            return read_pages(
                lambda context: self._recovery.call("미체결", lambda: self._kis.open_orders_page(context)), "output"
            )
        except (KISRefusal, NoAnswer) as exc:
            if not _is_missing(exc):
                raise
            self._lists_open_orders = False
            return []


def _is_missing(exc: KISRefusal | NoAnswer) -> bool:
    """Whether the host does not know the call at all (§5.2, §10)."""
    if isinstance(exc, KISRefusal):
        return exc.code in ("OPSQ0002", "EGW02006", "90000000")
    return exc.status == 404
