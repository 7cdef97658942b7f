"""Where the daemon's requests cross into the world: counted, hashed, and held against the invariants one by one.

A1–A3, A6–A11, A14 and A16 are decided here, at the instant in which a request arrives and with the broker's own eyes.
"""

from __future__ import annotations

import json
import sqlite3
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from kis_transport import token_mark
from portfolio import Side
from simulator import Request, Response, routes
from simulator.books import Side as Way
from simulator.desk import Refused
from simulator.listings import find_listing
from soak.oracle import BUYS, matches

if TYPE_CHECKING:
    from soak.world import World

SLACK = 0.02  # seconds of rounding
SPACING = 61.0  # seconds between two attempts to get a token (A7)
LIFE = 23 * 3600 + 50 * 60.0  # seconds between two tokens, without a reason (A7)
HOUR = 3600.0
DOUBTED = 50 * 60.0  # seconds between tokens while our clock is wrong: one is believed for an hour, less ten minutes
PRICE_AGE = 62.0  # seconds; the price of an order may be a minute old, and the answer took a moment (A6)
TIMEOUT = 20 * 60 - 5.0  # seconds before which no order is cancelled (A11)
LAST_ORDER = 21 * 60.0  # seconds before the close (A10)
LIMITS = {"real": (15, 1.0), "paper": (1, 1.25)}  # calls in so many seconds (A14)
LEDGER = 1.1  # seconds between account queries
GRACE = 30.0  # seconds after HALT was made in which a pass may be on its way to KIS
CLOSING = 75.0  # seconds before the close in which everything open is cancelled
TOKEN_ERRORS = (b"EGW00121", b"EGW00122", b"EGW00123")


class Border:
    """Stands between the sessions and the simulator."""

    def __init__(self, world: World) -> None:
        self._world = world
        most, self._window = LIMITS[world.plan.profile]
        self._calls: deque[float] = deque(maxlen=most)
        self._ledger_at = self._attempt_at = self._token_at = self._accepted_at = float("-inf")
        self._refused: set[str] = set()
        self._newest = ""
        self._futile_at = float("-inf")
        self.looked_at = 0.0  # the last read of the orders
        self.priced: dict[str, deque[tuple[float, float]]] = {}  # symbol → (steady, true epoch) of KIS's last prices

    def handle(self, request: Request) -> Response:
        """One request of the daemon's."""
        world = self._world
        asked, _ = routes.read(request)
        name, groups = asked.route.name, asked.route.groups
        now = world.clock.monotonic()
        world.check_books()
        if "kis" in groups:
            self._check_rate(now, ledger=asked.route.is_ledger)
            self._check_token(name, request)
        if name == "token":
            self._check_attempt(now)
        key = self._check_order(request, now) if name == "order" else None
        if name == "cancel":
            self._check_cancel(request, now)
            self._race(request)
        if name in ("ccnl", "nccs"):
            self.looked_at = now
        before = len(world.sim.accepted) if key else 0
        response = world.sim.handle(request)
        if key and len(world.sim.accepted) > before:
            world.oracle.note_accepted(key)
            self._twin(request)
        self._note(name, asked.symbols, request, response, now)
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

    def _check_token(self, name: str, request: Request) -> None:
        world = self._world
        if name == "token":
            return
        if request.headers.get("appkey") != world.settings.kis_app_key:
            world.broken("A9", "another app key")
        token = token_mark(request.headers.get("authorization", "").removeprefix("Bearer "))
        if token in self._refused and self._newest and token != self._newest and not world.disk_trouble:
            world.broken("A8", "a refused token was sent again although there is a newer one")

    def _check_attempt(self, now: float) -> None:
        world, spacing = self._world, now - self._attempt_at
        if not world.forgot_spacing(self._attempt_at):
            world.tally.shortest_spacing = min(world.tally.shortest_spacing, spacing)
            if spacing < SPACING - SLACK:
                world.broken("A7", f"attempts to get a token {spacing:.1f} s apart")
        unaware = world.disk_trouble or world.forgot_spacing(self._futile_at)  # it does not know that it did not help
        if now - self._futile_at < HOUR - 1 and not unaware:
            world.broken("A7", f"another token {now - self._futile_at:.0f} s after one that did not help")
        self._attempt_at = now

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
        if sent[0].side == Side.BUY.value:
            self._check_protections(now)
        self._check_hours(LAST_ORDER, "A10")
        self._check_price(sent[0].symbol, float(sent[0].limit), now)
        world.tally.orders["보냄"] += 1
        world.checks["A1"] += 1
        return key

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

    def _twin(self, request: Request) -> None:
        """The owner orders the very same."""
        world, body = self._world, json.loads(request.body)
        if not world.twin:
            return
        side: Way = "buy" if request.headers.get("tr_id") in BUYS else "sell"
        with suppress(Refused, ValueError):
            world.sim.place_foreign_order(
                body["PDNO"], side, int(body["ORD_QTY"]), body["OVRS_ORD_UNPR"], channel=world.twin
            )
            world.tally.sometimes["남의 주문"] += 1
        world.twin = ""

    # after it

    def _note(self, name: str, symbols: frozenset[str], request: Request, response: Response, now: float) -> None:
        world = self._world
        world.note_event(f"{name} {response.status} {response.wire} {len(response.body)}")
        world.tally.calls[name] += 1
        if name == "token" and (response.wire is not None or response.status != 200) and world.excused(2 * HOUR):
            world.excuse()  # nothing came of it: the reason lasts
        if response.wire is not None:
            return
        if name != "token" and any(code in response.body for code in TOKEN_ERRORS):
            self._refused.add(token_mark(request.headers.get("authorization", "").removeprefix("Bearer ")))
            world.excuse()
        if name == "token":
            self._note_issuance(response, now)
        if name in ("price", "multprice") and response.status == 200:
            for symbol in symbols:
                self.priced.setdefault(symbol, deque(maxlen=5)).append((now, world.true.now().timestamp()))

    def _note_issuance(self, response: Response, now: float) -> None:
        world, last = self._world, self._world.sim.issuances[-1]
        world.tally.issuances[last.result] += 1
        if last.result not in ("new", "same"):
            return
        wrong = world.clock_is_wrong and now - self._accepted_at >= DOUBTED - 1
        self._accepted_at = now
        if now - self._token_at < LIFE - 1 and not (wrong or world.excused(2 * HOUR)):
            world.broken("A7", f"a token {(now - self._token_at) / HOUR:.1f} h after the last one, for no reason")
        if last.result == "new":
            self._token_at = now
        token = _token_in(response.body)
        if token is None:
            world.excuse()  # the answer was spoilt on its way
            return
        world.canaries.add(token)
        self._newest = token_mark(token)
        if self._newest in self._refused:
            self._futile_at = now
            world.excuse()  # the next try is for the same reason
            world.tally.sometimes["같은 토큰 재발급"] += 1


def _token_in(body: bytes) -> str | None:
    """The token that an answer brings, if it brings one."""
    try:
        token = json.loads(body)["access_token"]
    except (ValueError, KeyError, TypeError):
        return None
    return token if isinstance(token, str) else None
