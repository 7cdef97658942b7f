"""An account's books: orders, fills, cash and shares, and the audit that proves that they add up.

Money is USD in Decimal, exact; instants are epoch seconds; dates are New York trading dates.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, ROUND_UP, Decimal
from typing import Any, Literal

Side = Literal["buy", "sell"]
Kind = Literal["new", "modify", "cancel"]
Status = Literal["open", "filled", "cancelled", "replaced", "expired", "rejected", "done"]

ZERO = Decimal(0)
_CENT = Decimal("0.01")
_COST_STEP = Decimal("0.00000001")


@dataclass(frozen=True)
class Fees:
    """What KIS takes: a commission on every trade and the SEC's fee on sales, as fractions of the value."""

    commission: Decimal
    sec_fee: Decimal

    def of(self, side: Side, value: Decimal) -> Decimal:
        """The fees on trades of this value, in whole cents: the commission rounded, the SEC's fee rounded up."""
        fee = (value * self.commission).quantize(_CENT, ROUND_HALF_UP)
        return fee + (value * self.sec_fee).quantize(_CENT, ROUND_UP) if side == "sell" else fee


@dataclass(slots=True)
class Fill:
    """One execution. ``cost`` is what the sold shares had cost; zero for a purchase."""

    at: float
    quantity: int
    price: Decimal
    fee: Decimal
    cost: Decimal
    settles: date


@dataclass(slots=True)
class Order:
    """One row of KIS's order list: an order, or a change or cancellation of one."""

    id: int  # unique for ever; ``number`` may come again on another day
    number: int
    date: date
    placed: float
    symbol: str
    exchange: str  # NASD, NYSE, AMEX
    side: Side
    quantity: int
    limit: Decimal
    division: str = "00"
    channel: str = "OpenAPI"
    kind: Kind = "new"
    original: int = 0  # number of the order that this one changes
    expires: float = 0.0
    due: float = 0.0  # the next instant at which the market is looked at
    visible: float = 0.0  # lists show the order from here on
    share: float = 1.0  # how much of the rest one execution takes at most
    status: Status = "open"
    reason: str = ""
    cancel_at: float | None = None
    canceller: int = 0  # id of the order that cancels or changes this one
    reject_at: float | None = None
    ended: float | None = None
    fills: list[Fill] = field(default_factory=list)

    @property
    def filled(self) -> int:
        """Shares traded so far."""
        return sum(fill.quantity for fill in self.fills)

    @property
    def rest(self) -> int:
        """Shares still to be traded; none once the order has ended, or if it is no order to trade."""
        return self.quantity - self.filled if self.status == "open" and self.kind != "cancel" else 0

    @property
    def value(self) -> Decimal:
        """What the traded shares were worth, without fees."""
        return sum((fill.price * fill.quantity for fill in self.fills), ZERO)

    @property
    def fees(self) -> Decimal:
        """What the traded shares cost in fees."""
        return sum((fill.fee for fill in self.fills), ZERO)

    def end(self, status: Status, at: float, reason: str = "") -> None:
        """Nothing more will be traded."""
        self.status, self.ended, self.reason = status, at, reason


@dataclass(slots=True)
class Holding:
    """Shares of one symbol and what they cost, without fees."""

    quantity: int = 0
    cost: Decimal = ZERO

    @property
    def average(self) -> Decimal:
        """Average cost of a share; zero when none is held."""
        return self.cost / self.quantity if self.quantity else ZERO


@dataclass(slots=True)
class Unsettled:
    """A trade whose money and shares change hands on a later date (T+1)."""

    settles: date
    symbol: str
    shares: int
    cash: Decimal


@dataclass
class Account:
    """One account. ``cash`` and ``holdings`` are on trade basis: a fill counts at once."""

    key: str
    fees: Fees
    cash: Decimal
    opening: Decimal  # cash it began with, deposits and what forgotten orders brought included
    holdings: dict[str, Holding] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=dict)  # shares that came without an order we still know
    orders: dict[int, Order] = field(default_factory=dict)
    open: dict[int, Order] = field(default_factory=dict)
    realised: Decimal = ZERO  # profit of all sales, after the sales' own fees
    sold_cost: Decimal = ZERO  # what the sold shares had cost
    unsettled: list[Unsettled] = field(default_factory=list)

    # --- what one may do

    def reserved(self) -> Decimal:
        """USD that open purchases may still take, fees included."""
        return sum((self.claim(order) for order in self.open.values()), ZERO)

    def orderable(self) -> Decimal:
        """USD for new purchases, proceeds of unsettled sales included."""
        return self.cash - self.reserved()

    def proceeds(self) -> Decimal:
        """USD of sales that have not settled yet."""
        return sum((trade.cash for trade in self.unsettled if trade.shares < 0), ZERO)

    def sellable(self, symbol: str) -> int:
        """Shares that are held and not offered already."""
        offered = sum(o.rest for o in self.open.values() if o.side == "sell" and o.symbol == symbol)
        return self.held(symbol) - offered

    def held(self, symbol: str) -> int:
        """Shares on trade basis."""
        holding = self.holdings.get(symbol)
        return holding.quantity if holding else 0

    def settled(self, symbol: str) -> int:
        """Shares that have arrived."""
        return self.held(symbol) - sum(trade.shares for trade in self.unsettled if trade.symbol == symbol)

    def price_of(self, quantity: int, limit: Decimal) -> Decimal:
        """USD that a purchase needs, fees included."""
        return quantity * limit + self.fees.of("buy", quantity * limit)

    def claim(self, order: Order) -> Decimal:
        """USD that an open purchase may still take: its fees are those of the whole order less those paid."""
        if order.side == "sell" or not order.rest:
            return ZERO
        still = order.rest * order.limit
        return still + self.fees.of("buy", order.value + still) - order.fees

    def between(self, start: date, end: date) -> list[Order]:
        """The orders of some trading dates, oldest first. Orders come in the order of their dates."""
        found = []
        for order in reversed(self.orders.values()):
            if order.date < start:
                break
            if order.date <= end:
                found.append(order)
        return found[::-1]

    # --- what happens

    def add(self, order: Order) -> None:
        """A new row; it is open unless it has ended already."""
        self.orders[order.id] = order
        if order.status == "open":
            self.open[order.id] = order

    def fill(self, order: Order, at: float, quantity: int, price: Decimal, settles: date) -> Fill:
        """Trade shares of an order: money and shares move, nothing else does."""
        before = self.fees.of(order.side, order.value) if order.fills else ZERO
        fee = self.fees.of(order.side, order.value + price * quantity) - before
        cost = self._move(order.side, order.symbol, quantity, price)
        cash = -(price * quantity) - fee if order.side == "buy" else price * quantity - fee
        self.cash += cash
        if order.side == "sell":
            self.realised += cash - cost
            self.sold_cost += cost
        shares = quantity if order.side == "buy" else -quantity
        self.unsettled.append(Unsettled(settles, order.symbol, shares, cash))
        done = Fill(at, quantity, price, fee, cost, settles)
        order.fills.append(done)
        if order.filled == order.quantity:
            self.finish(order, "filled", at)
        return done

    def finish(self, order: Order, status: Status, at: float, reason: str = "") -> None:
        """The order ends; what it held is free again."""
        order.end(status, at, reason)
        self.open.pop(order.id, None)

    def settle(self, today: date) -> None:
        """Trades whose settlement date has come are over."""
        if self.unsettled and self.unsettled[0].settles <= today:
            self.unsettled = [trade for trade in self.unsettled if trade.settles > today]

    def deposit(self, amount: Decimal) -> None:
        """Cash that comes, or goes if negative, by the owner's hand."""
        self.cash += amount
        self.opening += amount

    def give(self, symbol: str, quantity: int, price: Decimal) -> None:
        """Shares that come without an order, such as a transfer from another broker."""
        self._move("buy", symbol, quantity, price)
        self.given[symbol] = self.given.get(symbol, 0) + quantity

    def forget(self, before: date) -> list[Order]:
        """Drop ended orders of dates before this one; what they did to cash and shares stays in the books."""
        old = [order for order in self.orders.values() if order.date < before and order.id not in self.open]
        for order in old:
            del self.orders[order.id]
            sign = 1 if order.side == "buy" else -1
            self.opening -= sign * order.value + order.fees
            self.given[order.symbol] = self.given.get(order.symbol, 0) + sign * order.filled
        return old

    def _move(self, side: Side, symbol: str, quantity: int, price: Decimal) -> Decimal:
        """Change a holding; the cost of what left it. The average of what stays is the same."""
        holding = self.holdings.setdefault(symbol, Holding())
        if side == "buy":
            holding.quantity += quantity
            holding.cost += price * quantity
            return ZERO
        cost = holding.cost
        if quantity < holding.quantity:
            cost = (holding.cost * quantity / holding.quantity).quantize(_COST_STEP)
        holding.quantity -= quantity
        holding.cost -= cost
        if not holding.quantity:
            del self.holdings[symbol]
        return cost

    # --- whether it is right

    def audit(self) -> list[str]:
        """Everything that does not add up, in words; an empty list when all does."""
        return [
            *self._audit_cash(),
            *self._audit_shares(),
            *(p for o in self.orders.values() for p in self._audit_order(o)),
        ]

    def _audit_cash(self) -> list[str]:
        bought = sum((o.value + o.fees for o in self.orders.values() if o.side == "buy"), ZERO)
        sold = sum((o.value - o.fees for o in self.orders.values() if o.side == "sell"), ZERO)
        problems = []
        if self.cash != self.opening - bought + sold:
            problems.append(f"cash is {self.cash}, but {self.opening} - {bought} + {sold} is something else")
        if self.cash < self.reserved():
            problems.append(f"open orders claim {self.reserved()} of {self.cash}")
        return problems

    def _audit_shares(self) -> list[str]:
        counted = dict(self.given)
        for order in self.orders.values():
            sign = 1 if order.side == "buy" else -1
            counted[order.symbol] = counted.get(order.symbol, 0) + sign * order.filled
        counted = {symbol: quantity for symbol, quantity in counted.items() if quantity}
        held = {symbol: holding.quantity for symbol, holding in self.holdings.items()}
        problems = [] if counted == held else [f"held {held}, but the fills make {counted}"]
        problems += [
            f"negative holding or cost: {s} {h}" for s, h in self.holdings.items() if h.quantity < 0 or h.cost < 0
        ]
        return problems + [f"{s} is offered more than it is held" for s in self.holdings if self.sellable(s) < 0]

    def _audit_order(self, order: Order) -> list[str]:
        problems = []
        if order.filled > order.quantity or any(fill.quantity <= 0 for fill in order.fills):
            problems.append("filled beyond its quantity")
        if order.kind == "cancel" and order.fills:
            problems.append("a cancellation was filled")
        if any(fill.price > order.limit if order.side == "buy" else fill.price < order.limit for fill in order.fills):
            problems.append("filled beyond its limit")
        if order.fills and order.fees != self.fees.of(order.side, order.value):
            problems.append(f"fees are {order.fees}")
        if any(not order.placed <= fill.at <= order.expires for fill in order.fills):
            problems.append("filled outside its life")
        if (order.status == "open") != (order.id in self.open) or (order.ended is None) != (order.status == "open"):
            problems.append("both open and ended")
        if (order.status == "filled") != (order.filled == order.quantity and order.kind != "cancel"):
            problems.append(f"status {order.status} with {order.filled} of {order.quantity}")
        return [f"order {order.number}: {problem}" for problem in problems]


def account_to_dict(account: Account) -> dict[str, Any]:
    """The account without its orders, as JSON takes it."""
    return {
        "key": account.key,
        "cash": str(account.cash),
        "opening": str(account.opening),
        "realised": str(account.realised),
        "sold_cost": str(account.sold_cost),
        "holdings": {s: [h.quantity, str(h.cost)] for s, h in account.holdings.items()},
        "given": account.given,
        "unsettled": [[u.settles.isoformat(), u.symbol, u.shares, str(u.cash)] for u in account.unsettled],
    }


def account_from_dict(body: dict[str, Any], fees: Fees) -> Account:
    """The account that ``account_to_dict`` gave."""
    account = Account(body["key"], fees, Decimal(body["cash"]), Decimal(body["opening"]))
    account.holdings = {s: Holding(quantity, Decimal(cost)) for s, (quantity, cost) in body["holdings"].items()}
    account.given = dict(body["given"])
    account.realised, account.sold_cost = Decimal(body["realised"]), Decimal(body["sold_cost"])
    account.unsettled = [
        Unsettled(date.fromisoformat(settles), symbol, shares, Decimal(cash))
        for settles, symbol, shares, cash in body["unsettled"]
    ]
    return account


def order_to_dict(order: Order) -> dict[str, Any]:
    """The order with its fills, as JSON takes it."""
    return asdict(order) | {
        "date": order.date.isoformat(),
        "limit": str(order.limit),
        "fills": [
            [f.at, f.quantity, str(f.price), str(f.fee), str(f.cost), f.settles.isoformat()] for f in order.fills
        ],
    }


def order_from_dict(body: dict[str, Any]) -> Order:
    """The order that ``order_to_dict`` gave."""
    fills = [
        Fill(at, quantity, Decimal(price), Decimal(fee), Decimal(cost), date.fromisoformat(settles))
        for at, quantity, price, fee, cost, settles in body["fills"]
    ]
    plain = {**body, "date": date.fromisoformat(body["date"]), "limit": Decimal(body["limit"]), "fills": fills}
    plain.pop("account", None)
    return Order(**plain)
