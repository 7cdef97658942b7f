"""autostock-{mode}.db: what must survive a restart. SQLite, WAL, every commit on the disk before it is acted on."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from errors import AutoStockError, SettingsError
from files import Disk
from intents import LIVE, Intent, State
from ledger_schema import MIGRATIONS, SCHEMA_VERSION
from portfolio import Side

OUTCOME_ASKED = "asked"  # an attempt whose answer nobody saw
OUTCOME_ISSUED = "issued"


class LedgerError(AutoStockError):
    """The database does not answer."""


class LedgerUnwritable(LedgerError):
    """The database takes no write just now: what depends on a record must not be done."""


class LedgerUnreadable(LedgerError):
    """The database cannot be read: what it would say is unknown, not nothing."""


@dataclass(frozen=True)
class Issuance:
    """One attempt to get a token."""

    at: float  # epoch seconds; of one that has ended, its end
    cause: str
    outcome: str
    token_mark: str | None


@dataclass(frozen=True)
class Fill:
    """Shares that changed hands, or a correction by the owner (``intent`` is None then)."""

    at: float  # epoch seconds, when it was seen
    symbol: str
    side: Side
    quantity: int
    price: Decimal  # USD
    krw_per_usd: Decimal | None
    intent: int | None


class Ledger:
    """The small database. ``fault`` is None, or the reason why a memory stands in for the file."""

    def __init__(self, path: Path, account_mark: str, disk: Disk | None = None, *, read_only: bool = False) -> None:
        """``read_only`` looks into the file of a daemon that may be running, and leaves it as it is."""
        disk = disk or Disk()
        self.path = path
        self.fault: str | None = None
        self.fill_changes = 0  # grows with each write that changes what ``fills`` gives
        self._newest: list[Intent] | None = None  # of all intents, if there is one; None: to be read
        self._lock = threading.Lock()
        try:
            self._db = _open_to_read(path) if read_only else _open(path, disk)
            self._claim(account_mark)
        except (sqlite3.Error, OSError, LedgerUnreadable) as exc:
            self.fault = f"{type(exc).__name__}: {exc}"
            self._db = _open(Path(":memory:"), Disk())

    def close(self) -> None:
        """Close the file; its last commit is on the disk already."""
        self._db.close()

    # token issuances

    def begin_issuance(self, key_mark: str, at: float, cause: str) -> int:
        """Write down that a token is about to be asked for. Raises LedgerUnwritable."""
        with self.writing() as db:
            cursor = db.execute(
                "INSERT INTO issuances (key_mark, at, cause, outcome) VALUES (?, ?, ?, ?)",
                (key_mark, at, cause, OUTCOME_ASKED),
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def end_issuance(self, number: int, at: float, outcome: str, token_mark: str | None = None) -> None:
        """Write down when and how an attempt ended. Raises LedgerUnwritable."""
        with self.writing() as db:
            values = (at, outcome, token_mark, number)
            db.execute("UPDATE issuances SET at = ?, outcome = ?, token_mark = ? WHERE id = ?", values)

    def issuances(self, key_mark: str, most: int = 20) -> list[Issuance]:
        """The last attempts for this app key, newest first."""
        rows = self.read(
            "SELECT at, cause, outcome, token_mark FROM issuances WHERE key_mark = ? ORDER BY id DESC LIMIT ?",
            (key_mark, most),
        )
        return [Issuance(*row) for row in rows]

    # exchanges

    def exchanges(self) -> dict[str, str]:
        """Symbol → exchange, as KIS once answered."""
        return {str(symbol): str(exchange) for symbol, exchange in self.read("SELECT symbol, exchange FROM exchanges")}

    def remember_exchange(self, symbol: str, exchange: str) -> None:
        """Keep where a symbol is listed. Raises LedgerUnwritable."""
        with self.writing() as db:
            db.execute("INSERT OR REPLACE INTO exchanges (symbol, exchange) VALUES (?, ?)", (symbol, exchange))

    # intents

    def add_intent(self, intent: Intent) -> Intent:
        """Put a new intent on disk; it comes back with its number. Raises LedgerUnwritable."""
        row = _intent_row(intent)
        del row["id"]
        with self.writing() as db:
            cursor = db.execute(
                f"INSERT INTO intents ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values())
            )
            assert cursor.lastrowid is not None
            self._newest = None
            return replace(intent, id=cursor.lastrowid)

    def save_intent(self, intent: Intent, now: float) -> None:
        """Put what became of an intent on disk, a new fill in the same step. Raises LedgerUnwritable."""
        row = _intent_row(intent)
        with self.writing() as db:
            before = db.execute("SELECT filled, fill_price FROM intents WHERE id = ?", (intent.id,)).fetchone()
            db.execute(
                f"UPDATE intents SET {', '.join(f'{name} = ?' for name in row)} WHERE id = ?",
                [*row.values(), intent.id],
            )
            self._newest = None
            more = intent.filled - before[0]
            if more > 0:
                amount = intent.fill_price * intent.filled - Decimal(before[1]) * before[0]
                seen_at = min(now, intent.closes_at)  # what is seen after the close was filled before it
                values = (intent.id, seen_at, more, str(amount / more))
                db.execute("INSERT INTO fills (intent, at, quantity, price) VALUES (?, ?, ?, ?)", values)
                self.fill_changes += 1

    def intents(self, *, live: bool = False, session: str | None = None, symbol: str | None = None) -> list[Intent]:
        """Intents, oldest first: all, those that something may still happen to, those of a New York date or symbol."""
        where, values = ["1"], list[object]()
        if live:
            where.append(f"state IN ({', '.join('?' * len(LIVE))})")
            values += [state.value for state in LIVE]
        for column, value in (("session", session), ("symbol", symbol)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        sql = f"SELECT {', '.join(_INTENT_COLUMNS)} FROM intents WHERE {' AND '.join(where)} ORDER BY id"
        return [_intent(row) for row in self.read(sql, tuple(values))]

    def last_intent(self) -> Intent | None:
        """The newest of all intents; read when one has changed, because status.json asks each minute."""
        if self._newest is None:
            rows = self.read(f"SELECT {', '.join(_INTENT_COLUMNS)} FROM intents ORDER BY id DESC LIMIT 1")
            self._newest = [_intent(row) for row in rows]
        return self._newest[0] if self._newest else None

    def fills(self) -> list[Fill]:
        """Every fill, oldest first, with the corrections of ``adopt`` between them."""
        rows = self.read(
            "SELECT f.at, i.symbol, i.side, f.quantity, f.price, i.krw_per_usd, i.id, f.id, 0 FROM fills f "
            "JOIN intents i ON i.id = f.intent UNION ALL "
            "SELECT at, symbol, CASE WHEN quantity < 0 THEN ? ELSE ? END, ABS(quantity), price, NULL, NULL, "
            "after_fill, id FROM corrections ORDER BY 8, 9",
            (Side.SELL.value, Side.BUY.value),
        )
        return [
            Fill(at, symbol, Side(side), quantity, Decimal(price), Decimal(rate) if rate else None, intent)
            for at, symbol, side, quantity, price, rate, intent, _, _ in rows
        ]

    def correct(self, at: float, symbol: str, quantity: int, price: Decimal, reason: str) -> None:
        """Add shares to what counts as ours, or take them away (adopt). Raises LedgerUnwritable."""
        with self.writing() as db:
            db.execute(
                "INSERT INTO corrections (after_fill, at, symbol, quantity, price, reason) "
                "VALUES ((SELECT COALESCE(MAX(id), 0) FROM fills), ?, ?, ?, ?, ?)",
                (at, symbol, quantity, str(price), reason),
            )
            self.fill_changes += 1

    # the timetable and the day

    def last_run(self, job: str) -> float | None:
        """When a job last ran, epoch seconds."""
        rows = self.read("SELECT at FROM runs WHERE job = ?", (job,))
        return float(rows[0][0]) if rows else None

    def note_run(self, job: str, at: float) -> None:
        """Remember that a job runs now. Raises LedgerUnwritable."""
        with self.writing() as db:
            db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?)", (job, at))

    def opening_value(self, session: str) -> Decimal | None:
        """What the account was worth when its day was first seen, USD."""
        rows = self.read("SELECT opening_value FROM days WHERE session = ?", (session,))
        return Decimal(rows[0][0]) if rows else None

    def note_opening_value(self, session: str, value: Decimal) -> None:
        """Remember it, once a day. Raises LedgerUnwritable."""
        with self.writing() as db:
            db.execute("INSERT OR IGNORE INTO days VALUES (?, ?)", (session, str(value)))

    # facts

    def fact(self, name: str) -> str | None:
        """A remembered value, or None."""
        rows = self.read("SELECT value FROM facts WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def set_fact(self, name: str, value: str) -> None:
        """Remember a value under a name. Raises LedgerUnwritable."""
        with self.writing() as db:
            db.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value))

    def _claim(self, account_mark: str) -> None:
        owner = self.fact("account")
        if owner is None:
            try:
                self.set_fact("account", account_mark)
            except LedgerUnwritable as exc:
                self.fault = str(exc)
        elif owner != account_mark:
            raise SettingsError(
                f"{self.path.name}: 다른 계좌의 장부입니다. DATA_DIR로 다른 폴더를 지정하거나 파일을 옮겨 두세요."
            )

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on the disk when the block ends. Raises LedgerUnwritable."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except sqlite3.Error as exc:
                if self._db.in_transaction:
                    self._db.rollback()
                raise LedgerUnwritable(f"장부를 쓸 수 없음 ({self.path.name}: {exc})") from exc

    def read(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query. Raises LedgerUnreadable."""
        with self._lock:
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.Error as exc:
                raise LedgerUnreadable(f"장부를 읽지 못함 ({self.path.name}: {exc})") from exc


_INTENT_COLUMNS = (
    *("id", "session", "closes_at", "symbol", "exchange", "side", "quantity", "limit_price", "reason", "state"),
    *(
        "created_at",
        "sent_at",
        "known",
        "number",
        "order_date",
        "answer",
        "filled",
        "fill_price",
        "looks",
        "first_look_at",
        "cancels",
    ),
    *("cancel_at", "closed_at", "ending", "krw_per_usd", "was_unknown"),
)
_TO_TEXT: dict[str, Callable[[Any], object]] = {
    "side": lambda side: side.value,
    "state": lambda state: state.value,
    "known": lambda keys: json.dumps(sorted(keys)),
    "fill_price": str,
    "was_unknown": int,
    "krw_per_usd": lambda rate: None if rate is None else str(rate),
}
_FROM_TEXT: dict[str, Callable[[Any], object]] = {
    "side": Side,
    "state": State,
    "known": lambda text: frozenset(map(tuple, json.loads(text))),
    "fill_price": Decimal,
    "was_unknown": bool,
    "krw_per_usd": lambda text: None if text is None else Decimal(text),
}


def _intent_row(intent: Intent) -> dict[str, object]:
    """The columns of an intent; ``limit`` is a word of SQL."""
    values = {**vars(intent), "limit_price": intent.limit}
    row = {name: values[name] for name in _INTENT_COLUMNS}
    row.update({name: to_text(row[name]) for name, to_text in _TO_TEXT.items()})
    return row


def _intent(row: tuple[Any, ...]) -> Intent:
    values = dict(zip(_INTENT_COLUMNS, row, strict=True))
    values.update({name: from_text(values[name]) for name, from_text in _FROM_TEXT.items()})
    values["limit"] = values.pop("limit_price")
    return Intent(**values)


def _open(path: Path, disk: Disk) -> sqlite3.Connection:
    db = disk.connect(path)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        _check(db)
        _migrate(db)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _open_to_read(path: Path) -> sqlite3.Connection:
    """Raises sqlite3.Error, also for a file of an older version: it is the daemon that brings it up to date."""
    db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5.0, isolation_level=None)
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"schema {version}, this program writes {SCHEMA_VERSION}")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection) -> None:
    verdict = db.execute("PRAGMA quick_check").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"quick_check: {verdict}")


def _migrate(db: sqlite3.Connection) -> None:
    """Bring an older database up to date, one step a transaction; a newer one is not ours to touch."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"schema {version} is newer than this program ({SCHEMA_VERSION})")
    for step in range(version, SCHEMA_VERSION):
        db.executescript(f"BEGIN IMMEDIATE; {MIGRATIONS[step]} PRAGMA user_version = {step + 1}; COMMIT;")
