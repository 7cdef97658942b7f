"""The process as the owner meets it: started, watched, stopped, killed, started twice."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from clock import SystemClock
from config import SIM_ACCOUNT, SIM_APP_KEY, SIM_APP_SECRET, Settings
from simulator import Fault, Simulator
from simulator.server import serve

MAIN = Path(__file__).parents[1] / "main.py"
KEY = "Pk3Vd81qZm5Tt7Yw2Lr9Xc6Nb4Hj0Gf8SaQe"
SECRET = ("u7Rk2" * 36)[:180]
ACCOUNT = "50617283-01"
REAL = {"KIS_MODE": "real", "KIS_APP_KEY": KEY, "KIS_APP_SECRET": SECRET, "KIS_ACCOUNT": ACCOUNT}
LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - \w+ - (DEBUG|INFO|WARNING|ERROR|CRITICAL) - .")


class Run:
    """A started daemon; its console goes to a file."""

    def __init__(self, folder, *args, **env):
        self.folder = folder
        self.console = folder / "console.txt"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("KIS_")}
        with self.console.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(MAIN), *args],
                cwd=folder,
                env={**clean, "XDG_STATE_HOME": str(folder / "state"), **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def log(self):
        path = self.folder / "trading.log"
        return path.read_text("utf-8") if path.exists() else ""

    def wait_for(self, text, count=1, seconds=20):
        deadline = time.monotonic() + seconds
        while self.log().count(text) < count:
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"no {text!r} in the log; console:\n{self.console.read_text('utf-8')}")
            time.sleep(0.02)
        return self

    def stop(self, number=signal.SIGTERM):
        started = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(20)
        return status, time.monotonic() - started

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


@pytest.fixture
def start(tmp_path):
    runs = []

    def make(*args, **env):
        runs.append(Run(tmp_path, *args, **env))
        return runs[-1]

    yield make
    for run in runs:
        run.kill()


@pytest.fixture
def broker():
    """The embedded broker as somebody else's host."""
    sim = Simulator(SystemClock(), seed=3)
    with serve(sim) as server:
        sim.url = server.url
        yield sim
    sim.close()


def ended(start, *args, **env):
    run = start(*args, **env)
    status = run.process.wait(90)
    return status, run.console.read_text("utf-8")


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


# the first start


def test_without_keys_it_says_what_it_is_and_quotes_the_watch_list_within_five_seconds(start):
    began = time.monotonic()
    run = start().wait_for("[OK]", 16)
    took = time.monotonic() - began

    assert took < 5
    text = run.log()
    assert text.count("모의 시장(sim)") == 1
    assert [line for line in text.splitlines() if not LINE.match(line)] == []
    assert "- main - INFO - [TOKEN_CHECK] 새 토큰 발급 (만료: " in text
    assert "__main__" not in text
    assert text.index("지켜보기") < text.index("[TOKEN_CHECK]")
    assert not (run.folder / "token.dat").exists()
    assert (run.folder / "api_token.json").stat().st_mode & 0o777 == 0o600
    run.stop()
    assert run.console.read_text("utf-8") == run.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_P01_P03_a_signal_ends_it_in_good_order(start, number):
    status, seconds = start().wait_for("[OK]").stop(number)
    assert status == 0
    assert seconds < 2


def test_a_killed_daemon_comes_back_with_the_same_token(start):
    start().wait_for("[OK]", 16).kill()
    run = start().wait_for("기존 토큰 사용")
    assert run.log().count("새 토큰 발급") == 1


def test_a_signal_before_the_first_token_is_a_good_end_too(start, broker):
    broker.faults.add(Fault("hang", "token"))
    run = start(KIS_BASE_URL=broker.url, YAHOO_BASE_URL=broker.url)
    wait_until(lambda: broker.count("token"))
    status, seconds = run.stop()
    assert status == 0
    assert seconds < 5
    assert "예상하지 못한" not in run.log()


def test_T17_P08_killed_during_an_issuance_it_does_not_ask_again_within_the_minute(start, broker):
    broker.faults.add(Fault("hang", "token"))
    for _ in range(2):
        run = start(KIS_BASE_URL=broker.url, YAHOO_BASE_URL=broker.url).wait_for("[시장]")
        wait_until(lambda: broker.count("token"))
        run.kill()
        (run.folder / "trading.log").unlink()
    assert broker.count("token") == 1


def test_P17_a_deleted_log_is_begun_anew(start):
    run = start(LOG_FILE="logs/x.log", WATCH_INTERVAL_SECONDS="0.3", TOKEN_CHECK_MINUTES="0.01")
    path = run.folder / "logs" / "x.log"
    wait_until(lambda: path.exists() and "[OK]" in path.read_text("utf-8"))
    path.unlink()
    wait_until(lambda: path.exists() and "TOKEN_CHECK" in path.read_text("utf-8"))


def test_T07_T17_a_restart_loop_asks_for_one_token_a_minute(start, broker):
    broker.faults.add(Fault("error", "token", code="EGW00133", status=403))
    for _ in range(3):
        run = start(KIS_BASE_URL=broker.url, YAHOO_BASE_URL=broker.url).wait_for("❌ 토큰 재발급 실패")
        run.kill()
        (run.folder / "trading.log").unlink()
    assert broker.count("token") == 1


def test_P11_a_second_instance_is_refused_by_account_and_names_the_first(start):
    first = start().wait_for("[OK]")
    status, console = ended(start)
    assert status == 3
    assert str(first.process.pid) in console
    assert first.process.poll() is None


def test_P11_two_folders_cannot_trade_one_account(tmp_path, broker):
    env = {**REAL, "KIS_REAL_CONFIRM": "7283", "KIS_BASE_URL": broker.url, "YAHOO_BASE_URL": broker.url}
    env["XDG_STATE_HOME"] = str(tmp_path / "state")
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    first = Run(folders[0], **env)
    try:
        first.wait_for("[OK]")
        second = Run(folders[1], **env)
        assert second.process.wait(20) == 3
    finally:
        first.kill()


# settings


def test_G01_every_wrong_name_is_told_at_once_without_a_traceback(start, tmp_path):
    (tmp_path / ".env").write_text("KIS_MOOD=real\nTOKEN_CHECK_MINUTES=0\nKIS_MODE=raal\n", "utf-8")
    status, console = ended(start)
    assert status == 2
    assert "Traceback" not in console
    for name in ("KIS_MOOD", "KIS_MODE", "TOKEN_CHECK_MINUTES"):
        assert name in console
    assert not (tmp_path / "trading.log").exists()


def test_G08_keys_that_kis_refuses_end_it_with_status_two(start, broker):
    broker.faults.add(
        Fault("error", "token", code="EGW00103", message=f"유효하지 않은 AppKey입니다: {KEY}", status=403)
    )
    env = {**REAL, "KIS_REAL_CONFIRM": "7283", "KIS_BASE_URL": broker.url, "YAHOO_BASE_URL": broker.url}
    status, console = ended(start, **env)
    assert status == 2
    assert "KIS_APP_KEY" in console
    assert KEY not in console
    assert "Traceback" not in console


def test_G09_a_broken_watch_list_with_no_good_one_ever_ends_it_with_status_two(start, tmp_path):
    (tmp_path / "mine.json").write_text("{broken", "utf-8")
    status, console = ended(start, STOCKS_FILE="mine.json")
    assert status == 2
    assert "mine.json" in console
    assert "Traceback" not in console


def test_a_folder_that_cannot_be_written_is_named(start, tmp_path):
    (tmp_path / "file").write_text("")
    status, console = ended(start, DATA_DIR="file/below")
    assert status == 2
    assert "DATA_DIR" in console
    assert "Traceback" not in console


def test_help_lists_only_what_is_built(start):
    status, console = ended(start, "--help")
    assert status == 0
    assert "demo" in console
    assert "soak" not in console


# while it runs


def test_a_deleted_token_file_is_noticed_at_the_next_watch_pass(start):
    run = start(WATCH_INTERVAL_SECONDS="0.3").wait_for("[OK]", 16)
    (run.folder / "api_token.json").unlink()
    run.wait_for("[AUTO_RECOVER] ❌ 자동 복구 실패: 발급 간격 미경과")
    assert re.search(r"\[AUTO_RECOVER\] \S+ 토큰 오류 감지, 자동 복구 시도\.\.\.", run.log())
    run.wait_for("[FALLBACK] NVDA KIS 조회 실패").wait_for("(yfinance)")


def test_a_watch_list_is_read_again_when_it_changes(start, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"filter_stocks": {}, "watch_list": ["NVDA"]}), "utf-8")
    run = start(STOCKS_FILE="mine.json", WATCH_INTERVAL_SECONDS="0.2").wait_for("[OK] NVDA")
    path.write_text("{broken", "utf-8")
    run.wait_for("mine.json")
    path.write_text(json.dumps({"filter_stocks": {}, "watch_list": ["AAPL"]}), "utf-8")
    run.wait_for("[OK] AAPL")


def test_P01_P03_with_every_host_silent_a_signal_ends_it_within_five_seconds(start, broker):
    urls = {"KIS_BASE_URL": broker.url, "YAHOO_BASE_URL": broker.url}
    run = start(**urls, WATCH_INTERVAL_SECONDS="0.5").wait_for("[OK]", 16)
    asked = broker.count("multprice")
    broker.faults.add(Fault("hang", "kis"))
    broker.faults.add(Fault("hang", "yahoo"))
    wait_until(lambda: broker.count("multprice") > asked)
    status, seconds = run.stop()
    assert status == 0
    assert seconds < 5


def test_a_real_account_runs_against_another_host_with_fractions_of_intervals(start, broker):
    env = {**REAL, "KIS_REAL_CONFIRM": "7283", "KIS_BASE_URL": broker.url, "YAHOO_BASE_URL": broker.url}
    run = start(**env, TOKEN_CHECK_MINUTES="0.01", BROKER_REINIT_HOURS="0.0005")
    run.wait_for("✅ 주기적 재초기화 성공", 2)
    assert "실전(real) 계좌 ****7283" in run.log()
    assert broker.count("token") == 1


def test_S02_S06_S08_no_secret_stands_in_any_file_but_the_tokens_own(start, broker, tmp_path):
    urls = {"KIS_BASE_URL": broker.url, "YAHOO_BASE_URL": broker.url}
    run = start(**urls, LOG_LEVEL="DEBUG", WATCH_INTERVAL_SECONDS="0.3").wait_for("[OK]", 16)
    token = json.loads((tmp_path / "api_token.json").read_text("utf-8"))["access_token"]
    broker.revoke_tokens("EGW00123")
    run.wait_for("[AUTO_RECOVER]")
    for kind in ("reset", "html502", "cut"):
        broker.faults.add(Fault(kind, "kis", times=3))
    run.wait_for("[FALLBACK]")
    run.stop()

    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "api_token.json"]
    text = b"".join(path.read_bytes() for path in files)
    assert len(files) >= 4
    assert not [path for path in files if path.name != "console.txt" and path.stat().st_mode & 0o077]
    for secret in (SIM_APP_KEY, SIM_APP_SECRET, SIM_APP_SECRET[20:40], SIM_ACCOUNT[:8], token, token[:20]):
        assert secret.encode() not in text


def test_the_settings_of_the_test_are_real_ones():
    """The made-up account above must pass the checks it is meant to pass."""
    assert Settings.load({**REAL, "KIS_REAL_CONFIRM": "7283"}, None).cano == "50617283"


# orders


@pytest.fixture
def falling(broker, tmp_path):
    """A market in which the strategy buys SOUN at once; the environment that leads a daemon there."""
    stocks = {"filter_stocks": {"NVDA": True}, "watch_list": ["SOUN"]}
    (tmp_path / "mine.json").write_text(json.dumps(stocks), "utf-8")
    broker.pin("NVDA", "110", "100")
    broker.pin("SOUN", "9", "10")
    return {"STOCKS_FILE": "mine.json", "KIS_BASE_URL": broker.url, "YAHOO_BASE_URL": broker.url}


def states(folder):
    with closing(sqlite3.connect(folder / "autostock-sim.db")) as db:
        return [state for (state,) in db.execute("SELECT state FROM intents")]


def test_P06_killed_between_request_and_answer_it_comes_back_with_the_truth(start, broker, falling):
    broker.faults.add(Fault("hang", "order", processed=True, times=1))
    run = start(**falling)
    wait_until(lambda: broker.accepted)
    run.kill()
    assert states(run.folder) == ["sent"]

    run = start(**falling).wait_for("주문내역에서 확인됨")
    assert broker.count("order") == 1
    run.stop()
    assert states(run.folder)[0] in ("open", "done")


def test_P02_a_signal_lets_an_order_in_flight_be_finished_and_recorded(start, broker, falling):
    broker.faults.add(Fault("hang", "order", processed=True, times=1))
    run = start(**falling)
    wait_until(lambda: broker.accepted)
    status, seconds = run.stop()
    assert status == 0
    assert seconds < 15
    assert states(run.folder) == ["unknown"]


# two days in seconds


def test_the_demo_shows_two_days_and_a_summary(start):
    status, console = ended(start, "demo")

    assert status == 0
    assert console.count("✅ 주기적 재초기화 성공") == 8
    assert console.count("✅ 자동 복구 성공") == 3
    assert console.count("토큰 변경 감지") == 1
    assert "[FALLBACK]" in console
    assert "2026-11-23 22:00:00" in console
    assert "2026-11-25 22:00:00" in console
    assert "데모 요약" in console
    for word in ("결과 불명", "주문내역에서 확인됨", "취소 요청", "매도 "):
        assert word in console
    assert not re.search(r"Traceback|\[JOB\]|\[FAIL\]", console)
    assert threading.active_count() < 20


def test_the_embedded_broker_alone_prints_its_addresses(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "simulator", "--port", "0"],
        cwd=MAIN.parent,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        lines = [process.stdout.readline().split() for _ in range(2)]
        process.terminate()
        assert process.wait(10) == 0
    assert [line[0] for line in lines] == ["KIS", "YAHOO"]
    assert all(re.fullmatch(r"http://127\.0\.0\.1:\d+", line[1]) for line in lines)
