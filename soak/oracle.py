"""What is really true of the daemon's orders: the broker's own books, and which intent each order came from.

Which intent an order belongs to is read from the daemon's journal by a connection of our own at the instant the
request arrives; the daemon never sees it.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from portfolio import Side
from simulator import Request, Simulator
from simulator.books import Order

BUYS = ("TTTT1002U", "VTTT1002U")
Key = tuple[int, int]  # generation of the database, number of the intent
_FIELDS = "id, session, symbol, side, quantity, limit_price, state, number, order_date, filled, ending, was_unknown"


class Entry(NamedTuple):
    """One intent as it stands in the journal."""

    id: int
    session: str
    symbol: str
    side: str
    quantity: int
    limit: str
    state: str
    number: int | None
    order_date: str
    filled: int
    ending: str
    was_unknown: int


class Journal:
    """The daemon's database, read from outside."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None

    def entries(self, where: str, *values: object) -> list[Entry]:
        """Intents that fit, oldest first. Raises sqlite3.Error when the file cannot be read."""
        if self._db is None:
            self._db = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=5.0)
        rows = self._db.execute(f"SELECT {_FIELDS} FROM intents WHERE {where} ORDER BY id", values).fetchall()
        return list(map(Entry._make, rows))

    def causes(self) -> Counter[str]:
        """Why tokens were asked for, by the daemon's own words; nothing where the file is broken."""
        try:
            self.entries("0")  # opens the file
            assert self._db is not None
            rows = self._db.execute("SELECT cause FROM issuances").fetchall()
        except sqlite3.Error:
            return Counter()
        return Counter(str(cause).replace(":", ",").rpartition(", ")[2] for (cause,) in rows)

    def close(self) -> None:
        """Let go of the file; it is opened again when it is needed."""
        if self._db is not None:
            self._db.close()
            self._db = None


class Oracle:
    """Whose order is whose. Survives the daemon's restarts."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self.generation = 0
        self.posts: Counter[Key] = Counter()
        self.sent_at: dict[Key, float] = {}
        self._owner: dict[int, Key] = {}  # the broker's own id of an order → intent
        self._judged: dict[int, int] = {}  # orders that came before the owner's last adopt, and what each had brought
        self._closed: set[int] = set()  # of these, which nobody follows any more
        self._brought: dict[int, tuple[str, int]] = {}  # of each order of ours: symbol and shares, sales negative

    def accepted(self, key: Key) -> list[Order]:
        """The orders that came from an intent: at most one, if all is well."""
        return [order for order in self.orders() if self._owner.get(order.id) == key]

    def owner_of(self, order: Order) -> Key | None:
        """The intent behind an order of ours; None for the owner's own."""
        return self._owner.get(order.id)

    def orders(self) -> list[Order]:
        """Every new order that the broker still remembers, ours and the owner's."""
        return [order for order in self.books().values() if order.kind == "new"]

    def books(self) -> dict[int, Order]:
        """All rows of the one account; empty before anybody has asked for it."""
        try:
            return self._sim.account().orders
        except ValueError:
            return {}

    def ours(self) -> list[Order]:
        """The daemon's orders since the owner's last adopt."""
        return [o for o in self.orders() if o.id in self._owner and o.id not in self._judged]

    def note_accepted(self, key: Key) -> None:
        """The broker has just accepted the order that ``key`` sent: it is the newest."""
        newest = max(order.id for order in self.orders())
        self._owner[newest] = key

    def shares(self, adopted: Counter[str]) -> Counter[str]:
        """What is the daemon's own by symbol: what was adopted, and what its orders have brought since; the broker may
        have forgotten some of them."""
        self._count()
        held = Counter(adopted)
        for number, (symbol, shares) in sorted(self._brought.items()):
            if number not in self._closed:  # with SELL_SCOPE=account it may sell what was never its own
                held[symbol] = max(0, held[symbol] + shares - self._judged.get(number, 0))
        return held

    def _count(self) -> None:
        for order in self.orders():
            if order.id in self._owner:
                self._brought[order.id] = (order.symbol, order.filled if order.side == "buy" else -order.filled)

    def adopted(self, followed: Collection[int], *, new_database: bool) -> None:
        """The owner has taken the broker's state as the truth: what was before is judged, and of all that only the
        intents that are still ``followed`` may bring anything yet."""
        self._count()
        self._judged = {number: shares for number, (_, shares) in self._brought.items()}
        open_yet = set() if new_database else {(self.generation, number) for number in followed}
        self._closed = {number for number, key in self._owner.items() if key not in open_yet}
        self.generation += new_database


def matches(entry: Entry, request: Request) -> bool:
    """Whether an order request is exactly what the journal says."""
    body: dict[str, Any] = json.loads(request.body)
    side = Side.BUY if request.headers.get("tr_id") in BUYS else Side.SELL
    asked = (body["PDNO"], side.value, int(body["ORD_QTY"]), body["OVRS_ORD_UNPR"])
    return asked == (entry.symbol, entry.side, entry.quantity, entry.limit)
