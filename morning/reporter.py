"""The daemon's morning: a little after each close, once, the figures of the close, the report and one message."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from account import Account
from alerts import Alert, alert
from clock import Clock
from errors import KISError
from files import Disk
from intents import State
from kis_api import KISAPIClient
from ledger import Ledger, LedgerError
from logs import Repeats
from market_hours import MarketHours, Session
from morning.diary import Diary
from morning.night import Night, finished_session, read_night
from morning.night_ledger import Closing, Held, NightLedger
from morning.night_text import one_line
from morning.report_html import render
from order_desk import OrderDesk
from portfolio import Position, value_of
from quotes import Quote
from stocks import WatchlistFile

logger = logging.getLogger("reporter")

FIRST_LOOK = timedelta(minutes=3)  # after the close: fills may be listed late
LAST_WAIT = timedelta(minutes=10)  # after the close; an order that is still unsettled does not hold the report longer
CLOSING_KNOWN = timedelta(hours=12)  # after the close; later the account has other figures than those of the close
ASKED_FOR_CASH = 3  # symbols


def is_due(session: Session, now: datetime, *, settled: bool) -> bool:
    """Whether a session's report may be made: a few minutes after its close, orders settled or not waited for."""
    return now >= session.ends + (FIRST_LOOK if settled else LAST_WAIT)


class Reporter:
    """Makes the report of each night in which the daemon ran. A report that fails costs trading nothing."""

    def __init__(
        self,
        folder: Path,
        api: KISAPIClient,
        account: Account,
        desk: OrderDesk,
        ledger: Ledger,
        nights: NightLedger,
        diary: Diary,
        hours: MarketHours,
        stocks: WatchlistFile,
        clock: Clock,
        disk: Disk,
    ) -> None:
        self._folder = folder
        self._api = api
        self._account = account
        self._desk = desk
        self._ledger = ledger
        self._nights = nights
        self._diary = diary
        self._hours = hours
        self._stocks = stocks
        self._clock = clock
        self._disk = disk
        self._repeats = Repeats(clock)

    def report_if_due(self) -> None:
        """The report of the last night that is over and has none yet, also after a restart."""
        try:
            session = self._due()
            if session is not None:
                self._diary.flush()
                self._report(session)
        except LedgerError as exc:
            line = self._repeats.admit("장부", f"[REPORT] 장부 때문에 보고서를 만들지 못함 ({exc})")
            if line:
                logger.warning("%s", line)

    def _due(self) -> Session | None:
        now = self._clock.now()
        for day in self._nights.unreported():
            session = finished_session(self._hours, date.fromisoformat(day), now)
            if session is not None:
                return session if is_due(session, now, settled=self._is_settled(day)) else None
        return None

    def _is_settled(self, day: str) -> bool:
        return all(i.session != day or i.state is State.AMBIGUOUS for i in self._desk.live)

    def _report(self, session: Session) -> None:
        """Noted first: a crash on the way costs a message, and never sends it twice."""
        now, day = self._clock.now(), session.date.isoformat()
        closing = self._closing(day, known=now - session.ends <= CLOSING_KNOWN)
        self._nights.note_reported(closing, now.timestamp())
        self._nights.note_unreported_before(day, now.timestamp())
        night = read_night(self._ledger, self._hours, session)
        try:
            path = save_report(self._folder, night, self._disk)
            where = f"{path.parent.name}/{path.name}"
        except OSError as exc:
            where = f"보고서 파일은 쓰지 못함: {exc.strerror}"
        logger.info("[REPORT] %s (%s)", one_line(night), where, extra=alert(Alert.REPORT, day))

    def _closing(self, day: str, *, known: bool) -> Closing:
        """The account at the close; without what KIS does not tell just now."""
        rate = self._ledger.fact("krw_per_usd")
        closing = Closing(day, None, Decimal(rate) if rate else None, None)
        if not known:
            return closing
        try:
            positions = self._account.positions()
            quotes = self._quotes(positions)
            held = tuple(_held(position, quotes.get(symbol)) for symbol, position in sorted(positions.items()))
            closing = Closing(day, None, closing.krw_per_usd, held)
            cash = self._account.first_cash([quote for quote in quotes.values() if quote])
        except KISError as exc:
            logger.warning("[REPORT] 마감 뒤의 계좌를 다 읽지 못함 (%s): 읽지 못한 것은 장부로 씁니다", exc)
            return closing
        shares = value_of(positions, quotes)
        open_orders = self._desk.reserved() - self._desk.unsettled_cost()
        value = None if shares is None else cash.usd + open_orders + shares
        return Closing(day, value, cash.krw_per_usd or closing.krw_per_usd, held)

    def _quotes(self, positions: dict[str, Position]) -> dict[str, Quote | None]:
        some: Sequence[str] = self._stocks.current().symbols[:ASKED_FOR_CASH]
        return self._api.get_quotes([*some, *positions])


def save_report(folder: Path, night: Night, disk: Disk) -> Path:
    """Write the page of a night in place of an older one. Raises OSError."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{night.session.date.isoformat()}.html"
    disk.replace(path, render(night).encode(), mode=0o600)
    return path


def _held(position: Position, quote: Quote | None) -> Held:
    price = quote.price if quote else position.price
    return Held(position.symbol, position.quantity, position.average_price, price)
