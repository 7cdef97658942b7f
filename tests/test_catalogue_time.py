"""Rows of the fault catalogue about time (C) that no other test carries, named by their numbers."""

from datetime import datetime
from decimal import Decimal

import pytest
from test_orders import check_books, follow, intents, only, orders, shop, trade  # noqa: F401 - a fixture

from clock import KST, VirtualClock
from intents import State
from simulator import Fault, Options

NIGHT = datetime(2026, 11, 24, 0, 30, tzinfo=KST)  # a session that closes at 06:00


def by_night(shop, at=NIGHT, **changes):  # noqa: F811
    """A house in NYSE's session of that night, where orders fill by hand only."""
    options = Options(matching=False, hours="nyse")
    return shop(only("SOUN"), clock=VirtualClock(at), options=options, sim_hours="nyse", **changes).started()


def test_C01_after_a_suspend_across_the_close_an_open_order_is_settled_and_nothing_else_is_done(shop):  # noqa: F811
    house = by_night(shop)
    trade(house)
    house.clock.advance(8 * 3600)
    for _ in range(6):
        trade(house)
        house.pass_seconds(30)
    assert [intent.state for intent in intents(house)] == [State.DONE]
    assert house.sim.count("order") == 1
    assert house.sim.count("cancel") == 0
    assert check_books(house) == {}


def test_C01_after_a_suspend_into_the_next_session_lists_and_prices_are_read_anew(shop):  # noqa: F811
    house = by_night(shop)
    trade(house)
    house.clock.advance(23 * 3600)
    house.sim.pin("SOUN", "8.50", "9")
    trade(house)
    trade(house)

    assert [(r.body["PDNO"], r.body["OVRS_ORD_UNPR"]) for r in orders(house)] == [("SOUN", "9.00")]
    follow(house, 3)
    trade(house)
    house.pass_seconds(3600)
    trade(house)
    assert [r.body["OVRS_ORD_UNPR"] for r in orders(house)] == ["9.00", "8.50"]


@pytest.mark.parametrize("seconds", [3600, -3600, -86400])
def test_C02_C03_a_step_of_the_clock_holds_no_verdict_up(shop, seconds):  # noqa: F811
    house = shop(only("SOUN"), steps_alone=True).started()
    house.sim.faults.add(Fault("reset", "order", times=1))
    trade(house)
    follow(house, 1)
    house.clock.step(seconds)
    follow(house, 9)
    assert [intent.state for intent in intents(house)] == [State.ABSENT]


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_C02_C03_a_step_of_the_clock_makes_no_cached_price_older_or_younger(house, seconds):
    house.started()
    first = house.api.get_quote("NVDA")
    house.pass_seconds(30)
    house.clock.step(seconds)
    assert house.api.get_quote("NVDA") is first
    house.pass_seconds(31)
    assert house.api.get_quote("NVDA") is not first


def test_C12_the_days_limits_do_not_begin_anew_at_midnight_in_seoul(shop):  # noqa: F811
    house = by_night(shop, at=datetime(2026, 11, 24, 23, 40, tzinfo=KST), max_buy_usd_per_day=Decimal(1000))
    trade(house)
    house.sim.fill(orders(house)[0].number)
    follow(house, 1)
    assert check_books(house) == {"SOUN": 100}
    house.settings.stocks_file.write_text('{"filter_stocks": {"NVDA": true}, "watch_list": ["IONQ"]}', "utf-8")
    for _ in range(5):
        house.pass_seconds(3600)
        trade(house)
    assert len(orders(house)) == 1
    assert "한도" in str(house.daemon.trader.why("매수"))
