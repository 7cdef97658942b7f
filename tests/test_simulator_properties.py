"""Whatever is ordered, cancelled and asked: money and shares add up, and asking changes nothing."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clock import KST, VirtualClock
from simulator import Fault, Options, Request, Simulator
from simulator.client import Client
from simulator.desk import Refused
from simulator.messages import to_json
from simulator.routes import ROUTES

START = datetime(2026, 11, 23, 23, 45, tzinfo=KST)
SYMBOLS = {"NVDA": ("NAS", "NASD"), "SNOW": ("NYS", "NYSE"), "BURU": ("AMS", "AMEX")}

_symbol = st.sampled_from(sorted(SYMBOLS))
_shift = st.sampled_from(["0.98", "0.998", "1.000", "1.002", "1.02"])  # a limit's distance from the market
_order = st.tuples(st.just("order"), st.sampled_from(["buy", "sell"]), _symbol, st.integers(1, 300), _shift)
_hand = st.tuples(st.just("hand"), st.sampled_from(["buy", "sell"]), _symbol, st.integers(1, 50), _shift)
_change = st.tuples(st.sampled_from(["cancel", "modify"]), st.integers(0, 5), _shift)
_pass = st.tuples(st.just("pass"), st.sampled_from([1, 7, 60, 1200, 20_000, 70_000]))
_money = st.tuples(st.just("deposit"), st.integers(1, 5000))
_fault = st.tuples(
    st.just("fault"), st.sampled_from(["reject_later", "partial", "no_fill", "hide", "lost_answer", "no_number"])
)
_ask = st.tuples(st.just("ask"))
_restart = st.tuples(st.just("restart"))
STEPS = st.lists(st.one_of(_order, _order, _hand, _change, _pass, _pass, _money, _fault, _ask, _restart), max_size=25)


class World:
    """One simulator that lives through a list of steps."""

    def __init__(self, path, profile, options):
        self.clock = VirtualClock(START)
        self.path, self.profile = path, profile
        self.options = Options(rate_limit=False, ledger_limit=False, **options)
        self.sim = self._open()
        self.client = Client(self.sim)
        self.client.login()

    def _open(self):
        return Simulator(self.clock, self.profile, seed=11, store=self.path, options=self.options)

    def take(self, step):
        getattr(self, "_" + step[0])(*step[1:])

    def _order(self, side, symbol, quantity, shift):
        self.client.order(side, symbol, quantity, self._limit(symbol, shift), SYMBOLS[symbol][1])

    def _hand(self, side, symbol, quantity, shift):
        with suppress(Refused):
            self.sim.place_foreign_order(symbol, side, quantity, self._limit(symbol, shift))

    def _limit(self, symbol, shift):
        from simulator.listings import find_listing

        price = self.sim.market.price(find_listing(symbol), self.clock.now().timestamp())
        step = Decimal("0.01") if price >= 1 else Decimal("0.0001")
        return str((price * Decimal(shift)).quantize(step))

    def _cancel(self, which, shift):
        self._change(which)

    def _modify(self, which, shift):
        self._change(which, shift)

    def _change(self, which, shift=None):
        orders = list(self.sim.account().orders.values())
        if not orders:
            return
        order = orders[-1 - which % len(orders)]
        more = {}
        if shift:
            more = {"RVSE_CNCL_DVSN_CD": "01", "OVRS_ORD_UNPR": self._limit(order.symbol, shift), "ORD_QTY": "7"}
        self.client.change(str(order.number), order.symbol, order.exchange, **more)

    def _pass(self, seconds):
        self.clock.advance(seconds)
        self.client.issue()
        self.sim.faults.clear()
        self._fresh_token()

    def _fresh_token(self):
        if self.client.price("NVDA")[0] != 200:
            self.clock.advance(61)
            self.client.login()

    def _deposit(self, amount):
        self.sim.deposit(str(amount))

    def _fault(self, kind):
        self.sim.faults.add(Fault(kind, where="order", seconds=30, times=1))

    def _ask(self):
        self.client.balance()
        self.sim.audit()

    def _restart(self):
        faults = list(self.sim.faults)
        self.sim.close()
        self.sim = self.client.sim = self._open()
        self.sim.faults.add(*faults)

    def books(self):
        account = self.sim.account()
        orders = [(o.number, o.status, o.filled, o.value, o.fees) for o in account.orders.values()]
        return account.cash, sorted((s, h.quantity, h.cost) for s, h in account.holdings.items()), orders


OPTIONS = {"fill_delay": (0.5, 3.0), "partial_chance": 0.4, "cancel_delay": 9.0}
FEW = settings(max_examples=25, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize("profile", ["real", "paper"])
@FEW
@given(steps=STEPS)
def test_the_books_add_up_after_every_step(tmp_path_factory, profile, steps):
    world = World(tmp_path_factory.mktemp("books") / "sim.db", profile, OPTIONS)
    for step in steps:
        world.take(step)
        world.sim.audit()
        account = world.sim.account()
        assert account.cash >= account.reserved() >= 0
        assert all(account.sellable(symbol) >= 0 for symbol in SYMBOLS)
    world.sim.close()


@FEW
@given(
    price=st.decimals("1", "2000", places=2) | st.decimals("0.0001", "0.9999", places=4),
    extra=st.decimals("0", "999", places=2),
)
def test_what_psamount_promises_can_be_bought_and_no_share_more(price, extra):
    sim = Simulator(VirtualClock(START), seed=11, options=Options(rate_limit=False, ledger_limit=False))
    client = Client(sim).login()
    sim.deposit(extra)
    most = int(client.psamount("NVDA", str(price))["output"]["max_ord_psbl_qty"])
    assert client.order("buy", "NVDA", most + 1, str(price))["msg_cd"] == "APBK0952"
    assert client.order("buy", "NVDA", most, str(price))["msg_cd"] == "APBK0013"
    sim.audit()


@FEW
@given(steps=STEPS)
def test_the_lists_say_what_the_books_say(tmp_path_factory, steps):
    world = World(tmp_path_factory.mktemp("lists") / "sim.db", "real", {**OPTIONS, "page_size": 3})
    for step in steps:
        if step[0] != "fault" or step[1] != "hide":
            world.take(step)
    world._fresh_token()
    client, account = world.client, world.sim.account()
    orders, waiting = account.orders.values(), [order for order in account.open.values() if order.rest]
    rows = [row for page in client.pages(client.ccnl, "20260101", "20301231") for row in _list(page["output"])]
    assert _pairs(rows, "odno", "ft_ccld_qty") == {str(order.number): order.filled for order in orders}
    rows = [row for page in client.pages(client.nccs) for row in page["output"]]
    assert _pairs(rows, "odno", "nccs_qty") == {str(order.number): order.rest for order in waiting}
    rows = [row for page in client.pages(client.balance) for row in page["output1"]]
    assert _pairs(rows, "ovrs_pdno", "ovrs_cblc_qty") == {s: h.quantity for s, h in account.holdings.items()}
    assert _pairs(rows, "ovrs_pdno", "ord_psbl_qty") == {s: account.sellable(s) for s in account.holdings}
    orderable = client.psamount("NVDA", "100")["output"]["ovrs_ord_psbl_amt"]
    assert 0 <= account.orderable() - Decimal(orderable) < Decimal("0.01")
    world.sim.close()


def _pairs(rows, name, quantity):
    return {row[name].lstrip("0"): int(row[quantity]) for row in rows}


def _list(output):
    return output if isinstance(output, list) else []


@FEW
@given(steps=STEPS, extra=st.sampled_from([2, 4, 16]))
def test_asking_and_restarting_change_nothing(tmp_path_factory, steps, extra):
    steps = [step for step in steps if step[0] not in ("restart", "ask")]

    def live(ask_often):
        world = World(tmp_path_factory.mktemp("ask") / "sim.db", "real", OPTIONS)
        for step in steps:
            if ask_often and step[0] == "pass":
                part = step[1] / extra
                for _ in range(extra - 1):
                    world.clock.advance(part)
                    world.take(("restart",))
                    world.sim.account()
                step = ("pass", step[1] - part * (extra - 1))
            world.take(step)
        books = world.books()
        world.sim.close()
        return books

    assert live(ask_often=True) == live(ask_often=False)


_ODD = ["NVDA", "NASD", "NAS", "02", "00010101", "99991231", "²", "-1", "1e999", "NaN", "", "%"]
_texts = st.text(max_size=12) | st.sampled_from(_ODD)
_NAMES = """
    CANO ACNT_PRDT_CD OVRS_EXCG_CD PDNO ORD_QTY OVRS_ORD_UNPR ORD_SVR_DVSN_CD ORD_DVSN ORGN_ODNO RVSE_CNCL_DVSN_CD AUTH
    EXCD SYMB NREC SYMB_01 GUBN BYMD MODP SORT_SQN CTX_AREA_FK200 CTX_AREA_NK200 ORD_STRT_DT ORD_END_DT SLL_BUY_DVSN
    TR_CRCY_CD WCRC_FRCR_DVSN_CD NATN_CD TR_MKET_CD INQR_DVSN_CD ITEM_CD TRAD_DT period1 period2 range interval
"""
_names = st.sampled_from(_NAMES.split())
_PATHS = [*ROUTES, "/v8/finance/chart/NVDA", "/v8/finance/chart/x", "/sim/faults", "/sim/pin", "/sim/fill"]
_fields = st.dictionaries(_names, _texts, max_size=12)


@pytest.mark.parametrize(
    "path", [*ROUTES, "/v8/finance/chart/NVDA", "/v8/finance/chart/x", "/sim/faults", "/sim/pin", "/sim/fill"]
)
@FEW
@given(query=_fields, body=_fields | st.binary(max_size=20), more=st.booleans())
def test_nothing_a_client_sends_breaks_the_broker(path, query, body, more):
    sim = Simulator(VirtualClock(START), seed=11, options=Options(rate_limit=False, ledger_limit=False))
    client = Client(sim).login()
    route = ROUTES.get(path)
    full = {"CANO": "87654321", "ACNT_PRDT_CD": "01", "AUTH": "", **_complete(), **query}
    data = body if isinstance(body, bytes) else to_json({**full, **body})
    for tr_id in route.real if route and route.real else ("X",):
        headers = client.headers(tr_id, tr_cont="N" if more else "", length=len(data))
        answer = sim.handle(Request(route.method if route else "GET", path, full, headers, data))
        assert 200 <= answer.status <= 500
        sim.handle(Request("POST", path, full, headers, data))
    sim.audit()


def _complete():
    """All that any end point requires, so that what is wrong gets further than the first check."""
    lists = {"CTX_AREA_FK200": "", "CTX_AREA_NK200": "", "OVRS_EXCG_CD": "NASD", "SORT_SQN": "DS", "TR_CRCY_CD": "USD"}
    orders = {
        "ORD_STRT_DT": "20261123",
        "ORD_END_DT": "20261123",
        "SLL_BUY_DVSN": "00",
        "CCLD_NCCS_DVSN": "00",
        "ODNO": "",
    }
    more = {
        "ODNO": "",
        "ORD_DT": "",
        "ORD_GNO_BRNO": "",
        "PDNO": "NVDA",
        "ORD_QTY": "1",
        "OVRS_ORD_UNPR": "100",
        "ORD_DVSN": "00",
    }
    quotes = {"EXCD": "NAS", "SYMB": "NVDA", "GUBN": "0", "BYMD": "", "MODP": "0", "NREC": "1", "ITEM_CD": "NVDA"}
    money = {"WCRC_FRCR_DVSN_CD": "02", "NATN_CD": "840", "TR_MKET_CD": "00", "INQR_DVSN_CD": "00", "CRCY_CD": ""}
    profit = {"INQR_STRT_DT": "20261123", "INQR_END_DT": "20261123", "ORD_SVR_DVSN_CD": "0", "TRAD_DT": "20261123"}
    return {**lists, **orders, **more, **quotes, **money, **profit}
