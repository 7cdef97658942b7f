"""Small readings that several of KIS's account queries share."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache

from simulator.listings import Listing, find_listing

_PRICE = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 2001, 2199


def listed(symbol: str) -> Listing:
    """The listing of a symbol that is known to be listed."""
    listing = find_listing(symbol)
    assert listing is not None
    return listing


def is_here(exchange: str, asked: str, *, paper: bool) -> bool:
    """Whether a query for ``asked`` covers an exchange: on the real server NASD means all of the US (§2.5, §8)."""
    if asked in ("", "%") or (asked == "NASD" and not paper):
        return True
    return exchange == ("NASD" if asked == "NAS" else asked)


@lru_cache(maxsize=64)
def find_day(text: str) -> date | None:
    """A YYYYMMDD date of this or the next century; None for anything else."""
    try:
        day = datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a date without a time
    except ValueError:
        return None
    return day if _FIRST_YEAR <= day.year <= _LAST_YEAR else None


def find_price(text: str) -> Decimal | None:
    """A price written plainly, up to twelve digits on either side of the point; None for anything else."""
    return Decimal(text) if _PRICE.fullmatch(text) else None


def is_number(text: str) -> bool:
    """Whether a text consists of the digits 0 to 9 and nothing else; not every Unicode digit is a number to ``int``."""
    return text.isascii() and text.isdigit()
