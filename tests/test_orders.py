"""Orders at the HTTP border: decided, journalled, sent once, followed to the end, whatever goes wrong on the way.

After everything the same must hold: at most one accepted order per intent, nothing sold that is not held, never more
spent than the cash, and our books equal the broker's.
"""

import contextlib
import json
import socket
import sqlite3
from dataclasses import replace
from datetime import datetime, time, timedelta
from decimal import Decimal

import pytest
from conftest import START

from books import replay
from clock import KST, VirtualClock
from intents import State
from ledger import Ledger, LedgerUnreadable, LedgerUnwritable
from portfolio import Side
from simulator import Fault, Options
from strategy import OrderWish, Plan

STOCKS = {
    "filter_stocks": {"NVDA": True},
    "watch_list": ["SOUN", "IONQ", "SOXL"],
    "exchanges": {"NVDA": "나스닥", "SOUN": "나스닥", "IONQ": "뉴욕", "SOXL": "아멕스"},
}


class Killed(BaseException):
    """The process dies here."""


@pytest.fixture
def shop(make_house, tmp_path):
    """A house whose strategy wants to buy at once: the gate is open and the watch list has fallen."""

    def make(stocks=STOCKS, options=None, *, inside=True, **changes):
        (tmp_path / "stocks.json").write_text(json.dumps(stocks), "utf-8")
        house = make_house(options=options or Options(fill_delay=(0, 0)), inside=inside, **changes)
        for symbol, price, base in [
            ("NVDA", "110", "100"),
            ("SOUN", "9", "10"),
            ("IONQ", "38", "40"),
            ("SOXL", "29", "30"),
        ]:
            house.sim.pin(symbol, price, base)
        return house

    return make


def only(symbol):
    return {**STOCKS, "watch_list": [symbol]}


def trade(house):
    """One look of the timetable: follow what is open, then the passes that are due."""
    house.daemon.trader.follow_orders()
    house.daemon.trader.trade_if_due()


def follow(house, minutes, step=30):
    for _ in range(int(minutes * 60 / step)):
        house.pass_seconds(step)
        house.daemon.trader.follow_orders()


def buy_and_sell(house):
    """A purchase of SOUN, its fill, a rise of the price, the sale and its fill."""
    trade(house)
    follow(house, 1)
    house.sim.pin("SOUN", "9.50")
    house.pass_seconds(1800)
    trade(house)
    follow(house, 1)


def beside_a_twin(shop):
    """A house whose order got no answer while another program sent the very same: nobody can tell them apart."""
    house = shop(only("SOUN"), options=Options(matching=False)).started()
    house.sim.faults.add(Fault("lost_answer", "order", times=1))
    trade(house)
    house.sim.place_foreign_order("SOUN", "buy", 100, "9.00", channel="OpenAPI")
    follow(house, 2)
    assert [intent.state for intent in intents(house)] == [State.AMBIGUOUS]
    return house


def intents(house):
    return house.daemon.ledger.intents()


def orders(house):
    return [accepted for accepted in house.sim.accepted if accepted.name == "order"]


def check_books(house):
    """Our books against the broker's own, which the daemon never sees."""
    house.sim.audit()
    mine = intents(house)
    accepted = {record.number: record for record in orders(house)}
    bound = [intent.number for intent in mine if intent.number is not None]
    assert len(bound) == len(set(bound))
    for intent in mine:
        same = [
            record
            for number, record in accepted.items()
            if number == intent.number
            or (intent.number is None and number not in bound and record.body["PDNO"] == intent.symbol)
        ]
        assert len(same) <= 1
        if intent.state in (State.REFUSED, State.NOT_SENT, State.NOT_ACCEPTED):
            assert intent.number is not None or not same
    account = house.sim.account()
    own = replay(house.daemon.ledger.fills()).quantities
    for symbol, quantity in own.items():
        assert account.held(symbol) >= quantity
    assert account.cash >= 0
    return own


def settled(house):
    return not house.daemon.trader._desk.live


# the plain way


def test_a_buy_pass_buys_what_has_fallen_most_each_for_a_third_of_the_cash(shop, log):
    house = shop().started()
    trade(house)

    sent = [(r.tr_id, r.body["PDNO"], r.body["ORD_QTY"], r.body["OVRS_ORD_UNPR"]) for r in orders(house)]
    assert sent == [
        ("TTTT1002U", "SOUN", "100", "9.00"),
        ("TTTT1002U", "IONQ", "100", "38.00"),
        ("TTTT1002U", "SOXL", "100", "29.00"),
    ]
    follow(house, 1)
    assert settled(house)
    assert check_books(house) == {"SOUN": 100, "IONQ": 100, "SOXL": 100}
    assert len(log("접수 (주문번호")) == 3
    assert len(log("체결 100/100주")) == 3


ORDER = {
    "CANO": "73914682",
    "ACNT_PRDT_CD": "01",
    "OVRS_EXCG_CD": "NASD",
    "PDNO": "SOUN",
    "ORD_QTY": "100",
    "OVRS_ORD_UNPR": "9.00",
    "CTAC_TLNO": "",
    "MGCO_APTM_ODNO": "",
    "SLL_TYPE": "",
    "ORD_SVR_DVSN_CD": "0",
    "ORD_DVSN": "00",
}


def test_B09_the_order_on_the_wire_byte_for_byte(shop):
    house = shop(only("SOUN")).started()
    trade(house)
    assert orders(house)[0].body == ORDER
    house.sim.pin("SOUN", "9.50")
    house.pass_seconds(1800)
    trade(house)
    sale = orders(house)[1]
    assert sale.tr_id == "TTTT1006U"
    assert sale.body == {**ORDER, "SLL_TYPE": "00", "OVRS_ORD_UNPR": "9.50"}


def test_B08_a_paper_sale_is_no_second_purchase(shop):
    house = shop(
        only("SOUN"),
        profile="paper",
        kis_mode="paper",
        kis_calls_per_second=0.8,
        clock=VirtualClock(START + timedelta(hours=2)),
    ).started()
    trade(house)
    follow(house, 2)
    house.sim.pin("SOUN", "9.50")
    house.pass_seconds(1800)
    trade(house)
    assert [record.tr_id for record in orders(house)] == ["VTTT1002U", "VTTT1001U"]
    follow(house, 2)
    assert check_books(house) == {}


def test_a_sale_takes_the_best_holding_and_one_a_pass(shop):
    house = shop().started()
    trade(house)
    follow(house, 1)
    house.sim.pin("SOUN", "9.50")  # +5.6 %
    house.sim.pin("IONQ", "42")  # +10.5 %
    house.pass_seconds(1800)
    trade(house)
    assert [(r.tr_id, r.body["PDNO"]) for r in orders(house)[3:]] == [("TTTT1006U", "IONQ")]
    follow(house, 1)
    check_books(house)


def test_the_passes_cost_few_requests(shop):
    house = shop().started()
    house.daemon.watch()
    house.pass_seconds(61)
    before = house.sim.count("kis")
    house.daemon.trader.trade_if_due()
    assert house.sim.count("kis") - before - 3 <= 8
    follow(house, 1)
    house.pass_seconds(1800)
    before = house.sim.count("kis")
    house.daemon.trader.trade_if_due()
    assert house.sim.count("kis") - before <= 4


def test_a_whole_pass_of_a_paper_account_takes_less_than_forty_seconds(shop):
    thirteen = ["SOUN", "IONQ", "SOXL", "OKLO", "SMR", "SES", "SNOW", "PLTR", "RKLB", "TSLA", "AMD", "SOFI", "JOBY"]
    stocks = {"filter_stocks": {"NVDA": True, "AMZN": True, "MSFT": True}, "watch_list": thirteen}
    in_session = VirtualClock(START + timedelta(hours=2))
    house = shop(stocks, clock=in_session, profile="paper", kis_mode="paper", kis_calls_per_second=0.8).started()
    house.daemon.watch()
    house.pass_seconds(61)
    for symbol in ("AMZN", "MSFT"):
        house.sim.pin(symbol, "110", "100")
    begin = house.clock.monotonic()
    house.daemon.trader._buy(house.daemon.hours.session(house.clock.now()))
    assert house.clock.monotonic() - begin < 40
    assert len(orders(house)) == 3


# the answer that never came


UNANSWERED = {
    "accepted, then reset": Fault("lost_answer", "order", times=1),
    "accepted, then silence": Fault("hang", "order", times=1, processed=True),
    "accepted, cut JSON": Fault("cut", "order", times=1),
    "accepted, empty body": Fault("empty", "order", times=1),
    "accepted, one byte a second": Fault("drip", "order", times=1),
    "accepted, broken off in the body": Fault("half", "order", times=1),
    "accepted, silent in the body": Fault("stall", "order", times=1),
    "accepted, a redirect": Fault("html", "order", status=302, times=1, processed=True),
    "accepted without a number": Fault("no_number", "order", times=1),
    "accepted, EGW00301": Fault("error", "order", code="EGW00301", times=1, processed=True),
    "accepted, 502 page": Fault("html502", "order", times=1, processed=True),
    "not accepted, reset": Fault("reset", "order", times=1),
    "not accepted, closed": Fault("closed", "order", times=1),
    "not accepted, 502 page": Fault("html502", "order", times=1),
    "not accepted, EGW00302": Fault("error", "order", code="EGW00302", times=1),
    "not accepted, EGW00202": Fault("error", "order", code="EGW00202", times=1),
    "not accepted, an unlisted code": Fault("error", "order", code="ZZZZ9999", status=200, times=1),
}


ON_THE_WIRE = {name: fault for name, fault in UNANSWERED.items() if fault.kind not in ("hang", "drip", "stall")}


@pytest.mark.parametrize("fault", ON_THE_WIRE.values(), ids=ON_THE_WIRE.keys())
def test_H08_H09_H10_H12_H14_on_real_sockets_an_order_without_an_answer_is_sent_once_and_unknown(shop, fault):
    house = shop(only("SOUN"), inside=False).started()
    house.sim.faults.add(replace(fault))
    trade(house)
    assert house.sim.count("order") == 1
    assert [intent.state for intent in intents(house)] == [State.UNKNOWN]
    follow(house, 1)
    assert settled(house) == bool(orders(house))


@pytest.mark.parametrize("fault", UNANSWERED.values(), ids=UNANSWERED.keys())
def test_H05_H06_H08_H10_H11_H23_B01_B03_B06_B07_a_lost_answer_is_settled_by_reading_and_never_by_sending_again(
    shop, fault, log
):
    house = shop(only("SOUN")).started()
    house.sim.faults.add(replace(fault))
    trade(house)

    posted = house.sim.count("order")
    assert posted == 1
    assert len(log("결과 불명")) == 1
    follow(house, 10)
    assert house.sim.count("order") == posted
    if orders(house):
        assert settled(house)
        assert check_books(house) == {"SOUN": 100}
    else:
        assert [intent.state for intent in intents(house)] == [State.ABSENT]
        follow(house, 8 * 60, step=600)
        assert [intent.state for intent in intents(house)] == [State.NOT_ACCEPTED]
        assert check_books(house) == {}


def test_while_an_order_is_unknown_its_symbol_rests_and_others_do_not(shop):
    house = shop().started()
    house.sim.faults.add(Fault("reset", "order", times=1))
    trade(house)
    assert [record.body["PDNO"] for record in orders(house)] == ["IONQ", "SOXL"]
    house.pass_seconds(3600)
    trade(house)
    assert [record.body["PDNO"] for record in orders(house)] == ["IONQ", "SOXL"]


@pytest.mark.parametrize("seconds", [40, 200, 900])
def test_B02_B04_an_order_that_the_list_shows_late_is_bound_however_late(shop, seconds, log):
    house = shop(only("SOUN"), options=Options(fill_delay=(0, 0), visible_after=seconds)).started()
    house.sim.faults.add(Fault("lost_answer", "order", times=1))
    trade(house)
    follow(house, 20)
    assert settled(house)
    assert check_books(house) == {"SOUN": 100}
    assert bool(log("주문내역에 없음")) == (seconds == 900)


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("host", [closed_port, lambda: "no-such-host.invalid"], ids=["refused", "no address"])
def test_H01_H02_what_never_left_is_known_not_to_have(shop, host):
    """As where the host went away between the reading of the list and the order."""
    house = shop(only("SOUN"), inside=False).started()
    house.daemon.watch()
    line = house.api.transport.line
    house.api.transport.line = lambda url: line(f"http://{host()}/order")
    trade(house)
    assert [intent.state for intent in intents(house)] == [State.NOT_SENT]
    assert not house.daemon.trader._desk.live


@pytest.mark.parametrize("kind", ["refused", "dns", "unreachable"])
def test_H01_H02_H03_a_connection_that_cannot_be_opened_sends_nothing(shop, kind):
    house = shop(only("SOUN")).started()
    house.sim.faults.add(Fault(kind, "order", times=1))
    trade(house)
    assert [intent.state for intent in intents(house)] == [State.NOT_SENT]
    assert house.sim.count("order") == 0


REFUSALS = [("APBK0952", 200), ("APTR0057", 200), ("EGW00201", 500), ("EGW00215", 500), ("EGW00356", 500)]


@pytest.mark.parametrize(("code", "status"), REFUSALS)
def test_H22_B05_B09_a_definite_refusal_is_one_and_is_not_sent_again_in_the_pass(shop, code, status):
    house = shop(only("SOUN")).started()
    house.sim.faults.add(Fault("error", "order", code=code, status=status))
    trade(house)
    assert [intent.state for intent in intents(house)] == [State.REFUSED]
    assert house.sim.count("order") == 1
    assert check_books(house) == {}


def test_T01_after_a_refused_token_the_one_recovery_runs_and_one_new_intent_is_sent(shop):
    house = shop(only("SOUN")).started()
    house.pass_seconds(7 * 3600)
    house.sim.faults.add(Fault("error", "order", code="EGW00123", message="기간이 만료된 token 입니다.", times=1))
    trade(house)
    assert [intent.state for intent in intents(house)] == [State.REFUSED, State.DONE] or [
        intent.state for intent in intents(house)
    ] == [State.REFUSED, State.OPEN]
    assert house.issued() == 2
    follow(house, 1)
    assert check_books(house) == {"SOUN": 100}


# kills


UNSENT = {"before_journal": [], "before_dial": [State.NOT_SENT], "before_send": [State.ABSENT]}
CANCELS = ["before_cancel", "after_cancel"]


@pytest.mark.parametrize("place", [*UNSENT, "after_send", "after_record", *CANCELS])
def test_P04_P05_P06_P07_a_kill_at_any_point_is_followed_by_the_truth(shop, place):
    house = shop(only("SOUN"), options=Options(matching=place not in CANCELS, fill_delay=(0, 0))).started()
    house.daemon.trader._desk._point = kill_at(place)
    with pytest.raises(Killed):  # noqa: PT012 - the cancel comes twenty minutes later
        trade(house)
        follow(house, 25)
    house.restart()
    house.daemon.trader._desk._point = lambda name: None
    trade(house)
    assert house.sim.count("order") == (0 if place in UNSENT else 1)
    house.sim.faults.clear()
    follow(house, 45)
    if place in UNSENT:
        assert [intent.state for intent in intents(house)] == UNSENT[place]
    else:
        assert settled(house)
    assert len(orders(house)) <= 1
    check_books(house)


def kill_at(place):
    def point(name):
        if name == place:
            raise Killed(name)

    return point


def test_a_purchase_decides_on_what_the_sale_of_the_same_moment_has_read(shop):
    house = shop(only("SOUN"), sell_scope="account").started()
    asked = house.sim.count("ccnl"), house.sim.count("balance")
    trade(house)
    assert house.sim.count("order") == 1
    assert (house.sim.count("ccnl") - asked[0], house.sim.count("balance") - asked[1]) == (1, 1)
    house.pass_seconds(3700)
    asked = house.sim.count("balance")
    trade(house)  # sells nothing: both passes stand on one read, a new one
    assert house.sim.count("balance") - asked == 1


@pytest.mark.parametrize("hours", [0.1, 9])
def test_C01_what_was_decided_before_a_sleep_is_not_ordered_after_it(shop, log, hours):
    house = shop(only("SOUN")).started()

    def sleep(name):
        if name == "before_dial":
            house.daemon.trader._desk._point = lambda name: None
            house.clock.advance(hours * 3600)

    house.daemon.trader._desk._point = sleep
    trade(house)
    assert not orders(house)
    assert [intent.state for intent in intents(house)] == [State.NOT_SENT]
    assert log("너무 늦어짐")
    if hours < 1:  # the next pass decides anew, with a new price
        follow(house, 70)
        trade(house)
        assert len(orders(house)) == 1


def test_a_kill_before_the_journal_says_sent_means_not_sent(shop, monkeypatch):
    house = shop(only("SOUN")).started()

    def die(*_):
        raise Killed

    monkeypatch.setattr(house.daemon.trader._desk, "_mark_sent", die)
    with pytest.raises(Killed):
        trade(house)
    house.restart()
    assert [intent.state for intent in intents(house)] == [State.NOT_SENT]
    assert not orders(house)


def test_nothing_is_bought_before_the_last_runs_orders_are_settled(shop, log):
    house = shop().started()
    house.daemon.trader._desk._point = kill_at("after_send")
    with pytest.raises(Killed):
        trade(house)
    house.restart()
    house.sim.faults.add(Fault("error", "ledger", code="EGW00300"))
    house.pass_seconds(3600)
    trade(house)
    assert house.sim.count("order") == 1
    assert log("아직 KIS에서 확인하지 못함") or log("[매수] 건너뜀")


def test_the_intent_is_durable_before_the_first_byte_and_exact(shop):
    house = shop(only("SOUN")).started()
    seen = []

    def look(name, request):
        if name == "order":
            with sqlite3.connect(house.settings.database_file) as db:
                seen.append(db.execute("SELECT state, symbol, quantity, limit_price FROM intents").fetchall())
            db.close()

    house.sim.watch(look)
    trade(house)
    assert seen == [[("sent", "SOUN", 100, "9.00")]]


def test_a_restart_inside_the_interval_does_not_buy_again(shop):
    house = shop().started()
    trade(house)
    house.restart().pass_seconds(600)
    trade(house)
    assert len(orders(house)) == 3
    house.pass_seconds(3000)
    house.sim.pin("SOUN", "8")
    trade(house)
    assert house.sim.count("order") == 3  # everything is held: nothing to buy, but the pass has run
    assert house.daemon.trader.why("매수")


# unfilled orders


def unfilled(shop, **options):
    return shop(only("SOUN"), options=Options(matching=False, **options)).started()


def test_an_unfilled_order_is_cancelled_after_twenty_minutes_and_not_before(shop):
    house = unfilled(shop)
    trade(house)
    follow(house, 19)
    assert house.sim.count("cancel") == 0
    follow(house, 4)
    assert house.sim.count("cancel") == 1
    assert settled(house)
    assert intents(house)[0].ending == "취소"
    assert check_books(house) == {}


def test_B10_a_part_that_was_filled_before_the_cancel_is_ours(shop):
    house = unfilled(shop)
    trade(house)
    for part in (10, 20):
        house.sim.fill(orders(house)[0].number, part)
        follow(house, 2)
    follow(house, 21)
    assert intents(house)[0].ending == "일부 체결 뒤 취소"
    assert check_books(house) == {"SOUN": 30}


def test_B11_a_fill_that_races_the_cancel_is_respected(shop):
    house = unfilled(shop, cancel_delay=45)
    trade(house)
    follow(house, 20)
    assert house.sim.count("cancel") == 1
    house.sim.fill(orders(house)[0].number)
    follow(house, 5)
    assert settled(house)
    assert check_books(house) == {"SOUN": 100}


def test_B13_a_cancel_proves_nothing_and_is_repeated_a_few_times_only(shop):
    house = unfilled(shop)
    trade(house)
    house.sim.faults.add(Fault("error", "cancel", code="APBK0918", status=200))
    follow(house, 120)
    assert 2 <= house.sim.count("cancel") <= 5
    assert intents(house)[0].state is State.OPEN
    house.sim.faults.clear()


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_C02_C03_a_step_of_the_clock_cancels_neither_early_nor_late(shop, seconds):
    house = shop(only("SOUN"), options=Options(matching=False), steps_alone=True).started()
    trade(house)
    follow(house, 5)
    house.clock.step(seconds)
    follow(house, 10)
    assert house.sim.count("cancel") == 0
    follow(house, 8)
    assert house.sim.count("cancel") == 1


@pytest.mark.parametrize("restarts", [False, True])
def test_C02_B02_a_step_of_the_clock_is_no_time_in_which_an_order_was_missed(shop, restarts):
    house = shop(only("SOUN"), steps_alone=True).started()
    house.sim.faults.add(Fault("lost_answer", "order"), Fault("hide", "order", seconds=240))
    trade(house)
    follow(house, 1)
    house.clock.step(3600)
    follow(house, 1)
    if restarts:
        house.restart()
    follow(house, 1)
    assert [intent.state for intent in intents(house)] == [State.UNKNOWN]
    follow(house, 3)
    assert intents(house)[0].number is not None


# lists and figures that cannot be trusted


LISTS = {
    "a list that fails": Fault("error", "ledger", code="EGW00300"),
    "a list that is a page of html": Fault("html502", "ledger"),
    "wrong types": Fault("wrong_types", "ledger"),
    "cut": Fault("cut", "ledger"),
}


@pytest.mark.parametrize("fault", LISTS.values(), ids=LISTS.keys())
def test_H18_B22_B30_an_account_that_cannot_be_read_is_never_an_empty_one(shop, fault, log):
    house = shop(only("SOUN")).started()
    trade(house)
    follow(house, 1)
    house.sim.pin("SOUN", "9.50")
    house.sim.faults.add(fault)
    for _ in range(4):
        house.pass_seconds(1800)
        trade(house)
    assert house.sim.count("order") == 1
    assert log("건너뜀")
    house.sim.faults.clear()
    house.pass_seconds(1800)
    trade(house)
    assert house.sim.count("order") == 2
    follow(house, 1)
    check_books(house)


def test_B15_a_page_that_fails_gives_no_verdict(shop):
    house = shop(only("SOUN"), options=Options(fill_delay=(0, 0), page_size=1)).started()
    for price in ("1", "2", "3"):
        house.sim.place_foreign_order("AMD", "buy", 1, price)
    house.sim.faults.add(Fault("lost_answer", "order", times=1))
    trade(house)
    house.sim.faults.add(Fault("error", "ccnl", code="EGW00300", page=2))
    follow(house, 15)
    assert [intent.state for intent in intents(house)] == [State.UNKNOWN]
    house.sim.faults.clear()
    follow(house, 2)
    assert check_books(house) == {"SOUN": 100}


@pytest.mark.parametrize("rows", [{"duplicate_rows": True}, {"padding_row": True}, {"unfilled_price_zero": True}])
def test_B18_B20_odd_lists_are_read_right(shop, rows):
    house = shop(only("SOUN"), options=Options(fill_delay=(0, 0), page_size=2, **rows)).started()
    house.sim.faults.add(Fault("lost_answer", "order", times=1))
    trade(house)
    follow(house, 2)
    assert check_books(house) == {"SOUN": 100}


def test_B21_the_owners_own_orders_are_seen_and_left_alone(shop):
    house = unfilled(shop)
    number = house.sim.place_foreign_order("SOUN", "buy", 5, "8.00")
    trade(house)
    assert not orders(house)  # the symbol has an open order
    follow(house, 60)
    assert house.sim.count("cancel") == 0
    assert [order.number for order in house.sim.account().open.values()] == [number]


def test_B21_an_unknown_order_that_could_be_the_owners_is_not_guessed(shop, log):
    house = beside_a_twin(shop)
    house.pass_seconds(3600)
    trade(house)
    assert len(orders(house)) == 1
    assert log("adopt")


def test_B31_shares_that_the_owner_sold_stop_buying_and_nothing_else_breaks(shop, log):
    house = shop().started()
    trade(house)
    follow(house, 1)
    house.sim.place_foreign_order("SOUN", "sell", 60, "9.00")
    house.sim.pin("SOUN", "9.50")
    follow(house, 1)
    house.pass_seconds(3600)
    trade(house)
    sales = [record for record in orders(house) if record.tr_id == "TTTT1006U"]
    assert [(r.body["PDNO"], r.body["ORD_QTY"]) for r in sales] == [("SOUN", "40")]
    assert log("SOUN 장부")


EMPTY = {"an empty object": b"{}", "no list": b'{"rt_cd": "0", "msg_cd": "KIOK0510", "msg1": ""}'}


@pytest.mark.parametrize("body", EMPTY.values(), ids=EMPTY.keys())
@pytest.mark.parametrize("where", ["balance", "ccnl"])
def test_B22_an_answer_without_a_list_is_no_empty_list(shop, monkeypatch, body, where):
    house = shop(only("SOUN"))
    handle, spoilt = house.sim.handle, []

    def spoil(request):
        answer = handle(request)
        if where not in request.path:
            return answer
        spoilt.append(request)
        return replace(answer, body=body)

    monkeypatch.setattr(house.sim, "handle", spoil)  # before the daemon and its sessions are made
    house.started()
    if where == "balance":
        house.sim.give_shares("SOUN", 50, "9")
    trade(house)
    assert spoilt
    assert not orders(house)
    assert not house.daemon.trader._desk.live


def test_a_host_without_the_list_of_open_orders_does_not_stop_trading(shop):
    house = shop(only("SOUN")).started()
    house.sim.faults.add(Fault("html", "nccs", status=404))
    trade(house)
    follow(house, 1)
    assert check_books(house) == {"SOUN": 100}
    assert house.sim.count("nccs") == 1


def test_an_order_that_is_filed_under_the_day_before_is_found(shop, monkeypatch):
    """From 16:00 New York the embedded market is already in tomorrow's session; another broker may not be."""
    house = shop(only("SOUN"), clock=VirtualClock(START.replace(hour=10, minute=40))).started()
    account = house.daemon.trader._account
    asked = []
    page = account._kis.orders_page
    monkeypatch.setattr(
        account._kis,
        "orders_page",
        lambda first, last, context: asked.append((first, last)) or page(first, last, context),
    )
    trade(house)
    session = house.daemon.hours.session(house.clock.now()).date
    assert asked[0][0] < f"{session:%Y%m%d}" < asked[0][1]


def test_a_symbol_that_kis_does_not_know_does_not_hide_the_cash(shop):
    house = shop().started()
    house.sim.faults.add(Fault("error", "psamount", code="APBK0656", status=200, symbol="SOUN"))
    trade(house)
    assert len(orders(house)) == 3


def test_a_blank_cash_figure_is_no_cash_figure(shop, log):
    house = shop(only("SOUN")).started()
    house.sim.faults.add(Fault("blank", "psamount"))
    trade(house)
    assert not orders(house)
    assert log("주문가능금액이 비어 있음")


def test_a_holding_that_cannot_be_sold_now_is_left_alone(shop):
    house = shop(only("SOUN")).started()
    trade(house)
    follow(house, 1)
    house.sim.pin("SOUN", "9.50")
    house.sim.faults.add(Fault("unsellable", "balance"))
    house.pass_seconds(1800)
    trade(house)
    assert len(orders(house)) == 1
    assert "SOUN" in house.daemon.trader.why("매도")


def test_a_symbol_that_is_sent_to_the_wrong_exchange_is_refused_and_nothing_else(shop):
    house = shop({**only("SOUN"), "exchanges": {"NVDA": "나스닥", "SOUN": "나스닥"}}).started()
    house.sim.faults.add(Fault("error", "order", code="APBK0656", message="해당종목정보가 없습니다", status=200))
    trade(house)
    assert [intent.state for intent in intents(house)] == [State.REFUSED]
    assert check_books(house) == {}


def test_P14_a_full_disk_under_the_journal_sends_nothing(shop):
    house = shop().started()
    house.daemon.watch()
    pages = house.daemon.ledger._db.execute("PRAGMA page_count").fetchone()[0]
    house.daemon.ledger._db.execute(f"PRAGMA max_page_count = {pages}")
    for size in (3000, 500, 100, 20, 1):
        with contextlib.suppress(LedgerUnwritable):
            for number in range(200):
                house.daemon.ledger.set_fact(f"filler {size} {number}", "x" * size)
    trade(house)
    assert not orders(house)
    assert house.api.get_quote("NVDA").source == "KIS"


def test_a_pass_that_could_not_read_comes_again_in_a_minute(shop):
    house = shop(only("SOUN")).started()
    house.sim.faults.add(Fault("html502", "balance", times=1))
    trade(house)
    assert not orders(house)
    house.pass_seconds(61)
    trade(house)
    assert len(orders(house)) == 1


def test_a_step_of_the_clock_does_not_repeat_a_pass(shop):
    house = shop(only("SOUN")).started()
    trade(house)
    follow(house, 3)
    begun = house.sim.count("psamount")
    house.clock.step(3600)
    trade(house)
    assert house.sim.count("psamount") == begun


def test_S01_the_account_number_in_kis_own_words_stays_out_of_every_file(shop):
    house = shop(only("SOUN")).started()
    number = house.settings.cano
    house.restart().redactor.add(number)
    house.sim.faults.add(
        Fault("error", "ledger", code="APAC0081", message=f"계좌번호 입력 오류입니다 {number}-01", status=200)
    )
    trade(house)
    house.daemon.write_status()
    files = [path for path in house.settings.data_dir.rglob("*") if path.is_file()]
    assert not [path for path in files if number.encode() in path.read_bytes()]


# protections


def test_the_halt_file_stops_buying_but_no_sale_and_is_said_once(shop, log):
    house = shop(only("SOUN")).started()
    trade(house)
    follow(house, 1)
    house.settings.halt_file.write_text("")
    house.sim.pin("SOUN", "9.50")
    for _ in range(3):
        house.pass_seconds(3600)
        trade(house)
        follow(house, 1)
    assert [record.tr_id for record in orders(house)] == ["TTTT1002U", "TTTT1006U"]
    assert len(log("[HALT]")) == 1


@pytest.mark.parametrize(
    ("caps", "bought"), [({"max_buy_orders_per_day": 2}, 2), ({"max_buy_usd_per_day": Decimal(4000)}, 1)]
)
def test_the_days_caps_hold_across_a_restart(shop, caps, bought):
    house = shop(**caps).started()
    trade(house)
    assert len(orders(house)) in (bought, bought + 1)
    sent = len(orders(house))
    house.restart().pass_seconds(3601)
    trade(house)
    assert len(orders(house)) == sent
    check_books(house)


def test_a_bad_day_stops_buying(shop, log):
    house = shop(only("SOUN")).started()
    house.sim.give_shares("AMD", 1000, "100")
    house.sim.pin("AMD", "100", "100")
    trade(house)
    follow(house, 1)
    house.sim.pin("AMD", "50", "100")
    house.sim.pin("IONQ", "30", "40")
    (house.settings.stocks_file).write_text(json.dumps({**STOCKS, "watch_list": ["IONQ"]}), "utf-8")
    house.pass_seconds(3600)
    trade(house)
    assert len(orders(house)) == 1
    assert log("손실 한도")


def test_a_holding_that_has_fallen_is_sold_when_a_stop_loss_is_set(shop):
    house = shop(only("SOUN"), stop_loss_pct=Decimal(10)).started()
    trade(house)
    follow(house, 1)
    house.sim.pin("SOUN", "8.20")
    house.pass_seconds(61)
    house.daemon.watch()
    assert len(orders(house)) == 1
    house.sim.pin("SOUN", "8.00")
    house.pass_seconds(61)
    house.daemon.watch()
    assert [record.tr_id for record in orders(house)] == ["TTTT1002U", "TTTT1006U"]
    follow(house, 1)
    check_books(house)


def test_the_stop_loss_sees_what_was_bought_after_the_last_sell_pass(shop):
    house = shop(stop_loss_pct=Decimal(10)).started()
    trade(house)
    follow(house, 1)
    house.pass_seconds(1800)
    trade(house)
    house.sim.pin("PLTR", "50", "60")
    house.settings.stocks_file.write_text(json.dumps({**STOCKS, "watch_list": ["PLTR"]}), "utf-8")
    house.pass_seconds(1790)
    house.daemon.trader._ran.pop("매수")
    house.daemon.trader._run_if_due("매수", 1.0, lambda: house.daemon.trader._buy(session_of(house)))
    follow(house, 1)
    house.sim.pin("PLTR", "40")
    house.daemon.watch()
    assert (orders(house)[-1].tr_id, orders(house)[-1].body["PDNO"]) == ("TTTT1006U", "PLTR")


def session_of(house):
    return house.daemon.hours.session(house.clock.now())


def test_a_stop_loss_over_an_empty_account_does_not_read_it_every_minute(shop):
    house = shop(only("SOUN"), stop_loss_pct=Decimal(10), sell_scope="account", sell_interval_minutes=600.0).started()
    house.settings.halt_file.write_text("")
    for _ in range(10):
        house.pass_seconds(60)
        house.daemon.watch()
    assert house.sim.count("balance") == 1


def test_books_that_cannot_be_read_are_not_empty_books(shop, monkeypatch):
    house = shop(only("SOUN")).started()
    trade(house)
    follow(house, 1)
    house.pass_seconds(1800)

    def broken():
        raise LedgerUnreadable("autostock-sim.db: disk I/O error")

    monkeypatch.setattr(house.daemon.ledger, "fills", broken)
    trade(house)
    assert "disk I/O error" in house.daemon.trader.why("매도")["전체"]
    asked = house.sim.count("quote")
    house.daemon.watch()
    assert house.sim.count("quote") > asked


def test_a_last_run_that_seems_to_lie_ahead_counts_from_the_start(shop):
    house = shop(only("SOUN")).started()
    house.daemon.ledger.note_run("매수", house.clock.now().timestamp() + 86400)
    trade(house)
    assert not orders(house)
    house.pass_seconds(3600)
    trade(house)
    assert len(orders(house)) == 1


def test_B05_a_refused_stop_loss_is_not_sent_again_at_every_look(shop):
    house = shop(only("SOUN"), stop_loss_pct=Decimal(10)).started()
    trade(house)
    follow(house, 1)
    house.sim.pin("SOUN", "5.00")
    house.sim.faults.add(Fault("error", "order", code="APBK0656", status=200))
    for _ in range(29):
        house.pass_seconds(60)
        house.daemon.watch()
    assert 2 <= house.sim.count("order") - 1 <= 3


def test_B29_a_strategy_of_the_owner_cannot_overspend_oversell_or_pay_any_price(shop):
    class Greedy:
        def decide_buys(self, view):
            price = view.quotes["SOUN"].price
            wish = OrderWish(Side.BUY, "SOUN", 1, price, "")
            return Plan(
                (
                    replace(wish, limit=price * 10),
                    replace(wish, quantity=1_000_000),
                    replace(wish, symbol="AMD"),
                    replace(wish, side=Side.SELL),
                )
            )

        def decide_sale(self, view):
            return Plan(())

        decide_stop_loss = decide_sale

    house = shop(only("SOUN")).started()
    house.daemon.trader._strategy = Greedy()
    trade(house)
    assert house.sim.count("order") == 0


def test_an_owners_shorter_day_is_not_the_markets(shop):
    """At TRADING_END_TIME the market goes on: an order of ours that still stands there has not expired."""
    house = shop(
        only("SOUN"),
        clock=VirtualClock(datetime(2026, 11, 25, 1, 30, tzinfo=KST)),
        options=Options(matching=False, hours="nyse"),
        sim_hours="nyse",
        trading_end_time=time(12, 0),
    ).started()
    trade(house)
    house.sim.faults.add(Fault("error", "cancel", code="EGW00300"))
    follow(house, 60)
    assert intents(house)[0].state is State.OPEN
    house.sim.fill(orders(house)[0].number)
    follow(house, 1)
    assert check_books(house) == {"SOUN": 100}


def test_only_shares_that_the_daemon_bought_are_sold_unless_the_owner_says_otherwise(shop):
    house = shop(only("SOUN"), check_previous_sell_price=True).started()
    house.sim.give_shares("AMD", 10, "50")
    house.sim.pin("AMD", "100", "100")
    trade(house)
    follow(house, 1)
    house.pass_seconds(1800)
    trade(house)
    assert len(orders(house)) == 1
    house.restart(sell_scope="account").pass_seconds(1800)
    trade(house)
    assert [(r.tr_id, r.body["PDNO"]) for r in orders(house)[1:]] == [("TTTT1006U", "AMD")]


def test_Y09_a_yfinance_price_opens_nothing(shop):
    house = shop().started()
    house.sim.faults.add(Fault("blank", "quote"))
    trade(house)
    assert not orders(house)


# the database


def test_P14_P19_a_journal_that_cannot_be_written_sends_nothing(shop, log):
    house = shop().started()
    house.daemon.watch()
    other = sqlite3.connect(house.settings.database_file, isolation_level=None)
    house.daemon.ledger._db.execute("PRAGMA busy_timeout = 10")
    other.execute("BEGIN EXCLUSIVE")
    trade(house)
    other.execute("ROLLBACK")
    other.close()
    assert not orders(house)


def test_P18_a_broken_database_means_quotes_without_orders(shop, log):
    house = shop()
    house.settings.database_file.write_bytes(b"this is no database" * 100)
    house.started()
    trade(house)
    assert house.api.get_quote("NVDA").source == "KIS"
    assert not orders(house)
    assert house.settings.database_file.read_bytes().startswith(b"this is no database")
    assert log("autostock-sim.db 사용 불가")


def test_P18_an_older_database_is_brought_up_to_date(tmp_path):
    from ledger_schema import MIGRATIONS

    path = tmp_path / "autostock-sim.db"
    old = sqlite3.connect(path)
    old.executescript(MIGRATIONS[0] + "PRAGMA user_version = 1;")
    old.execute("INSERT INTO exchanges VALUES ('SOUN', '나스닥')")
    old.commit()
    old.close()
    ledger = Ledger(path, "mark")
    assert ledger.fault is None
    assert ledger.exchanges() == {"SOUN": "나스닥"}
    assert ledger.intents() == []
    ledger.close()


# the calendar


@pytest.mark.parametrize(
    ("start", "last", "close"),
    [
        ("2026-11-27T23:00", "2026-11-28T02:38", "2026-11-28T03:00"),  # the half day after Thanksgiving
        ("2026-11-24T00:00", "2026-11-24T05:38", "2026-11-24T06:00"),
        ("2027-03-15T22:40", "2027-03-16T04:38", "2027-03-16T05:00"),  # the first session of summer time
        ("2026-11-02T23:40", "2026-11-03T05:38", "2026-11-03T06:00"),  # the first session of winter time
    ],
)
def test_C05_C06_C07_no_new_order_in_the_last_minutes_and_nothing_left_open_at_the_close(shop, start, last, close):
    begin, end, shut = (datetime.fromisoformat(t).replace(tzinfo=KST) for t in (start, last, close))
    house = shop(
        clock=VirtualClock(begin),
        options=Options(matching=False, hours="nyse"),
        sim_hours="nyse",
        buy_interval_minutes=1.0,
        max_buy_orders_per_day=0,
    ).started()
    house.clock.advance((end - house.clock.now()).total_seconds())
    trade(house)
    assert len(orders(house)) == 3
    house.sim.pin("PLTR", "50", "60")
    house.settings.stocks_file.write_text(json.dumps({**STOCKS, "watch_list": ["PLTR"]}), "utf-8")
    house.pass_seconds(90)
    trade(house)
    assert len(orders(house)) == 3
    while house.clock.now() < shut - timedelta(seconds=10):
        follow(house, 0.5)
    assert not house.sim.account().open
    follow(house, 2)
    assert settled(house)


@pytest.mark.parametrize("day", ["2026-11-26T23:40", "2026-11-28T23:40", "2026-11-24T12:00"])
def test_C08_on_a_holiday_a_weekend_and_by_day_nothing_is_asked_or_ordered(shop, day):
    begin = datetime.fromisoformat(day).replace(tzinfo=KST)
    house = shop(clock=VirtualClock(begin), options=Options(hours="nyse"), sim_hours="nyse").started()
    trade(house)
    assert house.sim.count("order") == house.sim.count("ledger") == 0
