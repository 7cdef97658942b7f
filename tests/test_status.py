"""`status`: is it working, not only alive; judged when it is read."""

import io
import json
import os
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_daemon import ended, start, wait_until  # noqa: F401 - a fixture
from test_orders import follow, only, shop, trade  # noqa: F401 - a fixture

from clock import KST
from health.status_view import look, render, show_status
from health.terminal import knows_colours
from health.verdict import Level, instant, judge, span
from simulator import Fault
from trades import display_width

NOW = datetime(2026, 11, 24, 1, 0, tzinfo=KST)  # New York trades


def ago(seconds):
    return (NOW - timedelta(seconds=seconds)).isoformat(timespec="seconds")


def document(**changes):
    """A night on which all is well."""
    work = {
        "quote": {"at": ago(20), "result": "NVDA $178.50 (KIS)", "limit_open": 300, "limit_closed": None},
        "token_check": {"at": ago(600), "result": "유효", "limit_open": 2100, "limit_closed": 2100},
        "pass": {"at": ago(900), "result": "", "limit_open": 2100, "limit_closed": None},
    }
    work.update(changes.pop("work", {}))
    return {
        "version": 2,
        "mode": "real",
        "pid": os.getpid(),
        "written_at": ago(30),
        "started_at": ago(86400),
        "market_open": True,
        "session_opened_at": ago(5400),
        "session_closes_at": ago(-18000),
        "work": work,
        **changes,
    }


def entry(age, open_=300, closed=None):
    return {"at": ago(age), "result": "", "limit_open": open_, "limit_closed": closed}


# the verdict


@pytest.mark.parametrize(
    ("changes", "level", "word"),
    [
        ({}, Level.GOOD, None),
        ({"written_at": ago(180)}, Level.GOOD, None),
        ({"written_at": ago(181)}, Level.LATE, "쓰지 않았습니다"),
        ({"written_at": ago(361)}, Level.STALLED, "쓰지 않았습니다"),
        ({"written_at": ago(-59)}, Level.GOOD, None),
        ({"written_at": ago(-61)}, Level.LATE, "시계"),
        ({"written_at": "gestern"}, Level.STALLED, "알 수 없습니다"),
        ({"stopped_at": ago(10)}, Level.STALLED, "python main.py"),
        ({"work": {"quote": entry(300)}}, Level.GOOD, None),
        ({"work": {"quote": entry(301)}}, Level.LATE, "시세"),
        ({"work": {"quote": entry(601)}}, Level.STALLED, "시세"),
        ({"work": {"quote": {"at": None, "limit_open": 300}}}, Level.STALLED, "시세: 아직 없음"),
        ({"work": {"token_check": entry(2101, 2100, 2100)}}, Level.LATE, "토큰 점검"),
        ({"work": {"order": entry(999999, None)}}, Level.GOOD, None),
    ],
)
def test_the_verdict(changes, level, word):
    verdict = judge(document(**changes), NOW)

    assert verdict.level is level
    if word:
        assert word in " ".join(verdict.reasons)
    else:
        assert verdict.reasons == ()


def test_a_process_that_is_gone_is_stalled_however_fresh_its_file():
    assert judge(document(), NOW, alive=False).level is Level.STALLED


def test_the_age_of_work_counts_from_the_open_not_from_yesterday():
    just_open = document(session_opened_at=ago(240), work={"quote": entry(50000), "pass": entry(50000)})
    assert judge(just_open, NOW).level is Level.GOOD


def test_at_night_an_old_quote_is_no_delay():
    closed = document(session_opened_at=None, session_closes_at=None, market_open=False, work={"quote": entry(50000)})
    assert judge(closed, NOW).level is Level.GOOD


def test_a_session_that_has_closed_since_the_file_was_written_is_closed():
    over = document(session_closes_at=ago(1), work={"quote": entry(3000)})
    verdict = judge(over, NOW)
    assert not verdict.market_open
    assert verdict.level is Level.GOOD


def test_the_worst_of_several_reasons_counts_and_all_are_told():
    verdict = judge(document(work={"quote": entry(301), "pass": entry(9999)}), NOW)
    assert verdict.level is Level.STALLED
    assert len(verdict.reasons) == 2


OLD = {
    "version": 1,
    "mode": "sim",
    "pid": os.getpid(),
    "written_at": ago(30),
    "started_at": ago(4000),
    "market_open": True,
    "quotes": {"KIS": 3},
    "why_nothing_bought": {"전체": "필터 종목이 오르지 않음"},
}


def test_a_file_of_an_older_version_is_judged_by_what_it_says():
    verdict = judge(OLD, NOW)
    lines = list(render(OLD, verdict, NOW, colours=False))

    assert verdict.level is Level.GOOD
    assert any("옛 판" in line for line in lines)
    assert any("필터 종목이 오르지 않음" in line for line in lines)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.just(ago(10)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = sorted({*document(), "why_nothing_bought", "why_nothing_sold", "next_open_at", "stopped_at"})
WORK = st.dictionaries(
    st.sampled_from(["quote", "balance", "order"]),
    st.dictionaries(st.sampled_from(["at", "result", "limit_open", "limit_closed"]), JSON) | JSON,
)


@given(st.dictionaries(st.sampled_from(NAMES), JSON | WORK))
@settings(max_examples=150, deadline=None)
def test_whatever_stands_in_the_file_is_judged_and_shown_within_eighty_columns(garbled):
    verdict = judge(garbled, NOW)
    for line in render(garbled, verdict, NOW, colours=False):
        assert display_width(line) <= 80
        assert line.isprintable()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0초"),
        (59.9, "59초"),
        (60, "1분"),
        (3599, "59분"),
        (3600, "1시간"),
        (3900, "1시간 5분"),
        (200000, "2일 7시간"),
    ],
)
def test_a_span_in_words(seconds, words):
    assert span(seconds) == words


@pytest.mark.parametrize("text", [None, 5, "", "now", "2026-11-24", "2026-11-24T01:00:00", "0001-01-01T00:00:00+23:00"])
def test_what_is_no_instant_with_a_zone_is_none(text):
    assert instant(text) is None


# what a daemon writes


@pytest.fixture
def traded(shop):  # noqa: F811
    house = shop(only("SOUN")).started()
    house.daemon.watch()
    trade(house)
    follow(house, 1)
    house.daemon.write_status()
    return house


def lines_of(house):
    now = house.clock.now()
    return list(render(*look(house.settings, now), now, colours=False))


def test_a_daemon_that_has_just_traded_is_well_and_shows_what_it_did(traded):
    document, verdict = look(traded.settings, traded.clock.now())

    assert verdict.level is Level.GOOD
    rows = {row.key: row for row in verdict.rows}
    assert set(rows) == {"quote", "balance", "token_check", "reinit", "pass", "order"}
    assert all(row.at is not None for row in rows.values())
    assert "(KIS)" in rows["quote"].result
    assert rows["order"].result.startswith("매수 SOUN 100주 $9.00: 체결")
    assert document["why_nothing_sold"]
    assert document["sim_url"] == traded.server.url
    assert all(display_width(line) <= 80 for line in lines_of(traded))


def test_why_nothing_was_bought_stands_there_symbol_by_symbol(shop):  # noqa: F811
    house = shop(max_buy_orders_per_day=1).started()
    house.settings.halt_file.touch()
    house.daemon.watch()
    trade(house)
    house.daemon.write_status()
    assert "  전체: HALT 파일" in lines_of(house)
    house.settings.halt_file.unlink()
    house.pass_seconds(3601)
    trade(house)
    house.daemon.write_status()
    text = "\n".join(lines_of(house))
    assert "하루 매수 1건 한도" in text


def test_no_quote_in_session_is_late_and_then_stalled(traded):
    traded.daemon.watch()
    for kind in ("kis", "yahoo"):
        traded.sim.faults.add(Fault("html502", kind))
    levels = []
    for _ in range(11):
        traded.pass_seconds(60)
        traded.daemon.watch()
        traded.daemon.write_status()
        levels.append(look(traded.settings, traded.clock.now())[1].level)
    assert levels[:4] == [Level.GOOD] * 4
    assert levels[5:9] == [Level.LATE] * 4
    assert levels[-1] is Level.STALLED


def test_a_balance_that_cannot_be_read_is_late_but_one_that_nobody_needs_is_not(traded):
    traded.settings.halt_file.touch()
    traded.pass_seconds(5 * 3600)
    traded.daemon.watch()
    traded.daemon.check_and_refresh_token()
    traded.daemon.write_status()
    assert not [reason for reason in look(traded.settings, traded.clock.now())[1].reasons if "잔고" in reason]
    traded.settings.halt_file.unlink()
    traded.sim.faults.add(Fault("html502", "ledger"))
    trade(traded)
    traded.daemon.write_status()
    assert [reason for reason in look(traded.settings, traded.clock.now())[1].reasons if "잔고" in reason]


def test_a_daemon_that_has_ended_says_when(traded):
    traded.close()
    verdict = look(traded.settings, traded.clock.now())[1]
    assert verdict.level is Level.STALLED
    assert "에 끝났습니다" in verdict.reasons[0]


# the command


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff\xfe", b"9" * 5000, b"[" * 100000])
def test_a_file_that_says_nothing_is_stalled_with_a_clear_line(house, capsys, content):
    if content is not None:
        house.settings.status_file.write_bytes(content)

    assert show_status(house.settings, house.clock, watch=False, as_json=False) == 1

    out = capsys.readouterr().out
    assert "멈춤" in out
    assert "status.json" in out
    assert "python main.py" in out


def test_json_holds_the_verdict_and_the_whole_status(traded, capsys):
    assert show_status(traded.settings, traded.clock, watch=False, as_json=True) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["verdict"], shown["code"]) == ("정상", "ok")
    assert shown["work"]["quote"]["limit_seconds"] == 300
    assert shown["status"]["mode"] == "sim"


def test_watch_refreshes_until_it_is_told_to_stop(traded, capsys, monkeypatch):
    clock, shown = traded.clock, []

    def wait(stop, seconds):
        shown.append(seconds)
        clock.advance(seconds)
        return len(shown) == 3

    monkeypatch.setattr(clock, "wait", wait)
    assert show_status(traded.settings, clock, watch=True, as_json=False) == 0
    assert shown == [2.0] * 3
    assert capsys.readouterr().out.count("AutoStock") == 3


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_colours_are_for_terminals_that_want_them():
    assert knows_colours(Terminal(), {"TERM": "xterm"})
    assert not knows_colours(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert not knows_colours(Terminal(), {"TERM": "dumb"})
    assert not knows_colours(io.StringIO(), {"TERM": "xterm"})


def test_on_a_terminal_the_watch_stays_within_the_screen(traded, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setattr("health.status_view.screen_lines", lambda: 10)
    monkeypatch.setattr(traded.clock, "wait", lambda stop, seconds: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    show_status(traded.settings, traded.clock, watch=True, as_json=False)
    assert screen.getvalue().startswith("\x1b[H\x1b[2J")
    assert "\x1b[32m정상\x1b[0m" in screen.getvalue()
    assert len(screen.getvalue().splitlines()) <= 10


def test_the_owner_types_status_beside_a_running_daemon_and_after_it(start):  # noqa: F811
    run = start().wait_for("[OK]", 16)
    path = run.folder / "status.json"
    wait_until(path.exists)
    for encoding in ("utf-8", "ascii"):
        status, console = ended(start, "status", PYTHONIOENCODING=encoding)
        assert status == 0, console
    run.kill()
    status, console = ended(start, "status")
    assert status == 1
    assert "멈춤" in console
