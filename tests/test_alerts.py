"""Alerts and pings: what is marked reaches a real webhook through real apprise, and no webhook troubles the loop."""

import json
import logging
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import START
from test_daemon import broker, falling, start, wait_until  # noqa: F401 - fixtures
from test_orders import follow, shop, trade  # noqa: F401 - a fixture

from alarms.notify import Messenger, Outside, ping, secrets_of, send_test
from alarms.outbox import MOST, Outbox
from alarms.working import is_working
from alerts import MOST_KEYS, SAME_AGAIN, Alert, AlertHandler, Throttle, alert
from clock import KST, SystemClock, VirtualClock
from logs import Redactor
from simulator import Fault
from timetable import SAID_FAILURES, guarded

SECRET = "T0kenOfTheHook42"


class Hook(BaseHTTPRequestHandler):
    """A webhook that answers as its server is told to, and keeps what it was sent."""

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.server.got.append((self.path, json.loads(self.rfile.read(length) or "{}")))
        self._answer()

    def do_GET(self):
        self.server.got.append((self.path, None))
        self._answer()

    def _answer(self):
        if self.server.silent.is_set():
            self.server.released.wait(30)
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def webhook(status=200, silent=False):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.daemon_threads, server.got, server.status = True, [], status
    server.silent, server.released = threading.Event(), threading.Event()
    if silent:
        server.silent.set()
    server.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def messages(server):
    return [body["message"] for _, body in server.got if body]


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def root():
    """The root logger as it was."""
    logger = logging.getLogger()
    level, handlers = logger.level, [(handler, handler.level) for handler in logger.handlers]
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(level)
    for handler, its_level in handlers:
        handler.setLevel(its_level)


# marks and the handler


def test_a_marked_line_arrives_with_its_kind_and_without_secrets(root):
    with webhook() as server:
        url = f"json://{server.address}/{SECRET}"
        redactor = Redactor(["the-app-key-of-the-owner"])
        with Outside([url], None, SystemClock(), redactor):
            logging.getLogger("x").error("token the-app-key-of-the-owner: %s", url, extra=alert(Alert.TOKEN_REFUSED))
            logging.getLogger("x").error("not marked")
            wait_until(lambda: server.got)
        path, body = server.got[0]
    assert path == f"/{SECRET}"
    assert body["title"] == "AutoStock"
    assert body["message"].startswith("🔑 토큰 거부 · token ")
    assert "app-key" not in body["message"]
    assert SECRET not in body["message"]
    assert len(server.got) == 1


def test_what_is_marked_is_sent_even_below_the_level_of_the_log(root, caplog):
    root.setLevel(logging.ERROR)
    with webhook() as server, Outside([f"json://{server.address}"], None, SystemClock(), Redactor()):
        logging.getLogger("x").info("체결", extra=alert(Alert.ORDER_FILLED))
        wait_until(lambda: server.got)
    assert "체결" not in caplog.text


def test_the_same_alert_is_sent_once_an_hour_and_says_how_many_were_held_back():
    clock, sent = VirtualClock(START), []
    handler = AlertHandler(sent.append, Redactor(), clock)

    def say(key=""):
        handler.handle(logging.makeLogRecord({"msg": "no", **alert(Alert.UNKNOWN_ORDER, key)}))

    for _ in range(3):
        say()
    assert len(sent) == 1
    say("another order")
    assert len(sent) == 2
    clock.advance(SAME_AGAIN)
    say()
    assert sent[2] == "❓ 결과 불명 · no (같은 알림 2번을 보내지 않았음)"


def test_the_memory_of_sent_alerts_does_not_grow():
    throttle = Throttle(VirtualClock(START))
    for number in range(3 * MOST_KEYS):
        throttle.admit(Alert.ORDER_FILLED, str(number))
    assert len(throttle._sent) == MOST_KEYS


def test_the_third_failure_of_a_job_in_a_row_is_marked(caplog):
    failed = []

    def job():
        if len(failed) != SAID_FAILURES[0]:
            raise ValueError

    run = guarded(job, failed.append)
    for _ in range(SAID_FAILURES[0]):
        run()
    assert failed == ["job"] * SAID_FAILURES[0]
    marks = [getattr(record, "alert", None) for record in caplog.records]
    assert marks == [None, None, None, Alert.JOB_FAILING], "three tracebacks, and a line of its own for the third"
    run()
    failed.clear()
    run()
    assert not hasattr(caplog.records[-1], "alert")


# what is marked


def marked(caplog, kind):
    return [record.getMessage() for record in caplog.records if getattr(record, "alert", None) is kind]


def one_pass(house):
    """And the time until the next."""
    trade(house.started())
    house.pass_seconds(3600)


def test_orders_are_marked_when_they_fill_and_when_nobody_knows(shop, caplog):  # noqa: F811
    caplog.set_level(logging.INFO)
    house = shop()
    house.sim.faults.add(Fault("lost_answer", "order", times=1))
    one_pass(house)
    follow(house, 1)
    assert len(marked(caplog, Alert.UNKNOWN_ORDER)) == 1
    filled = [record for record in caplog.records if getattr(record, "alert", None) is Alert.ORDER_FILLED]
    assert len({record.alert_key for record in filled}) == len(filled) >= 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_buy_orders_per_day": 1}, "하루 매수 1건 한도"),
        ({"max_buy_usd_per_day": Decimal(950)}, "하루 매수 $950 한도"),
    ],
)
def test_a_cap_that_is_reached_is_marked(shop, caplog, changes, words):  # noqa: F811
    one_pass(shop(**changes))
    (line,) = marked(caplog, Alert.PROTECTION)
    assert words in line


def test_halt_and_books_that_do_not_agree_are_marked(shop, caplog):  # noqa: F811
    house = shop()
    house.settings.halt_file.touch()
    one_pass(house)
    assert "[HALT]" in marked(caplog, Alert.PROTECTION)[-1]
    house.settings.halt_file.unlink()
    trade(house)
    follow(house, 1)
    house.sim.place_foreign_order("SOUN", "sell", 60, "9.00")
    follow(house, 1)
    house.pass_seconds(3600)
    trade(house)
    assert "python main.py adopt" in marked(caplog, Alert.PROTECTION)[-1]


def test_the_loss_limit_is_marked(shop, caplog):  # noqa: F811
    house = shop()
    house.started()
    house.sim.give_shares("AMD", 1000, "100")
    house.sim.pin("AMD", "100", "100")
    one_pass(house)
    house.sim.pin("AMD", "50", "100")
    trade(house)
    assert "손실 한도" in marked(caplog, Alert.PROTECTION)[-1]


def test_a_broken_database_is_marked(shop, caplog):  # noqa: F811
    house = shop()
    house.settings.database_file.write_bytes(b"this is no database" * 100)
    house.started()
    assert "사용 불가" in marked(caplog, Alert.DATABASE)[0]


def test_a_recovery_that_fails_is_marked(house, caplog):
    house.started()
    house.sim.faults.add(Fault("error", "token", code="EGW00133", message="접근토큰 발급 잠시 후", status=403))
    house.sim.revoke_tokens("EGW00123")
    house.api.get_quote("NVDA")
    assert "자동 복구 실패" in marked(caplog, Alert.RECOVERY_FAILED)[0]


def test_a_new_token_that_is_refused_as_well_is_marked(house, caplog):
    house.started().pass_seconds(7 * 3600)
    house.sim.faults.add(Fault("error", "quote", code="EGW00121", message="유효하지 않은 token 입니다.", status=500))
    house.api.get_quote("NVDA")
    assert "새 토큰도 거부됨" in marked(caplog, Alert.TOKEN_REFUSED)[0]


def test_an_end_that_nobody_wanted_is_told(root):
    with webhook() as server:
        outside = Outside([f"json://{server.address}"], None, SystemClock(), Redactor())
        with pytest.raises(ZeroDivisionError), outside:
            raise ZeroDivisionError
        assert messages(server) == ["⏹️ 종료 · 오류로 종료합니다 (ZeroDivisionError): 로그를 보세요"]


# channels that fail


def test_a_refusing_a_failing_and_an_unknown_address_are_named_without_their_secrets(caplog):
    clock = SystemClock()
    with webhook(status=500) as server:
        urls = [f"json://{server.address}/{SECRET}", f"json://127.0.0.1:{closed_port()}/{SECRET}", f"nosuch://{SECRET}"]
        failures = Messenger(urls, clock).send("x")
    assert list(failures) == ["1번째(json)", "2번째(json)", "3번째(nosuch)"]
    assert all(failures.values())
    assert SECRET not in f"{failures} {caplog.text}"
    assert not [record for record in caplog.records if record.name == "apprise"]


def test_a_good_address_gets_the_message_although_the_one_before_it_is_dead():
    with webhook() as server:
        urls = [f"json://127.0.0.1:{closed_port()}", f"json://{server.address}"]
        failures = Messenger(urls, SystemClock()).send("here")
        assert [bool(failure) for failure in failures.values()] == [True, False]
        assert messages(server) == ["here"]


def test_a_test_message_tells_which_address_does_not_take_it():
    with webhook() as server:
        good, dead = f"json://{server.address}/{SECRET}", f"json://127.0.0.1:{closed_port()}/{SECRET}"
        assert send_test([good], SystemClock()) is None
        problem = send_test([good, dead], SystemClock())
        assert problem == "NOTIFY_URLS 2번째(json): 닿지 않거나 거부됨"
        assert len(messages(server)) == 2


def test_a_failed_sending_is_said_once_in_a_while_and_is_no_alert(caplog, root):
    url = f"json://127.0.0.1:{closed_port()}"
    outside = Outside([url], None, SystemClock(), Redactor())
    with outside:
        for number in range(5):
            logging.getLogger("x").info("n", extra=alert(Alert.ORDER_FILLED, number))
    said = [record for record in caplog.records if record.name == "notify"]
    assert [record.getMessage() for record in said] == [
        "NOTIFY_URLS 1번째(json) 알림을 보내지 못함 (닿지 않거나 거부됨)"
    ]
    assert not hasattr(said[0], "alert")


def test_a_silent_channel_is_cut_off_delays_nobody_and_fills_nothing(monkeypatch, root, log):
    monkeypatch.setattr("alarms.notify.LONGEST", 0.2)
    with webhook(silent=True) as server:
        outside = Outside([f"json://{server.address}/"], None, SystemClock(), Redactor())
        with outside:
            began = time.monotonic()
            for number in range(3 * MOST):
                logging.getLogger("x").info("n", extra=alert(Alert.ORDER_FILLED, number))
            assert time.monotonic() - began < 0.2
        assert len(server.got) == 1  # while a call hangs no other is begun
    (said,) = log("알림이 밀려 오래된")
    assert 2 * MOST - 2 <= int(re.search(r"\d+", said)[0]) <= 2 * MOST
    assert threading.active_count() < 20


def test_an_errand_that_raises_does_not_end_the_thread(caplog):
    outbox, done = Outbox(), threading.Event()

    def broken():
        raise ValueError

    outbox.put(broken)
    outbox.put(done.set)
    assert done.wait(5)
    assert "[JOB] broken 실패" in caplog.text
    outbox.close(5)
    wait_until(lambda: not any(thread.name == "outbox" for thread in threading.enumerate()))


def test_without_addresses_nothing_is_started():
    before = threading.active_count()
    with Outside([], None, SystemClock(), Redactor()) as outside:
        outside.pulse()
        assert threading.active_count() == before


def test_apprise_is_loaded_only_where_it_is_used():
    code = "import main, sys; sys.exit('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False).returncode == 0


def test_every_secret_piece_of_an_address_is_masked_and_no_innocent_text():
    urls = [
        "tgram://123456789:AAEexampleEXAMPLEexample/987654321",
        "discord://112233445566778899/exampleEXAMPLEexample_token",
        "mailtos://owner:abcd@smtp.example.com?to=someone@example.org",
        "https://hc-ping.com/0b7c1b2e-1111-2222-3333-444455556666",
        "json://127.0.0.1:8080/short",
    ]
    redactor = Redactor(secret for url in urls for secret in secrets_of(url))
    text = redactor.clean(" ".join(urls))
    for piece in ("AAEexample", "123456789", "EXAMPLEexample_token", "abcd", "444455556666"):
        assert piece not in text
    assert (
        redactor.clean("http://127.0.0.1:8080 smtp.example.com short") == "http://127.0.0.1:8080 smtp.example.com short"
    )


def test_apprise_knows_every_address_that_we_show_as_an_example():
    root = Path(__file__).parents[1]
    text = (root / ".env.example").read_text("utf-8") + (root / "README.md").read_text("utf-8")
    urls = re.findall(r"(?:tgram|discord|mailtos)://[^\s`]+", text)
    assert len(urls) == 6
    assert all(Messenger([], SystemClock())._destination(url) for url in urls)


# pings


@pytest.mark.parametrize(("status", "good"), [(200, True), (204, True), (302, False), (404, False), (500, False)])
def test_a_ping_is_one_get_that_follows_no_redirect(status, good):
    with webhook(status=status) as server:
        assert ping(f"http://{server.address}/{SECRET}") is good
        assert server.got == [(f"/{SECRET}", None)]


def test_a_ping_that_fails_is_said_without_the_address(caplog, root):
    port = closed_port()
    with Outside([], f"http://127.0.0.1:{port}/{SECRET}", SystemClock(), Redactor()) as outside:
        outside.pulse()
    assert "HEALTHCHECK_URL 부르지 못함" in caplog.text
    assert SECRET not in caplog.text


NOW = datetime(2026, 11, 25, 1, 0, tzinfo=KST)
MINUTES = [timedelta(minutes=number) for number in range(200)]


@pytest.mark.parametrize(
    ("opened", "quote", "checked", "working"),
    [
        (90, 0, 20, True),
        (90, 4, 20, True),
        (90, 5, 20, False),  # the loop turns and no price comes
        (90, None, 20, False),
        (1, 150, 20, True),  # just opened
        (5, 150, 20, False),
        (90, 1, 99, True),
        (None, 199, 32, True),  # closed: nothing to quote
        (None, 0, 33, False),
        (None, None, 1, True),
    ],
)
def test_only_a_minute_with_work_counts(opened, quote, checked, working):
    def ago(minutes):
        return None if minutes is None else NOW - MINUTES[minutes]

    assert is_working(NOW, ago(opened), ago(quote), MINUTES[1], ago(checked), MINUTES[30]) is working


def test_a_daemon_pings_while_it_works_and_stops_with_the_quotes(make_house):
    house = make_house(inside=True)
    pings = []
    house.daemon._pulse = lambda: pings.append(house.clock.now())
    house.clock.at(START + timedelta(minutes=30, seconds=1), lambda: house.sim.faults.add(Fault("refused", "kis")))
    house.clock.at(START + timedelta(minutes=30, seconds=1), lambda: house.sim.faults.add(Fault("refused", "yahoo")))
    house.clock.at(START + timedelta(minutes=60), house.stop.set)
    house.daemon.run()
    assert 30 <= len(pings) <= 35
    assert pings[-1] < START + timedelta(minutes=36)


# the process


def test_the_process_tells_of_its_start_its_orders_and_its_end(start, broker, falling):  # noqa: F811
    broker.faults.add(Fault("lost_answer", "order", times=1))
    with webhook() as server:
        urls = {"NOTIFY_URLS": f"json://{server.address}/{SECRET}", "HEALTHCHECK_URL": f"http://{server.address}/ping"}
        run = start(**falling, **urls, LOG_LEVEL="DEBUG")
        wait_until(lambda: len(messages(server)) > 1)
        status, seconds = run.stop()
        assert (status, seconds < 5) == (0, True)
        texts = messages(server)
    assert texts[0].startswith("▶️ 시작 · 모의 시장(sim)")
    assert re.match(r"❓ 결과 불명 · \[ORDER\] 매수 SOUN \d+주 \$[\d.]+ 결과 불명", texts[1])
    assert [text for text in texts if "종료" in text] == [texts[-1]]
    assert SECRET not in run.log() + run.console.read_text("utf-8")


def test_a_silent_webhook_does_not_hold_the_end_of_the_process(start, falling):  # noqa: F811
    with webhook(silent=True) as server:
        run = start(**falling, NOTIFY_URLS=f"json://{server.address}").wait_for("접수")
        assert server.got
        status, seconds = run.stop()
    assert status == 0
    assert seconds < 5
