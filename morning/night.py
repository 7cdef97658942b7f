"""One night as plain values: what the morning report tells, worked out from what the database remembers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from books import Books, Trade, replay
from clock import NEW_YORK
from intents import Intent, State
from ledger import OUTCOME_ISSUED, Fill, Issuance, Ledger
from market_hours import MarketHours, Session
from morning.night_ledger import Closing, Held, NightLedger, Reason, Trouble
from portfolio import Side
from recovery import Recovered

_ALMOST_CLOSED = time(15, 59, 59)  # New York; every session has opened by then


@dataclass(frozen=True)
class Records:
    """Everything in the database that one night's report is made from."""

    intents: Sequence[Intent]  # of all nights
    fills: Sequence[Fill]  # of all nights, oldest first
    closings: Sequence[Closing]  # of all nights, oldest first
    opening_values: Mapping[str, Decimal]  # by session, USD
    reasons: Sequence[Reason]
    troubles: Sequence[Trouble]
    recoveries: Sequence[Recovered]
    issuances: Sequence[Issuance]
    krw_per_usd: Decimal | None  # the last rate that KIS told


@dataclass(frozen=True)
class Result:
    """Money that was made or lost, after estimated fees. ``krw`` None: no rate is known."""

    usd: Decimal
    krw: Decimal | None


@dataclass(frozen=True)
class Point:
    """The account's value at a close; ``day`` None: at the start, before the first night."""

    day: date | None
    value: Decimal  # USD


@dataclass(frozen=True)
class Night:
    """What happened from one close to the next."""

    session: Session
    next_open: datetime
    trades: tuple[Trade, ...]
    orders: tuple[Intent, ...]  # that did not simply fill: no share came of them, or the answer was lost
    held: tuple[Held, ...]
    held_by_kis: bool  # else the books say it, which know only what the daemon bought
    own: Mapping[str, int]  # shares that count as the daemon's
    realised: Result
    realised_since_start: Result
    opening_value: Decimal | None  # USD
    closing_value: Decimal | None  # USD
    krw_per_usd: Decimal | None
    curve: tuple[Point, ...]
    reasons: tuple[Reason, ...]
    recoveries: tuple[Recovered, ...]
    issuances: tuple[Issuance, ...]
    troubles: tuple[Trouble, ...]

    @property
    def bought(self) -> tuple[Trade, ...]:
        """Fills of purchases."""
        return tuple(trade for trade in self.trades if trade.fill.side is Side.BUY)

    @property
    def sold(self) -> tuple[Trade, ...]:
        """Fills of sales."""
        return tuple(trade for trade in self.trades if trade.fill.side is Side.SELL)

    @property
    def unclear(self) -> tuple[Intent, ...]:
        """Orders of which nobody knows yet whether KIS has them."""
        return tuple(i for i in self.orders if i.state in (State.UNKNOWN, State.ABSENT, State.AMBIGUOUS))

    @property
    def failed_issuances(self) -> tuple[Issuance, ...]:
        """Attempts that brought no new token."""
        return tuple(attempt for attempt in self.issuances if attempt.outcome != OUTCOME_ISSUED)

    @property
    def is_quiet(self) -> bool:
        """Nothing was traded and nothing went wrong."""
        return not (self.trades or self.orders or self.troubles or self.recoveries or self.failed_issuances)


def finished_session(hours: MarketHours, day: date, now: datetime) -> Session | None:
    """The session of a New York date if it is over, else None. Raises LookupError for a date out of all calendars."""
    session = hours.latest(datetime.combine(day, _ALMOST_CLOSED, NEW_YORK))
    return session if session.date == day and session.ends <= now else None


def read_night(ledger: Ledger, hours: MarketHours, session: Session) -> Night:
    """The night that ended with this session. Raises LedgerUnreadable."""
    nights, day = NightLedger(ledger), session.date.isoformat()
    before = hours.latest(session.open - timedelta(seconds=1))
    window = before.close.timestamp(), session.close.timestamp()
    rate = ledger.fact("krw_per_usd")
    records = Records(
        intents=ledger.intents(),
        fills=ledger.fills(),
        closings=nights.closings(),
        opening_values=nights.opening_values(),
        reasons=nights.reasons(day),
        troubles=nights.troubles(day),
        recoveries=nights.recoveries(*window),
        issuances=nights.issuances(*window),
        krw_per_usd=Decimal(rate) if rate else None,
    )
    return night_of(records, session, hours.next_open(session.close - timedelta(seconds=1)))


def has_records(night: Night) -> bool:
    """Whether the database knows anything of this night."""
    seen = any(point.day == night.session.date for point in night.curve) or night.opening_value is not None
    return seen or not night.is_quiet or bool(night.reasons or night.issuances)


def night_of(records: Records, session: Session, next_open: datetime) -> Night:
    """The night of ``session`` out of the records."""
    day = session.date.isoformat()
    sessions = {intent.id: intent.session for intent in records.intents}
    past = [fill for fill in records.fills if _day_of(fill, sessions, session, day) <= day]
    books = replay(past)
    own_trades = [trade for trade in books.trades if trade.fill.intent is not None]
    tonight = [trade for trade in own_trades if sessions[trade.fill.intent or 0] == day]
    closing = next((c for c in records.closings if c.session == day), Closing(day, None, None, None))
    rate = closing.krw_per_usd or records.krw_per_usd
    return Night(
        session=session,
        next_open=next_open,
        trades=tuple(tonight),
        orders=tuple(i for i in records.intents if i.session == day and (i.was_unknown or not i.filled)),
        held=_held_by(books) if closing.holdings is None else closing.holdings,
        held_by_kis=closing.holdings is not None,
        own=books.quantities,
        realised=_result(tonight, rate),
        realised_since_start=_result(own_trades, rate),
        opening_value=records.opening_values.get(day),
        closing_value=closing.value,
        krw_per_usd=rate,
        curve=_curve(records, day),
        reasons=tuple(records.reasons),
        recoveries=tuple(records.recoveries),
        issuances=tuple(records.issuances),
        troubles=tuple(records.troubles),
    )


def _day_of(fill: Fill, sessions: Mapping[int, str], session: Session, day: str) -> str:
    """The session that a fill belongs to; a correction by the owner counts from its instant on."""
    if fill.intent is not None:
        return sessions[fill.intent]
    return day if fill.at <= session.close.timestamp() else "later"


def _held_by(books: Books) -> tuple[Held, ...]:
    return tuple(Held(symbol, count, books.averages[symbol], None) for symbol, count in books.quantities.items())


def _result(trades: Iterable[Trade], rate: Decimal | None) -> Result:
    """In KRW at the rate of each trade, else at the last one."""
    earned = [(trade.profit, trade.fill.krw_per_usd or rate) for trade in trades if trade.profit is not None]
    usd = sum((profit for profit, _ in earned), Decimal(0))
    if rate is None and any(each is None for _, each in earned):
        return Result(usd, None)
    return Result(usd, sum((profit * each for profit, each in earned if each is not None), Decimal(0)))


def _curve(records: Records, day: str) -> tuple[Point, ...]:
    """The start and the closes up to this night, as far as they are known."""
    start = min(records.opening_values, default=None)
    points = [Point(None, records.opening_values[start])] if start is not None and start <= day else []
    known = [(closing.session, closing.value) for closing in records.closings if closing.session <= day]
    return (*points, *(Point(date.fromisoformat(each), value) for each, value in known if value is not None))
