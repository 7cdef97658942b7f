"""The rules of an intent's life, as tables: what an answer means, which row is ours, what reads prove."""

from dataclasses import replace
from decimal import Decimal

import pytest

from errors import KISRefusal, NoAnswer
from intents import Intent, State, after_answer, after_refusal, candidates, late_fill, settle
from kis_transport import Answer
from portfolio import OrderRow, Side, order_number, read_orders, read_positions

SENT_AT = 1_764_000_000.0  # 01:00:00 KST
CLOSE = SENT_AT + 18000
INTENT = Intent(
    id=1,
    session="2025-11-24",
    closes_at=CLOSE,
    symbol="SOUN",
    exchange="나스닥",
    side=Side.BUY,
    quantity=10,
    limit="9.00",
    reason="",
    state=State.SENT,
    created_at=SENT_AT,
    sent_at=SENT_AT,
)
ROW = OrderRow(
    date="20251124",
    branch="01790",
    number=500,
    original=None,
    symbol="SOUN",
    exchange="나스닥",
    side=Side.BUY,
    quantity=10,
    limit=Decimal(9),
    filled=0,
    fill_price=Decimal(0),
    open=10,
    time="010001",
    channel="OpenAPI",
    rejected=None,
)


def test_the_clock_of_the_table_is_what_it_says():
    assert (SENT_AT + 9 * 3600) % 86400 == 3600


@pytest.mark.parametrize(
    ("change", "ours"),
    [
        ({}, True),
        ({"limit": Decimal(0)}, True),
        ({"limit": Decimal("9.01")}, False),
        ({"symbol": "IONQ"}, False),
        ({"side": Side.SELL}, False),
        ({"side": None}, False),
        ({"quantity": 11}, False),
        ({"original": 499}, False),
        ({"channel": ""}, True),
        ({"channel": "Open API"}, True),
        ({"channel": "모의투자API"}, True),
        ({"time": "005954"}, True),
        ({"time": "020000"}, True),
        ({"time": ""}, True),
        ({"filled": 10, "open": 0}, True),
    ],
)
def test_which_row_may_be_ours(change, ours):
    row = replace(ROW, **change)
    assert (settle(UNKNOWN, [row], [], SENT_AT, False).state is not State.UNKNOWN) is ours


@pytest.mark.parametrize("blur", [{"channel": "모바일"}, {"time": "005952"}, {"time": "235959"}])
def test_B21_a_row_that_fits_but_for_clock_or_channel_is_never_said_not_to_be_ours(blur):
    assert reads(UNKNOWN, [replace(ROW, **blur)]).state is State.AMBIGUOUS
    assert reads(UNKNOWN, [replace(ROW, number=499, **blur), ROW]).number == 500


def test_a_number_that_was_known_before_or_belongs_to_another_is_not_ours():
    assert not candidates(replace(INTENT, known=frozenset({("20251124", 500)})), [ROW], [])
    other = replace(INTENT, id=2, state=State.DONE, number=500, order_date="20251124")
    assert not candidates(INTENT, [ROW], [other])
    assert candidates(INTENT, [ROW], [replace(other, order_date="20251123")])
    assert candidates(replace(INTENT, known=frozenset({("20251123", 500)})), [ROW], [])
    assert not candidates(INTENT, [replace(ROW, date="20251120")], [])


def test_an_order_on_two_lists_is_one_candidate():
    assert len(candidates(INTENT, [ROW, replace(ROW, branch="")], [])) == 1


def reads(intent, *lists, step=100.0, over=False):
    now = CLOSE if over else SENT_AT
    for rows in lists:
        now += step
        intent = settle(intent, rows, [], now, over)
    return intent


UNKNOWN = replace(INTENT, state=State.UNKNOWN)


def test_B02_B03_absent_needs_three_reads_over_five_minutes():
    assert reads(UNKNOWN, [], [], step=400).state is State.UNKNOWN
    assert reads(UNKNOWN, [], [], [], step=100).state is State.UNKNOWN
    assert reads(UNKNOWN, [], [], [], [], step=100).state is State.ABSENT


def test_B04_an_absent_order_that_shows_up_is_bound():
    assert reads(replace(UNKNOWN, state=State.ABSENT), [ROW]).state is State.OPEN


def test_after_the_close_two_reads_settle_an_unknown_as_not_accepted():
    assert reads(UNKNOWN, [], over=True).state is State.UNKNOWN
    assert reads(UNKNOWN, [], [], over=True, step=60).state is State.UNKNOWN
    assert reads(UNKNOWN, [], [], over=True, step=150).state is State.NOT_ACCEPTED
    one_before = reads(UNKNOWN, [])
    assert reads(one_before, [], over=True).state is State.UNKNOWN


def test_B21_two_that_could_be_ours_are_not_guessed():
    assert reads(UNKNOWN, [ROW, replace(ROW, number=501)]).state is State.AMBIGUOUS


def test_a_fill_is_the_largest_ever_seen():
    half = replace(ROW, filled=5, fill_price=Decimal("8.99"), open=5)
    seen = reads(UNKNOWN, [half], [replace(half, filled=3)], [half])
    assert (seen.filled, seen.fill_price, seen.state) == (5, Decimal("8.99"), State.OPEN)
    assert reads(seen, [replace(half, filled=99, open=0)]).filled == 10


def test_an_end_without_a_complete_fill_needs_two_reads():
    gone = replace(ROW, open=0)
    assert reads(UNKNOWN, [gone]).state is State.OPEN
    assert reads(UNKNOWN, [gone], [gone], step=60).state is State.OPEN
    assert reads(UNKNOWN, [gone], [gone], step=150).state is State.DONE
    assert reads(UNKNOWN, [gone], [ROW], [gone], step=150).state is State.OPEN


def test_open_shares_are_believed_whatever_the_clock_says_of_the_close():
    assert reads(UNKNOWN, *[[ROW]] * 5, over=True, step=1000).state is State.OPEN
    assert reads(UNKNOWN, *[[ROW]] * 5, over=True, step=6000).state is State.DONE


def test_an_accepted_order_that_no_list_shows_is_for_a_person_to_judge():
    accepted = replace(INTENT, state=State.OPEN, number=500)
    assert reads(accepted, [], [], [], [], [], step=100).state is State.OPEN
    assert reads(accepted, [], [], [], [], [], step=100, over=True).state is State.AMBIGUOUS


def test_B27_a_row_of_another_date_with_the_same_number_is_not_ours():
    accepted = replace(INTENT, state=State.OPEN, number=500, order_date="20251124")
    other_day = replace(ROW, date="20251125", filled=10, fill_price=Decimal(9), open=0)
    assert reads(accepted, [ROW, other_day]).filled == 0


def test_of_two_lists_the_one_with_more_fills_counts():
    stale, newer = replace(ROW, branch=""), replace(ROW, filled=10, fill_price=Decimal(9), open=0)
    accepted = replace(INTENT, state=State.OPEN, number=500)
    assert reads(accepted, [stale, newer]).state is State.DONE


def test_B11_a_fill_that_is_listed_after_the_end_is_still_ours():
    ended = replace(INTENT, state=State.DONE, number=500, order_date="20251124", ending="취소")
    late = late_fill(ended, [replace(ROW, filled=4, fill_price=Decimal(9), open=0)])
    assert (late.filled, late.state) == (4, State.DONE)


def test_B23_a_refusal_after_the_acceptance_shows_in_the_list_only():
    refused = replace(ROW, open=0, rejected="거래정지")
    seen = reads(UNKNOWN, [refused])
    assert (seen.state, seen.answer) == (State.REFUSED, "거래정지")


@pytest.mark.parametrize(
    ("body", "status", "state"),
    [
        ({"rt_cd": "0", "output": {"ODNO": "0000004336"}}, 200, State.OPEN),
        ({"rt_cd": 0, "output": {"ODNO": 4336}}, 200, State.OPEN),
        ({"rt_cd": "0", "output": {"ODNO": ""}}, 200, State.UNKNOWN),
        ({"rt_cd": "0", "output": {"ODNO": "0"}}, 200, State.UNKNOWN),
        ({"rt_cd": "0", "output": {"ODNO": "N/A"}}, 200, State.UNKNOWN),
        ({"rt_cd": "0", "output": None}, 200, State.UNKNOWN),
        ({"rt_cd": "0", "output": [{"ODNO": "1"}]}, 200, State.UNKNOWN),
        ({"rt_cd": "0", "msg_cd": "IGW00009"}, 200, State.UNKNOWN),
        ({"rt_cd": "0", "output": {"ODNO": "1"}}, 201, State.UNKNOWN),
        ({}, 200, State.UNKNOWN),
    ],
)
def test_B07_accepted_is_only_what_has_a_number(body, status, state):
    assert after_answer(INTENT, Answer(status, {}, body), 0.0).state is state


SURE = ["EGW00121", "EGW00123", "EGW00201", "EGW00215", "EGW00304", "EGW00356", "EGW02004", "EGW02006", "EGW02007"]
SURE += ["APBK0952", "APBK0918", "APTR0057", "40570000", "90000000"]
UNSURE = ["EGW00202", "EGW00203", "EGW00300", "EGW00301", "EGW00302", "IGW00009", "OPSQ2001", "", "1", "APBK", "XYZ"]


@pytest.mark.parametrize("code", SURE)
def test_B05_a_listed_code_is_a_refusal(code):
    assert after_refusal(INTENT, KISRefusal(code, ""), 0.0).state is State.REFUSED


@pytest.mark.parametrize("code", UNSURE)
def test_B06_any_other_code_leaves_it_unknown(code):
    assert after_refusal(INTENT, KISRefusal(code, ""), 0.0).state is State.UNKNOWN


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("0000037508", 37508), ("37508", 37508), (" 37508 ", 37508), (37508, 37508), ("", None), ("0", None)),
        *(("N/A", None), (None, None), (True, None), ("-5", None), ("１２", None), ("1.5", None)),
    ],
)
def test_B19_order_numbers_compare_without_leading_zeros(text, number):
    assert order_number(text) == number


@pytest.mark.parametrize("garbled", [{"0": {"odno": []}}, {"odno": [], "pdno": None, "ovrs_pdno": 3.5}, {"pdno": True}])
def test_H18_a_garbled_row_is_no_padding_for_a_list_without_it_would_seem_whole(garbled):
    for read in (read_orders, read_positions):
        with pytest.raises(NoAnswer):
            read([garbled])


def test_B18_rows_are_read_once_and_padding_is_passed_over():
    row = {"odno": "0000000500", "ord_dt": "20251124", "pdno": "SOUN", "sll_buy_dvsn_cd": "02", "ft_ord_qty": "10"}
    row |= {"ft_ccld_qty": "0", "nccs_qty": "10", "ft_ord_unpr3": "9.00000000", "ord_tmd": "010001"}
    blank = dict.fromkeys(row, "") | {"ft_ord_qty": "0"}
    assert [order.number for order in read_orders([row, row, blank])] == [500]


def test_B18_one_holding_at_two_exchanges_counts_once_and_lots_are_added():
    lot = {"ovrs_pdno": "SOXL", "ovrs_excg_cd": "AMEX", "ovrs_cblc_qty": "21", "ord_psbl_qty": "21"}
    lot |= {"pchs_avg_pric": "10.0000", "loan_type_cd": "10"}
    other = {**lot, "loan_type_cd": "01", "ovrs_cblc_qty": "7", "ord_psbl_qty": "0", "pchs_avg_pric": "14.0000"}
    sold = {**lot, "ovrs_pdno": "AMD", "ovrs_cblc_qty": "0"}
    elsewhere = {**lot, "ovrs_excg_cd": "NASD"}
    positions = read_positions([lot, elsewhere, other, sold, {**lot, "ovrs_pdno": ""}])
    assert set(positions) == {"SOXL"}
    assert (positions["SOXL"].quantity, positions["SOXL"].sellable, positions["SOXL"].average_price) == (28, 21, 11)
