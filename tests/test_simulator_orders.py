"""Orders, fills and the account (protocol §7, §8): what KIS accepts, refuses, shows and forgets."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

import pytest

from clock import KST, NEW_YORK, VirtualClock
from simulator import Fault, Options, Simulator
from simulator.client import APP_KEY, TRADE_PATH, Client
from simulator.desk import Refused

START = datetime(2026, 11, 23, 23, 45, tzinfo=KST)  # 09:45 New York, a Monday
TODAY = "20261123"
FREE = {"rate_limit": False, "ledger_limit": False, "fill_delay": (0, 0)}


class Bench:
    """A simulator, its clock and somebody with a token; the books must be right in the end."""

    def __init__(self, profile="real", start=START, **options):
        self.clock = VirtualClock(start)
        self.sim = Simulator(self.clock, profile, seed=4, options=Options(**{**FREE, **options}))
        self.client = Client(self.sim).login()
        self.sim.pin("NVDA", "150.00")

    def buy(self, quantity=10, limit="150.00", **changed):
        return self.client.order("buy", "NVDA", quantity, limit, **changed)

    def sell(self, quantity=10, limit="150.00", **changed):
        return self.client.order("sell", "NVDA", quantity, limit, **changed)

    def rows(self, **changed):
        output = self.client.ccnl("20261101", "20261231", **changed)["output"]
        return output if isinstance(output, list) else []

    @property
    def account(self):
        return self.sim.account()

    def tomorrow(self):
        self.clock.advance(24 * 3600)
        self.client.login()

    def open_number(self):
        """An order that waits far below the market; its number as KIS writes it."""
        return self.buy(limit="140.00")["output"]["ODNO"]


@pytest.fixture
def bench(request):
    made = []

    def make(profile="real", **options):
        made.append(Bench(profile, **options))
        return made[-1]

    yield make
    for one in made:
        one.sim.audit()


# --- accepted


def test_an_order_is_accepted(bench):
    answer = bench().buy()
    assert (answer["rt_cd"], answer["msg_cd"], answer["msg1"]) == ("0", "APBK0013", "주문 전송 완료 되었습니다.")
    assert answer["output"] == {"KRX_FWDG_ORD_ORGNO": "01790", "ODNO": "0030000001", "ORD_TMD": "234500"}


def test_numbers_rise_over_all_accounts(bench):
    b = bench()
    other = Client(b.sim, key="another-app-key".ljust(36, "1")).login()
    other.account = ("11112222", "01")
    numbers = [b.buy(1)["output"]["ODNO"], other.order("buy", "NVDA", 1, "150")["output"]["ODNO"], b.open_number()]
    assert numbers == sorted(set(numbers))


def test_a_marketable_order_is_filled_and_paid(bench):
    b = bench()
    b.buy(10, "151.00")
    account = b.account
    [fill] = next(iter(account.orders.values())).fills
    assert (fill.quantity, fill.price, fill.fee) == (10, Decimal("150.00"), Decimal("3.75"))
    assert account.cash == Decimal("98496.25")
    assert account.holdings["NVDA"].average == 150
    b.sim.pin("NVDA", "160.006")
    b.sell(10, "159.00")
    sale = list(account.orders.values())[-1].fills[0]
    assert (sale.price, sale.fee, sale.cost) == (Decimal("160.00"), Decimal("4.04"), Decimal(1500))  # 4.00 and 0.04 SEC
    assert b.account.cash == Decimal("98496.25") + 1600 - Decimal("4.04")
    assert b.account.holdings == {}


def test_a_price_between_cents_is_rounded_against_us_but_within_the_limit(bench):
    b = bench()
    b.sim.pin("NVDA", "149.9912")
    b.buy(1, "150.00")
    b.sim.pin("BURU", "0.31234")
    b.client.order("buy", "BURU", 10, "0.3124", "AMEX")
    assert [order.fills[0].price for order in b.account.orders.values()] == [Decimal("150.00"), Decimal("0.3123")]


def test_an_order_waits_until_the_market_comes(bench):
    b = bench()
    b.buy(10, "149.00")
    b.clock.advance(300)
    assert b.account.cash == 100_000
    assert b.account.orderable() == 100_000 - Decimal("1490.00") - Decimal("3.73")
    b.sim.pin("NVDA", "148.40")
    b.clock.advance(5)
    assert b.account.holdings["NVDA"].cost == 1484


def test_day_orders_expire_at_the_close(bench):
    for hours in ("always", "nyse"):
        b = bench(hours=hours)
        b.open_number()
        b.clock.advance(6.25 * 3600 - 1)  # 15:59:59
        assert b.rows()[0]["nccs_qty"] == "10"
        b.clock.advance(1)
        [order] = b.account.orders.values()
        assert (order.status, b.account.orderable()) == ("expired", 100_000)
        assert (b.rows()[0]["nccs_qty"], b.client.nccs()["output"]) == ("0", [])


def test_at_the_close_nothing_is_traded_any_more(bench):
    b = bench()
    b.open_number()
    b.sim.market.pin("NVDA", datetime(2026, 11, 23, 16, tzinfo=NEW_YORK).timestamp(), Decimal(100))
    b.clock.advance(7 * 3600)
    assert [order.status for order in b.account.orders.values()] == ["expired"]


def test_a_new_price_counts_from_its_instant_on_whether_or_not_one_asked_before(bench):
    for asked in (True, False):
        b = bench(fill_delay=(60, 60))
        b.buy(10)
        b.clock.advance(60)  # the very instant at which the market is looked at
        assert not asked or b.account.held("NVDA") == 10
        b.sim.pin("NVDA", "151")
        assert b.account.held("NVDA") == 10


def test_fills_may_come_in_parts(bench):
    b = bench(partial_chance=1.0)
    b.buy(100)
    seen = [b.account.held("NVDA")]
    for _ in range(40):
        b.clock.advance(10)
        seen.append(b.account.held("NVDA"))
    assert 0 < seen[0] < 100
    assert seen[-1] == 100
    assert len(set(seen)) >= 3
    assert [old <= new for old, new in pairwise(seen)].count(False) == 0
    [order] = b.account.orders.values()
    assert order.fees == Decimal("37.50")  # as if it had been one execution


def test_a_partial_fill_by_fault_and_by_hand(bench):
    b = bench()
    b.sim.faults.add(Fault("partial", where="order", times=1))
    b.buy(100)
    assert 0 < b.account.held("NVDA") < 100
    b.sim.faults.add(Fault("no_fill", where="order"))
    number = int(b.buy(10)["output"]["ODNO"])
    held = b.account.held("NVDA")
    b.sim.fill(number, 4)
    assert b.account.held("NVDA") == held + 4
    with pytest.raises(ValueError, match="cannot trade"):
        b.sim.fill(number, 7)
    with pytest.raises(ValueError, match="cannot trade"):
        b.sim.fill(number, 1, "150.01")


def test_orders_are_filled_alike_however_often_one_asks(bench):
    def run(step):
        b = bench(fill_delay=(0.5, 3), partial_chance=0.5)
        b.sim.pin("NVDA", None)
        price = b.client.price("NVDA")[1]["output"]["last"]
        for share in ("0.995", "0.999", "1.001", "1.003"):
            limit = (Decimal(price) * Decimal(share)).quantize(Decimal("0.01"))
            b.buy(20, str(limit))
        for _ in range(int(7200 / step)):
            b.clock.advance(step)
            assert b.account.cash > 0
        return [(order.status, order.fills) for order in b.account.orders.values()], b.account.cash

    often, seldom = run(7.2), run(7200)
    assert often == seldom
    assert sum(order[0] == "filled" for order in often[0]) >= 2


def test_the_opening_and_closing_auctions(bench):
    b = bench(hours="nyse", start=datetime(2026, 11, 23, 22, tzinfo=KST))  # 08:00 New York
    b.sim.give_shares("NVDA", 30, "100")
    assert b.sell(10, "0", ORD_DVSN="31")["rt_cd"] == "0"  # MOO
    assert b.buy(5, "200.00", ORD_DVSN="34")["rt_cd"] == "0"  # LOC
    assert b.buy(5, "100.00", ORD_DVSN="34")["rt_cd"] == "0"  # LOC, too low
    assert b.sell(10, "0", ORD_DVSN="33")["rt_cd"] == "0"  # MOC
    assert b.account.held("NVDA") == 30
    b.clock.advance(1.5 * 3600)
    assert b.account.held("NVDA") == 20
    assert b.sell(10, "0", ORD_DVSN="31")["msg_cd"] == "APBK0918"
    b.clock.advance(6.5 * 3600)
    assert b.account.held("NVDA") == 15
    assert [o.status for o in b.account.orders.values()] == ["filled", "filled", "expired", "filled"]


# --- refused


@pytest.mark.parametrize(
    ("limit", "real", "paper"),
    [
        ("0", "APBK1507", "40030000"),
        ("6.405", "APTR0057", "40030000"),
        ("0.12345", "APTR0057", "40030000"),
        ("", "APBK1507", "40030000"),
        ("-5", "APBK1507", "40030000"),
        ("1e2", "APBK1507", "40030000"),
        ("145.0000", "APBK0013", "APBK0013"),
        ("145.1", "APBK0013", "APBK0013"),
    ],
)
def test_prices(bench, limit, real, paper):
    assert bench().buy(1, limit)["msg_cd"] == real
    assert bench("paper").buy(1, limit)["msg_cd"] == paper


@pytest.mark.parametrize("quantity", ["0", "-1", "1.5", "", "x", "١"])
def test_quantities(bench, quantity):
    answer = bench().buy(quantity)
    assert (answer["rt_cd"], answer["msg_cd"]) == ("7", "APBK0102")
    assert "output" not in answer


def test_not_more_than_the_cash(bench):
    for profile, code, rt_cd in (("real", "APBK0952", "7"), ("paper", "40250000", "1")):
        b = bench(profile)
        most = int(b.client.psamount("NVDA", "150.00")["output"]["max_ord_psbl_qty"])
        assert most == 665  # 665 shares cost 99,750 and 249.38 of commission
        answer = b.buy(most + 1)
        assert (answer["rt_cd"], answer["msg_cd"]) == (rt_cd, code)
        assert b.buy(most, "140.00")["rt_cd"] == "0"
        assert b.buy(100)["msg_cd"] == code  # what an open order claims is not there twice


def test_not_more_than_the_shares(bench):
    for profile, code in (("real", "APBK0400"), ("paper", "40240000")):
        b = bench(profile)
        assert b.sell(1)["msg_cd"] == code
        b.buy(10)
        assert b.sell(6, "155.00")["rt_cd"] == "0"
        assert b.sell(5, "155.00")["msg_cd"] == code
        assert b.sell(4, "155.00")["rt_cd"] == "0"


def test_the_wrong_exchange_or_an_unknown_symbol(bench):
    for profile, code in (("real", "APBK0656"), ("paper", "40070000")):
        b = bench(profile)
        assert b.client.order("buy", "NVDA", 1, "150", "NYSE")["msg_cd"] == code
        assert b.client.order("buy", "NOPE", 1, "150")["msg_cd"] == code
        assert b.client.order("buy", "NVDA", 1, "150", "NAS")["msg_cd"] == "OPSQ2001"
    assert bench("paper", untradable_on_paper=frozenset({"NVDA"})).buy()["msg_cd"] == "40070000"


def test_fields(bench):
    b = bench()
    body = {"CANO": "87654321", "ACNT_PRDT_CD": "01", "OVRS_EXCG_CD": "NASD", "PDNO": "NVDA", "ORD_QTY": "1"}
    answer = b.client.post(TRADE_PATH + "order", body, "TTTT1002U")
    assert (answer.status, json.loads(answer.body)["msg_cd"]) == (500, "IGW00036")
    answer = b.client.post(TRADE_PATH + "order", {**body, "ORD_SVR_DVSN_CD": "0"}, "TTTT1002U")
    assert json.loads(answer.body)["rt_cd"] == "2"
    lower = {name.lower(): value for name, value in body.items()}
    assert json.loads(b.client.post(TRADE_PATH + "order", lower, "TTTT1002U").body)["msg_cd"] == "APAC0081"
    assert b.sim.accepted == []


def test_order_types(bench):
    b = bench()
    assert b.buy(1, ORD_DVSN="01")["msg1"] == "주문구분 입력오류"
    assert b.buy(1, ORD_DVSN="31")["rt_cd"] == "7"  # no market order on open for purchases
    assert bench("paper").buy(1, ORD_DVSN="34")["rt_cd"] == "7"


def test_tr_ids(bench):
    real, paper = bench(), bench("paper")
    for b, tr_id, status, code in (
        (real, "JTTT1002U", 500, "EGW00356"),
        (real, "JTTT1006U", 500, "EGW00356"),
        (real, "VTTT1002U", 200, "OPSQ0002"),
        (paper, "TTTT1002U", 500, "EGW02006"),
        (paper, "JTTT1006U", 500, "EGW02006"),
        (paper, "VTTT1006U", 200, "90000000"),
    ):
        answer = b.client.post(TRADE_PATH + "order", {}, tr_id)
        assert (answer.status, json.loads(answer.body)["msg_cd"]) == (status, code)
    paper.buy(3)
    paper.sell(3)  # VTTT1001U
    assert [order.side for order in paper.account.orders.values()] == ["buy", "sell"]


def test_the_account_number_belongs_to_the_key(bench):
    b = bench()
    b.buy(1)
    b.client.account = ("87654321", "02")
    assert b.buy(1)["msg_cd"] == "APAC0081"
    assert b.client.balance()["msg_cd"] == "OPSQ2000"
    b.client.account = ("8765432", "01")
    assert b.buy(1)["msg_cd"] == "APAC0081"


@pytest.mark.parametrize(
    ("new_york", "real", "real_regular_only", "paper"),
    [
        ("2026-11-23T03:59", "APBK0918", "APBK0918", "40570000"),
        ("2026-11-23T08:00", "APBK0013", "APBK0918", "40570000"),
        ("2026-11-23T09:30", "APBK0013", "APBK0013", "APBK0013"),
        ("2026-11-23T16:00", "APBK0013", "APBK0918", "40580000"),
        ("2026-11-23T20:00", "APBK0918", "APBK0918", "40580000"),
        ("2026-11-26T12:00", "APBK0919", "APBK0919", "40100000"),  # Thanksgiving
        ("2026-11-27T12:59", "APBK0013", "APBK0013", "APBK0013"),  # half day
        ("2026-11-27T13:00", "APBK0013", "APBK0918", "40580000"),
        ("2026-11-28T12:00", "APBK0919", "APBK0919", "40100000"),  # Saturday
    ],
)
def test_hours(bench, new_york, real, real_regular_only, paper):
    start = datetime.fromisoformat(new_york).replace(tzinfo=NEW_YORK)
    assert bench(hours="nyse", start=start).buy(1)["msg_cd"] == real
    assert bench(hours="nyse", start=start, extended_hours=False).buy(1)["msg_cd"] == real_regular_only
    assert bench("paper", hours="nyse", start=start).buy(1)["msg_cd"] == paper


def test_orders_outside_the_session_do_not_match_in_it_before_it_opens(bench):
    b = bench(hours="nyse", start=datetime(2026, 11, 23, 22, tzinfo=KST))
    b.buy(10)
    b.clock.advance(5399)
    assert b.account.held("NVDA") == 0
    b.clock.advance(1)
    assert b.account.held("NVDA") == 10
    b.clock.advance(6.5 * 3600)
    b.buy(10)  # after the close: taken, never matched
    b.clock.advance(4 * 3600)
    assert b.account.held("NVDA") == 10
    assert list(b.account.orders.values())[-1].status == "expired"


def test_the_paper_engine_may_answer_500(bench):
    b = bench("paper", paper_engine_status=500)
    answer = b.client.post(TRADE_PATH + "order", {"CANO": "87654321", "ACNT_PRDT_CD": "01"}, "VTTT1001U")
    assert answer.status == 500
    assert b.sell(1)["msg_cd"] == "40240000"


# --- changes and cancellations


@pytest.mark.parametrize("strip", [True, False])
def test_a_cancellation_is_an_order_of_its_own(bench, strip):
    b = bench()
    number = b.open_number()
    answer = b.client.change(number.lstrip("0") if strip else number, "NVDA")
    assert (answer["rt_cd"], answer["output"]["ODNO"]) == ("0", "0030000002")
    cancelled, cancel = sorted(b.rows(), key=lambda row: row["odno"])
    assert (cancel["rvse_cncl_dvsn_name"], cancel["orgn_odno"]) == ("취소", "0030000001")
    assert (cancelled["nccs_qty"], cancelled["prcs_stat_name"], cancel["prcs_stat_name"]) == ("0", "완료", "완료")
    assert b.account.orderable() == 100_000
    assert b.client.nccs()["output"] == []


def test_what_cannot_be_cancelled(bench):
    for profile, code in (("real", "APBK0344"), ("paper", "40330000")):
        b = bench(profile)
        b.sim.pin("NVDA", "150")
        filled = b.buy(1)["output"]["ODNO"]
        assert b.client.change(filled, "NVDA")["msg_cd"] == code
        waiting = b.open_number()
        assert b.client.change(waiting, "AAPL")["msg_cd"] == "IGW00022"
        assert b.client.change(waiting, "NVDA")["rt_cd"] == "0"
        assert b.client.change(waiting, "NVDA")["msg_cd"] == code
        assert b.client.change("99", "NVDA")["msg_cd"] == "IGW00022"
        assert b.client.change(waiting, "NVDA", RVSE_CNCL_DVSN_CD="03")["rt_cd"] == "2"


def test_a_fill_may_win_against_a_slow_cancellation(bench):
    b = bench(cancel_delay=30)
    number = b.open_number()
    assert b.client.change(number, "NVDA")["rt_cd"] == "0"
    b.sim.pin("NVDA", "139.00")
    b.clock.advance(10)
    assert b.account.held("NVDA") == 10
    order, cancel = b.account.orders.values()
    assert (order.status, cancel.status) == ("filled", "rejected")
    assert [row["prcs_stat_name"] for row in b.rows(SORT_SQN="AS")] == ["완료", "거부"]


def test_a_slow_cancellation_is_the_only_one(bench):
    b = bench(cancel_delay=30)
    number = b.open_number()
    assert b.client.change(number, "NVDA")["rt_cd"] == "0"
    assert b.client.change(number, "NVDA")["msg_cd"] == "APBK0344"


@pytest.mark.parametrize(("price", "ends"), [("139.00", ["filled", "rejected"]), ("150.00", ["cancelled", "done"])])
def test_a_slow_cancellation_survives_a_restart(tmp_path, price, ends):
    clock = VirtualClock(START)
    options = Options(**FREE, cancel_delay=30)
    sim = Simulator(clock, seed=4, store=tmp_path / "sim.db", options=options)
    client = Client(sim).login()
    sim.pin("NVDA", "150")
    number = client.order("buy", "NVDA", 10, "140.00")["output"]["ODNO"]
    client.change(number, "NVDA")
    for _ in range(3):  # killed before, between and after
        client.sim = sim = Simulator(clock, seed=4, store=tmp_path / "sim.db", options=options)
        sim.pin("NVDA", price)
        clock.advance(20)
        assert client.nccs()["rt_cd"] == "0"
    assert [order.status for order in sim.account().orders.values()] == ends
    sim.audit()


def test_a_slow_cancellation_may_win_against_the_fill(bench):
    b = bench(cancel_delay=30)
    b.client.change(b.open_number(), "NVDA")
    b.clock.advance(30)
    b.sim.pin("NVDA", "139.00")
    b.clock.advance(30)
    assert [order.status for order in b.account.orders.values()] == ["cancelled", "done"]


def test_partly_filled_then_cancelled(bench):
    b = bench()
    b.sim.faults.add(Fault("no_fill", where="order"))
    number = b.buy(10)["output"]["ODNO"]
    b.sim.fill(int(number), 4)
    b.client.change(number, "NVDA")
    row = b.rows(SORT_SQN="AS")[0]
    assert (row["ft_ccld_qty"], row["nccs_qty"], row["ft_ord_qty"]) == ("4", "0", "10")
    assert b.account.held("NVDA") == 4


def test_another_limit(bench):
    b = bench()
    number = b.open_number()
    too_much = {"RVSE_CNCL_DVSN_CD": "01", "OVRS_ORD_UNPR": "99999.00", "ORD_QTY": "10"}
    assert b.client.change(number, "NVDA", **too_much)["msg_cd"] == "APBK0952"
    answer = b.client.change(number, "NVDA", RVSE_CNCL_DVSN_CD="01", OVRS_ORD_UNPR="151.00", ORD_QTY="10")
    assert answer["rt_cd"] == "0"
    old, new = b.account.orders.values()
    assert (old.status, new.kind, new.status, b.account.held("NVDA")) == ("replaced", "modify", "filled", 10)
    assert b.rows()[0]["rvse_cncl_dvsn_name"] == "정정"


# --- the account


def test_the_balance(bench):
    b = bench()
    b.buy(10)
    b.sim.give_shares("SNOW", 5, "200")
    b.sim.pin("NVDA", "160.00")
    b.sell(4, "170.00")
    answer = b.client.balance()
    assert (answer["rt_cd"], answer["msg_cd"]) == ("0", "KIOK0510")
    assert answer["msg1"] == "조회가 완료되었습니다".ljust(80)
    nvda, snow = answer["output1"]
    assert (nvda["ovrs_pdno"], nvda["ovrs_cblc_qty"], nvda["ord_psbl_qty"]) == ("NVDA", "10", "6")
    assert (nvda["pchs_avg_pric"], nvda["now_pric2"]) == ("150.0000", "160.000000")
    assert (snow["ovrs_pdno"], snow["ovrs_excg_cd"], snow["prdt_type_cd"]) == ("SNOW", "NYSE", "513")
    totals = answer["output2"]
    assert isinstance(totals, dict)
    assert len(totals) == 9
    value = sum(Decimal(row["ovrs_stck_evlu_amt"]) for row in (nvda, snow))
    assert Decimal(totals["tot_evlu_pfls_amt"]) == value
    assert Decimal(totals["ovrs_tot_pfls"]) == pytest.approx(value - 2500)
    assert "100000" not in json.dumps(answer)  # no cash in here


def test_exchanges_in_queries(bench):
    real, paper = bench(), bench("paper")
    for b in (real, paper):
        for symbol in ("NVDA", "SNOW", "SPY"):
            b.sim.give_shares(symbol, 1, "10") if b.sim.issuances else None
    held = lambda b, code: [row["ovrs_pdno"] for row in b.client.balance(code)["output1"]]  # noqa: E731
    assert held(real, "NASD") == held(real, "") == ["NVDA", "SNOW", "SPY"]
    assert (held(real, "NAS"), held(real, "NYSE"), held(real, "AMEX")) == (["NVDA"], ["SNOW"], ["SPY"])
    assert (held(paper, "NASD"), held(paper, "NYSE"), held(paper, "AMEX")) == (["NVDA"], ["SNOW"], ["SPY"])
    assert paper.client.balance("NAS")["rt_cd"] == "2"


def test_cash(bench):
    b = bench()
    b.buy(10)
    b.buy(10, "100.00")
    row = b.client.present_balance()["output2"][0]
    assert Decimal(row["frcr_dncl_amt_2"]) == b.account.cash == Decimal("98496.25")
    assert Decimal(row["frcr_buy_mgn_amt"]) == Decimal("1002.50")
    amount = b.client.psamount("NVDA", "150.00")["output"]
    assert amount["ovrs_ord_psbl_amt"] == "97493.75"
    assert amount["sll_ruse_psbl_amt"] == "0.00"
    paper = bench("paper")
    assert paper.client.present_balance()["output2"][0]["frcr_dncl_amt_2"] == "0.000000"
    assert paper.client.psamount("NVDA", "150.00")["output"]["ovrs_ord_psbl_amt"] == "100000.00"


def test_settlement_is_a_day_later(bench):
    b = bench(hours="nyse")
    b.buy(10)
    position = b.client.present_balance()["output1"][0]
    assert (position["cblc_qty13"], position["ccld_qty_smtl1"]) == ("0.00000000", "10.00000000")
    b.sell(10)
    amount = b.client.psamount("NVDA", "150.00")["output"]
    proceeds = Decimal("1500") - Decimal("3.75") - Decimal("0.04")
    assert Decimal(amount["sll_ruse_psbl_amt"]) == proceeds
    assert Decimal(amount["ovrs_ord_psbl_amt"]) == Decimal(amount["ord_psbl_frcr_amt"]) + proceeds
    b.buy(3)
    b.tomorrow()
    assert b.client.psamount("NVDA", "150.00")["output"]["sll_ruse_psbl_amt"] == "0.00"
    assert b.client.present_balance()["output1"][0]["cblc_qty13"] == "3.00000000"


def test_won_and_dollars(bench):
    b = bench()
    b.buy(10)
    rate = Decimal(b.client.present_balance()["output2"][0]["frst_bltn_exrt"])
    assert 1200 < rate < 1600
    won = b.client.present_balance("01")["output1"][0]["ovrs_now_pric1"]
    assert Decimal(won) == pytest.approx(150 * rate)
    assert b.client.present_balance("02", "02")["output1"] == []


def test_psamount_of_a_wrong_pair_and_of_no_price(bench):
    b = bench()
    assert b.client.psamount("NVDA", "150", "NYSE")["msg_cd"] == "APBK0656"
    assert b.client.psamount("NVDA", "0")["output"]["max_ord_psbl_qty"] == "665"


def test_realised_profit(bench):
    b = bench()
    b.buy(10)
    b.sim.pin("NVDA", "165.00")
    b.sell(4)
    query = {"OVRS_EXCG_CD": "", "NATN_CD": "", "CRCY_CD": "", "PDNO": "", "WCRC_FRCR_DVSN_CD": "01"}
    days = {"INQR_STRT_DT": TODAY, "INQR_END_DT": TODAY}
    answer = b.client._ask("inquire-period-profit", "TTTS3039R", **query, **days)
    [row] = answer["Output1"]
    profit = 660 - Decimal("1.65") - Decimal("0.02") - 600
    assert Decimal(row["ovrs_rlzt_pfls_amt"]) == profit == b.account.realised
    assert Decimal(answer["Output2"]["ovrs_rlzt_pfls_tot_amt"]) == profit


def test_settlement_dates(bench):
    b = bench(hours="nyse")
    path = "/uapi/overseas-stock/v1/quotations/countries-holiday"
    ask = lambda day: b.client.get(path, "CTOS5011R", TRAD_DT=day, CTX_AREA_NK="", CTX_AREA_FK="")[1]  # noqa: E731
    assert [row["acpl_sttl_dt"] for row in ask("20261125")["output"]] == ["20261127"] * 3
    assert ask("20261126")["output"] == []
    assert ask("20261125")["msg_cd"] == "KIOK0460"


# --- lists


def test_a_row_of_the_order_list(bench):
    b = bench()
    b.buy(10, "151.00")
    [row] = b.rows()
    assert len(row) == 32
    expected = {
        "ord_dt": TODAY,
        "odno": "0030000001",
        "orgn_odno": "",
        "sll_buy_dvsn_cd": "02",
        "sll_buy_dvsn_cd_name": "매수",
        "rvse_cncl_dvsn": "00",
        "pdno": "NVDA",
        "ft_ord_qty": "10",
        "ft_ord_unpr3": "151.00000000",
        "ft_ccld_qty": "10",
        "ft_ccld_unpr3": "150.00000000",
        "ft_ccld_amt3": "1500.00000",
        "nccs_qty": "0",
        "prcs_stat_name": "완료",
        "ord_tmd": "234500",
        "ovrs_excg_cd": "NASD",
        "dmst_ord_dt": TODAY,
        "thco_ord_tmd": "234500",
        "mdia_dvsn_name": "OpenAPI",
    }
    assert {name: row[name] for name in expected} == expected


def test_dates_are_new_yorks(bench):
    b = bench()
    b.clock.advance(3600)  # 00:45 in Korea, still the 23rd in New York
    b.buy(1)
    [row] = b.rows()
    assert (row["ord_dt"], row["dmst_ord_dt"]) == (TODAY, "20261124")
    assert b.client.ccnl("20261124", "20261124")["msg_cd"] == "KIOK0560"


def test_filters_on_the_real_server(bench):
    b = bench()
    b.buy(10)
    b.sell(10, "160.00")
    b.client.order("buy", "SNOW", 1, "1.00", "NYSE")
    assert [row["pdno"] for row in b.rows(PDNO="SNOW")] == ["SNOW"]
    assert [row["sll_buy_dvsn_cd"] for row in b.rows(SLL_BUY_DVSN="01")] == ["01"]
    assert [row["odno"] for row in b.rows(CCLD_NCCS_DVSN="01")] == ["0030000001"]
    assert len(b.rows(CCLD_NCCS_DVSN="02")) == 2
    assert [row["pdno"] for row in b.rows(OVRS_EXCG_CD="NYSE")] == ["SNOW"]
    assert len(b.rows(OVRS_EXCG_CD="%")) == 3
    assert [row["odno"][-1] for row in b.rows(SORT_SQN="AS")] == ["1", "2", "3"]


def test_on_paper_there_are_no_filters_and_no_zeros(bench):
    b = bench("paper")
    b.buy(10)
    assert b.rows()[0]["odno"] == "30000001"
    assert b.client.ccnl(TODAY, TODAY, PDNO="NVDA")["rt_cd"] == "2"
    assert b.client.ccnl(TODAY, TODAY, OVRS_EXCG_CD="NASD")["rt_cd"] == "2"
    assert bench("paper", strip_order_numbers=False).buy()["rt_cd"] == "0"


def test_open_orders(bench):
    b = bench()
    b.open_number()
    b.client.order("buy", "SNOW", 1, "1.00", "NYSE")
    assert [row["pdno"] for row in b.client.nccs()["output"]] == ["NVDA", "SNOW"]
    assert [row["pdno"] for row in b.client.nccs("NYSE")["output"]] == ["SNOW"]
    assert b.client.nccs("")["rt_cd"] == "2"
    assert bench("paper").client.nccs()["rt_cd"] == "0"
    assert bench("paper", nccs_on_paper=False).client.nccs()["msg_cd"] == "OPSQ0002"


def test_no_rows(bench):
    b = bench()
    answer = b.client.ccnl(TODAY, TODAY)
    assert (answer["rt_cd"], answer["msg_cd"]) == ("0", "KIOK0560")
    assert isinstance(answer["output"], dict)
    assert answer["output"]["ft_ord_qty"] == "0"
    assert answer["output"]["odno"] == ""
    assert bench(object_when_empty=False).client.ccnl(TODAY, TODAY)["output"] == []
    assert b.client.nccs()["output"] == []
    assert b.client.balance()["output1"] == []


def _twenty_five(b):
    for n in range(25):
        b.buy(1, f"{100 + n}.00")


def test_pages(bench):
    for profile, size, whole in (("real", None, 20), ("paper", None, 15), ("real", 3, 3)):
        b = bench(profile, page_size=size)
        _twenty_five(b)
        pages = b.client.pages(b.client.ccnl, TODAY, TODAY)
        assert [len(page["output"]) for page in pages][:-1] == [whole] * (len(pages) - 1)
        assert len({row["odno"] for page in pages for row in page["output"]}) == 25
        assert all(len(page["ctx_area_fk200"]) == len(page["ctx_area_nk200"]) == 200 for page in pages)
        assert pages[0]["ctx_area_fk200"].startswith("87654321^01^^20261123^20261123^00^00^")


def test_the_header_says_whether_there_is_more(bench):
    from simulator import Request

    b = bench(page_size=20, more_mark="F")
    _twenty_five(b)
    query = {"CANO": "87654321", "ACNT_PRDT_CD": "01", "OVRS_EXCG_CD": "NASD", "SORT_SQN": "DS"}

    def ask(tr_cont="", key=""):
        keys = {"CTX_AREA_FK200": "", "CTX_AREA_NK200": key}
        path = TRADE_PATH + "inquire-nccs"
        answer = b.sim.handle(Request("GET", path, {**query, **keys}, b.client.headers("TTTS3018R", tr_cont=tr_cont)))
        return answer.headers.get("tr_cont"), json.loads(answer.body)

    mark, first = ask()
    assert mark == "F"
    mark, second = ask("N", first["ctx_area_nk200"])
    assert mark == "E"
    assert second["ctx_area_nk200"] == " " * 200
    b.sim.account()
    assert ask("", first["ctx_area_nk200"])[1]["msg_cd"] == "SYDB0050"
    assert ask("N", "")[1]["msg_cd"] == "SYDB0050"
    assert ask("N", "nonsense")[1]["msg_cd"] == "SYDB0050"
    single = bench()
    single.open_number()
    b = single
    assert ask()[0] == "D"


def test_rows_that_change_between_pages(bench):
    for strict, code in ((True, "SYDB0050"), (False, "KIOK0510")):
        b = bench(page_size=3, changed_between_pages=strict)
        _twenty_five(b)
        first = b.client.nccs()
        b.open_number()
        keys = {"CTX_AREA_FK200": first["ctx_area_fk200"], "CTX_AREA_NK200": first["ctx_area_nk200"]}
        answer = b.client.nccs("NASD", tr_cont="N", **keys)
        assert answer["msg_cd"] == code
        assert answer["rt_cd"] == ("7" if strict else "0")


def test_a_moving_price_is_no_change(bench):
    b = bench(page_size=1)
    b.sim.give_shares("AAPL", 1, "10")
    b.sim.give_shares("SNOW", 1, "10")
    first = b.client.balance()
    b.clock.advance(600)
    keys = {"CTX_AREA_FK200": first["ctx_area_fk200"], "CTX_AREA_NK200": first["ctx_area_nk200"]}
    assert b.client.balance("NASD", tr_cont="N", **keys)["rt_cd"] == "0"


def test_a_page_that_fails(bench):
    b = bench(page_size=10)
    _twenty_five(b)
    b.sim.faults.add(Fault("error", where="nccs", page=2, code="EGW00316", times=1))
    pages = b.client.pages(b.client.nccs)
    assert [page["rt_cd"] for page in pages] == ["0", "1"]
    assert [page["rt_cd"] for page in b.client.pages(b.client.nccs)] == ["0", "0", "0"]
    b.sim.faults.add(Fault("error", where="ledger", code="SYDB0050"))
    answer = b.client.nccs()
    assert (answer["rt_cd"], answer["msg_cd"]) == ("7", "SYDB0050")


def test_a_list_that_never_ends(bench):
    b = bench(page_size=3)
    _twenty_five(b)
    b.sim.faults.add(Fault("endless", where="nccs"))
    first = b.client.nccs()
    keys = {"CTX_AREA_FK200": first["ctx_area_fk200"], "CTX_AREA_NK200": first["ctx_area_nk200"]}
    second = b.client.nccs("NASD", tr_cont="N", **keys)
    assert second["output"] == first["output"]
    assert second["ctx_area_nk200"].strip()


def test_double_rows_and_padding_rows(bench):
    b = bench(duplicate_rows=True, padding_row=True)
    b.buy(10)
    assert len(b.rows()) == 2
    symbols = [row["ovrs_pdno"] for row in b.client.balance()["output1"]]
    assert symbols == ["NVDA", "NVDA", ""]
    c = bench()
    c.buy(10)
    c.sim.faults.add(Fault("duplicate_rows", where="ccnl", times=1), Fault("padding_rows", where="balance", times=1))
    assert (len(c.rows()), len(c.rows())) == (2, 1)
    assert [row["ovrs_cblc_qty"] for row in c.client.balance()["output1"]] == ["10", "0"]


def test_lists_that_lag(bench):
    b = bench(visible_after=40, fill_visible_after=15)
    b.buy(10)
    assert b.account.held("NVDA") == 10
    assert (b.rows(), b.client.nccs()["output"]) == ([], [])
    b.clock.advance(39)
    assert b.rows() == []
    b.clock.advance(1)
    assert b.rows()[0]["ft_ccld_qty"] == "10"
    c = bench(fill_visible_after=15)
    c.buy(10)
    assert (c.rows()[0]["ft_ccld_qty"], c.rows()[0]["nccs_qty"], len(c.client.nccs()["output"])) == ("0", "10", 1)
    c.clock.advance(15)
    assert (c.rows()[0]["ft_ccld_qty"], c.client.nccs()["output"]) == ("10", [])


def test_unfilled_rows_may_show_no_price(bench):
    b = bench(unfilled_price_zero=True)
    b.open_number()
    assert b.client.nccs()["output"][0]["ft_ord_unpr3"] == "0.00000000"


def test_the_ledger_has_its_own_limit(bench):
    b = bench(ledger_limit=True)
    b.client.balance()
    status, body = b.client.get(TRADE_PATH + "inquire-nccs", "TTTS3018R")
    assert (status, body["msg_cd"]) == (500, "EGW00215")
    assert b.buy(1)["rt_cd"] == "0"
    b.clock.advance(1.1)
    assert b.client.balance()["rt_cd"] == "0"


# --- faults of single orders, foreign hands, the oracle


def test_lost_answers(bench):
    b = bench()
    for fault in (Fault("lost_answer", where="order"), Fault("html502", where="order", processed=True)):
        b.sim.faults.add(fault)
        answer = b.client.post(TRADE_PATH + "order", _body(b), "TTTT1002U")
        assert answer.wire == "reset" or answer.status == 502
        b.sim.faults.clear()
    b.sim.faults.add(Fault("error", where="order", code="EGW00301", processed=True, times=1))
    assert b.buy(1)["msg_cd"] == "EGW00301"
    assert len(b.sim.accepted) == 3
    b.sim.faults.add(Fault("html502", where="order", times=1), Fault("reset", where="order", times=1))
    assert b.client.post(TRADE_PATH + "order", _body(b), "TTTT1002U").status == 502
    assert b.client.post(TRADE_PATH + "order", _body(b), "TTTT1002U").wire == "reset"
    assert len(b.sim.accepted) == 3


def _body(b):
    cano, product = b.client.account
    return {
        "CANO": cano, "ACNT_PRDT_CD": product, "OVRS_EXCG_CD": "NASD", "PDNO": "NVDA", "ORD_QTY": "1",
        "OVRS_ORD_UNPR": "150.00", "ORD_SVR_DVSN_CD": "0", "ORD_DVSN": "00",
    }  # fmt: skip


def test_accepted_orders_are_kept_with_their_whole_request(bench):
    b = bench()
    body = {**_body(b), "MGCO_APTM_ODNO": "intent-7"}
    b.client.post(TRADE_PATH + "order", body, "TTTT1002U")
    b.buy(0)
    [accepted] = b.sim.accepted
    assert (accepted.body, accepted.tr_id, accepted.number, accepted.at) == (body, "TTTT1002U", 30000001, START)


def test_somebody_may_watch_requests_before_they_are_processed(bench):
    b = bench()
    seen = []
    b.sim.watch(lambda name, request: seen.append((name, len(b.account.orders))))
    b.buy(1)
    assert seen == [("order", 0)]


def test_refused_after_acceptance(bench):
    b = bench()
    b.sim.faults.add(Fault("reject_later", where="order", seconds=20, times=1, text="거래정지"))
    b.buy(10, "140.00")
    b.clock.advance(20)
    [row] = b.rows()
    assert (row["prcs_stat_name"], row["rjct_rson_name"], row["ft_ccld_qty"]) == ("거부", "거래정지", "0")
    assert b.account.orderable() == 100_000


def test_a_single_order_may_hide(bench):
    b = bench()
    b.sim.faults.add(Fault("hide", where="order", seconds=600, times=1))
    b.buy(10)
    b.buy(10)
    assert len(b.rows()) == 1
    b.clock.advance(600)
    assert len(b.rows()) == 2


def test_a_success_without_a_number(bench):
    b = bench()
    b.sim.faults.add(Fault("no_number", where="order", times=1))
    answer = b.buy(1)
    assert (answer["rt_cd"], answer["msg_cd"], answer.get("output")) == ("0", "IGW00009", None)
    assert len(b.rows()) == 1


def test_blank_cash_and_nothing_to_sell(bench):
    b = bench()
    b.buy(10)
    b.sim.faults.add(Fault("blank", where="ledger", times=2), Fault("unsellable", where="balance", symbol="NVDA"))
    assert b.client.psamount("NVDA", "150")["output"]["ovrs_ord_psbl_amt"] == ""
    assert b.client.present_balance()["output2"][0]["frcr_dncl_amt_2"] == ""
    assert b.client.balance()["output1"][0]["ord_psbl_qty"] == "0"


def test_the_owners_own_hand(bench):
    b = bench()
    b.buy(10)
    number = b.sim.place_foreign_order("NVDA", "sell", 10, "149.00")
    row = b.rows()[0]
    assert (int(row["odno"]), row["mdia_dvsn_name"], row["sll_buy_dvsn_cd"]) == (number, "모바일", "01")
    assert b.account.holdings == {}
    assert len(b.sim.accepted) == 1  # not through the API
    with pytest.raises(Refused, match="APBK0400"):
        b.sim.place_foreign_order("NVDA", "sell", 1, "149.00")
    waiting = int(b.open_number())
    b.sim.cancel_foreign_order(waiting)
    assert b.client.nccs()["output"] == []
    b.sim.deposit("-500.50")
    assert Decimal(b.client.psamount("NVDA", "1")["output"]["ovrs_ord_psbl_amt"]) == b.account.cash


def test_numbers_may_begin_again_every_day(bench):
    b = bench(numbers_restart_daily=True)
    first = b.open_number()
    b.tomorrow()
    assert b.open_number() == first
    b.client.change(first, "NVDA")
    assert [order.status for order in b.account.orders.values()] == ["expired", "cancelled", "done"]


def test_the_audit_finds_what_is_wrong(bench):
    b = Bench()
    b.buy(10)
    b.sim.audit()
    account = b.account
    for spoil, word in (
        (lambda: setattr(account, "cash", account.cash + 1), "cash"),
        (lambda: setattr(account.holdings["NVDA"], "quantity", 9), "held"),
        (lambda: account.orders[1].fills.append(account.orders[1].fills[0]), "beyond"),
    ):
        spoil()
        with pytest.raises(AssertionError, match=word):
            b.sim.audit()


def test_which_account(bench):
    b = bench()
    b.buy(1)
    Client(b.sim, key="another-app-key".ljust(36, "1")).login()
    with pytest.raises(ValueError, match="2 accounts"):
        b.sim.account()
    assert b.sim.account(APP_KEY).held("NVDA") == 1


# --- memory


def test_orders_cash_and_holdings_survive_a_restart(tmp_path):
    clock = VirtualClock(START)
    options = Options(**FREE)
    path = tmp_path / "sim.db"
    first = Simulator(clock, seed=4, store=path, options=options)
    client = Client(first).login()
    first.pin("NVDA", "150")
    client.order("buy", "NVDA", 10, "150.00")
    client.order("sell", "NVDA", 4, "150.00")
    waiting = client.order("buy", "NVDA", 5, "1.00")["output"]["ODNO"]
    before = client.ccnl(TODAY, TODAY)
    second = Simulator(clock, seed=4, store=path, options=options)  # the first was killed
    client.sim = second
    assert client.ccnl(TODAY, TODAY) == before
    assert (second.account().cash, second.account().held("NVDA")) == (first.account().cash, 6)
    assert client.change(waiting, "NVDA")["output"]["ODNO"] == "0030000004"
    client.account = ("87654321", "02")
    assert client.balance()["msg_cd"] == "OPSQ2000"  # the account number is remembered as well
    second.audit()
    first.close()
    second.close()


def test_long_runs_may_forget_old_orders(tmp_path):
    clock = VirtualClock(START)
    sim = Simulator(clock, seed=4, store=tmp_path / "sim.db", options=Options(**FREE, keep_days=3))
    client = Client(sim).login()
    for _ in range(10):
        sim.pin("NVDA", "150")
        client.order("buy", "NVDA", 2, "150.00")
        client.order("sell", "NVDA", 1, "150.00")
        clock.advance(24 * 3600)
        client.login()
        sim.audit()
    assert len(sim.account().orders) <= 8
    assert sim.account().held("NVDA") == 10
    sim.close()
    again = Simulator(clock, seed=4, store=tmp_path / "sim.db", options=Options(**FREE))
    again.audit()
    assert len(again.account().orders) <= 8
    again.close()
