"""KIS's quote answers in our own words. Pure (protocol §6.1 and §6.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from errors import NoAnswer, PriceUnknown
from kis_broker import EXCHANGE_CODES
from quotes import Quote, parse_price

SOURCE = "KIS"


def parse_quote(body: Mapping[str, Any], symbol: str, exchange: str, at: datetime) -> Quote:
    """The quote in an answer to ``price``.

    Raises PriceUnknown where ``last`` is no price, as for a wrong exchange or an unknown symbol; NoAnswer for a
    body of another shape.
    """
    output = body.get("output")
    if not isinstance(output, dict):
        raise NoAnswer("응답 형식 오류 (output)", status=200)
    return _quote(output, symbol, exchange, at)


def parse_quotes(body: Mapping[str, Any], pairs: Sequence[tuple[str, str]], at: datetime) -> dict[str, Quote]:
    """The quotes in an answer to ``multprice``, by symbol; a pair that came back blank or not at all is left out.

    Raises NoAnswer for a body of another shape.
    """
    rows = body.get("output2")
    if not isinstance(rows, list):
        raise NoAnswer("응답 형식 오류 (output2)", status=200)
    asked = {(EXCHANGE_CODES[exchange], symbol): (exchange, symbol) for exchange, symbol in pairs}
    found = {}
    for row in rows:
        key = (_word(row, "excd"), _word(row, "symb"))
        if key not in asked:
            continue
        exchange, symbol = asked[key]
        try:
            found[symbol] = _quote(row, symbol, exchange, at)
        except PriceUnknown:
            continue  # asked again alone, because what multprice does with a wrong pair is not on record
    return found


def _quote(row: Mapping[str, Any], symbol: str, exchange: str, at: datetime) -> Quote:
    price = parse_price(row.get("last"))
    if price is None:
        raise PriceUnknown("가격 없음")
    return Quote(symbol, price, parse_price(row.get("base")), SOURCE, exchange, at)


def _word(row: object, name: str) -> str:
    value = row.get(name) if isinstance(row, dict) else None
    return value.strip() if isinstance(value, str) else ""
