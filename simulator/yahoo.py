"""Yahoo's chart end point as yfinance 1.7 asks it: prices of the same market, a few basis points apart.

In the endless market the running day's bar bears tomorrow's date from 16:00 to midnight New York; ``Ticker.history``
gives it, ``fast_info`` looks at bars up to today's date only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any

from clock import NEW_YORK
from simulator.faults import Fault
from simulator.hours import Session
from simulator.listings import Listing, find_listing
from simulator.market import TICK_SECONDS, Market
from simulator.messages import Request, Response, json_answer, text_answer

_RANGES = {"1d": 1, "5d": 5, "1mo": 22, "3mo": 64, "6mo": 127, "1y": 252, "2y": 504, "5y": 1260, "10y": 2520}
VALID_RANGES = [*_RANGES, "ytd", "max"]
_INTRADAY = {"1m": 60, "2m": 120, "5m": 300, "15m": 900, "30m": 1800, "60m": 3600, "90m": 5400, "1h": 3600}
_MOST_INTRADAY = 2000  # rows
_EXCHANGE_NAMES = {"NAS": ("NMS", "NasdaqGS"), "NYS": ("NYQ", "NYSE"), "AMS": ("PCX", "NYSEArca")}
_NINE_THIRTY = 9.5 * 3600
_EARLIEST, _LATEST = 1e9, 7e9  # epoch seconds: 2001 and 2191
_COOKIE = "A3=d=made-up; Path=/; Domain=.yahoo.com; Secure; HttpOnly"

Row = dict[str, Any]


class Yahoo:
    """Answers ``/v8/finance/chart/{symbol}``, the crumb and the cookie."""

    def __init__(self, market: Market, seed: int, skew_bps: float) -> None:
        self._market = market
        self._seed = seed
        self._skew_bps = skew_bps

    def answer(self, request: Request, name: str, symbol: str, at: float, faults: list[Fault]) -> Response:
        """The answer of the end point called ``name``."""
        if name == "crumb":
            return text_answer("sImCrUmB.01")
        if name == "cookie":
            return Response(200, {"content-type": "text/html", "set-cookie": _COOKIE}, b"")
        if name != "chart":
            return _not_found("Not Found", "No such end point in the simulator")
        listing = find_listing(symbol.upper())
        if listing is None:
            return _not_found("Not Found", "No data found, symbol may be delisted")
        return self._chart(listing, request.query, at, faults)

    def _chart(self, listing: Listing, query: dict[str, str], at: float, faults: list[Fault]) -> Response:
        interval = query.get("interval", "1d")
        sessions = self._sessions(query, at)
        if interval in _INTRADAY:
            rows = self._intraday(listing, sessions, _INTRADAY[interval], at)
        else:
            rows = self._daily(listing, sessions, at)
        meta = self._meta(listing, sessions, interval, query.get("range", ""), at)
        for fault in faults:
            _spoil(fault, meta, rows)
        return json_answer({"chart": {"result": [_result(meta, rows)], "error": None}})

    def _sessions(self, query: dict[str, str], at: float) -> list[Session]:
        """The sessions asked for, oldest first."""
        current = self._market.hours.current(at)
        newest = current.date if at >= current.opens else current.date - timedelta(days=1)
        if "period1" in query:
            begin = _asked_day(query["period1"], at)
            last = min(_asked_day(query.get("period2", ""), at), newest)
            count = max(0, (last - begin).days + 1)
            found = [s for s in self._market.hours.recent(last, min(count, 2520)) if s.date >= begin]
        else:
            found = self._market.hours.recent(newest, _count(query.get("range", "1d"), newest))
        return found[::-1]

    def _daily(self, listing: Listing, sessions: list[Session], at: float) -> list[Row]:
        rows = []
        for session in sessions:
            bar = self._market.bar(listing, session, at)
            factor = self._factor(listing, min(at, session.closes))
            prices = [_near(price, factor) for price in (bar.open, bar.high, bar.low, bar.close)]
            rows.append(_row(_stamp(session), prices, bar.volume))
        return rows

    def _intraday(self, listing: Listing, sessions: list[Session], step: int, at: float) -> list[Row]:
        rows = []
        for session in sessions[-max(1, _MOST_INTRADAY * step // 23_400) :]:
            start = session.opens
            while start < session.closes and start <= at:
                end = min(start + step, at, session.closes)
                first = _near(self._market.price(listing, start), 1.0)
                last = _near(self._market.price(listing, max(start, end - TICK_SECONDS)), 1.0)
                rows.append(_row(int(start), [first, max(first, last), min(first, last), last], 1000))
                start += step
        return rows[-_MOST_INTRADAY:]

    def _meta(self, listing: Listing, sessions: list[Session], interval: str, asked: str, at: float) -> Row:
        market = self._market
        current = market.hours.current(at)
        factor = self._factor(listing, min(at, current.closes))
        code, name = _EXCHANGE_NAMES[listing.exchange]
        first = market.bar(listing, sessions[0], at) if sessions else None
        before = market.hours.recent(sessions[0].date - timedelta(days=1), 1) if sessions else []
        offset = int(datetime.fromtimestamp(at, NEW_YORK).utcoffset().total_seconds())  # type: ignore[union-attr]
        meta: Row = {
            "currency": "USD",
            "symbol": listing.symbol.replace(".", "-"),
            "exchangeName": code,
            "fullExchangeName": name,
            "instrumentType": "ETF" if listing.exchange == "AMS" else "EQUITY",
            "firstTradeDate": 345479400,
            "regularMarketTime": int(min(at, current.closes) if at >= current.opens else _last_close(market, current)),
            "hasPrePostMarketData": True,
            "gmtoffset": offset,
            "timezone": "EDT" if offset == -14400 else "EST",
            "exchangeTimezoneName": "America/New_York",
            "regularMarketPrice": _near(market.price(listing, at), factor),
            "chartPreviousClose": float(market.close(listing, before[0])) if first and before else None,
            "priceHint": 2,
            "currentTradingPeriod": _periods(current, offset),
            "dataGranularity": interval,
            "range": asked,
            "validRanges": VALID_RANGES,
        }
        if interval in _INTRADAY:
            meta["previousClose"] = float(market.previous_close(listing, at))
            meta["tradingPeriods"] = [[_period(session.opens, session.closes, offset)] for session in sessions]
        return meta

    def _factor(self, listing: Listing, at: float) -> float:
        """How Yahoo's price differs in this minute."""
        digest = hashlib.blake2b(f"{self._seed}:{listing.symbol}:{int(at // 60)}".encode(), digest_size=2).digest()
        return 1 + (int.from_bytes(digest, "big") / 32768 - 1) * self._skew_bps / 10_000


def _spoil(fault: Fault, meta: Row, rows: list[Row]) -> None:
    """``blank`` and ``bad_price`` on the newest price and the newest bar."""
    if fault.kind not in ("blank", "bad_price"):
        return
    price = _number(fault.text) if fault.kind == "bad_price" else None
    meta["regularMarketPrice"] = price
    for row in rows[-1:]:
        row |= dict.fromkeys(("open", "high", "low", "close"), price)


def _number(text: str) -> float | str | None:
    """The number in ``text``; None for NaN and infinity, which JSON has not; otherwise the text itself."""
    try:
        value = float(Decimal(text))
    except (InvalidOperation, ValueError):
        return text or None
    return value if isfinite(value) else None


def _result(meta: Row, rows: list[Row]) -> Row:
    """Yahoo's columns out of our rows."""
    column: Callable[[str], list[Any]] = lambda name: [row[name] for row in rows]  # noqa: E731
    quote = {name: column(name) for name in ("open", "high", "low", "close", "volume")} if rows else {}
    result: Row = {"meta": meta, "indicators": {"quote": [quote], "adjclose": [{"adjclose": column("close")}]}}
    return {**result, "timestamp": column("at")} if rows else result


def _row(at: int, prices: list[float], volume: int) -> Row:
    return {"at": at, "open": prices[0], "high": prices[1], "low": prices[2], "close": prices[3], "volume": volume}


def _near(price: Decimal, factor: float) -> float:
    return round(float(price) * factor, 4)


def _stamp(session: Session) -> int:
    """A daily bar is dated 09:30 New York, also where the endless market began the day before."""
    midnight = datetime(session.date.year, session.date.month, session.date.day, tzinfo=NEW_YORK).timestamp()
    return int(midnight + _NINE_THIRTY)


def _last_close(market: Market, current: Session) -> float:
    return market.hours.recent(current.date - timedelta(days=1), 1)[0].closes


def _asked_day(text: str, default: float) -> date:
    """The New York date of an instant in epoch seconds, within this century and the next."""
    value = _number(text) if text else None
    at = value if isinstance(value, float) else default
    return datetime.fromtimestamp(min(max(at, _EARLIEST), _LATEST), NEW_YORK).date()


def _count(asked: str, newest: date) -> int:
    """How many sessions a range is."""
    if asked == "ytd":
        return max(1, (newest - newest.replace(month=1, day=1)).days * 5 // 7)
    return _RANGES.get(asked, 2520 if asked == "max" else 5)


def _period(start: float, end: float, offset: int) -> Row:
    return {"timezone": "EDT" if offset == -14400 else "EST", "start": int(start), "end": int(end), "gmtoffset": offset}


def _periods(session: Session, offset: int) -> Row:
    return {
        "pre": _period(min(session.begins, session.opens), session.opens, offset),
        "regular": _period(session.opens, session.closes, offset),
        "post": _period(session.closes, session.closes + 4 * 3600, offset),
    }


def _not_found(code: str, text: str) -> Response:
    return json_answer({"chart": {"result": None, "error": {"code": code, "description": text}}}, 404)
