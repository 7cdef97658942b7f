"""What the log says by itself: every reason once per change, and a quiet night that stays short."""

import logging
from datetime import datetime, timedelta

import pytest
from test_orders import only, shop, trade  # noqa: F401 - a fixture
from test_timetable import run_daemon

from clock import KST, VirtualClock
from logs import FORMAT
from simulator import Fault, Options
from simulator.server import serve  # noqa: F401 - the house serves
from timetable import guarded

EVENING = datetime(2026, 11, 23, 22, 0, tzinfo=KST)


@pytest.fixture
def night(make_house):
    """NYSE's hours, from ten in the evening."""

    def make(**changes):
        return make_house(VirtualClock(EVENING), Options(hours="nyse"), sim_hours="nyse", inside=True, **changes)

    return make


@pytest.fixture
def lines(caplog):
    """The INFO lines of a test, in the order in which they came."""
    caplog.set_level(logging.INFO)

    def about(part=""):
        return [record.getMessage() for record in caplog.records if part in record.getMessage()]

    return about


# a night


def test_a_quiet_night_stays_under_200_kilobytes_and_tells_its_story(night, lines, caplog):
    house = night()
    house.sim.pin("NVDA", "100", "110")  # the gate stays shut
    run_daemon(house, 9)

    formatter = logging.Formatter(FORMAT)
    size = sum(len(formatter.format(record).encode()) + 1 for record in caplog.records)
    assert size < 200_000, size
    assert lines("[시장]") == [
        "[시장] 개장 23:30 KST (뉴욕 09:30)",
        "[시장] 열렸습니다, 마감 06:00 KST (뉴욕 16:00)",
        "[시장] 닫혔습니다, 개장 23:30 KST (뉴욕 09:30)",
    ]
    assert len(lines("[READY]")) == 1
    assert lines("[매도] 건너뜀") == ["[매도] 건너뜀: 이 데몬이 산 주식이 없음"]
    assert len(lines("[매수]")) == 7
    assert not lines("[WORK]")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_night_with_halt_says_so_once(night, lines):
    house = night()
    house.settings.halt_file.touch()
    run_daemon(house, 9)
    assert lines("[매수] 건너뜀") == ["[매수] 건너뜀: HALT 파일"]


def test_an_account_that_cannot_be_read_all_night_is_one_reason(night, lines):
    house = night(sell_scope="account")
    house.sim.faults.add(Fault("html502", "ledger"))
    run_daemon(house, 3)
    assert lines("[매수] 건너뜀") == ["[매수] 건너뜀: HTTP 502, JSON 아님"]
    assert lines("[매도] 건너뜀") == ["[매도] 건너뜀: HTTP 502, JSON 아님"]


def test_a_reason_that_changes_and_one_that_comes_back_are_said_again(shop, lines):  # noqa: F811
    house = shop(only("SOUN")).started()

    def step(fault=None):
        if fault is not None:
            house.sim.faults.add(fault)
        house.pass_seconds(3601)
        house.daemon.trader.trade_if_due()

    house.settings.halt_file.touch()
    step()
    step()
    house.settings.halt_file.unlink()
    step(Fault("html502", "ledger", times=1))
    house.pass_seconds(61)
    house.daemon.trader.trade_if_due()
    house.settings.halt_file.touch()
    step()
    said = [line.split(": ", 1)[1] for line in lines("[매수] 건너뜀")]
    assert said == ["HALT 파일", "HTTP 502, JSON 아님", "HALT 파일"]


# work that stays away


def test_no_quote_for_five_minutes_in_session_is_one_line_and_its_end_another(night, lines):
    house = night()
    for kind in ("kis", "yahoo"):
        fault = Fault("html502", kind, until=EVENING + timedelta(hours=2, minutes=20))
        house.clock.at(EVENING + timedelta(hours=2), lambda fault=fault: house.sim.faults.add(fault))
    run_daemon(house, 2.5)
    work = lines("[WORK]")
    assert len(work) == 2
    assert work[0].startswith("[WORK] 일이 밀렸습니다: 시세: 마지막 23:59")
    assert work[1] == "[WORK] 밀린 일이 없습니다"


def test_a_suspend_is_no_work_left_undone(night, lines):
    house = night()
    house.clock.at(EVENING + timedelta(hours=2), lambda: house.clock.advance(2 * 3600))
    run_daemon(house, 5)
    assert lines("멈춰 있었습니다")
    assert not lines("[WORK]")


def test_a_job_that_fails_again_and_again_gets_a_line_of_its_own(lines):
    broken = [True]

    def job():
        if broken[0]:
            raise KeyError("x")

    run = guarded(job)
    for _ in range(5):
        run()
    assert lines("번 이어서") == ["[JOB] job 3번 이어서 실패했습니다"]
    broken[0] = False
    run()
    broken[0] = True
    run()
    run()
    assert len(lines("번 이어서")) == 1


def test_a_disk_that_fills_up_is_said_when_it_does_and_when_it_is_well_again(house, lines):
    free = {"bytes": 5_000_000_000}
    house.daemon.disk.free_bytes = lambda folder: free["bytes"]
    for amount in (5_000_000_000, 500_000_000, 400_000_000, 50_000_000, 6_000_000_000):
        free["bytes"] = amount
        house.daemon.night.say_disk()
    said = lines("[DISK]")
    assert len(said) == 3
    assert "0.5 GB" in said[0]
    assert said[1].endswith("나가지 않습니다")


# codes


def test_a_code_is_explained_once_and_a_dead_token_by_its_recovery_alone(house, lines):
    house.started()
    house.sim.faults.add(Fault("error", "ledger", code="EGW00215", times=2))
    house.sim.faults.add(Fault("error", "quote", code="EGW00123", times=1))
    house.daemon.trader.account.positions()
    house.daemon.watch()
    said = lines("[KIS]")
    assert len(said) == 1
    assert said[0].startswith("[KIS] EGW00215: 잔고·주문내역은")
    assert said[0].endswith("끄세요)")


def test_a_refused_issuance_is_explained(house, lines):
    house.sim.faults.add(Fault("error", "token", code="EGW00133", status=403))
    house.daemon.check_and_refresh_token()
    assert [line for line in lines("[KIS]") if "1분에 한 번" in line]
