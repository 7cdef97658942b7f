"""Quotes: four steps, one request for a price and its previous close, and never a number that is no price."""

import json
import time
from decimal import Decimal

import pytest
from conftest import SIXTEEN

from quotes import format_price, parse_price
from simulator import Fault

NO_PRICES = ["", "0", "0.0000", "-1", "NaN", "Infinity", "-Infinity", "1e400", "1e3", "1,234.5", " ", "१२", "가격"]
NO_PRICES += ["1000000", "99999999", "+5", "5.", ".5", "0x10", "1_000"]


@pytest.mark.parametrize("text", [*NO_PRICES, None, True, [], {}, float("nan"), float("inf"), 0, -1, 1_000_000])
def test_H19_what_is_no_price_is_never_a_number(text):
    assert parse_price(text) is None


@pytest.mark.parametrize(("text", "price"), [("178.5000", "178.5"), (" 12.3 ", "12.3"), (5, "5"), ("0.0001", "0.0001")])
def test_what_is_a_price(text, price):
    assert parse_price(text) == Decimal(price)


@pytest.mark.parametrize(("price", "text"), [("178.5", "$178.50"), ("1", "$1.00"), ("0.99", "$0.9900")])
def test_how_a_price_is_written(price, text):
    assert format_price(Decimal(price)) == text


@pytest.mark.parametrize("text", NO_PRICES)
def test_H19_a_bad_price_from_kis_leads_to_the_second_source(house, text):
    house.started()
    house.api._book.learn("NVDA", "나스닥")
    house.sim.faults.add(Fault("bad_price", "quote", text=text))
    assert house.api.get_quote("NVDA").source == "yfinance"


def test_one_request_brings_price_and_previous_close(house):
    house.started()
    house.sim.pin("AAPL", "178.50", "175.00")

    assert house.api.get_current_price("AAPL") == 178.5
    assert house.api.get_previous_close("AAPL") == Decimal("175")
    assert house.sim.count("price") == 1


def test_the_cache_answers_for_sixty_seconds_and_keeps_source_and_time(house):
    house.started()
    first = house.api.get_quote("AAPL")
    house.pass_seconds(59)
    assert house.api.get_quote("AAPL") is first
    house.pass_seconds(2)
    assert house.api.get_quote("AAPL").at > first.at


def test_no_price_is_not_cached(house):
    house.started()
    house.sim.faults.add(Fault("refused", "kis"))
    house.sim.faults.add(Fault("html502", "yahoo"))
    assert house.api.get_current_price("NVDA") is None
    house.sim.faults.clear()
    house.pass_seconds(31)
    assert house.api.get_current_price("NVDA")


def test_H01_Y01_without_kis_and_yahoo_the_log_says_so_and_nothing_is_made_up(house, log):
    house.started()
    house.sim.faults.add(Fault("refused", "kis"))
    house.sim.faults.add(Fault("refused", "yahoo"))

    assert house.api.get_quote("NVDA") is None

    assert log("NVDA")[-2:] == [
        "[FALLBACK] NVDA KIS 조회 실패 (연결 끊김), yfinance 대체",
        "[FAIL] NVDA 현재가 조회 실패 (KIS, yfinance)",
    ]


def test_a_real_account_quotes_sixteen_symbols_in_two_requests(house):
    house.started()
    exchanges_known(house)
    asked = house.sim.count("kis")

    quotes = house.api.get_quotes(SIXTEEN, fresh=True)

    assert all(quote.previous_close for quote in quotes.values())
    assert house.sim.count("kis") - asked == 2


def test_a_paper_account_quotes_sixteen_symbols_in_sixteen_requests(make_house):
    house = make_house(profile="paper", kis_mode="paper", kis_calls_per_second=0.8).started()
    exchanges_known(house)
    asked = house.sim.count("kis")

    quotes = house.api.get_quotes(SIXTEEN, fresh=True)

    assert all(quote.source == "KIS" for quote in quotes.values())
    assert house.sim.count("kis") - asked == 16


def exchanges_known(house):
    house.api.get_quotes(SIXTEEN)
    house.pass_seconds(61)


def test_what_comes_back_blank_in_a_batch_is_asked_alone(house):
    house.started()
    exchanges_known(house)
    house.sim.faults.add(Fault("blank", "multprice", symbol="NVDA"))
    asked = house.sim.count("price")

    quotes = house.api.get_quotes(SIXTEEN, fresh=True)

    assert quotes["NVDA"].source == "KIS"
    assert house.sim.count("price") == asked + 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault("error", "multprice", code="OPSQ0002", message="없는 서비스 코드 입니다.", status=200),
        Fault("html", "multprice", status=404),
        Fault("html502", "multprice"),
        Fault("wrong_types", "multprice"),
        Fault("reset", "multprice"),
    ],
    ids=lambda fault: fault.kind,
)
def test_where_multprice_does_not_work_single_quotes_do(house, fault):
    house.started()
    exchanges_known(house)
    house.sim.faults.add(fault)

    quotes = house.api.get_quotes(SIXTEEN, fresh=True)

    assert {quote.source for quote in quotes.values()} == {"KIS"}


# exchanges


def test_the_exchange_is_asked_once_and_remembered_across_a_restart(house):
    house.started()
    quote = house.api.get_quote("SOXL")
    assert quote.exchange == "아멕스"
    assert house.sim.count("price") == 3

    house.restart().pass_seconds(61)
    assert house.api.get_quote("SOXL").exchange == "아멕스"
    assert house.sim.count("price") == 4


def test_the_owners_exchange_is_taken_as_it_stands(house):
    house.settings.stocks_file.write_text(
        json.dumps({"filter_stocks": {}, "watch_list": ["SOXL"], "exchanges": {"SOXL": "아멕스"}}), "utf-8"
    )
    house.started()
    assert house.api.get_quote("SOXL").exchange == "아멕스"
    assert house.sim.count("price") == 1


def test_H26_a_blank_answer_never_switches_the_exchange(house):
    house.started()
    house.api.get_quote("IONQ")
    house.sim.faults.add(Fault("blank", "price", times=1))
    house.pass_seconds(61)
    asked = house.sim.count("price")

    assert house.api.get_quote("IONQ").source == "yfinance"
    house.pass_seconds(61)
    assert house.api.get_quote("IONQ").exchange == "뉴욕"
    assert house.sim.count("price") == asked + 2


def test_a_company_that_has_changed_its_exchange_is_found_there_in_half_an_hour(house, log):
    house.started()
    house.api._book.learn("IONQ", "아멕스")
    for _ in range(29):
        assert house.api.get_quote("IONQ").source == "yfinance"
        house.pass_seconds(61)
    house.pass_seconds(61)
    assert house.api.get_quote("IONQ").exchange == "뉴욕"
    assert log("거래소가") == ["IONQ 거래소가 아멕스에서 뉴욕(으)로 바뀌었습니다"]
    house.restart().pass_seconds(61)
    assert house.api.get_quote("IONQ").exchange == "뉴욕"


def test_a_symbol_without_a_price_anywhere_keeps_its_exchange_and_costs_little(house):
    house.started()
    house.api.get_quote("IONQ")
    asked = house.sim.count("price")
    house.sim.faults.add(fault := Fault("blank", "price"))
    for _ in range(60):
        house.pass_seconds(61)
        house.api.get_quote("IONQ")
    assert house.sim.count("price") - asked <= 60 + 4 * 3
    house.sim.faults.remove(fault)
    house.pass_seconds(61)
    assert house.api.get_quote("IONQ").exchange == "뉴욕"


def test_what_the_owner_wrote_is_never_doubted(house):
    listed = {"filter_stocks": {}, "watch_list": ["IONQ"], "exchanges": {"IONQ": "아멕스"}}
    house.settings.stocks_file.write_text(json.dumps(listed), "utf-8")
    house.started()
    for _ in range(40):
        assert house.api.get_quote("IONQ").source == "yfinance"
        house.pass_seconds(61)
    assert house.sim.count("price") == 40


def test_an_unknown_symbol_is_looked_for_now_and_then_only(house):
    house.started()
    for _ in range(5):
        assert house.api.get_current_price("NOPE") is None
        house.pass_seconds(61)
    assert house.sim.count("price") == 3
    house.pass_seconds(600)
    assert house.api.get_current_price("NOPE") is None
    assert house.sim.count("price") == 6


# what the log says


def test_ok_is_said_for_the_first_quote_and_after_a_change_of_source(house, log):
    house.started()
    for _ in range(3):
        house.api.get_quote("NVDA")
        house.pass_seconds(61)
    assert len(log("[OK] NVDA")) == 1

    house.sim.faults.add(Fault("refused", "kis", times=2))
    house.api.get_quote("NVDA")
    house.pass_seconds(61)
    house.api.get_quote("NVDA")
    assert [line.rsplit(" ", 1)[1] for line in log("[OK] NVDA")] == ["(나스닥)", "(yfinance)", "(나스닥)"]


def test_H01_identical_warnings_are_folded(house, log):
    house.started()
    house.api._book.learn("NVDA", "나스닥")
    house.sim.faults.add(Fault("blank", "price"))
    for _ in range(21):
        house.api.get_quote("NVDA")
        house.pass_seconds(60.5)
    assert log("[FALLBACK]") == [
        "[FALLBACK] NVDA KIS 조회 실패 (가격 없음), yfinance 대체",
        "[FALLBACK] NVDA KIS 조회 실패 (가격 없음), yfinance 대체 …외 9회",
        "[FALLBACK] NVDA KIS 조회 실패 (가격 없음), yfinance 대체 …외 9회",
    ]


def test_H22_a_limit_that_refuses_everything_does_not_hold_the_scan(house):
    house.started()
    exchanges_known(house)
    house.sim.faults.add(
        Fault("error", "quote", code="EGW00201", message="초당 거래건수를 초과하였습니다.", status=500)
    )
    begin = house.clock.monotonic()
    house.api.get_quotes(SIXTEEN, fresh=True)
    assert house.clock.monotonic() - begin < 15


# silence


def test_H05_H06_Y05_with_kis_and_yahoo_silent_a_scan_of_sixteen_ends_within_fifteen_seconds(living_house):
    house = living_house.started()
    exchanges_known(house)
    before = house.token_file.read_bytes()
    house.sim.faults.add(Fault("drip", "kis"))
    house.sim.faults.add(Fault("hang", "yahoo"))
    started = time.monotonic()

    quotes = house.api.get_quotes(SIXTEEN, fresh=True)

    assert time.monotonic() - started < 15
    assert set(quotes.values()) == {None}
    assert house.token_file.read_bytes() == before
    assert house.issued() == 1
