"""The simulated market and its hours."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from statistics import pstdev

import pytest

from clock import KST, NEW_YORK
from simulator.hours import AlwaysOpen, Nyse, following, is_open, previous
from simulator.listings import WELL_KNOWN, find_listing
from simulator.market import Market

SOUN = find_listing("SOUN")
NOON = datetime(2026, 11, 23, 12, tzinfo=NEW_YORK).timestamp()


@pytest.fixture(scope="module")
def nyse():
    return Nyse()


def test_prices_depend_on_seed_symbol_and_instant_only():
    one, two, other = Market(7, AlwaysOpen()), Market(7, AlwaysOpen()), Market(8, AlwaysOpen())
    instants = [NOON + 37 * n for n in range(200)]
    forward = [one.price(SOUN, at) for at in instants]
    backward = [two.price(SOUN, at) for at in reversed(instants)][::-1]
    assert forward == backward
    assert forward != [other.price(SOUN, at) for at in instants]
    assert len(set(forward)) > 100


def test_prices_have_four_decimals_and_stay_positive_over_years(nyse):
    market = Market(3, nyse)
    penny = find_listing("BURU")
    for year in range(2024, 2032):
        price = market.price(penny, datetime(year, 6, 1, 15, tzinfo=UTC).timestamp())
        assert price.as_tuple().exponent == -4
        assert 0 < price < 1


def test_a_day_moves_some_percent():
    market = Market(1, AlwaysOpen())
    sessions = market.hours.recent(date(2026, 11, 20), 250)
    closes = [float(market.close(SOUN, session)) for session in sessions]
    moves = [new / old - 1 for new, old in pairwise(closes)]
    assert 0.03 < pstdev(moves) < 0.09


def test_the_previous_close_is_the_last_price_of_the_session_before(nyse):
    for hours in (AlwaysOpen(), nyse):
        market = Market(5, hours)
        before = previous(hours, hours.current(NOON))
        assert market.previous_close(SOUN, NOON) == market.price(SOUN, before.closes)
        assert market.previous_close(SOUN, NOON) == market.close(SOUN, before)


def test_after_the_close_the_last_price_stays(nyse):
    market = Market(5, nyse)
    session = nyse.current(NOON)
    last = market.price(SOUN, session.closes)
    assert market.price(SOUN, session.closes + 3 * 3600) == last
    in_premarket = datetime(2026, 11, 24, 5, tzinfo=NEW_YORK).timestamp()
    assert market.price(SOUN, in_premarket) == market.previous_close(SOUN, in_premarket) == last


def test_the_endless_market_begins_its_next_day_at_16_new_york():
    hours = AlwaysOpen()
    before, after = (datetime(2026, 11, 28, h, m, tzinfo=NEW_YORK).timestamp() for h, m in ((15, 59), (16, 0)))
    assert hours.current(before).date == date(2026, 11, 28)  # a Saturday
    assert hours.current(after).date == date(2026, 11, 29)
    assert is_open(hours, before)
    assert is_open(hours, after)


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        ("2026-11-23T23:29:59", False),  # winter: opens 23:30 KST
        ("2026-11-23T23:30:00", True),
        ("2026-11-24T05:59:59", True),
        ("2026-11-24T06:00:00", False),
        ("2026-11-26T23:40:00", False),  # Thanksgiving
        ("2026-11-28T02:59:59", True),  # half day
        ("2026-11-28T03:00:00", False),
        ("2026-07-06T22:30:00", True),  # summer
    ],
)
def test_nyse_hours(nyse, instant, expected):
    at = datetime.fromisoformat(instant).replace(tzinfo=KST).timestamp()
    assert is_open(nyse, at) is expected


def test_settlement_skips_weekends_and_holidays(nyse):
    assert following(nyse, date(2026, 11, 25)) == date(2026, 11, 27)
    assert following(nyse, date(2026, 11, 27)) == date(2026, 11, 30)


def test_the_calendar_reaches_as_far_as_it_is_asked(nyse):
    far = datetime(2033, 3, 15, 12, tzinfo=NEW_YORK).timestamp()
    assert is_open(nyse, far)
    assert is_open(nyse, NOON)


def test_listings():
    assert len(WELL_KNOWN) > 80
    assert {find_listing(symbol).exchange for symbol in ("NVDA", "AAPL", "QQQ")} == {"NAS"}
    assert {find_listing(symbol).exchange for symbol in ("SNOW", "SMR", "SES", "OKLO")} == {"NYS"}
    assert {find_listing(symbol).exchange for symbol in ("SPY", "SOXL")} == {"AMS"}
    assert find_listing("BRK/B") == find_listing("BRK.B") == find_listing("BRK-B")
    assert find_listing("QXQX") == find_listing("QXQX")
    for unknown in ("ZZTOP", "NOPE", "NOPEX", "nvda", "TOOLONG", "", "A1"):
        assert find_listing(unknown) is None


def test_a_pinned_price_holds_from_its_instant_on():
    market = Market(5, AlwaysOpen())
    free = market.price(SOUN, NOON)
    market.pin("SOUN", NOON + 60, Decimal("12.5"), base=Decimal(10))
    assert market.price(SOUN, NOON) == free
    assert market.price(SOUN, NOON + 60) == Decimal("12.5000")
    assert market.previous_close(SOUN, NOON + 60) == 10
    market.pin("SOUN", NOON + 120, None)
    assert market.price(SOUN, NOON + 120) != Decimal("12.5000")


def test_within_a_tick_the_price_stays():
    market = Market(5, AlwaysOpen())
    for begin in range(0, 600, 5):
        assert len({market.price(SOUN, NOON + begin + part) for part in (0, 1.3, 4.999)}) == 1


def test_a_price_pinned_in_the_past_changes_that_days_bar():
    market = Market(5, AlwaysOpen())
    session = previous(market.hours, market.hours.current(NOON))
    bar, close = market.bar(SOUN, session, NOON), market.previous_close(SOUN, NOON)
    assert bar.close == close
    market.pin("SOUN", session.closes - 60, Decimal(99))
    assert market.bar(SOUN, session, NOON).close == market.previous_close(SOUN, NOON) == 99


def test_crossings_do_not_depend_on_how_the_span_is_cut():
    market = Market(11, AlwaysOpen())
    looks = sorted(market.price(SOUN, NOON + 10 * n) for n in range(720))
    limit = looks[len(looks) // 20]
    whole = market.first_at_or_below(SOUN, limit, NOON, NOON + 7200)
    pieces = (market.first_at_or_below(SOUN, limit, NOON + n, NOON + n + 60) for n in range(0, 7200, 60))
    assert whole == next((at for at in pieces if at is not None), None)
    assert whole is not None
