"""When the simulated market trades. Instants are seconds since 1970 (UTC); dates are New York's."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Protocol

from clock import NEW_YORK

CLOSE = time(16)
ROLLOVER = time(4)  # pre-market begins: the last close becomes the previous close
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Session:
    """One trading day."""

    date: date
    begins: float  # from here on quotes belong to this day; before ``opens`` nothing has traded yet
    opens: float
    closes: float


class Hours(Protocol):
    """A calendar of sessions."""

    share_of_day: float
    """How much of a calendar day's movement happens in the session; the rest is the jump overnight."""

    def current(self, at: float) -> Session:
        """The latest session that has begun."""
        ...

    def recent(self, until: date, count: int) -> list[Session]:
        """Up to ``count`` sessions, newest first, none later than ``until``."""
        ...


def is_open(hours: Hours, at: float) -> bool:
    """Whether orders can trade at this instant."""
    session = hours.current(at)
    return session.opens <= at < session.closes


def previous(hours: Hours, session: Session) -> Session:
    """The session before this one."""
    return hours.recent(session.date - _DAY, 1)[0]


def following(hours: Hours, day: date) -> date:
    """The next trading date after ``day``: the settlement date of a trade (T+1, protocol §9.3)."""
    for ahead in range(1, 15):
        candidate = day + ahead * _DAY
        if hours.recent(candidate, 1)[0].date == candidate:
            return candidate
    raise ValueError(f"no session within two weeks of {day}")


def _instant(day: date, at: time) -> float:
    return datetime.combine(day, at, NEW_YORK).timestamp()


class AlwaysOpen:
    """Day follows day without a break: the date's session ends at 16:00 New York and the next one begins."""

    share_of_day = 1.0

    def current(self, at: float) -> Session:
        """The session of this instant; there always is one."""
        here = datetime.fromtimestamp(at, NEW_YORK)
        return _endless(here.date() if here.time() < CLOSE else here.date() + _DAY)

    def recent(self, until: date, count: int) -> list[Session]:
        """Every date is a session, weekends too."""
        return [_endless(until - back * _DAY) for back in range(count)]


@lru_cache(maxsize=2048)
def _endless(day: date) -> Session:
    begins = _instant(day - _DAY, CLOSE)
    return Session(day, begins, begins, _instant(day, CLOSE))


class Nyse:
    """NYSE's regular sessions from exchange_calendars (imported only when asked for: it is heavy)."""

    share_of_day = 0.7

    def __init__(self) -> None:
        self._sessions: list[Session] = []
        self._begins: list[float] = []
        self._dates: list[date] = []
        self._last: tuple[Session, float] | None = None  # the last answer, and from when on it is another

    def current(self, at: float) -> Session:
        """The latest session whose pre-market has begun."""
        last = self._last
        if last is not None and last[0].begins <= at < last[1]:
            return last[0]
        self._cover(datetime.fromtimestamp(at, UTC).year)
        number = bisect_right(self._begins, at)
        self._last = self._sessions[number - 1], self._begins[number]
        return self._last[0]

    def recent(self, until: date, count: int) -> list[Session]:
        """The sessions up to a date, newest first."""
        self._cover(until.year)
        end = bisect_right(self._dates, until)
        return self._sessions[max(0, end - count) : end][::-1]

    def _cover(self, year: int) -> None:
        """Load the sessions three years around ``year`` unless they are there."""
        first, last = year - 3, year + 3
        if self._sessions:
            known = (self._dates[0].year, self._dates[-1].year)
            if known[0] < year < known[1]:
                return
            first, last = min(first, known[0]), max(last, known[1])
        self._sessions = _load_nyse(first, last)
        self._begins = [session.begins for session in self._sessions]
        self._dates = [session.date for session in self._sessions]


@lru_cache(maxsize=8)
def _load_nyse(first: int, last: int) -> list[Session]:
    import exchange_calendars

    calendar: Any = exchange_calendars.get_calendar("XNYS", start=f"{first}-01-01", end=f"{last}-12-31")
    opens, closes = calendar.opens, calendar.closes
    return [
        Session(day.date(), _instant(day.date(), ROLLOVER), opens[day].timestamp(), closes[day].timestamp())
        for day in calendar.sessions
    ]
