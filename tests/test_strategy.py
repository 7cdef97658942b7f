"""The strategy: what is bought and sold, what is not and why, and how a price becomes a limit."""

from __future__ import annotations

import ast
import decimal
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import strategy
from config import Settings
from errors import SettingsError
from quotes import Quote
from strategy import (
    WHOLE_PASS,
    BuyView,
    DipStrategy,
    Holding,
    OrderWish,
    Plan,
    Rules,
    SellView,
    Side,
    format_limit,
    limit_price,
)
from strategy_loader import load_strategy

NOON = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
RULES = Rules(
    profit_threshold_pct=Decimal(5),
    min_profit_pct=Decimal("1.5"),
    stop_loss_pct=Decimal(10),
    check_previous_sell_price=True,
)
OPEN_GATE = {"NVDA": ("101", "100")}


def quote(symbol: str, price: str, previous_close: str | None) -> Quote:
    before = None if previous_close is None else Decimal(previous_close)
    return Quote(symbol, Decimal(price), before, "KIS", "나스닥", NOON)


def quotes(prices: dict[str, tuple[str, str | None]]) -> dict[str, Quote]:
    return {symbol: quote(symbol, *pair) for symbol, pair in prices.items()}


def buy_view(prices: dict[str, tuple[str, str | None]], **changes: Any) -> BuyView:
    """A pass over these prices with the gate open, everything on the watch list, and more cash than needed."""
    usual: dict[str, Any] = {
        "quotes": quotes({**OPEN_GATE, **prices}),
        "filters": ("NVDA",),
        "watch": tuple(prices),
        "held": frozenset(),
        "busy": frozenset(),
        "last_sales": {},
        "cash": Decimal(1_000_000),
    }
    return BuyView(**{**usual, **changes})


def sell_view(*holdings: Holding, busy: str = "", **prices: str) -> SellView:
    return SellView(quotes({s: (p, None) for s, p in prices.items()}), holdings, frozenset(busy.split()))


def held(symbol: str, average_price: str, quantity: int = 10, sellable: int | None = None) -> Holding:
    return Holding(symbol, quantity, quantity if sellable is None else sellable, Decimal(average_price))


def buys(view: BuyView, rules: Rules = RULES) -> Plan:
    return DipStrategy(rules).decide_buys(view)


def sale(view: SellView, rules: Rules = RULES) -> Plan:
    return DipStrategy(rules).decide_sale(view)


def stop_loss(view: SellView, rules: Rules = RULES) -> Plan:
    return DipStrategy(rules).decide_stop_loss(view)


def symbols(plan: Plan) -> list[str]:
    return [wish.symbol for wish in plan.wishes]


FALLEN = {"AAA": ("99", "100"), "BBB": ("98", "100"), "CCC": ("97", "100"), "DDD": ("96", "100"), "EEE": ("95", "100")}


# the gate


@pytest.mark.parametrize(
    ("filters", "prices", "is_open"),
    [
        (("NVDA",), {"NVDA": ("100.01", "100")}, True),
        (("NVDA",), {"NVDA": ("100.00", "100")}, False),
        (("NVDA",), {"NVDA": ("99.99", "100")}, False),
        (("NVDA", "AMZN", "MSFT"), {"NVDA": ("101", "100"), "AMZN": ("51", "50"), "MSFT": ("2", "1")}, True),
        (("NVDA", "AMZN", "MSFT"), {"NVDA": ("101", "100"), "AMZN": ("50", "50"), "MSFT": ("2", "1")}, False),
        (("NVDA", "AMZN"), {"AMZN": ("51", "50")}, True),  # NVDA's price is unknown and does not count
        (("NVDA", "AMZN"), {}, False),
        (("NVDA",), {"NVDA": ("101", None)}, False),  # a known price that is not known to be above
        (("NVDA", "AMZN"), {"NVDA": ("101", None), "AMZN": ("51", "50")}, False),
        ((), {}, False),
        ((), {"NVDA": ("101", "100")}, False),  # it is not switched on
    ],
)
def test_the_gate_opens_when_all_known_filter_stocks_are_above_their_close(
    filters: tuple[str, ...], prices: dict[str, tuple[str, str | None]], is_open: bool
) -> None:
    view = buy_view({"SOUN": ("9", "10")}, filters=filters, quotes=quotes({"SOUN": ("9", "10"), **prices}))

    plan = buys(view)

    assert symbols(plan) == (["SOUN"] if is_open else [])
    assert (WHOLE_PASS in plan.reasons) is not is_open


def test_a_gate_without_filter_stocks_says_that_none_is_switched_on() -> None:
    assert buys(buy_view(FALLEN, filters=())).reasons == {WHOLE_PASS: "켜 둔 필터 종목(filter_stocks)이 없음"}


def test_a_closed_gate_names_the_filter_stock_that_did_not_rise() -> None:
    prices = quotes({"NVDA": ("101", "100"), "AMZN": ("180", "181.2"), "SOUN": ("9", "10")})

    plan = buys(buy_view({"SOUN": ("9", "10")}, filters=("NVDA", "AMZN"), quotes=prices))

    assert plan.reasons == {WHOLE_PASS: "필터 종목이 모두 오르지는 않음: AMZN $180.00 (전일 종가 $181.20)"}


def test_a_filter_stock_is_bought_only_if_it_is_watched_too() -> None:
    prices = {"NVDA": ("101", "100"), "AMZN": ("51", "50")}
    view = buy_view(FALLEN, quotes=quotes({**prices, **FALLEN}), filters=("NVDA", "AMZN"), watch=("AAA",))
    watched_too = buy_view(FALLEN, quotes=quotes({**OPEN_GATE, **FALLEN}), filters=("NVDA", "AAA"), watch=("AAA",))

    assert symbols(buys(view)) == ["AAA"]
    assert buys(watched_too).wishes == ()  # a fallen filter stock closes the gate


# what is bought


def test_the_three_that_fell_most_are_bought_the_deepest_first() -> None:
    plan = buys(buy_view(FALLEN))

    assert symbols(plan) == ["EEE", "DDD", "CCC"]
    assert plan.wishes[0] == OrderWish(
        Side.BUY, "EEE", 100, Decimal("95.00"), "전일 종가 $100.00 대비 -5.00%, 후보 중 하락률 1위"
    )
    assert plan.reasons == {
        "BBB": "전일 종가 대비 -2.00%, 후보 중 하락률 4위 (3위까지만 삼)",
        "AAA": "전일 종가 대비 -1.00%, 후보 중 하락률 5위 (3위까지만 삼)",
    }


def test_the_fall_counts_in_percent_not_in_dollars() -> None:
    view = buy_view({"DEAR": ("990", "1000"), "CHEAP": ("0.9", "1")})

    assert symbols(buys(view)) == ["CHEAP", "DEAR"]


def test_equal_falls_are_taken_by_symbol() -> None:
    view = buy_view({"DDD": ("9", "10"), "BBB": ("90", "100"), "AAA": ("0.9", "1"), "CCC": ("45", "50")})

    assert symbols(buys(view)) == ["AAA", "BBB", "CCC"]


def test_a_fall_too_small_for_decimal_s_usual_precision_still_ranks_first() -> None:
    deep, deeper = "97.000000000000", "96.999999999999"

    assert symbols(buys(buy_view({"AAA": (deep, "100"), "BBB": (deeper, "100")}))) == ["BBB", "AAA"]


@pytest.mark.parametrize(
    ("price", "previous_close", "reason"),
    [
        ("9.9999", "10", None),
        ("10", "10", "전일 종가 대비 0.00%, 떨어지지 않음"),
        ("10.0001", "10", "전일 종가 대비 +0.00%, 떨어지지 않음"),
        ("11", "10", "전일 종가 대비 +10.00%, 떨어지지 않음"),
        ("9", None, "전일 종가를 모름"),
        ("9", "0", "전일 종가를 모름"),
        ("9", "NaN", "전일 종가를 모름"),
        ("0", "10", "주문에 쓸 현재가를 모름"),
        ("-9", "10", "주문에 쓸 현재가를 모름"),
        ("NaN", "10", "주문에 쓸 현재가를 모름"),
        ("sNaN", "10", "주문에 쓸 현재가를 모름"),
        ("-Infinity", "10", "주문에 쓸 현재가를 모름"),
    ],
)
def test_only_what_is_known_to_have_fallen_is_bought(
    price: str, previous_close: str | None, reason: str | None
) -> None:
    plan = buys(buy_view({"SOUN": (price, previous_close)}))

    assert plan.reasons.get("SOUN") == reason
    assert symbols(plan) == ([] if reason else ["SOUN"])


def test_a_symbol_without_a_quote_is_not_bought() -> None:
    plan = buys(buy_view({"SOUN": ("9", "10")}, watch=("SOUN", "IONQ")))

    assert symbols(plan) == ["SOUN"]
    assert plan.reasons == {"IONQ": "주문에 쓸 현재가를 모름"}


def test_held_and_busy_symbols_leave_their_place_to_the_next() -> None:
    plan = buys(buy_view(FALLEN, held=frozenset({"EEE"}), busy=frozenset({"CCC"})))

    assert symbols(plan) == ["DDD", "BBB", "AAA"]
    assert plan.reasons == {"EEE": "이미 보유 중", "CCC": "체결이나 확인을 기다리는 주문이 있음"}


@pytest.mark.parametrize(
    ("price", "last_sale", "bought"),
    [
        ("9.00", "9.01", True),
        ("9.00", "9.00", False),
        ("9.01", "9.00", False),
        ("8.9901", "8.99", False),
        ("8.9999", "9.00", False),  # the limit is 9.00: one would pay what one got
        ("8.9999", "9.001", True),
        ("9.00", "NaN", False),
        ("9.00", "0", False),
    ],
)
def test_a_symbol_is_bought_back_only_below_its_last_sale(price: str, last_sale: str, bought: bool) -> None:
    view = buy_view({"SOUN": (price, "10"), **FALLEN}, last_sales={"SOUN": Decimal(last_sale)})

    plan = buys(view)

    assert ("SOUN" in symbols(plan)) is bought
    assert ("SOUN" in plan.reasons) is not bought
    assert len(plan.wishes) == 3  # it leaves its place to the next


def test_the_last_sale_does_not_matter_when_the_owner_says_so() -> None:
    view = buy_view({"SOUN": ("9", "10")}, last_sales={"SOUN": Decimal(5)})

    assert symbols(buys(view, replace(RULES, check_previous_sell_price=False))) == ["SOUN"]
    assert buys(view).reasons["SOUN"] == "지난 매도가 $5.00보다 싸지 않음 (지금 $9.00)"


def test_a_symbol_that_is_watched_twice_is_bought_once() -> None:
    assert symbols(buys(buy_view({"SOUN": ("9", "10")}, watch=("SOUN", "SOUN")))) == ["SOUN"]


# how much is bought


@pytest.mark.parametrize(
    ("cash", "price", "quantities"),
    [
        ("99.99", "1", []),
        ("100", "1", [33, 33, 33]),
        ("100", "33.33", [1, 1]),  # 33.14 are left for the third order
        ("100", "33.34", []),  # over a third
        ("300", "100", [1, 1]),  # 99.40 are left for the third order
        ("300.90", "100", [1, 1, 1]),
        ("300.89", "100", [1, 1]),
        ("30000", "99.99", [100, 100, 99]),  # 9939.99 are left for the third order
        ("30090", "100", [100, 100, 100]),
        ("30089.99", "100", [100, 100, 99]),
        ("29999.99", "100", [99, 99, 99]),
        ("1000000", "100", [100, 100, 100]),
        ("-5", "1", []),
        ("0", "1", []),
    ],
)
def test_an_order_takes_a_third_of_the_cash_a_hundred_shares_and_what_is_left(
    cash: str, price: str, quantities: list[int]
) -> None:
    close = str(Decimal(price) + 1)

    plan = buys(buy_view({s: (price, close) for s in ("AAA", "BBB", "CCC")}, cash=Decimal(cash)))

    assert [wish.quantity for wish in plan.wishes] == quantities


def test_too_little_cash_is_the_reason_for_the_whole_pass() -> None:
    plan = buys(buy_view(FALLEN, cash=Decimal("99.999")))

    assert plan == Plan((), {WHOLE_PASS: "쓸 수 있는 현금 $99.99: $100.00보다 적어 사지 않음"})


def test_one_that_does_not_fit_is_told_and_not_replaced() -> None:
    prices = {"DEAR": ("900", "1000"), "AAA": ("9.1", "10"), "BBB": ("9.2", "10"), "CCC": ("9.3", "10")}

    plan = buys(buy_view(prices, cash=Decimal(2000)))

    assert symbols(plan) == ["AAA", "BBB"]
    assert plan.reasons["DEAR"] == "한 주 $900.00: 이 주문에 쓸 수 있는 $666.66보다 비쌈"
    assert "4위" in plan.reasons["CCC"]


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (buy_view({"SOUN": ("900", "1000")}, cash=Decimal(300)), "떨어진 종목은 있으나 지금 현금으로는"),
        (buy_view({"SOUN": ("11", "10")}), "관심 종목 1개 가운데 살 수 있게 떨어진 것이 없음"),
        (buy_view({}), "관심 종목 0개"),
    ],
)
def test_a_pass_that_buys_nothing_says_why_in_one_sentence(view: BuyView, reason: str) -> None:
    plan = buys(view)

    assert plan.wishes == ()
    assert plan.reasons[WHOLE_PASS].startswith(reason)


def test_the_sum_stays_below_the_cash_whatever_the_numbers_of_the_rules() -> None:
    generous = replace(RULES, most_symbols=5, cash_parts=2, fee_margin=Decimal(0))

    plan = buys(buy_view(FALLEN, cash=Decimal(1000)), generous)

    assert [wish.quantity for wish in plan.wishes] == [5, 5]  # 475 + 480; 45 are left
    assert len(plan.reasons) == 3


# what is sold


@pytest.mark.parametrize(
    ("price", "reached"),
    [("105", "5"), ("104.9999", "1.5"), ("101.5", "1.5"), ("101.4999", None), ("100", None), ("50", None)],
)
def test_a_sale_needs_the_threshold_or_at_least_the_minimum(price: str, reached: str | None) -> None:
    plan = sale(sell_view(held("AAA", "100"), AAA=price))

    assert symbols(plan) == (["AAA"] if reached else [])
    if reached:
        assert plan.wishes[0].reason.endswith(f"기준 {reached}% 이상")


def test_a_gain_is_exact_where_decimal_s_usual_precision_is_not() -> None:
    average_price = "123.456789012345678901234567890123"
    with decimal.localcontext(prec=60):
        exact = str(Decimal(average_price) * Decimal("1.015"))
        below = str(Decimal(exact) - Decimal("1e-30"))

    assert symbols(sale(sell_view(held("AAA", average_price), AAA=exact))) == ["AAA"]
    assert symbols(sale(sell_view(held("AAA", average_price), AAA=below))) == []


def test_the_best_one_is_sold_whole_and_alone() -> None:
    view = sell_view(held("AAA", "100"), held("BBB", "10", 7), held("CCC", "50"), AAA="106", BBB="10.829", CCC="50.1")

    plan = sale(view)

    assert plan.wishes == (
        OrderWish(Side.SELL, "BBB", 7, Decimal("10.82"), "평균 단가 $10.00 대비 +8.29%, 기준 5% 이상"),
    )
    assert plan.reasons == {
        "AAA": "평균 단가 $100.00 대비 +6.00%, 한 번에 한 종목만 팔아 BBB 먼저",
        "CCC": "평균 단가 $50.00 대비 +0.20%, 최소 기준 1.5%에 닿지 않음",
    }


def test_equal_gains_are_sold_by_symbol() -> None:
    view = sell_view(held("BBB", "10"), held("AAA", "100"), BBB="11", AAA="110")

    assert symbols(sale(view)) == ["AAA"]


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (sell_view(held("BEST", "10"), BEST="20", busy="BEST"), "체결이나 확인을 기다리는 주문이 있음"),
        (sell_view(held("BEST", "10", 4, 0), BEST="20"), "보유 4주 가운데 팔 수 있는 주식이 없음"),
        (sell_view(held("BEST", "10", 4, -1), BEST="20"), "보유 4주 가운데 팔 수 있는 주식이 없음"),
        (sell_view(held("BEST", "10", 0, 4), BEST="20"), "보유 0주 가운데 팔 수 있는 주식이 없음"),
        (sell_view(held("BEST", "0"), BEST="20"), "평균 단가를 몰라 판단하지 않음"),
        (sell_view(held("BEST", "-10"), BEST="20"), "평균 단가를 몰라 판단하지 않음"),
        (sell_view(held("BEST", "NaN"), BEST="20"), "평균 단가를 몰라 판단하지 않음"),
        (sell_view(held("BEST", "10")), "주문에 쓸 현재가를 모름"),
        (sell_view(held("BEST", "10"), BEST="0"), "주문에 쓸 현재가를 모름"),
        (sell_view(held("BEST", "10"), BEST="NaN"), "주문에 쓸 현재가를 모름"),
    ],
)
def test_what_may_not_be_sold_leaves_its_place_to_the_next(view: SellView, reason: str) -> None:
    other = replace(
        view, holdings=(*view.holdings, held("NEXT", "10")), quotes=view.quotes | quotes({"NEXT": ("10.2", None)})
    )

    alone, beside = sale(view), sale(other)

    assert alone == Plan((), {"BEST": reason, WHOLE_PASS: "지금 팔 수 있는 종목이 없음"})
    assert symbols(beside) == ["NEXT"]
    assert beside.reasons == {"BEST": reason}
    assert stop_loss(view).reasons["BEST"] == reason


def test_only_the_sellable_shares_are_sold_and_never_more_than_are_held() -> None:
    some = sale(sell_view(held("AAA", "10", 9, 4), AAA="11"))
    misread = sale(sell_view(held("AAA", "10", 4, 9), AAA="11"))

    assert some.wishes[0].quantity == 4
    assert misread.wishes[0].quantity == 4


def test_a_sell_pass_without_holdings_says_so() -> None:
    assert sale(sell_view()) == Plan((), {WHOLE_PASS: "지금 팔 수 있는 종목이 없음"})


def test_a_holding_that_gained_too_little_is_told() -> None:
    plan = sale(sell_view(held("AAA", "100"), AAA="98.999"))

    assert plan.reasons == {
        WHOLE_PASS: "최소 기준 1.5%만큼 오른 종목이 없음",
        "AAA": "평균 단가 $100.00 대비 -1.00%, 최소 기준 1.5%에 닿지 않음",
    }


def test_a_symbol_held_twice_is_an_error_of_whoever_read_the_account() -> None:
    with pytest.raises(ValueError, match="held twice"):
        sell_view(held("AAA", "10"), held("AAA", "11"))


# the stop-loss


@pytest.mark.parametrize(("price", "sold"), [("90.0001", False), ("90", True), ("89.9999", True), ("120", False)])
def test_the_stop_loss_begins_exactly_at_its_percent(price: str, sold: bool) -> None:
    plan = stop_loss(sell_view(held("AAA", "100"), AAA=price))

    assert symbols(plan) == (["AAA"] if sold else [])
    assert ("AAA" in plan.reasons) is not sold


def test_every_holding_that_fell_so_far_is_sold_the_worst_first() -> None:
    view = sell_view(
        *(held("DDD", "100"), held("CCC", "50"), held("BBB", "10", 7, 5), held("AAA", "100")),
        **{"AAA": "90", "BBB": "7.999", "CCC": "49", "DDD": "90"},
    )

    plan = stop_loss(view)

    assert symbols(plan) == ["BBB", "AAA", "DDD"]
    assert plan.wishes[0] == OrderWish(
        Side.SELL, "BBB", 5, Decimal("7.99"), "손절: 평균 단가 $10.00 대비 -20.01%, 기준 -10%"
    )
    assert plan.reasons == {"CCC": "평균 단가 $50.00 대비 -2.00%, 손절 기준 -10%에 닿지 않음"}


def test_there_is_no_stop_loss_unless_it_is_set() -> None:
    plan = stop_loss(sell_view(held("AAA", "100"), AAA="1"), replace(RULES, stop_loss_pct=Decimal(0)))

    assert plan == Plan((), {WHOLE_PASS: "STOP_LOSS_PCT가 0이라 손절하지 않음"})


def test_a_fall_is_cut_to_two_decimals_so_that_it_never_seems_to_have_reached_the_bar() -> None:
    plan = stop_loss(sell_view(held("AAA", "100"), AAA="90.0001"))

    assert "-9.99%" in plan.reasons["AAA"]


# limit prices


@pytest.mark.parametrize(
    ("price", "buy", "sell"),
    [
        ("145", "145.00", "145.00"),
        ("145.00", "145.00", "145.00"),
        ("147.0299", "147.03", "147.02"),
        ("147.0200", "147.02", "147.02"),
        ("147.020001", "147.03", "147.02"),
        ("1", "1.00", "1.00"),
        ("1.0001", "1.01", "1.00"),
        ("0.9999", "0.9999", "0.9999"),
        ("0.99995", "1.00", "0.9999"),
        ("0.99990001", "1.00", "0.9999"),
        ("0.12341", "0.1235", "0.1234"),
        ("0.1234", "0.1234", "0.1234"),
        ("0.1", "0.1000", "0.1000"),
        ("0.0001", "0.0001", "0.0001"),
        ("0.00005", "0.0001", "0.0001"),  # a sale never asks for nothing
        ("1E-7", "0.0001", "0.0001"),
        ("1E+2", "100.00", "100.00"),
        ("999999.999", "1000000.00", "999999.99"),
    ],
)
def test_B28_a_limit_is_the_price_on_kis_tick_grid(price: str, buy: str, sell: str) -> None:
    limits = [limit_price(Decimal(price), side) for side in (Side.BUY, Side.SELL)]

    assert [format_limit(limit) for limit in limits] == [buy, sell]
    assert [str(limit) for limit in limits] == [buy, sell]


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "sNaN", "Infinity", "-Infinity", "1000001", "1E+400"])
@pytest.mark.parametrize("side", Side)
def test_what_is_no_price_makes_no_limit(price: str, side: Side) -> None:
    with pytest.raises(ValueError, match="not a price"):
        limit_price(Decimal(price), side)


@pytest.mark.parametrize("limit", ["145.001", "0.12345", "1.0001", "0.00001", "0", "-1.00", "NaN", "Infinity"])
def test_a_limit_off_the_grid_is_never_written(limit: str) -> None:
    with pytest.raises(ValueError, match="not a limit price"):
        format_limit(Decimal(limit))


def test_B28_a_float_is_no_price() -> None:
    number: Any = 0.1 + 0.2

    with pytest.raises(ValueError, match="not a price"):
        limit_price(number, Side.BUY)
    with pytest.raises(ValueError, match="not a limit price"):
        format_limit(number)


def test_the_current_decimal_context_changes_nothing() -> None:
    view = buy_view({"SOUN": ("147.0299", "148.1234")}, cash=Decimal("12345.67"))
    usual = buys(view)

    with decimal.localcontext(prec=3, rounding=decimal.ROUND_UP):
        narrow = buys(view)

    assert (narrow.wishes[0].quantity, narrow.wishes[0].limit) == (usual.wishes[0].quantity, usual.wishes[0].limit)
    assert format_limit(usual.wishes[0].limit) == "147.03"


# values that refuse nonsense


class Whole(int):
    """As numpy's integers once were: an int by inheritance only."""


@pytest.mark.parametrize("quantity", [0, -1, 1.0, True, Decimal(1), "1", Whole(1), None])
def test_B29_a_wish_is_for_one_share_or_more(quantity: Any) -> None:
    with pytest.raises(ValueError, match="quantity"):
        OrderWish(Side.BUY, "SOUN", quantity, Decimal("1.00"), "")


@pytest.mark.parametrize("limit", [Decimal("1.001"), Decimal(0), Decimal("NaN"), 1.5])
def test_a_wish_has_a_limit_that_kis_takes(limit: Any) -> None:
    with pytest.raises(ValueError, match="limit"):
        OrderWish(Side.BUY, "SOUN", 1, limit, "")


@pytest.mark.parametrize("cash", [Decimal("NaN"), Decimal("Infinity"), 1e6, None])
def test_cash_that_was_not_read_makes_no_view(cash: Any) -> None:
    with pytest.raises(ValueError, match="cash"):
        buy_view(FALLEN, cash=cash)


@pytest.mark.parametrize(("quantity", "sellable"), [(1.5, 1), (1, 1.5), (True, 1), (1, None)])
def test_a_holding_counts_whole_shares(quantity: Any, sellable: Any) -> None:
    with pytest.raises(ValueError, match="must be an int"):
        Holding("SOUN", quantity, sellable, Decimal(1))


def test_a_plan_cannot_be_changed() -> None:
    plan: Any = buys(buy_view(FALLEN))

    with pytest.raises(TypeError):
        plan.reasons["AAA"] = "다른 이유"


# rules


def test_the_rules_are_the_settings_and_the_fixed_numbers_of_the_strategy() -> None:
    chosen = {"PROFIT_THRESHOLD_PCT": "7", "MIN_PROFIT_PCT": "2", "STOP_LOSS_PCT": "8"}

    rules = Rules.from_settings(Settings.load({**chosen, "CHECK_PREVIOUS_SELL_PRICE": "false"}, None))

    assert (rules.profit_threshold_pct, rules.min_profit_pct, rules.stop_loss_pct) == (7, 2, 8)
    assert rules.check_previous_sell_price is False
    assert (rules.most_symbols, rules.most_shares, rules.cash_parts) == (3, 100, 3)
    assert (rules.least_cash, rules.fee_margin) == (100, Decimal("0.003"))


def test_the_strategy_knows_no_clock_no_network_and_no_log() -> None:
    tree = ast.parse(Path(strategy.__file__).read_text(encoding="utf-8"))

    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}

    ours = {path.stem for path in Path(strategy.__file__).parent.glob("*.py")} & imported
    assert ours == {"quotes", "portfolio", "config"}  # config for a type only
    assert not imported & {"time", "datetime", "logging", "random", "os", "socket", "requests", "threading"}


# whatever the market does

TICKERS = [*("AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG", "HHH")]
PRICES = st.one_of(
    st.decimals("0.0001", "2", places=4),
    st.decimals("0.9", "1.1", places=6),
    st.decimals("0.01", "500", places=2),
    st.sampled_from([Decimal(text) for text in ("0", "NaN", "100", "100.0001", "0.99995", "999999")]),
)
GOOD_PRICES = st.decimals("0.000001", "9999", places=6) | st.decimals("0.9", "1.1", places=8)
STEPS = st.sampled_from([Decimal(text) for text in ("0.1", "0.1", "1", "0.002", "0", "-0.1")])  # equal ones tie
FALLEN_PAIRS = st.builds(lambda price, step: (price, price * (1 + step)), PRICES, STEPS)
PAIRS = st.one_of(FALLEN_PAIRS, FALLEN_PAIRS, st.tuples(PRICES, st.none() | PRICES))
QUOTES = st.fixed_dictionaries(dict.fromkeys(TICKERS[2:], PAIRS), optional=dict.fromkeys(TICKERS[:2], PAIRS))
SOME_TICKERS = st.frozensets(st.sampled_from(TICKERS), max_size=3)
MANY = hypothesis_settings(max_examples=150, deadline=None, database=None)


@st.composite
def buy_views(draw: st.DrawFn) -> BuyView:
    found = draw(QUOTES)
    found["NVDA"] = (Decimal(101), Decimal(100))
    return BuyView(
        quotes={s: Quote(s, price, before, "KIS", "나스닥", NOON) for s, (price, before) in found.items()},
        filters=("NVDA",),
        watch=tuple(draw(st.permutations(TICKERS))),
        held=draw(SOME_TICKERS),
        busy=draw(SOME_TICKERS),
        last_sales=draw(st.dictionaries(st.sampled_from(TICKERS), PRICES, max_size=2)),
        cash=draw(st.decimals("100", "50000", places=2) | st.decimals("-10", "1000", places=4)),
    )


@st.composite
def sell_views(draw: st.DrawFn) -> SellView:
    found, owned, counts = draw(QUOTES), draw(st.permutations(TICKERS)), st.integers(-1, 50)
    paid = {symbol: found.get(symbol, (None, None))[1] or draw(PRICES) for symbol in owned}
    return SellView(
        quotes={s: Quote(s, price, before, "KIS", "나스닥", NOON) for s, (price, before) in found.items()},
        holdings=tuple(Holding(s, draw(counts), draw(counts), paid[s]) for s in owned),
        busy=draw(SOME_TICKERS),
    )


def shuffled(view: Any) -> Any:
    """The same view with everything in another order."""
    turned: dict[str, Any] = {"quotes": dict(reversed(list(view.quotes.items())))}
    names = ("watch", "filters") if isinstance(view, BuyView) else ("holdings",)
    for name in names:
        items = list(getattr(view, name))
        random.Random(7).shuffle(items)
        turned[name] = tuple(items)
    return replace(view, **turned)


def is_one_tick_away(limit: Decimal, price: Decimal) -> bool:
    tick = Fraction(1, 100) if price >= 1 else Fraction(1, 10_000)
    return abs(Fraction(limit) - Fraction(price)) < tick


@MANY
@given(buy_views())
def test_buys_never_cost_more_than_the_cash_nor_one_more_than_its_third(view: BuyView) -> None:
    plan = buys(view)

    values = [wish.quantity * Fraction(wish.limit) for wish in plan.wishes]
    assert sum(values) * Fraction("1.003") <= max(view.cash, 0)
    assert all(value <= Fraction(view.cash) / 3 for value in values)
    assert all(1 <= wish.quantity <= 100 for wish in plan.wishes)
    assert view.cash >= 100 or not plan.wishes


@MANY
@given(buy_views())
def test_buys_are_of_fallen_free_symbols_that_are_not_held_at_prices_one_tick_away(view: BuyView) -> None:
    plan = buys(view)

    bought = symbols(plan)
    assert len(bought) == len(set(bought)) <= 3
    assert not set(bought) & (view.held | view.busy)
    for wish in plan.wishes:
        seen = view.quotes[wish.symbol]
        assert wish.side is Side.BUY
        assert seen.previous_close is not None
        assert seen.price < seen.previous_close
        assert wish.limit >= seen.price
        assert is_one_tick_away(wish.limit, seen.price)
        assert wish.symbol not in view.last_sales or wish.limit < view.last_sales[wish.symbol]


@MANY
@given(buy_views())
def test_every_watched_symbol_is_bought_or_has_its_reason(view: BuyView) -> None:
    plan = buys(view)

    told = set(plan.reasons) - {WHOLE_PASS}
    assert not told & set(symbols(plan))
    assert (WHOLE_PASS in plan.reasons) is not bool(plan.wishes)
    assert told | set(symbols(plan)) == set(view.watch) or view.cash < 100
    assert all(reason.strip() for reason in plan.reasons.values())


@MANY
@given(sell_views())
def test_sales_are_of_free_sellable_shares_at_prices_one_tick_away(view: SellView) -> None:
    owned = {holding.symbol: holding for holding in view.holdings}
    for plan in (sale(view), stop_loss(view)):
        told = set(plan.reasons) - {WHOLE_PASS}
        assert len(symbols(plan)) == len(set(symbols(plan)))
        assert told | set(symbols(plan)) == set(owned)
        assert not told & set(symbols(plan))
        assert (WHOLE_PASS in plan.reasons) is not bool(plan.wishes)
        for wish in plan.wishes:
            seen, holding = view.quotes[wish.symbol], owned[wish.symbol]
            assert wish.side is Side.SELL
            assert wish.symbol not in view.busy
            assert wish.quantity == min(holding.sellable, holding.quantity)
            assert is_one_tick_away(wish.limit, seen.price)
    assert len(sale(view).wishes) <= 1


@MANY
@given(sell_views())
def test_nothing_is_sold_for_its_gain_and_for_its_loss_at_once(view: SellView) -> None:
    assert not set(symbols(sale(view))) & set(symbols(stop_loss(view)))


@MANY
@given(buy_views(), sell_views())
def test_decisions_do_not_depend_on_the_order_of_what_is_read(buy: BuyView, sell: SellView) -> None:
    assert buys(shuffled(buy)) == buys(buy)
    assert sale(shuffled(sell)) == sale(sell)
    assert stop_loss(shuffled(sell)) == stop_loss(sell)


@MANY
@given(GOOD_PRICES, st.sampled_from(Side))
def test_B28_a_limit_is_on_the_grid_less_than_a_tick_away_and_on_the_right_side(price: Decimal, side: Side) -> None:
    limit = limit_price(price, side)

    assert Decimal(format_limit(limit)) == limit > 0
    assert is_one_tick_away(limit, price)
    assert limit >= price if side is Side.BUY else limit <= max(price, Decimal("0.0001"))
    assert limit_price(limit, side) == limit


# an owner's own strategy

MINE = """
class Mine:
    def __init__(self, rules):
        self.rules = rules
    def decide_buys(self, view): ...
    def decide_sale(self, view): ...
    def decide_stop_loss(self, view): ...
class Half:
    def __init__(self, rules): ...
    def decide_buys(self, view): ...
class NoRules(Mine):
    def __init__(self): ...
class Broken(Mine):
    def __init__(self, rules): raise RuntimeError("two\\nlines")
class NoView(Mine):
    def decide_sale(self): ...
class Promises(Mine):
    async def decide_sale(self, view): ...
class Quits(Mine):
    def __init__(self, rules): raise SystemExit(3)
def function(rules): ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that Python imports from, as that of main.py."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "owners_strategy.py").write_text(MINE, "utf-8")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def problem_of(spec: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_strategy(spec, RULES)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize("spec", [None, ""])
def test_without_a_setting_the_built_in_strategy_decides(spec: str | None) -> None:
    loaded = load_strategy(spec, RULES)

    assert isinstance(loaded, DipStrategy)
    assert loaded.rules == RULES


def test_the_owners_class_is_made_with_the_rules(folder: Path) -> None:
    loaded: Any = load_strategy("owners_strategy:Mine", RULES)

    assert type(loaded).__name__ == "Mine"
    assert loaded.rules is RULES


def test_a_strategy_may_lie_in_a_package_and_build_on_ours(folder: Path) -> None:
    (folder / "owners_package").mkdir()
    (folder / "owners_package" / "__init__.py").touch()
    (folder / "owners_package" / "mine.py").write_text("from strategy import DipStrategy\nclass Mine(DipStrategy): ...")

    loaded = load_strategy("owners_package.mine:Mine", RULES)

    assert loaded.decide_buys(buy_view(FALLEN)) == buys(buy_view(FALLEN))


@pytest.mark.parametrize("spec", ["Mine", "owners_strategy", "a:", ":B", "a:b:c", "a b:C", "a.:B", "a/b.py:C", "a:B()"])
def test_a_bad_spec_is_told_how_to_write_it(spec: str) -> None:
    assert "package.module:Class 꼴로 쓰세요" in problem_of(spec)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("no_such_module:Mine", "main.py가 있는 폴더에 no_such_module.py 파일을 두거나"),
        ("no_such_package.mine:Mine", "no_such_package/mine.py"),
        ("owners_strategy.deeper:Mine", "owners_strategy/deeper.py"),
        (
            "owners_strategy:Mime",
            "Mime 클래스가 없습니다. 콜론 뒤의 이름을 고치세요. 혹시 owners_strategy:Mine 아닌가요?",
        ),
        ("owners_strategy:Zzzzzz", "Zzzzzz 클래스가 없습니다"),
        ("owners_strategy:function", "function 클래스가 없습니다"),
        ("owners_strategy:Half", "메서드를 만드세요: decide_sale(self, view), decide_stop_loss(self, view)."),
        ("owners_strategy:NoRules", "def __init__(self, rules)를 고치세요 (TypeError"),
        ("owners_strategy:Broken", "(RuntimeError: two lines)"),
        ("owners_strategy:Quits", "(SystemExit: 3)"),
        ("owners_strategy:NoView", "decide_sale를 def decide_sale(self, view) 꼴로"),
        ("owners_strategy:Promises", "decide_sale를 def decide_sale(self, view) 꼴로"),
    ],
)
def test_a_class_that_cannot_be_used_is_told_what_to_mend(folder: Path, spec: str, words: str) -> None:
    problem = problem_of(spec)

    assert problem.startswith("STRATEGY: ")
    assert words in problem
    assert "STRATEGY 줄을 지우세요" in problem


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_library", "(ModuleNotFoundError: No module named 'no_such_library')"),
        ("1 / 0", "(ZeroDivisionError: division by zero)"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit", "(SystemExit)"),
    ],
)
def test_a_module_that_does_not_import_is_told_with_its_error(folder: Path, code: str, words: str) -> None:
    (folder / "owners_broken.py").write_text(code)

    problem = problem_of("owners_broken:Mine")

    assert "owners_broken 모듈을 불러오다 실패했습니다" in problem
    assert words in problem


def test_a_class_that_only_inherits_the_protocol_has_no_methods_yet(folder: Path) -> None:
    (folder / "owners_empty.py").write_text(
        "from strategy import Strategy\nclass Mine(Strategy):\n    def __init__(self, rules): ..."
    )

    assert "decide_buys(self, view), decide_sale(self, view)" in problem_of("owners_empty:Mine")
