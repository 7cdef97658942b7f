"""Small readings that several of KIS's account queries share."""

from __future__ import annotations

from datetime import date, datetime

from simulator.listings import Listing, find_listing


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


def find_day(text: str) -> date | None:
    """A YYYYMMDD date; None for anything else."""
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a date without a time
    except ValueError:
        return None
