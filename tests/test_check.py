"""`check` and the daemon's [READY]: is everything there for tonight?"""

import json
import logging
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from test_daemon import ended, start, wait_until  # noqa: F401 - a fixture
from test_orders import beside_a_twin, follow, intents, only, shop, trade  # noqa: F401 - a fixture
from test_timetable import quiet, run_daemon, when  # noqa: F401 - fixtures

from clock import KST, VirtualClock
from config import SIM_APP_KEY, SIM_APP_SECRET
from health import probes
from health.check import run_check
from health.probes import Result
from instance_lock import InstanceLock, holder
from market_hours import MarketHours, NyseCalendar
from process import lock_file
from simulator import Fault, Options
from trades import display_width

ALL = ["설정", "파일", "디스크", "달력", "토큰", "KIS 시세", "계좌", "장부", "주문", "시계", "yfinance 시세", "알림"]


@pytest.fixture
def check(tmp_path, capsys):
    """Runs the command on a house: the exit status, and name → probe."""

    def run(house, **more):
        capsys.readouterr()
        status = run_check(house.settings, house.clock, env_file=tmp_path / ".env", as_json=True, **more)
        out = capsys.readouterr().out
        return status, {probe["name"]: probe for probe in json.loads(out)["probes"]}

    return run


@pytest.fixture
def page(tmp_path, capsys):
    def run(house, **more):
        capsys.readouterr()
        status = run_check(house.settings, house.clock, env_file=tmp_path / ".env", **more)
        return status, capsys.readouterr().out

    return run


@pytest.fixture
def beside():
    """A daemon that holds the lock of a house."""
    locks = []

    def hold(house):
        locks.append(InstanceLock(lock_file(house.settings)))
        return house

    yield hold
    for lock in locks:
        lock.release()


def results(found):
    return {name: probe["result"] for name, probe in found.items()}


def dump(path):
    with closing(sqlite3.connect(path)) as db:
        return list(db.iterdump())


# alone


def test_alone_without_a_token_it_says_so_issues_one_and_all_is_well(house, check, page):
    status, text = page(house)
    assert status == 0
    assert "쓸 수 있는 토큰이 없어 발급합니다 (토큰 없음)" in text
    assert text.rstrip().endswith("오늘 밤 준비됐습니다.")
    assert house.issued() == 1
    assert [record.cause for record in house.daemon.ledger.issuances(house.settings.key_mark)] == ["check: 토큰 없음"]
    status, found = check(house)
    assert results(found) == dict.fromkeys(ALL, "PASS")
    assert house.issued() == 1


def test_an_issuance_by_check_counts_for_the_61_seconds_of_everybody(house, check):
    check(house)
    house.token_file.unlink()
    status, found = check(house)
    assert status == 1
    assert "발급 간격 미경과" in found["토큰"]["text"]
    assert house.issued() == 1


def test_with_a_usable_token_it_writes_nothing_at_all(house, check):
    house.started().close()
    house.settings.halt_file.touch()
    before = dump(house.settings.database_file), house.token_file.read_bytes()
    files = sorted(path.name for path in house.settings.data_dir.iterdir())

    assert check(house)[0] == 0

    assert (dump(house.settings.database_file), house.token_file.read_bytes()) == before
    assert sorted(path.name for path in house.settings.data_dir.iterdir()) == files


def test_with_a_usable_token_and_no_ledger_it_makes_none(house, check):
    house.started().close()
    for path in house.settings.data_dir.glob("autostock-sim.db*"):
        path.unlink()
    assert check(house)[0] == 0
    assert not list(house.settings.data_dir.glob("autostock-sim.db*"))


def test_a_dead_token_is_replaced_once_when_alone(house, page):
    house.started().close()
    house.sim.revoke_tokens("EGW00123")
    status, text = page(house)
    assert status == 0
    assert "KIS가 토큰을 거부해 새로 발급합니다 (EGW00123)" in text
    assert house.issued() == 2


def test_when_the_new_token_is_refused_too_it_does_not_go_on_issuing(house, check):
    house.started().close()
    house.pass_seconds(7 * 3600)  # within six hours KIS would hand out the same token
    house.sim.faults.add(Fault("error", "quote", code="EGW00121"))
    house.sim.faults.add(Fault("error", "ledger", code="EGW00121"))
    status, found = check(house)
    assert status == 1
    assert house.issued() == 2
    assert found["KIS 시세"]["text"].startswith("EGW00121")


def test_keys_that_kis_refuses_are_status_two_and_stand_nowhere(house, page):
    house.redactor.add(SIM_APP_KEY)
    house.sim.faults.add(
        Fault("error", "token", code="EGW00103", message=f"유효하지 않은 AppKey입니다: {SIM_APP_KEY}", status=403)
    )
    status, text = page(house)
    assert status == 2
    assert "KIS_APP_KEY" in text
    assert SIM_APP_KEY not in text


# beside a daemon


def test_beside_a_daemon_it_reads_the_token_and_issues_none(house, beside, page):
    beside(house.started())
    status, text = page(house)
    assert status == 0
    assert "옆에서 확인합니다" in text
    house.token_file.unlink()
    status, text = page(house)
    assert status == 1
    assert "FAIL 토큰" in text
    assert house.issued() == 1


def test_beside_a_daemon_a_dead_token_is_told_with_what_the_daemon_does(house, beside, check):
    beside(house.started())
    house.sim.revoke_tokens("EGW00121")
    status, found = check(house)
    assert status == 1
    assert found["KIS 시세"]["text"].startswith("EGW00121")
    assert found["KIS 시세"]["todo"].startswith("없음")
    assert house.issued() == 1


def test_beside_a_daemon_an_order_on_its_way_is_left_as_it_is(shop, beside, check):  # noqa: F811
    house = shop(only("SOUN"), options=Options(matching=False)).started()
    trade(house)
    with house.daemon.ledger.writing() as db:
        db.execute("UPDATE intents SET state = 'sent', number = NULL")
    beside(house)
    before = dump(house.settings.database_file)

    status, found = check(house)

    assert dump(house.settings.database_file) == before
    assert found["주문"]["result"] == "WARN"
    assert "결과 불명 1건" in found["주문"]["text"]
    assert status == 0


def test_the_lock_is_looked_at_and_not_kept(house, beside):
    path = lock_file(house.settings)
    assert holder(path) is None
    assert not path.exists()
    beside(house)
    assert holder(path)
    assert holder(path)


def test_in_sim_the_broker_is_found_in_the_daemons_process(house, beside, check, capsys):
    beside(house.started())
    house.daemon.write_status()
    urls = replace(house.settings, kis_base_url=None, yahoo_base_url=None)
    house.settings = urls
    assert results(check(house)[1])["KIS 시세"] == "PASS"
    house.settings.status_file.write_text(json.dumps({"sim_url": "http://203.0.113.7:80"}), "utf-8")
    _, found = check(house)
    assert "status.json" in found["KIS 시세"]["text"]
    assert results(found)["토큰"] == "WARN"


# what it must withstand


@pytest.mark.parametrize("kind", ["refused", "html502", "hang"])
def test_with_kis_down_it_asks_once_and_says_what_else_is_well(house, check, kind):
    house.started().close()
    house.sim.faults.add(Fault(kind, "kis"))
    before, asked = house.clock.monotonic(), house.sim.count("kis")
    status, found = check(house)
    assert status == 1
    assert results(found)["KIS 시세"] == "FAIL"
    assert {results(found)[name] for name in ("계좌", "장부", "주문", "시계")} == {"WARN"}
    assert results(found)["yfinance 시세"] == "PASS"
    assert house.clock.monotonic() - before < 15
    assert house.sim.count("kis") - asked <= 2


@pytest.mark.parametrize(
    ("code", "word"),
    [("IGW00009", "답을 만들다"), ("APAC0081", "계좌번호가 틀림"), ("APBK0001", "거절"), ("OPSQ2000", "계좌번호")],
)
def test_a_closed_account_fails_in_words_with_something_to_do(house, check, code, word):
    house.started().close()
    house.sim.faults.add(Fault("error", "ledger", code=code, message="거래정지 계좌입니다"))
    status, found = check(house)
    assert status == 1
    assert word in found["계좌"]["text"]
    assert found["계좌"]["todo"]
    assert results(found)["KIS 시세"] == "PASS"


def test_a_call_limit_is_waited_out(house, check):
    house.started().close()
    house.sim.faults.add(Fault("error", "ledger", code="EGW00215", times=2))
    assert check(house)[0] == 0


def test_on_paper_no_call_is_refused_for_coming_too_fast(make_house, check, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    house = make_house(profile="paper", kis_mode="paper", kis_calls_per_second=0.8)
    status, found = check(house)
    assert status == 0, found
    assert results(found)["알림"] == "WARN"
    assert not [record for record in house.sim.requests if record.status != 200]


def test_yahoo_down_is_no_failure(house, check):
    house.sim.faults.add(Fault("html502", "yahoo"))
    status, found = check(house)
    assert status == 0
    assert results(found)["yfinance 시세"] == "WARN"


def test_a_broken_database_fails_with_the_way_out(house, check):
    house.started().close()
    for suffix in ("-wal", "-shm"):
        path = house.settings.database_file
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    house.settings.database_file.write_bytes(b"not a database" * 99)
    status, found = check(house)
    assert status == 1
    assert found["장부"]["todo"] == "python main.py adopt"


def test_a_full_disk_fails(house, check, monkeypatch):
    monkeypatch.setattr("files.Disk.free_bytes", lambda self, folder: 5 * 1024 * 1024)
    status, found = check(house)
    assert (status, found["디스크"]["result"]) == (1, "FAIL")


def test_the_page_fits_eighty_columns_and_says_what_to_do(house, page):
    house.started().close()
    house.sim.faults.add(Fault("error", "ledger", code="OPSQ2000"))
    _, text = page(house)
    assert all(display_width(line) <= 80 for line in text.splitlines())
    assert "→ .env의 KIS_ACCOUNT" in text
    assert "아직 준비되지 않았습니다" in text


# orders and books


def test_shares_that_kis_does_not_show_fail(shop, check):  # noqa: F811
    house = shop(only("SOUN")).started()
    trade(house)
    follow(house, 1)
    house.sim.place_foreign_order("SOUN", "sell", 40, "9")
    follow(house, 1)
    house.close()
    status, found = check(house)
    assert status == 1
    assert "SOUN 장부 100주, KIS 60주" in found["장부"]["text"]
    assert "adopt" in found["장부"]["todo"]


def test_an_order_of_the_owners_own_is_named_and_left_alone(house, check):
    house.started().close()
    house.sim.place_foreign_order("AMD", "buy", 1, "1.00")
    status, found = check(house)
    assert status == 0
    assert "직접 내신 미체결 1건" in found["주문"]["text"]


def test_an_order_that_nobody_can_tell_apart_fails(shop, check):  # noqa: F811
    house = beside_a_twin(shop)
    house.close()
    status, found = check(house)
    assert (status, found["주문"]["result"], found["주문"]["todo"]) == (1, "FAIL", "python main.py adopt")


# single judgements

NYSE = MarketHours(NyseCalendar())


@pytest.mark.parametrize(
    ("now", "words", "absent"),
    [
        ("2026-11-23T22:00", ["개장 23:30 KST"], ["서머타임", "쉼", "반일장"]),
        ("2026-11-26T20:00", ["오늘 밤은 쉼", "11-27(금) 23:30"], []),  # Thanksgiving
        ("2026-11-27T20:00", ["반일장: 03:00 KST에 마감"], ["쉼"]),
        ("2026-11-28T20:00", ["오늘 밤은 쉼"], ["반일장"]),
        ("2026-03-09T20:00", ["이번 주부터 서머타임, 22:30 개장"], []),
        ("2026-03-13T20:00", ["이번 주부터 서머타임, 22:30 개장"], []),
        ("2026-03-16T20:00", ["개장 22:30"], ["서머타임"]),
        ("2026-03-06T20:00", ["개장 23:30"], ["서머타임"]),
        ("2026-11-02T20:00", ["이번 주부터 서머타임 끝, 23:30 개장"], []),
        ("2026-11-24T01:00", ["마감 06:00 KST"], ["쉼"]),
    ],
)
def test_the_calendar(now, words, absent):
    text = probes.calendar_probe(NYSE, datetime.fromisoformat(now).replace(tzinfo=KST)).text
    assert all(word in text for word in words), text
    assert not any(word in text for word in absent), text


@pytest.mark.parametrize(
    ("offset", "result"),
    [(None, "WARN"), (0.4, "PASS"), (3, "PASS"), (-4, "WARN"), (60, "WARN"), (61, "FAIL"), (-3600, "FAIL")],
)
def test_the_clock(offset, result):
    assert probes.skew_probe(offset).result.value == result


@pytest.mark.parametrize(
    ("mode", "tracked", "result"),
    [(None, False, "PASS"), (0o100600, False, "PASS"), (0o100644, False, "WARN"), (0o100600, True, "WARN")],
)
def test_the_file_of_keys(mode, tracked, result):
    assert probes.files_probe(mode, tracked).result.value == result


def test_a_file_of_keys_in_git_is_warned_of(house, check, tmp_path):
    env = tmp_path / ".env"
    env.write_text("KIS_MODE=sim\n", "utf-8")
    env.chmod(0o600)
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    assert check(house)[1]["파일"]["result"] == "PASS"
    subprocess.run([*git, "add", ".env"], check=True)
    found = check(house)[1]["파일"]
    assert found["result"] == "WARN"
    assert "git rm --cached .env" in found["todo"]


def test_a_token_that_ends_in_the_session_is_no_worry_but_told():
    session = NYSE.upcoming(datetime(2026, 11, 23, 22, 0, tzinfo=KST))
    ends = datetime(2026, 11, 24, 3, 0, tzinfo=KST)
    probe = probes.token_probe("유효", True, ends, session, timedelta(minutes=10))
    assert probe.result is Result.PASS
    assert "데몬이 02:50에 갱신" in probe.text


@pytest.mark.parametrize(
    ("configured", "problem", "tested", "result", "word"),
    [
        (False, None, False, "WARN", "NOTIFY_URLS"),
        (True, None, False, "PASS", "--notify"),
        (True, None, True, "PASS", "보냄"),
        (True, "응답 없음", True, "FAIL", "응답 없음"),
    ],
)
def test_the_alert_channel(configured, problem, tested, result, word):
    probe = probes.alerts_probe("real", configured, problem, tested)
    assert probe.result.value == result
    assert word in str(probe)


def test_a_test_alert_is_sent_through_the_seam_once(house, check):
    house.settings = replace(house.settings, notify_urls=("json://127.0.0.1:9/x",))
    sent = []
    status, found = check(house, send_test=lambda: sent.append(1) or "응답 없음")
    assert sent == [1]
    assert (status, found["알림"]["result"]) == (1, "FAIL")


# the daemon's own


@pytest.fixture
def evening(make_house):
    """A quarter past nine in the evening, New York asleep."""
    clock = VirtualClock(datetime(2026, 11, 23, 21, 15, tzinfo=KST))
    return make_house(clock, Options(hours="nyse"), sim_hours="nyse")


def ready(caplog):
    return [record for record in caplog.records if "[READY]" in record.getMessage()]


def test_half_an_hour_before_the_open_one_line_says_that_all_is_well(evening, caplog):
    caplog.set_level(logging.INFO)
    said = []
    evening.clock.at(datetime(2026, 11, 23, 14, 2, tzinfo=UTC), lambda: said.extend(ready(caplog)))
    run_daemon(evening, 2.5)
    assert len(said) == 1
    assert len(ready(caplog)) == 1
    assert said[0].levelno == logging.INFO
    text = said[0].getMessage()
    assert text == "[READY] 준비됨 (통과 11, 주의 0, 실패 0) 개장 23:30 KST (뉴욕 09:30)"


def test_what_is_missing_stands_in_the_same_line(evening, caplog):
    caplog.set_level(logging.INFO)
    evening.clock.at(
        datetime(2026, 11, 23, 13, 50, tzinfo=UTC), lambda: evening.sim.faults.add(Fault("html502", "kis"))
    )
    run_daemon(evening, 2)
    (line,) = ready(caplog)
    assert line.levelno == logging.ERROR
    assert line.getMessage().startswith("[READY] 준비 안 됨 (통과 6, 주의 4, 실패 1) 개장 23:30")
    assert "실패 KIS 시세: HTTP 502" in line.getMessage()
    assert "\n" not in line.getMessage()


def test_a_market_that_never_closes_needs_no_readiness(house, caplog):
    caplog.set_level(logging.INFO)
    house.pass_seconds(7.75 * 3600)  # the next trading day begins in a quarter of an hour
    house.daemon.night.say_readiness()
    assert not ready(caplog)


# as the owner types it


def test_the_owner_types_check_beside_a_running_daemon(start):  # noqa: F811
    run = start().wait_for("[OK]", 16)
    wait_until((run.folder / "status.json").exists)
    token = (run.folder / "api_token.json").read_bytes()
    run.console = run.folder / "other.txt"
    status, console = ended(start, "check", PYTHONIOENCODING="ascii")
    assert status == 0, console
    assert console.count("PASS") == len(ALL)
    assert (run.folder / "api_token.json").read_bytes() == token
    assert "READY" not in run.log()
    assert run.process.poll() is None
    assert SIM_APP_SECRET[:20] not in console
