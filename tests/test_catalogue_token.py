"""Rows of the fault catalogue about the token (T) that no other test carries, named by their numbers."""

import json

import pytest
from conftest import START
from test_orders import Killed, check_books, follow, kill_at, only, orders, settled, shop, trade  # noqa: F401
from test_timetable import run_daemon

from clock import VirtualClock
from simulator import Fault

SEVEN_HOURS = 7 * 3600
EXPIRED = {"code": "EGW00123", "message": "기간이 만료된 token 입니다."}
ONE_SYMBOL = json.dumps({"filter_stocks": {}, "watch_list": ["NVDA"]})
CYCLE = 8  # calls of a scan, a buy pass and two looks at the order


@pytest.mark.parametrize("calls", range(CYCLE + 1))
def test_T01_a_token_that_dies_at_any_call_of_a_cycle_costs_one_issuance(shop, calls):  # noqa: F811
    house = shop(only("SOUN")).started()
    house.pass_seconds(SEVEN_HOURS)
    house.sim.faults.add(Fault("error", "kis", after=calls, times=1, **EXPIRED))

    house.daemon.watch()
    trade(house)
    follow(house, 1)

    assert house.issued() == (2 if calls < CYCLE else 1)
    assert settled(house)
    assert check_books(house) == {"SOUN": 100}
    assert house.api.counts["yfinance"] == 0


def test_T04_a_renewal_that_cannot_be_saved_leaves_the_old_file_as_it_was(house, log, monkeypatch):
    house.started()
    before = house.token_file.read_bytes()

    def read_only(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("files.os.replace", read_only)
    house.pass_seconds(23 * 3600 + 51 * 60)
    house.daemon.check_and_refresh_token()

    assert house.issued() == 2
    assert house.token_file.read_bytes() == before
    assert log("저장 실패") == ["api_token.json 저장 실패 (Read-only file system): 토큰은 메모리에서 계속 사용합니다"]
    house.pass_seconds(3600)
    assert house.api.get_quote("NVDA").source == "KIS"
    assert house.issued() == 2


@pytest.mark.parametrize(("profile", "mode"), [("paper", "sim"), ("real", "paper")])
def test_T06_a_pair_that_belongs_to_the_other_server_orders_nothing_and_issues_nothing(shop, log, profile, mode):  # noqa: F811
    """No probe of its own at the start (design §1 knows no such exit): KIS's refusal is said, and nothing is bought."""
    house = shop(profile=profile, kis_mode=mode, kis_calls_per_second=0.8, clock=VirtualClock(START)).started()
    for _ in range(3):
        trade(house)
        house.pass_seconds(3600)
    assert not orders(house)
    assert house.issued() == 1
    assert log("KIS API 오류: rt_cd=")
    assert log("[매수] 건너뜀")


@pytest.mark.parametrize("code", ["EGW02004", "EGW02006", "EGW02007"])
def test_T06_the_codes_of_a_wrong_pair_are_no_token_errors(house, log, code):
    house.started()
    house.sim.faults.add(Fault("error", "kis", code=code, message="모의투자 TR 이 아닙니다. (token, 인증)"))
    assert house.api.get_quote("NVDA").source == "yfinance"
    assert house.issued() == 1
    assert not log("[AUTO_RECOVER]")


def test_T09_an_issuance_whose_answer_got_lost_is_asked_again_after_61_seconds(house):
    house.sim.faults.add(Fault("lost_answer", "token", times=1))
    house.daemon.check_and_refresh_token()
    for _ in range(60):
        house.pass_seconds(1)
        house.api.get_quote("NVDA")
    assert house.issued() == 1

    house.pass_seconds(1)

    assert house.api.get_quote("NVDA").source == "KIS"
    assert [attempt.result for attempt in house.sim.issuances] == ["new", "same"]


# T12: the owner's clock is wrong, KIS's is right


@pytest.fixture
def wrong_clock(make_house):
    """A daemon whose clock may step while the broker's does not."""
    house = make_house(inside=True, steps_alone=True)
    house.settings.stocks_file.write_text(ONE_SYMBOL, "utf-8")
    house.started().pass_seconds(3600)
    return house


AN_HOUR, A_DAY, TO_1970 = 3600, 86400, -56 * 365 * 86400


@pytest.mark.parametrize(
    ("step", "most"),
    [
        *((AN_HOUR, 3), (-AN_HOUR, 3), (-A_DAY, 3), (TO_1970, 3)),  # at the start, and one for each day
        (A_DAY, 49),  # every token seems to have ended: each is believed to live an hour (design §5 keeps no offset)
    ],
)
@pytest.mark.parametrize("restarts", [False, True])
def test_T12_a_wrong_clock_costs_no_quote_and_never_more_than_an_issuance_an_hour(wrong_clock, step, most, restarts):
    house = wrong_clock
    house.clock.step(step)
    if restarts:
        house.restart()
    for _ in range(2 * 24):
        house.daemon.check_and_refresh_token()
        assert house.api.get_quote("NVDA").source == "KIS"
        house.pass_seconds(3600)
    assert house.issued() <= most


@pytest.mark.parametrize("seconds", [-3600, -30 * 365 * 86400])
@pytest.mark.parametrize("restarts", [False, True])
def test_T12_a_clock_put_back_does_not_hold_the_next_issuance_beyond_its_61_seconds(wrong_clock, seconds, restarts):
    house = wrong_clock
    house.pass_seconds(SEVEN_HOURS)
    house.clock.step(seconds)
    house.sim.revoke_tokens("EGW00123")
    if restarts:
        house.restart()
        house.daemon.check_and_refresh_token()
        house.pass_seconds(61)
    assert house.api.get_quote("NVDA").source == "KIS"
    assert house.issued() == 2


def test_T12_a_clock_put_back_does_not_prolong_the_hour_after_a_futile_issuance(wrong_clock):
    house = wrong_clock
    house.sim.revoke_tokens("EGW00121", stuck=True)
    house.api.get_quote("NVDA")
    house.clock.step(-86400)
    assert house.restart().daemon.tokens.wait_seconds() == pytest.approx(3600, abs=1)


@pytest.mark.parametrize("hours", [0.02, 3.0, 5.99, 6.01, 13.37, 23.5])
def test_T13_a_token_that_another_program_has_killed_is_never_sent_or_loaded_again(house, hours):
    house.started().pass_seconds(hours * 3600)
    dead = house.daemon.tokens.token.value
    house.sim.revoke_tokens("EGW00121")

    assert house.api.get_quote("NVDA").source == "KIS"

    assert house.issued() == 2
    sent = []
    house.sim.watch(lambda name, request: sent.append(request.headers.get("authorization", "")))
    house.restart().daemon.check_and_refresh_token()
    house.pass_seconds(61)
    assert house.api.get_quote("NVDA").source == "KIS"
    assert sent
    assert not [header for header in sent if dead in header]


def test_T21_with_kis_down_at_the_six_hour_marks_the_brokers_are_remade_all_the_same(make_house, log):
    """A re-init asks KIS nothing (design §5), so there is nothing that could fail."""
    house = make_house(inside=True, watch_interval_seconds=900.0)
    house.settings.stocks_file.write_text(ONE_SYMBOL, "utf-8")
    outages = [(5.9, lambda: house.sim.faults.add(Fault("refused", "kis"))), (6.1, house.sim.faults.clear)]
    run_daemon(house, 12.2, *outages, *((hours + 6, action) for hours, action in outages))
    assert len(log("✅ 주기적 재초기화 성공")) == 2
    assert not log("[JOB]")
    assert house.issued() == 1


@pytest.mark.parametrize("place", ["before_issue", "after_issue"])
def test_P08_a_kill_around_an_issuance_asks_once_a_minute_and_loses_nothing(house, place):
    house.daemon.tokens._point = kill_at(place)
    with pytest.raises(Killed):
        house.daemon.check_and_refresh_token()
    asked = house.issued()
    for _ in range(6):
        house.restart().daemon.check_and_refresh_token()
        house.pass_seconds(10)
    assert house.issued() == asked

    house.pass_seconds(1)

    assert house.api.get_quote("NVDA").source == "KIS"
    assert house.issued() == asked + 1
