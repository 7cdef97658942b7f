"""Where the daemon's requests cross into the world: counted, hashed, and held against the invariants one by one.

A1–A3, A6, A10, A11, A14 and A20 are decided here, at the instant in which a request arrives and with the broker's own
eyes.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from kis_transport import ORDER_TIMES, READ_TIMES
from portfolio import Side
from simulator import Request, Response, routes
from simulator.books import Side as Way
from simulator.desk import Refused
from simulator.inprocess import DRIP_SECONDS
from simulator.listings import find_listing
from soak.oracle import BUYS, matches
from soak.tokens import TokenChecker

if TYPE_CHECKING:
    from soak.world import World

SLACK = 0.02  # seconds of rounding
PRICE_AGE = 62.0  # seconds; the price of an order may be a minute old, and the answer took a moment (A6)
TIMEOUT = 20 * 60 - 5.0  # seconds before which no order is cancelled (A11)
LAST_ORDER = 21 * 60.0  # seconds before the close (A10)
LIMITS = {"real": (15, 1.0), "paper": (1, 1.25)}  # calls in so many seconds (A14)
LEDGER = 1.1  # seconds between account queries
LISTS = ("ccnl", "balance")  # what must be known of the account before an order leaves (A20)
AT_WORK = 12.0  # seconds since its last call in which it may be waiting for an answer, or about to ask again
GRACE = 30.0  # seconds after HALT was made in which a pass may be on its way to KIS
CLOSING = 75.0  # seconds before the close in which everything open is cancelled


class Border:
    """Stands between the sessions and the simulator."""

    def __init__(self, world: World) -> None:
        self._world = world
        most, self._window = LIMITS[world.plan.profile]
        self._calls: deque[float] = deque(maxlen=most)
        self._ledger_at = float("-inf")
        self.tokens = TokenChecker(world)
        self._called_at = float("-inf")
        self.looked_at = 0.0  # the last read of the orders
        self._whole: dict[str, bool] = {}  # list → whether its last read has come to its end
        self._pages = 0  # of the list that is being read
        self.priced: dict[str, deque[tuple[float, float]]] = {}  # symbol → (steady, true epoch) of KIS's last prices

    def is_idle(self) -> bool:
        """Whether the daemon has nothing under way."""
        return self._world.clock.monotonic() - self._called_at > AT_WORK

    def handle(self, request: Request) -> Response:
        """One request of the daemon's."""
        world = self._world
        route = routes.place_at(request.path)
        name, groups = route.name, route.groups
        now = self._called_at = world.clock.monotonic()
        world.check_books()
        if "kis" in groups:
            self._check_rate(now, ledger=route.is_ledger)
        if name == "token":
            self.tokens.check_attempt(now)
        elif "kis" in groups:
            self.tokens.check_use(request)
        key = self._check_order(request, now) if name == "order" else None
        if name == "cancel":
            self._check_cancel(request, now)
            self._race(request)
        if name in ("ccnl", "nccs"):
            self.looked_at = now
        if route.is_ledger:
            self._count_page(request)
        before = len(world.sim.accepted) if key else 0
        response = world.sim.handle(request)
        if key and len(world.sim.accepted) > before:
            world.oracle.note_accepted(key)
            self._twin(request)
        self._note(name, request, response, now)
        if key and not _is_accepted(response):
            world.loudness.order_spoilt()
        if name in LISTS:
            self._whole[name] = _is_the_end(response)
        return response

    # before the request is processed

    def _check_rate(self, now: float, *, ledger: bool) -> None:
        world, most = self._world, self._calls.maxlen or 1
        quiet = now - world.suspended_at < 10.0  # what was about to leave when the machine slept leaves at once
        if not quiet and len(self._calls) == most and now - self._calls[0] < self._window - SLACK:
            world.broken("A14", f"{most + 1} calls in {now - self._calls[0]:.3f} s")
        self._calls.append(now)
        if ledger:
            if not quiet and now - self._ledger_at < LEDGER - SLACK:
                world.broken("A14", f"account queries {now - self._ledger_at:.3f} s apart")
            self._ledger_at = now

    def _count_page(self, request: Request) -> None:
        tally, further = self._world.tally, request.headers.get("tr_cont", "").strip() == "N"
        self._pages = self._pages + 1 if further else 0
        tally.pages += further
        tally.most_pages = max(tally.most_pages, self._pages)

    def _check_order(self, request: Request, now: float) -> tuple[int, int]:
        world = self._world
        try:
            sent = world.journal.entries("state = 'sent'")
        except sqlite3.Error as exc:
            world.broken("A2", f"an order leaves and the journal cannot be read ({exc})")
        if len(sent) != 1 or not matches(sent[0], request):
            world.broken("A2", f"an order leaves and the journal says {sent}")
        key = (world.oracle.generation, sent[0].id)
        world.oracle.posts[key] += 1
        if world.oracle.posts[key] > 1:
            world.broken("A1", f"intent {key[1]} is sent again")
        twins = world.journal.entries(
            "state IN ('unknown', 'absent', 'ambiguous', 'open') AND symbol = ?", sent[0].symbol
        )
        if twins:
            world.broken("A3", f"{sent[0].symbol} is ordered while intent {twins[0].id} is {twins[0].state}")
        world.oracle.sent_at[key] = now
        self._check_lists()
        if sent[0].side == Side.BUY.value:
            self._check_protections(now)
        self._check_hours(LAST_ORDER, "A10")
        self._check_price(sent[0].symbol, float(sent[0].limit), now)
        world.tally.orders["보냄"] += 1
        world.checks["A1"] += 1
        return key

    def _check_lists(self) -> None:
        """A list that could not be read to its end is not an empty one: nothing is decided on it."""
        torn = [name for name in LISTS if not self._whole.get(name)]
        if torn:
            self._world.broken("A20", f"an order leaves and the last read of {torn} has not come to its end")

    def _check_protections(self, now: float) -> None:
        """Nothing is opened while the owner says HALT, or while an order is there that nobody can tell apart."""
        world = self._world
        if world.settings.halt_file.exists() and now - world.halted_at > GRACE:
            world.broken("A10", "a purchase although HALT is there")
        if world.journal.entries("state = 'ambiguous'"):
            world.broken("A10", "a purchase although an order is ambiguous")

    def _check_hours(self, before_close: float, invariant: str) -> None:
        """By the clock that the daemon has (design "Market hours"); a wrong one is the owner's to mend."""
        world, at = self._world, self._world.clock.now().timestamp()
        session = world.session_at(at)
        if not session.opens <= at <= session.closes - before_close + 1.0:
            world.broken(invariant, f"an order outside the session ({world.true.now():%m-%d %H:%M:%S})")

    def _check_price(self, symbol: str, limit: float, now: float) -> None:
        world, seen = self._world, self.priced.get(symbol)
        if not seen or now - seen[-1][0] > PRICE_AGE:
            age = f"{now - seen[-1][0]:.0f} s old" if seen else "never seen"
            world.broken("A6", f"{symbol} is ordered at a price of KIS that is {age}")
        listing = find_listing(symbol)
        assert listing is not None
        base = float(world.sim.market.previous_close(listing, world.true.now().timestamp()))
        if not base / 2 <= limit <= base * 2:
            world.broken("A6", f"{symbol} is ordered at {limit}, its previous close is {base}")

    def _check_cancel(self, request: Request, now: float) -> None:
        world, number = self._world, int(json.loads(request.body)["ORGN_ODNO"])
        rows = [order for order in world.oracle.orders() if order.number == number]
        key = world.oracle.owner_of(rows[-1]) if rows else None
        if key is None:
            world.broken("A11", f"order {number} is not ours and is cancelled")
        at = world.clock.now().timestamp()
        session, age = world.session_at(at), now - world.oracle.sent_at[key]
        closing = at >= session.closes - CLOSING
        forgot = world.restarted_at > world.oracle.sent_at[key] and world.stepped_at > world.oracle.sent_at[key]
        if age < TIMEOUT and not closing and not forgot:
            world.broken("A11", f"order {number} is cancelled after {age:.0f} s")

    # what others do at this very moment

    def _race(self, request: Request) -> None:
        """The exchange fills what is being cancelled."""
        world, number = self._world, int(json.loads(request.body)["ORGN_ODNO"])
        if not world.races:
            return
        world.races = False
        with suppress(ValueError):
            world.sim.fill(number)
            world.tally.sometimes["체결 뒤 취소 거절"] += 1

    def _ours_is_hidden(self) -> bool:
        world = self._world
        newest = max(world.oracle.orders(), key=lambda order: order.id)
        return newest.visible > world.true.now().timestamp() + (world.sim.options.visible_after or 0.0) + 1.0

    def _twin(self, request: Request) -> None:
        """The owner orders the very same.

        Never by another program while ours is hidden: nobody could tell that one from ours (README, the limits).
        """
        world, body = self._world, json.loads(request.body)
        if not world.twin:
            return
        side: Way = "buy" if request.headers.get("tr_id") in BUYS else "sell"
        with suppress(Refused, ValueError):
            world.sim.place_foreign_order(
                body["PDNO"],
                side,
                int(body["ORD_QTY"]),
                body["OVRS_ORD_UNPR"],
                channel="모바일" if self._ours_is_hidden() else world.twin,
            )
            world.tally.sometimes["남의 주문"] += 1
        world.twin = ""

    # after it

    def _note(self, name: str, request: Request, response: Response, now: float) -> None:
        world = self._world
        world.note_event(f"{name} {response.status} {response.wire} {len(response.body)}")
        world.tally.calls[name] += 1
        if response.wire == "drip" and name != "token" and _is_over_in(response, READ_TIMES.deadline):
            self.tokens.note_drip(request, response, now)
        if response.wire is not None:
            return
        self.tokens.note_answer(name, request, response, now)
        if name in ("price", "multprice") and response.status == 200:
            self._note_prices(routes.read(request)[0].symbols, response.body, now)

    def _note_prices(self, symbols: frozenset[str], body: bytes, now: float) -> None:
        """Which prices KIS has really said; a blank or spoilt answer has none."""
        at = self._world.true.now().timestamp()
        for symbol in symbols:
            listing = find_listing(symbol)
            if listing is not None and f'"{self._world.sim.market.price(listing, at)}"'.encode() in body:
                self.priced.setdefault(symbol, deque(maxlen=5)).append((now, at))


def _is_accepted(response: Response) -> bool:
    """Whether the answer to an order arrives whole and names its number; a drip may, if it is quick."""
    arrives = response.wire is None or (response.wire == "drip" and _is_over_in(response, ORDER_TIMES.deadline))
    return arrives and re.search(rb'"ODNO":"0*[1-9]', response.body) is not None


def _is_over_in(drip: Response, seconds: float) -> bool:
    """Whether a dripping body is over before the daemon's patience."""
    return (drip.delay or DRIP_SECONDS) * len(drip.body) <= seconds


def _is_the_end(response: Response) -> bool:
    """Whether this is a good last page of a list, and has arrived."""
    good = response.wire is None and response.status == 200 and b'"rt_cd":"0"' in response.body
    return good and response.body.endswith(b"}") and response.headers.get("tr_cont", "").strip() not in ("F", "M")
