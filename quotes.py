"""A quote and the border it crosses: prices become numbers here or nowhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

PRICE_LIMIT = Decimal(1_000_000)  # USD; nothing on a US exchange costs this much, so it is an error in the feed
_PLAIN_NUMBER = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)


@dataclass(frozen=True)
class Quote:
    """What a share costs, in USD, and how we know."""

    symbol: str
    price: Decimal
    previous_close: Decimal | None
    source: str  # "KIS" or "yfinance"
    exchange: str | None  # 나스닥, 뉴욕, 아멕스; None where the source does not say
    at: datetime  # aware; when KIS answered, or Yahoo's own time of the price


def parse_price(text: object) -> Decimal | None:
    """A price in USD, or None for what is no price: zero, negative, blank, NaN, infinite, text, a million and more.

    KIS sends prices as strings with four decimals and blank ones for a wrong exchange (protocol §6.1).
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float | Decimal):
        return None
    plain = str(text).strip() if isinstance(text, str) else format(Decimal(str(text)), "f")
    if not _PLAIN_NUMBER.fullmatch(plain):
        return None
    price = Decimal(plain)
    return price if 0 < price < PRICE_LIMIT else None


def format_price(price: Decimal) -> str:
    """``$178.50``; under a dollar four decimals."""
    return f"${price:.2f}" if price >= 1 else f"${price:.4f}"
