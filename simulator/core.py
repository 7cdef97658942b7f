"""The embedded broker's core: one function from request to answer, over plain state and one lock."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from email.utils import formatdate
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

from simulator import admin, routes
from simulator.auth import Auth, Issuance, mark_of
from simulator.books import Account, Order, Side
from simulator.calls import Call
from simulator.desk import Accepted, Desk, Ticket
from simulator.faults import INNER, Faults, spoil
from simulator.gateway import Gateway
from simulator.hours import AlwaysOpen, Hours, Nyse
from simulator.kis_account import AccountDesk
from simulator.kis_quotes import Quotes
from simulator.listings import find_listing
from simulator.market import Market
from simulator.messages import Request, Response
from simulator.options import Options, Profile
from simulator.paging import page_of
from simulator.store import Store
from simulator.yahoo import Yahoo

JOURNAL_LENGTH = 2000


class Clock(Protocol):
    """What the broker asks of time."""

    def now(self) -> datetime:
        """Wall time, aware."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step."""
        ...


class Recorded(NamedTuple):
    """One request in the journal."""

    at: datetime
    name: str
    tr_id: str
    symbols: frozenset[str]
    status: int
    wire: str | None
    faults: tuple[str, ...]


class Simulator:
    """KIS and Yahoo over one simulated market.

    ``profile`` is KIS's own distinction between 실전 and 모의투자; ``seed`` makes the market; ``store`` is the path of
    sim.db, without which nothing outlives the object. ``handle`` may be called from any thread.
    """

    def __init__(
        self,
        clock: Clock,
        profile: Profile = "real",
        seed: int = 0,
        store: Path | None = None,
        options: Options | None = None,
    ) -> None:
        self.clock = clock
        self.profile: Profile = profile
        self.options = options or Options()
        hours: Hours = AlwaysOpen() if self.options.hours == "always" else Nyse()
        self.market = Market(seed, hours)
        self.faults = Faults(seed)
        self.requests: deque[Recorded] = deque(maxlen=JOURNAL_LENGTH)
        self._counts: Counter[str] = Counter()
        self._watchers: list[Callable[[str, Request], None]] = []
        self._lock = threading.RLock()
        self._store = Store(store)
        self._auth = Auth(seed, self.options, self._store)
        quotes = Quotes(self.market, self.options, paper=profile == "paper")
        self._desk = Desk(self.market, seed, self.options, profile, self._store)
        account = AccountDesk(self._desk, self.market, self.options, profile == "paper", self._bind)
        self._gateway = Gateway(self._auth, self.options, profile, quotes.answer, account.answer)
        self._yahoo = Yahoo(self.market, seed, self.options.yahoo_skew_bps)
        self._store.commit()

    def handle(self, request: Request) -> Response:
        """The answer to one request. Never raises for anything a client can send."""
        with self._lock:
            if request.path.startswith(admin.PREFIX):
                return admin.answer(self, request)
            asked, known = routes.read(request)
            now = self.clock.now()
            call = Call(request, asked, now, now.timestamp(), self.clock.monotonic())
            self._count(asked)
            for watcher in self._watchers:
                watcher(asked.route.name, request)
            response = self._answer(call) if known else self._nowhere(call)
            self._store.commit()
            self._record(call, response)
            return self._finished(response, now)

    def count(self, name: str) -> int:
        """How many requests came for an end point (``price``), a group (``quote``, ``kis``, ``yahoo``), a TR id or a
        path; answered or not."""
        return self._counts[name]

    @property
    def counts(self) -> dict[str, int]:
        """All that ``count`` knows."""
        with self._lock:
            return dict(self._counts)

    @property
    def issuances(self) -> list[Issuance]:
        """Every attempt to get a token, oldest first."""
        with self._lock:
            return list(self._auth.issuances)

    def revoke_tokens(self, code: str = "EGW00121", *, stuck: bool = False) -> None:
        """KIS kills every token now: calls get ``code`` (EGW00121, EGW00122 or EGW00123).

        With ``stuck`` an issue within six hours of the first hands out the very same dead token (§3.1).
        """
        with self._lock:
            self._auth.kill_all(code, stuck=stuck)
            self._store.commit()

    def release_tokens(self) -> None:
        """What ``revoke_tokens`` made stuck does not come back any more: the next issue gives a new token."""
        with self._lock:
            self._auth.release_all()
            self._store.commit()

    def expire_tokens(self) -> None:
        """Every token has reached its end: EGW00123, and the next issue gives a new one."""
        with self._lock:
            self._auth.expire_all(self.clock.now().timestamp())
            self._store.commit()

    def pin(self, symbol: str, price: Decimal | str | None, base: Decimal | str | None = None) -> None:
        """Hold a symbol's price (USD), and its previous close, from now on; None lets the market have it again."""
        with self._lock:
            self._desk.accounts(self._now())  # what has happened until now happened at the prices until now
            self.market.pin(symbol, self._now(), _decimal(price), _decimal(base))
            self._store.commit()

    def account(self, key: str | None = None) -> Account:
        """The books of an account as they truly are by now; ``key`` is an app key, not needed while there is one only.

        Before any account query it has the opening cash and nothing else. Look, do not change.
        """
        with self._lock:
            account = self._desk.account(self._key_mark(key), self._now())
            self._store.commit()
            return account

    def audit(self) -> None:
        """AssertionError with everything that does not add up, in any account."""
        problems = self.problems()
        assert not problems, "\n".join(problems)

    def problems(self) -> list[str]:
        """Everything that does not add up, in words."""
        with self._lock:
            return [problem for account in self._desk.accounts(self._now()) for problem in account.audit()]

    @property
    def accepted(self) -> list[Accepted]:
        """Every order and cancellation accepted through the API, oldest first, whether or not its answer arrived."""
        with self._lock:
            return list(self._desk.accepted)

    def watch(self, watcher: Callable[[str, Request], None]) -> None:
        """Call ``watcher(end point, request)`` for each request as it arrives, before it is processed."""
        self._watchers.append(watcher)

    def place_foreign_order(
        self,
        symbol: str,
        side: Side,
        quantity: int,
        limit: Decimal | str,
        *,
        channel: str = "모바일",
        key: str | None = None,
    ) -> int:
        """An order by the owner's own hand in KIS's app; its number. Refused carries KIS's code if it is not taken."""
        listing = find_listing(symbol)
        if listing is None:
            raise ValueError(f"{symbol} is not listed")
        ticket = Ticket(symbol, listing.order_code, side, quantity, Decimal(limit), channel=channel)
        with self._lock:
            order = self._desk.place(self._desk.account(self._key_mark(key), self._now()), ticket, self._now())
            self._store.commit()
            return order.number

    def cancel_foreign_order(self, number: int, *, key: str | None = None) -> None:
        """A cancellation by the owner's own hand, of any open order."""
        with self._lock:
            account = self._desk.account(self._key_mark(key), self._now())
            self._desk.cancel(account, self._order(account, number), self._now(), channel="모바일")
            self._store.commit()

    def fill(self, number: int, quantity: int | None = None, price: Decimal | str | None = None) -> None:
        """Trade an open order now: the whole rest at its limit unless told otherwise."""
        with self._lock:
            for account in self._desk.accounts(self._now()):
                order = next((o for o in account.open.values() if o.number == number), None)
                if order is not None:
                    exact = Decimal(price) if price is not None else order.limit
                    self._desk.fill(account, order, quantity or order.rest, exact, self._now())
                    self._store.commit()
                    return
        raise ValueError(f"no open order {number}")

    def deposit(self, amount: Decimal | str, *, key: str | None = None) -> None:
        """Cash (USD) that arrives by the owner's hand, or leaves if negative."""
        with self._lock:
            account = self._desk.account(self._key_mark(key), self._now())
            account.deposit(Decimal(amount))
            self._desk.save(account)
            self._store.commit()

    def give_shares(self, symbol: str, quantity: int, price: Decimal | str, *, key: str | None = None) -> None:
        """Shares that are there without an order, bought elsewhere at ``price``."""
        if find_listing(symbol) is None or quantity <= 0:
            raise ValueError(f"{quantity} {symbol}")
        with self._lock:
            account = self._desk.account(self._key_mark(key), self._now())
            account.give(symbol, quantity, Decimal(price))
            self._desk.save(account)
            self._store.commit()

    def unreachable(self, request: Request) -> str | None:
        """``refused``, ``unreachable`` or ``dns`` if a connection for this request could not be opened now; not a
        request."""
        with self._lock:
            return self.faults.meet_connection(routes.read(request)[0], self.clock.now())

    def close(self) -> None:
        """Let go of sim.db."""
        with self._lock:
            self._store.close()

    def _now(self) -> float:
        return self.clock.now().timestamp()

    def _key_mark(self, key: str | None) -> str:
        """The account's name: the mark of its app key."""
        if key is not None:
            return mark_of(key)
        marks = self._auth.marks()
        if len(marks) != 1:
            raise ValueError(f"there are {len(marks)} accounts: say which app key")
        return marks[0]

    def _order(self, account: Account, number: int) -> Order:
        order = next((order for order in account.open.values() if order.number == number), None)
        if order is None:
            raise ValueError(f"no open order {number}")
        return order

    def _bind(self, call: Call, account: str) -> bool:
        assert call.key is not None
        return self._auth.use_account(call.key, account)

    def _answer(self, call: Call) -> Response:
        """The answer with the faults that the request met."""
        call.faults = self.faults.meet(call.asked, page_of(call.request), call.now)
        outer = [fault for fault in call.faults if fault.kind not in INNER]
        response: Response | None = None
        if all(fault.is_processed for fault in outer):
            response = self._processed(call)
        elif call.asked.route.name == "token":
            self._auth.note(call.request.body, f"fault:{outer[-1].kind}", call.now)
        for fault in outer:
            response = spoil(fault, response, call.asked.names)
        assert response is not None
        return response

    def _processed(self, call: Call) -> Response:
        if "yahoo" in call.asked.names:
            symbol = next(iter(call.asked.symbols), "")
            return self._yahoo.answer(call.request, call.asked.route.name, symbol, call.at, call.faults)
        return self._gateway.answer(call)

    def _nowhere(self, call: Call) -> Response:
        """No such path: 404 with an empty body; the wrong token path is 403 (§3.1)."""
        return Response(403 if call.asked.path == "/oauth2/token" else 404, {}, b"")

    def _count(self, asked: routes.Asked) -> None:
        for name in asked.names:
            self._counts[name] += 1
        self._counts[asked.path] += 1
        if asked.tr_id:
            self._counts[asked.tr_id] += 1

    def _record(self, call: Call, response: Response) -> None:
        asked = call.asked
        kinds = tuple(fault.kind for fault in call.faults)
        self.requests.append(
            Recorded(call.now, asked.route.name, asked.tr_id, asked.symbols, response.status, response.wire, kinds)
        )

    def _finished(self, response: Response, now: datetime) -> Response:
        """Latency, and the header every answer has. The date is the broker's own."""
        headers = {"date": _http_date(int(now.timestamp())), **response.headers}
        delay = response.delay + self.options.latency
        return Response(response.status, headers, response.body, response.wire, delay)


def _decimal(value: Decimal | str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


@lru_cache(maxsize=4)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)
