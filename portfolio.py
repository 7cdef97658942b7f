"""What an account holds and what was ordered on it, as plain values in USD; and KIS's rows read into them. Pure.

Rows and fields: protocol §8.2 (orders and fills), §8.3 (positions), §8.5 (cash), §8.8 (number formats).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

from errors import NoAnswer
from quotes import Quote, parse_price

EXCHANGE_NAMES = {"NASD": "나스닥", "NYSE": "뉴욕", "AMEX": "아멕스", "NAS": "나스닥", "NYS": "뉴욕", "AMS": "아멕스"}


class Side(Enum):
    """Which way an order goes."""

    BUY = "매수"
    SELL = "매도"


NOTHING_FOUND = "KIOK0560"  # 조회할 내용이 없습니다 (§2.4)
SIDES = {"01": Side.SELL, "02": Side.BUY}  # sll_buy_dvsn_cd


@dataclass(frozen=True)
class Position:
    """Shares of one symbol in the account, merged over KIS's rows."""

    symbol: str
    exchange: str  # 나스닥, 뉴욕, 아멕스
    quantity: int
    sellable: int  # held minus open sells
    average_price: Decimal  # USD
    price: Decimal | None = None  # USD, KIS's current one; for valuation only


@dataclass(frozen=True)
class OrderRow:
    """One order as KIS lists it: partial fills are summed up in it (§8.2)."""

    date: str  # YYYYMMDD, New York
    branch: str
    number: int
    original: int | None  # of a cancel or a change: the order it is about
    symbol: str
    exchange: str | None
    side: Side | None
    quantity: int
    limit: Decimal  # 0 where KIS does not tell
    filled: int
    fill_price: Decimal  # average, USD; 0 without a fill
    open: int  # shares still to be filled
    time: str  # HHMMSS, KST
    channel: str  # 매체: OpenAPI for orders of a program
    rejected: str | None  # the reason of a refusal after the acceptance

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes a row one of its kind; numbers return on other dates."""
        return (self.date, self.branch, self.number)


def order_number(text: object) -> int | None:
    """An ODNO as a number: ``0000037508`` in the answer to an order is ``37508`` in the list (§1.11)."""
    plain = str(text).strip() if isinstance(text, str | int) and not isinstance(text, bool) else ""
    return int(plain) or None if plain.isascii() and plain.isdigit() else None


def rows_of(body: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The rows of a list in an answer. An object of blanks stands for no rows (§8.2).

    Raises NoAnswer for an answer that does not say for sure what it shows: a list that is not there is empty only
    where KIS says that there is nothing (KIOK0560).
    """
    if str(body.get("rt_cd")) != "0":
        raise NoAnswer("KIS 응답 아님", status=200)
    value = body.get(name)
    if value is None and body.get("msg_cd") != NOTHING_FOUND:
        raise NoAnswer(f"응답 형식 오류 ({name} 없음)", status=200)
    rows: list[Any] = value if isinstance(value, list) else [value] if value else []
    if not all(isinstance(row, dict) for row in rows):
        raise NoAnswer(f"응답 형식 오류 ({name})", status=200)
    return rows


def read_orders(rows: Iterable[Mapping[str, Any]], ours: Collection[str] | None = None) -> list[OrderRow]:
    """The orders in the rows of a list, each once.

    Raises NoAnswer for a row that cannot be read, unless its symbol is none of ``ours``: then it stands for an open
    order, so that the symbol is left alone.
    """
    orders = {}
    for row in rows:
        number = order_number(row.get("odno"))
        if number is None and _is_padding(row, "odno", "pdno"):
            continue
        if number is None:
            raise NoAnswer("응답 형식 오류 (odno)", status=200)
        try:
            order = _order(row, number)
        except NoAnswer:
            symbol = _text(row, "pdno")
            if ours is None or not symbol or symbol in ours:
                raise
            order = _unreadable(row, number, symbol)
        orders[order.key] = order
    return list(orders.values())


def _unreadable(row: Mapping[str, Any], number: int, symbol: str) -> OrderRow:
    date, nothing = _text(row, "ord_dt"), Decimal(0)
    return OrderRow(date, "", number, None, symbol, None, None, 0, nothing, 0, nothing, 1, "", "", None)


def _order(row: Mapping[str, Any], number: int) -> OrderRow:
    refused = _text(row, "prcs_stat_name") == "거부"
    return OrderRow(
        date=_text(row, "ord_dt"),
        branch=_text(row, "ord_gno_brno"),
        number=number,
        original=order_number(row.get("orgn_odno")),
        symbol=_text(row, "pdno"),
        exchange=EXCHANGE_NAMES.get(_text(row, "ovrs_excg_cd")),
        side=SIDES.get(_text(row, "sll_buy_dvsn_cd")),
        quantity=_count(row, "ft_ord_qty"),
        limit=_amount(row, "ft_ord_unpr3"),
        filled=_count(row, "ft_ccld_qty"),
        fill_price=_amount(row, "ft_ccld_unpr3"),
        open=_count(row, "nccs_qty"),
        time=_text(row, "ord_tmd"),
        channel=_text(row, "mdia_dvsn_name"),
        rejected=(_text(row, "rjct_rson_name") or _text(row, "rjct_rson") or "거부") if refused else None,
    )


def read_positions(rows: Iterable[Mapping[str, Any]]) -> dict[str, Position]:
    """Positions by symbol. The same row asked for at two exchanges counts once; lots of one symbol are added up.

    Raises NoAnswer for a row that cannot be read.
    """
    lots = {}
    for row in rows:
        if _is_padding(row, "ovrs_pdno"):
            continue
        symbol = _text(row, "ovrs_pdno")
        if not symbol:
            raise NoAnswer("응답 형식 오류 (ovrs_pdno)", status=200)
        lots[symbol, _text(row, "loan_type_cd"), _text(row, "loan_dt")] = row
    positions: dict[str, Position] = {}
    for (symbol, _, _), row in lots.items():
        lot = _position(symbol, _text(row, "ovrs_excg_cd"), row)
        if lot.quantity > 0:
            positions[symbol] = _merged(positions.get(symbol), lot)
    return positions


def _position(symbol: str, exchange: str, row: Mapping[str, Any]) -> Position:
    return Position(
        symbol,
        EXCHANGE_NAMES.get(exchange, "나스닥"),
        _count(row, "ovrs_cblc_qty"),
        _count(row, "ord_psbl_qty"),
        _amount(row, "pchs_avg_pric"),
        parse_price(row.get("now_pric2")),
    )


def _merged(one: Position | None, other: Position) -> Position:
    if one is None:
        return other
    quantity = one.quantity + other.quantity
    cost = one.average_price * one.quantity + other.average_price * other.quantity
    return Position(one.symbol, one.exchange, quantity, one.sellable + other.sellable, cost / quantity, one.price)


def value_of(positions: Mapping[str, Position], quotes: Mapping[str, Quote | None]) -> Decimal | None:
    """What the shares are worth, USD, at our quotes, else at KIS's own prices; None while one has no price."""
    total = Decimal(0)
    for symbol, position in positions.items():
        quote = quotes.get(symbol)
        price = quote.price if quote else position.price
        if price is None:
            return None
        total += price * position.quantity
    return total


@dataclass(frozen=True)
class Cash:
    """What may be spent on US stocks now."""

    usd: Decimal
    krw_per_usd: Decimal | None  # KIS's rate, for the records


def read_cash(body: Mapping[str, Any]) -> Cash:
    """Spendable USD in an answer to inquire-psamount. Raises NoAnswer for a blank figure: that is not zero."""
    output = body.get("output")
    if str(body.get("rt_cd")) != "0" or not isinstance(output, dict):
        raise NoAnswer("응답 형식 오류 (output)", status=200)
    usd = amount(output.get("ovrs_ord_psbl_amt"))
    if usd is None or usd < 0:
        raise NoAnswer("주문가능금액이 비어 있음", status=200)
    rate = amount(output.get("exrt"))
    return Cash(usd, rate if rate and rate > 1 else None)


def amount(value: object) -> Decimal | None:
    """A finite decimal number, or None."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value).strip().replace(",", ""))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _amount(row: Mapping[str, Any], name: str) -> Decimal:
    """A number in a row; blank is 0, as in rows without a fill."""
    value = row.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        return Decimal(0)
    number = amount(value)
    if number is None:
        raise NoAnswer(f"응답 형식 오류 ({name})", status=200)
    return number


def _count(row: Mapping[str, Any], name: str) -> int:
    """A number of whole shares in a row; a blank one is an error, because 0 would change the books."""
    value = row.get(name)
    if isinstance(value, str) and len(value) < 19 and value.isascii() and value.isdecimal():  # nearly always
        return int(value)
    number = amount(value)
    if number is None or number < 0 or number != number.to_integral_value():
        raise NoAnswer(f"응답 형식 오류 ({name})", status=200)
    return int(number)


def _is_padding(row: Mapping[str, Any], *names: str) -> bool:
    """Whether KIS has only filled up the list: a plain row that names nothing. A garbled one may name something."""
    plain = all(isinstance(value, str | int | None) and not isinstance(value, bool) for value in row.values())
    return plain and not any(_text(row, name) for name in names)


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return str(value).strip() if isinstance(value, str | int) else ""
