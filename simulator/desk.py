"""The order desk: accounts, order numbers, and what may be ordered when (protocol §5.3, §5.4, §7).

It speaks of orders, not of HTTP: ``Refused`` carries KIS's code, and whoever asked makes an answer of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from clock import NEW_YORK
from simulator.books import (
    ZERO,
    Account,
    Fees,
    Kind,
    Order,
    Side,
    account_from_dict,
    account_to_dict,
    order_from_dict,
    order_to_dict,
)
from simulator.hours import Session
from simulator.listings import Listing, find_listing
from simulator.market import Market
from simulator.matching import AT_CLOSE, AT_OPEN, WITHOUT_LIMIT, Matching
from simulator.options import Options, Profile
from simulator.store import Store

FIRST_NUMBER = 30_000_001
AFTER_MARKET = 4 * 3600  # seconds
ACCEPTED_KEPT = 20_000
_LIMIT_ONLY = {"00"}
_DIVISIONS: dict[Side, set[str]] = {"buy": {"00", "32", "34"}, "sell": {"00", "31", "32", "33", "34"}}


class Refused(Exception):
    """The desk says no. ``code`` is KIS's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Ticket:
    """What somebody wants to trade. ``limit`` in USD."""

    symbol: str
    exchange: str  # NASD, NYSE, AMEX
    side: Side
    quantity: int
    limit: Decimal
    division: str = "00"
    channel: str = "OpenAPI"


@dataclass(frozen=True)
class Accepted:
    """An order or cancellation that was accepted through the API: when, as what, and the whole request."""

    at: datetime
    number: int
    name: str  # "order" or "cancel"
    tr_id: str
    body: Mapping[str, object]


def _as_it_is(order: Order) -> None:
    """Nothing is wrong with the order."""


class Desk:
    """Takes, changes and cancels orders, and lets the market have them."""

    def __init__(self, market: Market, seed: int, options: Options, profile: Profile, store: Store) -> None:
        self.accepted: deque[Accepted] = deque(maxlen=ACCEPTED_KEPT)
        self._market = market
        self._matching = Matching(market, seed)
        self._options = options
        self._paper = profile == "paper"
        self._store = store
        self._fees = Fees(options.commission, options.sec_fee)
        self._accounts: dict[str, Account] = {}
        self._last_id, self._last_number, self._number_date = 0, FIRST_NUMBER - 1, ""
        self._load()

    # --- accounts

    def account(self, key: str, now: float) -> Account:
        """The account that an app key opened, with everything that has happened until now."""
        account = self._accounts.get(key)
        if account is None:
            cash = self._options.opening_cash
            account = self._accounts[key] = Account(key, self._fees, cash, cash)
            self.save(account)
        self.advance(account, now)
        return account

    def accounts(self, now: float) -> list[Account]:
        """All accounts, brought up to now."""
        return [self.account(key, now) for key in self._accounts]

    def advance(self, account: Account, now: float) -> None:
        """Let the market move on to now for one account."""
        changed = self._matching.advance(account, now)
        if changed:
            self.save(account, *changed)
        if self._options.keep_days is not None:
            self._forget(account, self._market.hours.current(now).date - timedelta(days=self._options.keep_days))

    def _forget(self, account: Account, before: date) -> None:
        forgotten = account.forget(before)
        for order in forgotten:
            self._store.drop("order", f"{order.id:012}")
        if forgotten:
            self.save(account)
        while self.accepted and self.accepted[0].at.date() < before:
            self.accepted.popleft()

    def save(self, account: Account, *orders: Order) -> None:
        """Remember the account and these of its orders."""
        self._store.put("account", account.key, account_to_dict(account))
        for order in orders:
            self._store.put("order", f"{order.id:012}", {**order_to_dict(order), "account": account.key})

    # --- orders

    def place(self, account: Account, ticket: Ticket, now: float, obey: Callable[[Order], None] = _as_it_is) -> Order:
        """Accept an order; Refused if KIS would not take it. ``obey`` may change it before the market sees it."""
        self._check_paper_symbol(ticket)
        session = self._session_for_orders(now)
        self._check_division(ticket, session, now)
        if ticket.side == "buy" and account.price_of(ticket.quantity, ticket.limit) > account.orderable():
            raise Refused("40250000" if self._paper else "APBK0952")
        if ticket.side == "sell" and ticket.quantity > account.sellable(ticket.symbol):
            raise Refused("40240000" if self._paper else "APBK0400")
        order = self._new_row(ticket, session, now)
        self._schedule(order, session, now)
        obey(order)
        account.add(order)
        self.save(account, order)
        self.advance(account, now)
        return order

    def cancel(self, account: Account, original: Order, now: float, channel: str = "OpenAPI") -> Order:
        """Accept a cancellation of all that is not traded yet; a new row with its own number."""
        session = self._session_for_orders(now)
        self._check_changeable(original)
        row = self._change_row(account, original, "cancel", original.rest, original.limit, session, now)
        row.channel = channel
        original.cancel_at = now + self._options.cancel_delay
        self.save(account, row, original)
        self.advance(account, now)
        return row

    def modify(self, account: Account, original: Order, quantity: int, limit: Decimal, now: float) -> Order:
        """Accept another limit for what is not traded yet: the old order ends, a new one takes its place at once."""
        session = self._session_for_orders(now)
        self._check_changeable(original)
        quantity = min(quantity, original.rest) or original.rest
        if original.side == "buy":
            free = account.orderable() + account.claim(original)
            if account.price_of(quantity, limit) > free:
                raise Refused("40250000" if self._paper else "APBK0952")
        account.finish(original, "replaced", now)
        row = self._change_row(account, original, "modify", quantity, limit, session, now)
        self._schedule(row, session, now)
        self.save(account, row, original)
        self.advance(account, now)
        return row

    def fill(self, account: Account, order: Order, quantity: int, price: Decimal, now: float) -> None:
        """Trade by hand; ValueError for what an exchange could not do."""
        better = price <= order.limit if order.side == "buy" else price >= order.limit
        if not 0 < quantity <= order.rest or not better:
            raise ValueError(f"order {order.number} cannot trade {quantity} at {price}")
        self.save(account, *self._matching.execute(account, order, now, quantity, price))

    def find(self, account: Account, number: int, now: float) -> Order | None:
        """The newest order of this number, today's trading date only."""
        today = self._market.hours.current(now).date
        rows = (order for order in account.between(today, today) if order.number == number)
        return next((order for order in rows if order.kind != "cancel"), None)

    # --- rules

    def listing_for(self, symbol: str, exchange: str) -> Listing:
        """The listing of a symbol at an exchange; Refused if there is none."""
        listing = find_listing(symbol)
        if listing is None or listing.order_code != exchange:
            raise Refused("40070000" if self._paper else "APBK0656")
        return listing

    def _check_paper_symbol(self, ticket: Ticket) -> None:
        self.listing_for(ticket.symbol, ticket.exchange)
        if self._paper and ticket.symbol in self._options.untradable_on_paper:
            raise Refused("40070000")

    def _check_division(self, ticket: Ticket, session: Session, now: float) -> None:
        allowed = _LIMIT_ONLY if self._paper else _DIVISIONS[ticket.side]
        if ticket.division not in allowed:
            raise Refused("APBK0101")
        if ticket.division in AT_OPEN and now >= session.opens:
            raise Refused("APBK0918")
        if ticket.division in AT_CLOSE and now >= session.closes:
            raise Refused("APBK0918")

    def _check_changeable(self, original: Order) -> None:
        if not original.rest or original.canceller:
            raise Refused("40330000" if self._paper else "APBK0344")

    def _session_for_orders(self, now: float) -> Session:
        """The session an order of this instant belongs to; Refused when none is taken."""
        session = self._market.hours.current(now)
        if session.opens <= now < session.closes:
            return session
        if not self._paper and self._options.extended_hours and now < session.closes + AFTER_MARKET:
            return session
        raise Refused(self._closed_code(session, now))

    def _closed_code(self, session: Session, now: float) -> str:
        if session.date != datetime.fromtimestamp(now, NEW_YORK).date():
            holiday = self._market.hours.recent(datetime.fromtimestamp(now, NEW_YORK).date(), 1)[0] == session
            if self._paper:
                return "40100000" if holiday else "40570000"
            return "APBK0919" if holiday else "APBK0918"
        if self._paper:
            return "40570000" if now < session.opens else "40580000"
        return "APBK0918"

    # --- rows

    def _new_row(self, ticket: Ticket, session: Session, now: float) -> Order:
        self._last_id += 1
        return Order(
            id=self._last_id,
            number=self._next_number(session),
            date=session.date,
            placed=now,
            symbol=ticket.symbol,
            exchange=ticket.exchange,
            side=ticket.side,
            quantity=ticket.quantity,
            limit=ticket.limit if ticket.division not in WITHOUT_LIMIT else ZERO,
            division=ticket.division,
            channel=ticket.channel,
            visible=now + self._options.visible_after,
        )

    def _change_row(
        self,
        account: Account,
        original: Order,
        kind: Kind,
        quantity: int,
        limit: Decimal,
        session: Session,
        now: float,
    ) -> Order:
        """The row of a cancellation or change."""
        ticket = Ticket(original.symbol, original.exchange, original.side, quantity, limit, original.division)
        row = self._new_row(ticket, session, now)
        row.kind, row.original, row.expires = kind, original.number, original.expires
        original.canceller = row.id
        account.add(row)
        return row

    def _schedule(self, order: Order, session: Session, now: float) -> None:
        """When the market sees the order, when it ends, and in what parts it may be traded."""
        regular = now < session.closes
        order.expires = session.closes if regular else session.closes + AFTER_MARKET
        low, high = self._options.fill_delay
        order.due = max(now + low + (high - low) * self._matching.uniform(order.id, "delay"), session.opens)
        if order.division in AT_OPEN:
            order.due = session.opens
        elif order.division in AT_CLOSE:
            order.due = session.closes
        if not regular or not self._options.matching:
            order.due = float("inf")
        if self._matching.uniform(order.id, "partial") < self._options.partial_chance:
            order.share = 0.5

    def _next_number(self, session: Session) -> int:
        if self._options.numbers_restart_daily and self._number_date != session.date.isoformat():
            self._last_number = FIRST_NUMBER - 1
        self._last_number += 1
        self._number_date = session.date.isoformat()
        body = {"id": self._last_id, "number": self._last_number, "date": self._number_date}
        self._store.put("numbers", "last", body)
        return self._last_number

    def _load(self) -> None:
        for _, body in self._store.all("account"):
            self._accounts[body["key"]] = account_from_dict(body, self._fees)
        for _, body in self._store.all("order"):
            self._accounts[body["account"]].add(order_from_dict(body))
        for _, body in self._store.all("numbers"):
            self._last_id, self._last_number, self._number_date = body["id"], body["number"], body["date"]
