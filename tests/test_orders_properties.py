"""Random nights: orders, faults, kills, restarts, moving prices and the owner's own hand, in any order."""

import contextlib
import json
import tempfile
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from conftest import House
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from test_orders import STOCKS, Killed, kill_at

from books import replay
from clock import KST, VirtualClock
from intents import State
from portfolio import Side
from simulator import Fault, Options, Simulator
from simulator.desk import Refused

START = datetime(2026, 11, 24, 23, 40, tzinfo=KST)
SYMBOLS = STOCKS["watch_list"]
ORDER_FAULTS = [
    *("reset", "closed", "hang", "drip", "html502", "empty", "cut", "json_list", "wrong_types", "refused"),
    *("lost_answer", "no_number", "reject_later", "hide", "partial", "no_fill", "error"),
]
LIST_FAULTS = ["reset", "html502", "cut", "error", "wrong_types", "json_list", "hang"]
POINTS = ["before_send", "after_send", "after_record", "before_cancel"]


class NoServer:
    """The House needs an address; in-process it is never dialled."""

    url = "https://simulator.invalid"


class Nights(RuleBasedStateMachine):
    """The daemon's trading against the in-process broker."""

    @initialize(
        page=st.sampled_from([None, 1, 3]),
        visible=st.sampled_from([0.0, 40.0, 400.0]),
        paper=st.booleans(),
        partial=st.sampled_from([0.0, 1.0]),
    )
    def open(self, page, visible, paper, partial):
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        (folder / "stocks.json").write_text(json.dumps(STOCKS), "utf-8")
        clock = VirtualClock(START)
        options = Options(page_size=page, visible_after=visible, partial_chance=partial, hours="nyse", cancel_delay=20)
        profile = "paper" if paper else "real"
        self.sim = Simulator(clock, profile=profile, seed=5, options=options)
        self.house = House(
            *(folder, clock, self.sim, NoServer()),
            inside=True,
            kis_mode=profile if paper else "sim",
            kis_calls_per_second=0.8 if paper else 15.0,
            sim_hours="nyse",
            buy_interval_minutes=10.0,
            sell_interval_minutes=5.0,
        )
        self.prices = {"SOUN": Decimal(9), "IONQ": Decimal(38), "SOXL": Decimal(29)}
        self.sim.pin("NVDA", "110", "100")
        for symbol, price in self.prices.items():
            self.sim.pin(symbol, price, price + 1)
        self.attempt(self.house.daemon.check_and_refresh_token)

    def attempt(self, act):
        """Run it; a kill inside is a restart on the same files."""
        try:
            act()
        except Killed:
            self.house.restart()

    def look(self):
        self.house.daemon.trader.follow_orders()
        self.house.daemon.trader.trade_if_due()

    @rule(seconds=st.integers(10, 1500))
    def time_passes(self, seconds):
        for _ in range(0, seconds, 150):
            self.house.pass_seconds(min(seconds, 150))
            self.attempt(self.look)

    @rule(kind=st.sampled_from(ORDER_FAULTS), times=st.integers(1, 2), processed=st.booleans())
    def orders_go_wrong(self, kind, times, processed):
        wire = kind in ("reset", "closed", "hang", "html502", "error")
        self.sim.faults.add(Fault(kind, "order", times=times, code="EGW00301", processed=processed if wire else None))

    @rule(
        kind=st.sampled_from(LIST_FAULTS), where=st.sampled_from(["ledger", "ccnl", "cancel"]), times=st.integers(1, 6)
    )
    def lists_go_wrong(self, kind, where, times):
        self.sim.faults.add(Fault(kind, where, times=times, code="EGW00300"))

    @rule()
    def a_token_dies(self):
        self.sim.revoke_tokens("EGW00123")

    @rule(symbol=st.sampled_from(SYMBOLS), change=st.sampled_from(["0.9", "0.97", "1.03", "1.08"]))
    def a_price_moves(self, symbol, change):
        self.prices[symbol] = (self.prices[symbol] * Decimal(change)).quantize(Decimal("0.01"))
        self.sim.pin(symbol, self.prices[symbol])

    @rule(point=st.sampled_from(POINTS))
    def the_process_dies_there(self, point):
        self.house.daemon.trader._desk._point = kill_at(point)

    @rule()
    def the_process_restarts(self):
        self.house.restart()

    @rule(symbol=st.sampled_from([*SYMBOLS, "AMD"]), quantity=st.integers(1, 100))
    def the_owner_buys_by_app(self, symbol, quantity):
        with contextlib.suppress(Refused):
            self.sim.place_foreign_order(symbol, "buy", quantity, "5.00")

    @invariant()
    def nothing_twice_and_everything_adds_up(self):
        if not hasattr(self, "house"):
            return
        self.sim.audit()
        intents = self.house.daemon.ledger.intents()
        accepted = [record for record in self.sim.accepted if record.name == "order"]
        bound = {intent.number for intent in intents if intent.number is not None}
        numbers = {record.number for record in accepted}
        assert bound <= numbers
        assert len(accepted) <= sum(intent.sent_at is not None for intent in intents)
        assert self.sim.count("order") <= sum(intent.sent_at is not None for intent in intents)
        assert self.sim.account().cash >= 0 if accepted else True
        orders = {order.number: order for order in self.sim.account().orders.values()} if accepted else {}
        for intent in intents:
            if intent.number in orders:
                order = orders[intent.number]
                assert intent.filled <= order.filled
                assert (order.symbol, order.side) == (intent.symbol, "buy" if intent.side is Side.BUY else "sell")

    def teardown(self):
        if not hasattr(self, "house"):
            return
        self.heal()
        self.house.stop.set()
        self.house.close()
        self.sim.close()
        self.folder.cleanup()

    def heal(self):
        """No more faults; in the end everything is settled and the books are the broker's."""
        self.sim.faults.clear()
        self.house.restart()
        self.house.daemon.check_and_refresh_token()
        for _ in range(40):
            self.house.pass_seconds(1800 if _ > 5 else 61)
            self.house.daemon.trader.follow_orders()
        intents = self.house.daemon.ledger.intents()
        accepted = {record.number for record in self.sim.accepted if record.name == "order"}
        bound = {intent.number for intent in intents if intent.number is not None}
        ambiguous = [intent for intent in intents if intent.state is State.AMBIGUOUS]
        assert bound <= accepted
        if not ambiguous:
            assert accepted <= bound, "an accepted order belongs to no intent"
            assert not self.house.daemon.trader._desk.live
            own = replay(self.house.daemon.ledger.fills()).quantities
            for symbol, quantity in own.items():
                assert self.sim.account().held(symbol) == quantity
        self.nothing_twice_and_everything_adds_up()


TestNights = Nights.TestCase
TestNights.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
