"""The books: what counts as ours and what it has earned, replayed from the fills. Pure.

KIS's order answers name no fees, so they are estimated at KIS's list rates and marked so wherever they are shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from ledger import Fill
from portfolio import Side

COMMISSION = Decimal("0.0025")  # of the amount, each way; KIS's usual rate for US stocks
SEC_FEE = Decimal("0.0000206")  # of the amount of a sale
CENT = Decimal("0.01")


@dataclass(frozen=True)
class Trade:
    """One fill with its estimated fee and, for a sale, what it realised after fees, in USD."""

    fill: Fill
    fee: Decimal
    profit: Decimal | None


@dataclass
class Books:
    """Shares that count as ours, what they cost in USD, and the trades that made them."""

    quantities: dict[str, int] = field(default_factory=dict)
    averages: dict[str, Decimal] = field(default_factory=dict)  # USD paid per share, without fees
    costs: dict[str, Decimal] = field(default_factory=dict)  # the same with the fees of the purchase
    last_sales: dict[str, Decimal] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)


def estimated_fee(side: Side, amount: Decimal) -> Decimal:
    """The fee of a trade over ``amount`` USD, to the cent."""
    rate = COMMISSION if side is Side.BUY else COMMISSION + SEC_FEE
    return (amount * rate).quantize(CENT, ROUND_HALF_UP)


def replay(fills: Iterable[Fill]) -> Books:
    """The books after these fills, oldest first."""
    books = Books()
    for fill in fills:
        (_buy if fill.side is Side.BUY else _sell)(books, fill)
    return books


def _buy(books: Books, fill: Fill) -> None:
    amount = fill.price * fill.quantity
    fee = _fee(fill, amount)
    held = books.quantities.get(fill.symbol, 0)
    total = held + fill.quantity
    books.averages[fill.symbol] = (books.averages.get(fill.symbol, Decimal(0)) * held + amount) / total
    books.costs[fill.symbol] = (books.costs.get(fill.symbol, Decimal(0)) * held + amount + fee) / total
    books.quantities[fill.symbol] = total
    books.trades.append(Trade(fill, fee, None))


def _sell(books: Books, fill: Fill) -> None:
    amount = fill.price * fill.quantity
    fee = _fee(fill, amount)
    held = books.quantities.get(fill.symbol, 0)
    cost = books.costs.get(fill.symbol)
    profit = None if cost is None or fill.intent is None else (amount - fee - cost * fill.quantity).quantize(CENT)
    books.quantities[fill.symbol] = max(0, held - fill.quantity)
    if not books.quantities[fill.symbol]:
        del books.quantities[fill.symbol]
        books.averages.pop(fill.symbol, None)
        books.costs.pop(fill.symbol, None)
    if fill.intent is not None:
        books.last_sales[fill.symbol] = fill.price
    books.trades.append(Trade(fill, fee, profit))


def _fee(fill: Fill, amount: Decimal) -> Decimal:
    return Decimal(0) if fill.intent is None else estimated_fee(fill.side, amount)
