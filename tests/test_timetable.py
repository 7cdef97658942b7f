"""The timetable and the loop: a grid that does not drift, jobs that may fail, clocks that may jump."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from clock import KST, VirtualClock
from errors import BrokersNotMade, Stopping
from timetable import Timetable, guarded

START = datetime(2026, 11, 23, 22, 0, tzinfo=KST)


@pytest.fixture
def clock():
    return VirtualClock(START)


@pytest.fixture
def table(clock):
    return Timetable(clock)


def run_for(table, clock, seconds, tick=5.0):
    end = clock.monotonic() + seconds
    while clock.monotonic() < end - 1e-6:
        clock.advance(min(table.seconds_until_next() or 1e-3, tick, end - clock.monotonic()))
        table.run_pending()


def test_C14_a_slow_job_does_not_move_the_grid(table, clock):
    runs = []

    def slow():
        runs.append(round(clock.monotonic(), 3))
        clock.advance(7)

    table.every(60).seconds.do(slow)
    run_for(table, clock, 3600)
    assert runs == [60.0 * n for n in range(1, 61)]


@pytest.mark.parametrize("begun", [number * 0.37 for number in range(60)])
def test_grids_that_differ_by_a_breath_have_each_run_once(begun):
    clock = VirtualClock(START)
    clock.advance(begun)
    table, runs = Timetable(clock), []
    table.every(10).seconds.do(lambda: None)
    table.every(6.666667).seconds.do(lambda: runs.append(clock.monotonic()))
    run_for(table, clock, 600)
    assert len(runs) == 89
    assert min(later - earlier for earlier, later in pairwise(runs)) > 6


def test_C03_a_step_of_the_wall_clock_is_no_silence(table, clock):
    runs = []
    table.every(10).minutes.do(lambda: runs.append(1))
    clock.step(-3600)
    run_for(table, clock, 3600)
    assert len(runs) == 6


def test_T22_C01_after_a_suspend_each_job_runs_once_and_returns_to_its_grid(table, clock):
    runs = []
    table.every(30).minutes.do(lambda: runs.append(clock.monotonic() / 60))
    clock.advance(8 * 3600 + 600)
    table.run_pending()
    run_for(table, clock, 1800)
    assert runs == [490, 510]


@pytest.mark.parametrize("error", [ValueError, KeyError, OSError, MemoryError, RecursionError, Stopping])
def test_P20_a_job_that_raises_runs_again_and_starves_nobody(table, clock, log, error):
    ran = {"bad": 0, "good": 0}

    def bad():
        ran["bad"] += 1
        raise error("broken on purpose")

    def good():
        ran["good"] += 1

    table.every(60).seconds.do(guarded(bad))
    table.every(60).seconds.do(guarded(good))
    run_for(table, clock, 300)
    assert ran == {"bad": 5, "good": 5}
    assert len(log("[JOB] bad 실패")) == (0 if error is Stopping else 5)


def test_what_is_booked_once_runs_once_and_the_last_booking_counts(table, clock):
    runs = []
    table.after(10, "look", lambda: runs.append("first"))
    table.after(20, "look", lambda: runs.append("second"))
    run_for(table, clock, 100)
    assert runs == ["second"]


# the daemon on the table


def run_daemon(house, hours, *events):
    """The daemon's own loop for so many virtual hours, with what the world does meanwhile."""
    for after, action in events:
        house.clock.at(house.clock.now() + timedelta(hours=after), action)
    house.clock.at(house.clock.now() + timedelta(hours=hours), house.stop.set)
    house.daemon.run()


@pytest.fixture
def when(monkeypatch, house, caplog):
    """The virtual instants, in hours since the start, at which a text was logged."""
    import logging

    said = []

    class Listener(logging.Handler):
        def emit(self, record):
            said.append((round(house.clock.monotonic() / 3600, 4), record.getMessage()))

    listener = Listener()
    logging.getLogger().addHandler(listener)
    caplog.set_level(logging.INFO)
    yield lambda text: [at for at, message in said if text in message]
    logging.getLogger().removeHandler(listener)


@pytest.fixture
def quiet(house):
    """One symbol a quarter of an hour, so that two days are a second."""
    house.settings.stocks_file.write_text('{"filter_stocks": {}, "watch_list": ["NVDA"]}', "utf-8")
    return house.restart(watch_interval_seconds=900.0)


def test_brokers_are_remade_on_the_six_hour_grid_whatever_else_happens(quiet, when):
    run_daemon(quiet, 48.1, (7.5, lambda: quiet.sim.revoke_tokens("EGW00121")))

    assert when("주기적 재초기화 성공") == pytest.approx([6, 12, 18, 24, 30, 36, 42, 48], abs=1 / 60)
    assert quiet.daemon.periodic_reinits == 8


def test_T22_a_check_due_with_a_reinit_says_its_first_line_and_then_the_block(quiet, log):
    run_daemon(quiet, 6.01)
    lines = log("TOKEN_")
    at = lines.index("[TOKEN_CHECK] 주기적 브로커 재초기화 (24시간 토큰 만료 대비)")
    assert lines[at - 1].startswith("[TOKEN_CHECK] 기존 토큰 사용")
    assert lines[at + 1 :] == [
        "[TOKEN_REFRESH] mojito2 브로커 재초기화 시작...",
        "[TOKEN_REFRESH] mojito2 브로커 재초기화 완료",
        "[TOKEN_CHECK] ✅ 주기적 재초기화 성공",
    ]


def test_three_quiet_days_issue_one_token_in_each_23_hours_and_50_minutes(quiet, when):
    run_daemon(quiet, 3 * 24)
    assert quiet.issued() == 4
    checks = sorted(when("[TOKEN_CHECK]"))
    assert max(later - earlier for earlier, later in pairwise(checks)) < 0.501
    assert quiet.daemon.api.counts["yfinance"] == 0


def test_T21_a_mojito_that_cannot_be_made_is_a_failed_reinit(house, log, monkeypatch):
    house.started()

    def broken(*_):
        raise KeyError("mojito")

    monkeypatch.setattr("mojito.KoreaInvestment.__init__", broken)
    house.pass_seconds(6 * 3600)
    house.daemon.check_and_refresh_token()
    assert "[TOKEN_CHECK] ❌ 주기적 재초기화 실패: KeyError" in log("❌")
    assert house.api.get_quote("NVDA").source == "KIS"


def test_T21_a_reinit_that_fails_keeps_the_old_brokers_and_is_tried_at_the_next_check(quiet, when, log):
    def broken():
        raise BrokersNotMade("OSError")

    def break_it():
        quiet.api.reinitialize_brokers, original = broken, quiet.api.reinitialize_brokers
        quiet.clock.at(
            quiet.clock.now() + timedelta(minutes=15), lambda: setattr(quiet.api, "reinitialize_brokers", original)
        )

    run_daemon(quiet, 13, (5.9, break_it))

    assert when("❌ 주기적 재초기화 실패") == [6.0]
    assert when("✅ 주기적 재초기화 성공") == pytest.approx([6.5, 12.0])
    assert "[TOKEN_CHECK] ❌ 주기적 재초기화 실패: OSError" in log("❌")
    assert quiet.daemon.api.counts["yfinance"] == 0


@pytest.mark.parametrize("seconds", [3600, -3600, 86400])
def test_C02_C03_a_step_of_the_clock_leads_to_a_token_check_at_once(quiet, when, seconds):
    run_daemon(quiet, 1.2, (1.1, lambda: quiet.clock.step(seconds)))
    assert when("시계가") == pytest.approx([1.1], abs=0.01)
    assert [at for at in when("TOKEN_CHECK") if 1.09 < at < 1.12]


def test_C01_a_suspend_leads_to_a_token_check_at_once(quiet, when):
    run_daemon(quiet, 10, (1.1, lambda: quiet.clock.advance(5 * 3600)))
    assert when("멈춰 있었습니다") == pytest.approx([6.1], abs=0.01)
    assert [at for at in when("기존 토큰 사용") if 6.09 < at < 6.12]


def test_a_file_deleted_soon_after_an_issuance_is_mended_as_soon_as_61_seconds_have_passed(house, when):
    run_daemon(house, 0.1, (0.003, house.token_file.unlink))
    assert when("✅ 자동 복구 성공") == pytest.approx([61 / 3600], abs=3 / 3600)


def test_a_status_line_comes_every_five_minutes_and_status_json_every_minute(quiet, when):
    import json

    run_daemon(quiet, 1.01)
    assert len(when("[STATUS]")) == 12
    status = json.loads(quiet.settings.status_file.read_text("utf-8"))
    assert status["token_state"] == "유효"
    assert status["last_quote_source"] == "KIS"
