"""Rows of the fault catalogue about KIS's ways with orders (B) that no other test carries, named by their numbers."""

from datetime import datetime

import pytest
from test_orders import check_books, follow, intents, only, orders, settled, shop, trade, unfilled  # noqa: F401

from clock import KST, VirtualClock
from intents import State
from simulator import Fault, Options

NIGHT = datetime(2026, 11, 24, 5, 0, tzinfo=KST)  # a session that closes at 06:00


def states(house):
    return [intent.state for intent in intents(house)]


def test_B04_an_order_that_shows_up_after_it_was_given_up_is_bound_and_cancelled_when_it_is_old(shop, log):  # noqa: F811
    house = unfilled(shop, visible_after=900)
    house.sim.faults.add(Fault("lost_answer", "order", times=1))
    trade(house)
    follow(house, 14)
    assert states(house) == [State.ABSENT]

    follow(house, 12)

    assert log("주문내역에서 확인됨")
    assert house.sim.count("cancel") == 1
    assert house.sim.count("order") == 1
    assert intents(house)[0].ending == "취소"
    assert check_books(house) == {}


def test_B12_a_cancel_whose_answer_got_lost_is_settled_by_reading(shop):  # noqa: F811
    house = unfilled(shop)
    house.sim.faults.add(Fault("lost_answer", "cancel", times=1))
    trade(house)
    follow(house, 25)
    assert house.sim.count("cancel") == 1
    assert settled(house)
    assert not house.sim.account().open


def test_B12_a_cancel_that_did_not_arrive_is_asked_again(shop):  # noqa: F811
    house = unfilled(shop)
    house.sim.faults.add(Fault("reset", "cancel", times=2))
    trade(house)
    follow(house, 21)
    assert house.sim.account().open
    follow(house, 6)
    assert house.sim.count("cancel") == 3
    assert settled(house)
    assert not house.sim.account().open


def test_B14_nothing_is_cancelled_before_it_has_a_number_and_then_at_once_if_it_is_old(shop):  # noqa: F811
    house = unfilled(shop, visible_after=1500)
    house.sim.faults.add(Fault("lost_answer", "order", times=1))
    trade(house)
    follow(house, 24)
    assert house.sim.count("cancel") == 0

    follow(house, 2)

    assert house.sim.count("cancel") == 1
    assert [record.body["ORGN_ODNO"] for record in house.sim.accepted if record.name == "cancel"] == [
        f"{intents(house)[0].number:010d}"
    ]


PAGES = {"fill_delay": (0, 0), "page_size": 1}


def with_a_lost_order(shop, *faults):  # noqa: F811
    """A house whose order was accepted without an answer, behind three pages of the owner's own orders."""
    house = shop(only("SOUN"), options=Options(**PAGES)).started()
    for price in ("1", "2", "3"):
        house.sim.place_foreign_order("AMD", "buy", 1, price)
    house.sim.faults.add(Fault("lost_answer", "order", times=1))
    trade(house)
    house.sim.faults.add(*faults)
    return house


def test_B16_data_that_change_between_two_pages_begin_the_reading_anew(shop):  # noqa: F811
    house = with_a_lost_order(shop, Fault("error", "ccnl", code="SYDB0050", status=200, page=2, times=2))
    asked = house.sim.count("ccnl")
    follow(house, 0.5)
    assert check_books(house) == {"SOUN": 100}
    assert house.sim.count("ccnl") - asked == 2 + 2 + 4


LISTS_WITHOUT_END = {
    "changes at every reading": Fault("error", "ccnl", code="SYDB0050", status=200, page=2),
    "the same page for ever": Fault("endless", "ccnl"),
}


@pytest.mark.parametrize("fault", LISTS_WITHOUT_END.values(), ids=LISTS_WITHOUT_END.keys())
def test_B16_B17_a_list_that_is_never_whole_gives_no_verdict_and_holds_nobody(shop, log, fault):  # noqa: F811
    house = with_a_lost_order(shop, fault)
    before, asked = house.clock.monotonic(), house.sim.count("ccnl")
    house.daemon.trader.follow_orders()
    assert house.clock.monotonic() - before < 15
    assert house.sim.count("ccnl") - asked <= 6  # of 40 pages, which would hold the loop for 44 seconds

    follow(house, 15)
    assert states(house) == [State.UNKNOWN]
    assert log("주문내역을 읽지 못함")
    house.sim.faults.clear()
    follow(house, 2)
    assert check_books(house) == {"SOUN": 100}


def test_B23_a_refusal_after_the_acceptance_ends_the_order_at_the_next_look(shop, log):  # noqa: F811
    house = shop(only("SOUN"), options=Options(matching=False)).started()
    house.sim.faults.add(Fault("reject_later", "order", seconds=5, times=1))
    trade(house)
    assert states(house) == [State.OPEN]
    follow(house, 1)
    assert states(house) == [State.REFUSED]
    assert house.sim.count("cancel") == 0
    assert log("거부")


def test_B25_what_is_open_at_the_close_has_ended_and_is_not_cancelled_any_more(shop):  # noqa: F811
    house = shop(
        only("SOUN"), clock=VirtualClock(NIGHT), options=Options(matching=False, hours="nyse"), sim_hours="nyse"
    ).started()
    trade(house)
    house.sim.fill(orders(house)[0].number, 30)
    house.sim.faults.add(Fault("error", "cancel", code="EGW00300"))
    while house.clock.now().hour < 6:
        follow(house, 1)
    asked = house.sim.count("cancel")
    house.sim.faults.clear()

    follow(house, 10)

    assert house.sim.count("cancel") == asked <= 8
    assert states(house) == [State.DONE]
    assert check_books(house) == {"SOUN": 30}
