"""What the morning report needs from the database: the nights, and what happened in them besides orders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ledger import Issuance, Ledger
from recovery import Recovered

JOB = "JOB"


@dataclass(frozen=True)
class Held:
    """Shares of one symbol at the end of a night."""

    symbol: str
    quantity: int
    average_price: Decimal  # USD
    price: Decimal | None  # USD; None where nobody told


@dataclass(frozen=True)
class Closing:
    """What the account was after a session's close. None: KIS could not be read."""

    session: str  # New York date
    value: Decimal | None  # USD, cash and shares
    krw_per_usd: Decimal | None
    holdings: tuple[Held, ...] | None


@dataclass(frozen=True)
class Reason:
    """Why something was not bought or sold, folded over the passes of a session."""

    job: str  # 매수, 매도
    symbol: str  # 전체: the pass as a whole
    kind: str  # the text without its numbers
    text: str  # the last one
    count: int
    last_at: float  # epoch seconds


@dataclass(frozen=True)
class Trouble:
    """An error of a session, folded."""

    code: str  # KIS's; JOB for a job that failed; blank where KIS did not answer
    kind: str  # blank where KIS's code says it
    text: str  # the last one
    count: int
    last_at: float  # epoch seconds


class NightLedger:
    """The tables of the nights; one for whoever writes. Reading raises LedgerUnreadable, writing LedgerUnwritable."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._unreported: list[str] | None = None  # None: to be read

    # the nights

    def note_seen(self, session: str, at: float) -> None:
        """This session was seen running: it will want a report."""
        with self._ledger.writing() as db:
            db.execute("INSERT OR IGNORE INTO nights (session, seen_at) VALUES (?, ?)", (session, at))
        self._unreported = None

    def unreported(self) -> list[str]:
        """Sessions that were seen running and have no report yet, the last one first; asked each minute."""
        if self._unreported is None:
            rows = self._ledger.read("SELECT session FROM nights WHERE reported_at IS NULL ORDER BY session DESC")
            self._unreported = [str(session) for (session,) in rows]
        return self._unreported

    def note_unreported_before(self, session: str, at: float) -> None:
        """Earlier sessions whose report never came (the machine was off) will get none."""
        with self._ledger.writing() as db:
            db.execute("UPDATE nights SET reported_at = ? WHERE reported_at IS NULL AND session < ?", (at, session))
        self._unreported = None

    def note_reported(self, closing: Closing, at: float) -> None:
        """The report of this session is being made with these closing figures; there will be no second."""
        holdings = None if closing.holdings is None else json.dumps([_as_row(held) for held in closing.holdings])
        with self._ledger.writing() as db:
            db.execute(
                "UPDATE nights SET reported_at = ?, closing_value = ?, krw_per_usd = ?, holdings = ? WHERE session = ?",
                (at, _text(closing.value), _text(closing.krw_per_usd), holdings, closing.session),
            )
        self._unreported = None

    def closings(self) -> list[Closing]:
        """Every night so far, oldest first; those without a report have no figures."""
        rows = self._ledger.read("SELECT session, closing_value, krw_per_usd, holdings FROM nights ORDER BY session")
        return [Closing(session, _number(value), _number(rate), _holdings(held)) for session, value, rate, held in rows]

    def opening_values(self) -> dict[str, Decimal]:
        """What the account was worth when a day was first seen, USD, by session."""
        return {str(day): Decimal(value) for day, value in self._ledger.read("SELECT * FROM days ORDER BY session")}

    # what happened

    def add_recovery(self, done: Recovered) -> None:
        """Keep a recovery that worked."""
        with self._ledger.writing() as db:
            db.execute(
                "INSERT INTO recoveries (at, name, seconds) VALUES (?, ?, ?)", (done.at, done.name, done.seconds)
            )

    def recoveries(self, since: float, until: float) -> list[Recovered]:
        """Those from ``since`` up to, not at, ``until`` (epoch seconds)."""
        rows = self._ledger.read(
            "SELECT at, name, seconds FROM recoveries WHERE at >= ? AND at < ? ORDER BY id", (since, until)
        )
        return [Recovered(*row) for row in rows]

    def issuances(self, since: float, until: float) -> list[Issuance]:
        """Attempts to get a token in that time, oldest first."""
        rows = self._ledger.read(
            "SELECT at, cause, outcome, token_mark FROM issuances WHERE at >= ? AND at < ? ORDER BY id", (since, until)
        )
        return [Issuance(*row) for row in rows]

    def add(self, reasons: Iterable[tuple[str, Reason]], troubles: Iterable[tuple[str, Trouble]]) -> None:
        """Add counts to what is there, all in one transaction; each with its session."""
        with self._ledger.writing() as db:
            db.executemany(
                "INSERT INTO reasons VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "text = excluded.text, count = count + excluded.count, last_at = excluded.last_at",
                [(session, *vars(reason).values()) for session, reason in reasons],
            )
            db.executemany(
                "INSERT INTO troubles VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "text = excluded.text, count = count + excluded.count, last_at = excluded.last_at",
                [(session, *vars(trouble).values()) for session, trouble in troubles],
            )

    def reasons(self, session: str) -> list[Reason]:
        """Why the passes of a session did not buy or sell."""
        columns = "job, symbol, kind, text, count, last_at"
        rows = self._ledger.read(
            f"SELECT {columns} FROM reasons WHERE session = ? ORDER BY job DESC, symbol, last_at DESC", (session,)
        )
        return [Reason(*row) for row in rows]

    def troubles(self, session: str) -> list[Trouble]:
        """The errors of a session, the most frequent first."""
        rows = self._ledger.read(
            "SELECT code, kind, text, count, last_at FROM troubles WHERE session = ? ORDER BY count DESC, code, kind",
            (session,),
        )
        return [Trouble(*row) for row in rows]


def _as_row(held: Held) -> Sequence[object]:
    return held.symbol, held.quantity, str(held.average_price), _text(held.price)


def _holdings(text: str | None) -> tuple[Held, ...] | None:
    if text is None:
        return None
    rows: list[list[Any]] = json.loads(text)
    return tuple(Held(symbol, quantity, Decimal(average), _number(price)) for symbol, quantity, average, price in rows)


def _text(number: Decimal | None) -> str | None:
    return None if number is None else str(number)


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
