"""When the market trades. Every answer follows from the instant that is handed in; no clock, no host time zone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any, Protocol

from clock import KST, NEW_YORK
from config import Settings

REGULAR_CLOSE = time(16)  # New York
_DAY = timedelta(days=1)
_FURTHEST = 30  # days to look for a session; NYSE's longest pause since the First World War took six
_KNOWN_YEARS = range(1920, 2200)  # a clock that is further off than this finds no session
_WEEKDAYS = "월화수목금토일"


@dataclass(frozen=True)
class Session:
    """One trading day. Instants are aware and in UTC; we trade from ``open`` up to, not at, ``close``."""

    date: date  # New York's
    open: datetime
    close: datetime
    is_half_day: bool = False
    market_close: datetime | None = None  # where the owner's hours end before the market's

    @property
    def ends(self) -> datetime:
        """When the market itself closes: day orders live until then, whatever the owner's hours are."""
        return self.market_close or self.close


def last_order_time(session: Session, order_timeout_minutes: float) -> datetime:
    """From this instant (UTC) on no new order: one that stays unfilled could not be cancelled before the close."""
    return session.close - timedelta(minutes=order_timeout_minutes + 1)


class Calendar(Protocol):
    """Knows which New York dates are trading days."""

    def session_on(self, day: date) -> Session | None:
        """The session of this date, or None."""
        ...


class AlwaysOpen:
    """Every date is a session, from 16:00 New York on the day before to 16:00, so that one follows the other."""

    def session_on(self, day: date) -> Session | None:
        """The session of this date."""
        return Session(day, _in_new_york(day - _DAY, REGULAR_CLOSE), _in_new_york(day, REGULAR_CLOSE))


class NyseCalendar:
    """NYSE's regular sessions with holidays and half days.

    Copied once from exchange_calendars into a plain table of some years: the library with its pandas takes over half
    a second to import, and a table answers in less than a microsecond.
    """

    def __init__(self) -> None:
        self._sessions: dict[date, Session] = {}
        self._first, self._last = date.max, date.min

    def session_on(self, day: date) -> Session | None:
        """The session of this date, or None. Loads the years around a date that is not in the table."""
        if not self._first <= day <= self._last and day.year in _KNOWN_YEARS:
            self._load(day.year)
        return self._sessions.get(day)

    def _load(self, year: int) -> None:
        # The table starts a year early and ends three years late, so that no look ahead or back from a date near
        # its middle falls off it. The library's own default end is one year from today.
        first, last = date(year - 1, 1, 1), date(year + 3, 12, 31)
        self._sessions = _nyse_sessions(first, last)
        self._first, self._last = first, last


@cache
def _nyse_sessions(first: date, last: date) -> dict[date, Session]:
    import exchange_calendars

    calendar: Any = exchange_calendars.get_calendar("XNYS", start=first.isoformat(), end=last.isoformat())
    rows = zip(calendar.sessions, calendar.opens, calendar.closes, strict=True)
    return {day.date(): _nyse_session(day.date(), opens, closes) for day, opens, closes in rows}


def _nyse_session(day: date, opens: Any, closes: Any) -> Session:
    """pandas' values as our own."""
    close = datetime.fromtimestamp(closes.timestamp(), UTC)
    is_half_day = close.astimezone(NEW_YORK).time() < REGULAR_CLOSE
    return Session(day, datetime.fromtimestamp(opens.timestamp(), UTC), close, is_half_day)


def _in_new_york(day: date, at: time) -> datetime:
    return datetime.combine(day, at, NEW_YORK).astimezone(UTC)


class MarketHours:
    """Answers about sessions around an instant. ``now`` is aware, in any zone; a naive one raises ValueError.

    Raises LookupError where there is no session within a month, as in the year 1900 or 2300.
    ``start`` and ``end`` (New York wall time) make every session narrower; a half day that ends before ``start`` is
    no session then.
    """

    def __init__(self, calendar: Calendar, start: time | None = None, end: time | None = None) -> None:
        self._calendar = calendar
        self._start = start
        self._end = end
        self._latest: tuple[Session, datetime] | None = None  # the last answer, and from when on it is another

    @classmethod
    def for_settings(cls, settings: Settings) -> MarketHours:
        """NYSE's hours, or those of the embedded broker that never closes. Loads no calendar yet."""
        endless = settings.kis_mode == "sim" and settings.sim_hours == "always"
        calendar: Calendar = AlwaysOpen() if endless else NyseCalendar()
        return cls(calendar, settings.trading_start_time, settings.trading_end_time)

    def is_open(self, now: datetime) -> bool:
        """Whether a session is running."""
        return self.session(now) is not None

    def session(self, now: datetime) -> Session | None:
        """The running session, or None."""
        at = _utc(now)
        session, _ = self._around(at)
        return session if at < session.close else None

    def latest(self, now: datetime) -> Session:
        """The session that opened last: the running one, else the one before."""
        return self._around(_utc(now))[0]

    def upcoming(self, now: datetime) -> Session:
        """The session that closes next: the running one, else the next one."""
        at = _utc(now)
        return next(session for session in self._sessions(at, +1) if session.close > at)

    def next_open(self, now: datetime) -> datetime:
        """The first opening after ``now`` (UTC); while a session runs, that of the one after it."""
        at, known = _utc(now), self._latest
        if known is not None and known[0].open <= at < known[1]:
            return known[1]
        return self._open_after(at)

    def next_close(self, now: datetime) -> datetime:
        """The first close after ``now`` (UTC); while a session runs, its own."""
        return self.upcoming(now).close

    def trading_date(self, now: datetime) -> date:
        """The New York date that figures of the day belong to: that of the session that opened last.

        It changes at an opening and at no other instant, so that what is settled or reported after a close still
        counts for that day, and midnight (Seoul's or New York's) changes nothing.
        """
        return self.latest(now).date

    def describe(self, now: datetime) -> str:
        """For the log: ``개장 23:30 KST (뉴욕 09:30)``, while a session runs ``마감 06:00 KST (뉴욕 16:00)``."""
        session = self.session(now)
        if session is None:
            return f"개장 {_when(self.next_open(now), now)}"
        if self.is_open(session.close):
            return f"쉬지 않고 열림 (거래일 {session.date:%m-%d})"
        return f"마감 {_when(session.close, now)}{' 조기 마감' if session.is_half_day else ''}"

    def _around(self, at: datetime) -> tuple[Session, datetime]:
        """The session that opened last before an instant in UTC, and the opening after it."""
        known = self._latest
        if known is None or not known[0].open <= at < known[1]:
            session = next(session for session in self._sessions(at, -1) if session.open <= at)
            known = self._latest = session, self._open_after(at)
        return known

    def _open_after(self, at: datetime) -> datetime:
        return next(session.open for session in self._sessions(at, +1) if session.open > at)

    def _sessions(self, at: datetime, step: int) -> Iterator[Session]:
        """Sessions in order, onward (+1) or back (-1), from a day before New York's date in that direction."""
        today = at.astimezone(NEW_YORK).date()
        for away in range(-1, _FURTHEST):  # a session of AlwaysOpen begins on the eve of its date
            session = self._session_on(today + away * step * _DAY)
            if session is not None:
                yield session
        raise LookupError(f"no session within {_FURTHEST} days of {today}")

    def _session_on(self, day: date) -> Session | None:
        session = self._calendar.session_on(day)
        if session is None or (self._start is None and self._end is None):
            return session
        opens = max(session.open, _in_new_york(day, self._start)) if self._start else session.open
        closes = min(session.close, _in_new_york(day, self._end)) if self._end else session.close
        ends = session.close if closes < session.close else None
        return replace(session, open=opens, close=closes, market_close=ends) if opens < closes else None


def _utc(now: datetime) -> datetime:
    if now.utcoffset() is None:
        raise ValueError("now must be aware")
    return now.astimezone(UTC)


def _when(instant: datetime, now: datetime) -> str:
    """``23:30 KST (뉴욕 09:30)``, with the date where it is a day away or more."""
    seoul, new_york = instant.astimezone(KST), instant.astimezone(NEW_YORK)
    day = f"{seoul:%m-%d}({_WEEKDAYS[seoul.weekday()]}) " if instant - now >= _DAY else ""
    return f"{day}{seoul:%H:%M} KST (뉴욕 {new_york:%H:%M})"
