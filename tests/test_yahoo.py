"""Yahoo as the second source: the real yfinance over real HTTP against a small fake that serves only the chart."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import socket
import stat
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests

import yahoo
from clock import KST, NEW_YORK, SystemClock, VirtualClock
from errors import PricesUnreachable, PriceUnknown, Stopping
from yahoo import Chart, YahooPrices, read_chart

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")
NOON = datetime(2026, 3, 12, 12, 0, tzinfo=NEW_YORK)  # a Thursday
CLOSES = [170.0, 171.5, 172.25, 175.1, 178.2]  # Friday to Thursday
NOT_FOUND = {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found, symbol may be"}}}
UNAUTHORIZED = {"finance": {"result": None, "error": {"code": "Unauthorized", "description": "Invalid Crumb"}}}


def chart(closes: list[Any] = CLOSES, **meta: Any) -> dict[str, Any]:
    """What Yahoo's chart endpoint answers at noon of a trading day: five bars, today's among them."""
    days = [6, 3, 2, 1, 0][5 - len(closes) :]
    stamps = [int((NOON.replace(hour=9, minute=30) - timedelta(days=day)).timestamp()) for day in days]
    facts = {
        "currency": "USD",
        "symbol": "NVDA",
        "instrumentType": "EQUITY",
        "exchangeTimezoneName": "America/New_York",
        "validRanges": ["1d", "5d", "1mo"],
        "regularMarketPrice": 178.50000000000003,
        "regularMarketTime": int(NOON.timestamp()),
    } | meta
    volume = [1000 if close else None for close in closes]
    bars = {"open": closes, "high": closes, "low": closes, "close": closes, "volume": volume}
    return {"chart": {"error": None, "result": [{"meta": facts, "timestamp": stamps, "indicators": {"quote": [bars]}}]}}


def empty_quote() -> dict[str, Any]:
    answer = chart()
    answer["chart"]["result"][0]["indicators"]["quote"] = [{}]
    return answer


class Handler(BaseHTTPRequestHandler):
    """One answer as the fake says; keep-alive, and no 44 ms of Nagle per answer."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: FakeYahoo

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.reply(self)

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        pass


class FakeYahoo(ThreadingHTTPServer):
    """Serves ``/v8/finance/chart/`` alone; ``reply`` may be switched while it runs."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.connections: list[socket.socket] = []
        self.over = threading.Event()
        self.says(200, chart())
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._loop = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._loop.start()

    def says(self, status: int, body: object) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.reply: Callable[[Handler], Any] = lambda handler: (
            handler.answer(status, content) if "/chart/" in handler.path else handler.answer(404, b"no such page")
        )

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # the client hung up

    def close(self) -> None:
        self.over.set()
        self.shutdown()
        self._loop.join()
        for connection in self.connections:
            with contextlib.suppress(OSError):  # the other side may be gone already
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class Clock(SystemClock):
    """Real bounds, but minutes that pass when the test says so."""

    elapsed = 0.0
    patience: float | None = None  # seconds that take the place of every bound

    def monotonic(self) -> float:
        return self.elapsed

    def within(self, seconds: float, call: Callable[[], T]) -> T:
        return super().within(self.patience or seconds, call)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    SystemClock().within(1, int)  # one worker is kept
    before = threading.active_count()
    yield
    end = time.monotonic() + 2
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before, threading.enumerate()


@pytest.fixture(autouse=True, scope="module")
def nothing_stays_open() -> Iterator[None]:
    yield
    gc.collect()  # what was not closed warns now, and warnings are errors


@pytest.fixture
def server() -> Iterator[FakeYahoo]:
    fake = FakeYahoo()
    yield fake
    fake.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def prices(server: FakeYahoo, clock: Clock, tmp_path: Path) -> YahooPrices:
    return YahooPrices(clock, threading.Event(), server.url, tmp_path / "yahoo")


@pytest.fixture
def hasty(server: FakeYahoo, clock: Clock, tmp_path: Path) -> YahooPrices:
    """For a Yahoo that hangs: a request of 0.45 seconds, 0.6 for all."""
    return YahooPrices(clock, threading.Event(), server.url, tmp_path / "yahoo", deadline=0.6)


def hang(handler: Handler) -> None:
    handler.server.over.wait(10)


def drip(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    while not handler.server.over.wait(0.02):
        handler.wfile.write(b" ")
        handler.wfile.flush()


def reset(handler: Handler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def cut(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"chart":')
    handler.close_connection = True


def reason_of(prices: YahooPrices, symbol: str) -> tuple[type[PriceUnknown], str]:
    with pytest.raises(PriceUnknown) as caught:
        prices.quote(symbol)
    return type(caught.value), str(caught.value)


# ---- a good answer


def test_a_quote_is_one_request_the_first_time_and_every_time(server: FakeYahoo, prices: YahooPrices) -> None:
    first = prices.quote("NVDA")
    assert len(server.asked) == 1

    assert prices.quote("NVDA") == first
    prices.quote("SOUN")
    assert [path.split("?")[0].rsplit("/", 1)[1] for path in server.asked] == ["NVDA", "NVDA", "SOUN"]
    assert len(server.connections) == 1  # kept open between worker threads


def test_Y09_a_quote_says_what_it_costs_and_when(prices: YahooPrices) -> None:
    quote = prices.quote("NVDA")

    assert (quote.symbol, quote.source, quote.exchange) == ("NVDA", "yfinance", None)
    assert (quote.price, quote.previous_close) == (Decimal("178.5"), Decimal("175.1"))
    assert quote.at == NOON
    assert type(quote.at) is datetime


@pytest.mark.parametrize("symbol", ["BRK.B", "BRK/B", "brk-b"])
def test_share_classes_are_spelled_as_yahoo_does(server: FakeYahoo, prices: YahooPrices, symbol: str) -> None:
    assert prices.quote(symbol).symbol == symbol
    assert server.asked[0].startswith("/v8/finance/chart/BRK-B?")


def test_without_a_price_beside_the_bars_todays_close_stands_in(server: FakeYahoo, prices: YahooPrices) -> None:
    server.says(200, chart(regularMarketPrice=None))

    quote = prices.quote("NVDA")

    assert (quote.price, quote.previous_close, quote.at) == (Decimal("178.2"), Decimal("175.1"), NOON)


def bars(*closes: tuple[int, float]) -> list[tuple[datetime, object]]:
    return [(datetime(2026, 3, day, tzinfo=NEW_YORK), close) for day, close in closes]


NAN = float("nan")


@pytest.mark.parametrize(
    ("price", "at", "closes", "expected"),
    [
        (178.5, 12, bars((11, 175.1), (12, 178.2)), ("178.5", "175.1")),
        (175.1, 11, bars((10, 172.25), (11, 175.1)), ("175.1", "172.25")),  # before today's opening
        (178.5, 12, bars((10, 172.25), (11, 175.1)), ("178.5", "175.1")),  # today's bar is not there yet
        (178.5, 12, bars((11, NAN), (12, 178.2)), ("178.5", None)),  # an older close would be another day's
        (178.5, 12, bars((12, 178.2)), ("178.5", None)),  # listed today
        (178.5, None, bars((11, 175.1), (12, 178.2)), ("178.5", "175.1")),
        (None, 12, bars((11, 175.1), (12, 178.2)), ("178.2", "175.1")),
        (None, None, bars((11, 175.1), (12, 178.2)), ("178.2", "175.1")),
        (0, 12, bars((11, 175.1), (12, 178.2)), ("178.2", "175.1")),
        (None, 12, bars((11, 175.1), (12, NAN)), None),  # yesterday's close is no price of today
        (None, None, bars((11, 175.1), (12, NAN)), None),
        (None, 12, bars((10, 172.25), (11, 175.1)), None),
        (147.02999877929688, 12, bars((11, 1), (12, 1)), ("147.03", "1")),
        (0.12339999, 12, bars((11, 0.00001), (12, 1)), ("0.1234", None)),
        (True, 12, bars((11, 1), (12, NAN)), None),
        ("178.5", 12, bars((11, 1), (12, NAN)), None),
        (float("inf"), 12, bars((11, 1), (12, NAN)), None),
        (1_000_000, 12, bars((11, 1), (12, NAN)), None),
        (178.5, 12, [], None),
    ],
)
def test_Y04_price_and_previous_close(price: object, at: int | None, closes: Any, expected: Any) -> None:
    moment = datetime(2026, 3, at, 12, 0, tzinfo=NEW_YORK) if at else None
    facts = Chart("USD", price, moment, closes)
    if expected is None:
        with pytest.raises(PriceUnknown):
            read_chart("NVDA", facts)
        return

    quote = read_chart("NVDA", facts)

    assert str(quote.price) == expected[0]
    assert (str(quote.previous_close) if quote.previous_close else None) == expected[1]


# ---- no price for this symbol


@pytest.mark.parametrize(
    ("status", "answer", "reason"),
    [
        (404, NOT_FOUND, "시세 없음"),
        (200, empty_quote(), "시세 없음"),
        (200, chart([], regularMarketPrice=178.5), "시세 없음"),
        (200, chart([*CLOSES[:-1], None], regularMarketPrice=None), "시세 없음"),
        (200, chart([*CLOSES[:-1], None], regularMarketPrice=None, regularMarketTime=None), "시세 없음"),
        (200, chart([*CLOSES[:-1], NAN], regularMarketPrice=NAN), "시세 없음"),
        (200, chart([*CLOSES[:-1], 0], regularMarketPrice=0), "시세 없음"),
        (200, chart([*CLOSES[:-1], -1.0], regularMarketPrice=-178.5), "시세 없음"),
        (200, chart(currency="KRW"), "달러 시세 아님"),
        (200, chart(currency=None), "달러 시세 아님"),
    ],
)
def test_Y03_Y04_a_symbol_without_a_price_leaves_the_source_in_use(
    server: FakeYahoo, prices: YahooPrices, status: int, answer: object, reason: str
) -> None:
    server.says(status, answer)
    for symbol in ("NOPE", "NADA", "NIX", "NIENTE"):
        assert reason_of(prices, symbol) == (PriceUnknown, reason)

    server.says(200, chart())
    assert prices.quote("NVDA").price == Decimal("178.5")


def test_an_unknown_symbol_costs_two_requests(server: FakeYahoo, prices: YahooPrices) -> None:
    server.says(404, NOT_FOUND)
    reason_of(prices, "NOPE")
    assert len(server.asked) == 2  # yfinance's own second try; without us 7, and 27 where no cookie sticks


# ---- answers that yfinance stumbles over


@pytest.mark.parametrize(
    ("status", "answer", "name"),
    [
        (500, b"<html>Internal Server Error</html>", "JSONDecodeError"),
        (200, b"", "JSONDecodeError"),
        (200, b'{"chart":', "JSONDecodeError"),
        (200, b"\xff\xfe\x00 garbage", "UnicodeDecodeError"),
        (200, b"<p>Will be right back</p>", "YFDataException"),
        (200, {"chart": {"error": None, "result": [{"meta": {}}]}}, "KeyError"),
        (200, {"chart": {"error": "x", "result": None}}, "TypeError"),
        (200, {"chart": {"error": None, "result": [[]]}}, "TypeError"),
        (200, chart(regularMarketTime=1e30), "OverflowError"),
    ],
)
def test_Y06_three_symbols_with_strange_answers_are_yahoos_trouble(
    server: FakeYahoo, prices: YahooPrices, clock: Clock, status: int, answer: object, name: str
) -> None:
    server.says(status, answer)
    for symbol in ("AAPL", "AAPL", "AAPL", "NVDA", "SOUN"):
        kind, reason = reason_of(prices, symbol)
        assert kind is PriceUnknown
        assert reason == f"yfinance 오류 {name}"

    asked = len(server.asked)
    assert reason_of(prices, "TSLA") == (PricesUnreachable, f"yfinance 오류 {name}")
    assert len(server.asked) == asked

    clock.elapsed += 60
    reason_of(prices, "TSLA")
    assert len(server.asked) > asked  # one probe
    assert reason_of(prices, "AAPL")[0] is PricesUnreachable

    clock.elapsed += 60
    server.says(200, chart())
    assert prices.quote("AAPL").price == Decimal("178.5")


def test_strange_answers_between_good_ones_do_not_add_up(server: FakeYahoo, prices: YahooPrices) -> None:
    for symbol in ("AAPL", "NVDA", "SOUN", "TSLA"):
        server.says(200, b"garbage")
        assert reason_of(prices, symbol)[0] is PriceUnknown
        server.says(200, chart())
        prices.quote("MSFT")


@pytest.mark.parametrize("kind", [KeyError, TypeError, AttributeError, ZeroDivisionError, OSError])
def test_Y06_whatever_yfinance_raises_stays_inside(
    prices: YahooPrices, monkeypatch: Any, caplog: Any, kind: Any
) -> None:
    prices.quote("NVDA")

    def broken(*args: Any, **kwargs: Any) -> None:
        raise kind("https://query2.finance.yahoo.com/?crumb=secret")

    monkeypatch.setattr("yfinance.Ticker.history", broken)
    with caplog.at_level(logging.DEBUG, logger="yahoo"):
        assert reason_of(prices, "NVDA") == (PriceUnknown, f"yfinance 오류 {kind.__name__}")
    assert [record.getMessage() for record in caplog.records if record.name == "yahoo"] == [f"NVDA: {kind.__name__}"]


# ---- a source that is silent or refuses everybody


@pytest.mark.parametrize(
    ("reply", "reason"),
    [(hang, "응답 시간 초과"), (drip, "응답 시간 초과"), (reset, "연결 실패"), (cut, "연결 실패")],
)
def test_Y05_a_silent_yahoo_costs_its_deadline_once_and_then_nothing_for_a_minute(
    server: FakeYahoo, hasty: YahooPrices, clock: Clock, reply: Callable[[Handler], None], reason: str
) -> None:
    hasty.quote("NVDA")
    server.reply = reply
    began = time.monotonic()
    assert reason_of(hasty, "AAPL") == (PricesUnreachable, reason)
    assert time.monotonic() - began < 1.5

    asked, began = len(server.asked), time.monotonic()
    clock.elapsed += 59.9
    for symbol in ("AAPL", "NVDA", "SOUN"):
        assert reason_of(hasty, symbol) == (PricesUnreachable, reason)
    assert time.monotonic() - began < 0.4
    assert len(server.asked) == asked

    clock.elapsed += 0.1
    assert reason_of(hasty, "NVDA") == (PricesUnreachable, reason)  # one symbol probes
    asked = len(server.asked)
    assert reason_of(hasty, "AAPL") == (PricesUnreachable, reason)
    assert len(server.asked) == asked

    clock.elapsed += 60
    server.says(200, chart())
    assert hasty.quote("AAPL").price == Decimal("178.5")


def test_the_deadline_keeps_the_promise_of_five_seconds() -> None:
    assert yahoo.DEADLINE + 0.6 < 5  # the import comes on top of the first


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "http://no-such-host.invalid"])
def test_Y01_a_yahoo_that_is_not_there(clock: Clock, tmp_path: Path, url: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        prices = YahooPrices(clock, threading.Event(), url.format(port=unused.getsockname()[1]), tmp_path)

        assert reason_of(prices, "NVDA") == (PricesUnreachable, "연결 실패")


def test_eight_threads_wait_for_one_deadline_together(server: FakeYahoo, hasty: YahooPrices) -> None:
    server.reply = hang
    reasons: list[Any] = []
    threads = [threading.Thread(target=lambda: reasons.append(reason_of(hasty, "NVDA"))) for _ in range(8)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert reasons == [(PricesUnreachable, "응답 시간 초과")] * 8
    assert len(server.asked) == 1
    assert time.monotonic() - began < 2


def test_Y02_too_many_requests_is_a_quarter_of_an_hour(server: FakeYahoo, prices: YahooPrices, clock: Clock) -> None:
    server.says(429, b"Too Many Requests")
    assert reason_of(prices, "NVDA") == (PricesUnreachable, "요청 제한")
    asked = len(server.asked)

    clock.elapsed += 899.9
    server.says(200, chart())
    assert reason_of(prices, "AAPL") == (PricesUnreachable, "요청 제한")
    assert len(server.asked) == asked

    clock.elapsed += 0.1
    assert prices.quote("AAPL").price == Decimal("178.5")


def test_a_refusal_of_everybody_is_not_taken_for_unknown_symbols(server: FakeYahoo, prices: YahooPrices) -> None:
    server.says(401, UNAUTHORIZED)
    assert reason_of(prices, "NVDA") == (PricesUnreachable, "요청 제한")


def test_a_yahoo_that_insists_on_its_crumb_gets_it(server: FakeYahoo, prices: YahooPrices, tmp_path: Path) -> None:
    def strict(handler: Handler) -> None:
        if handler.path == "/":
            handler.answer(200, b"")
        elif handler.path == "/v1/test/getcrumb":
            handler.answer(200, b"cRuMb")
        elif "crumb=cRuMb" in handler.path:
            handler.answer(200, json.dumps(chart()).encode())
        else:
            handler.answer(401, json.dumps(UNAUTHORIZED).encode())

    server.reply = strict
    assert prices.quote("NVDA").price == Decimal("178.5")
    assert [path.split("?")[0] for path in server.asked].count("/v8/finance/chart/NVDA") == 2
    assert (tmp_path / "yahoo" / "cookies.db").is_file()

    server.asked.clear()
    prices.quote("AAPL")
    assert len(server.asked) <= 2  # the fake's host gives no cookie of yahoo.com, so that one is asked for again


def test_Y05_the_cookie_hosts_cannot_hold_a_quote_for_long(server: FakeYahoo, hasty: YahooPrices) -> None:
    def greedy(handler: Handler) -> None:
        if "/chart/" in handler.path:
            handler.answer(401, b"{}")
        else:
            hang(handler)

    server.reply = greedy
    began = time.monotonic()
    assert reason_of(hasty, "NVDA")[0] is PricesUnreachable  # yfinance asks those for 30 seconds each
    assert time.monotonic() - began < 1.5


def test_Y05_while_an_abandoned_worker_lives_nobody_asks(clock: Clock, tmp_path: Path) -> None:
    answer = threading.Event()
    asked: list[str] = []

    class Stuck(requests.Session):
        def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
            asked.append(url)
            answer.wait(10)
            raise requests.ConnectionError

    prices = YahooPrices(clock, threading.Event(), None, tmp_path, Stuck, deadline=0.1)
    assert reason_of(prices, "NVDA") == (PricesUnreachable, "응답 시간 초과")

    clock.elapsed += 3600
    assert reason_of(prices, "NVDA") == (PricesUnreachable, "앞선 조회가 끝나지 않음")
    assert len(asked) == 1

    answer.set()
    while any(thread.name == "bounded-call" for thread in threading.enumerate()):
        time.sleep(0.005)
    clock.patience = 10.0  # a tenth of a second is too short on a busy machine
    assert reason_of(prices, "NVDA") == (PricesUnreachable, "연결 실패")
    assert len(asked) == 2


def test_a_daemon_that_is_ending_asks_nothing(server: FakeYahoo, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopping):
        YahooPrices(SystemClock(), stop, server.url, tmp_path).quote("NVDA")
    assert server.asked == []


# ---- living with yfinance


def test_two_sources_in_one_process_keep_apart(prices: YahooPrices, server: FakeYahoo, tmp_path: Path) -> None:
    other = FakeYahoo()
    try:
        other.says(200, chart(regularMarketPrice=20.25))
        second = YahooPrices(SystemClock(), threading.Event(), other.url, tmp_path / "second")
        server.says(401, UNAUTHORIZED)  # the first has a crumb and cookies on its mind
        reason_of(prices, "NVDA")
        asked = len(server.asked)

        assert second.quote("NVDA").price == Decimal("20.25")
        assert len(other.asked) == 1
        assert "crumb" not in other.asked[0]
        assert len(server.asked) == asked
    finally:
        other.close()


def test_Y07_without_yfinance_the_daemon_lives_and_says_so_once(
    prices: YahooPrices, clock: Clock, monkeypatch: Any, caplog: Any
) -> None:
    monkeypatch.setitem(sys.modules, "yfinance", None)
    for symbol in ("NVDA", "AAPL", "SOUN"):
        clock.elapsed += 800
        assert reason_of(prices, symbol) == (PricesUnreachable, "yfinance 사용 불가")
    warned = [record for record in caplog.records if record.name == "yahoo" and record.levelno == logging.WARNING]
    assert len(warned) == 1


def test_H24_proxies_of_the_environment_are_not_used(prices: YahooPrices, monkeypatch: Any) -> None:
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    assert prices.quote("NVDA").price == Decimal("178.5")


def test_the_cache_folder_is_the_owners_alone(prices: YahooPrices, tmp_path: Path) -> None:
    prices.quote("NVDA")
    assert stat.S_IMODE((tmp_path / "yahoo").stat().st_mode) == 0o700


def test_Y08_a_cache_folder_that_cannot_be_made_is_done_without(
    server: FakeYahoo, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    prices = YahooPrices(clock, threading.Event(), server.url, tmp_path / "file" / "yahoo")

    assert prices.quote("NVDA").price == Decimal("178.5")
    server.says(401, UNAUTHORIZED)
    assert reason_of(prices, "NVDA") == (PricesUnreachable, "요청 제한")


def test_Y08_a_damaged_cache_does_not_end_the_quotes(
    server: FakeYahoo, prices: YahooPrices, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "yahoo").mkdir()
    for name in ("cookies.db", "tkr-tz.db"):
        (tmp_path / "yahoo" / name).write_bytes(b"not a database" * 100)
    assert prices.quote("NVDA").price == Decimal("178.5")  # not needed for a bare question

    server.says(401, UNAUTHORIZED)
    assert reason_of(prices, "NVDA")[0] is PricesUnreachable
    clock.elapsed += 900
    server.says(200, chart())
    for symbol in ("AAPL", "NVDA", "SOUN"):
        assert reason_of(prices, symbol) == (PriceUnknown, "yfinance 오류 DatabaseError")
    clock.elapsed += 60
    assert prices.quote("NVDA").price == Decimal("178.5")  # begun afresh


def test_Y11_no_warning_is_raised(prices: YahooPrices) -> None:
    prices.quote("NVDA")
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        prices.quote("NVDA")
        prices.quote("SOUN")
    assert raised == []


def test_Y07_Y11_a_process_stays_light_until_the_first_quote_and_quiet_after_it(
    server: FakeYahoo, tmp_path: Path
) -> None:
    script = f"""
import sys, threading, pathlib, yahoo, clock
prices = yahoo.YahooPrices(clock.SystemClock(), threading.Event(), {server.url!r}, pathlib.Path({str(tmp_path)!r}, "y"))
assert not {{"yfinance", "pandas", "curl_cffi"}} & set(sys.modules)
prices.quote("NVDA")
try:
    prices.quote("TEXT")
except yahoo.PriceUnknown:
    pass
else:
    raise SystemExit("a price?")
assert [thread.name for thread in threading.enumerate()] == ["MainThread", "bounded-call"]
"""

    def reply(handler: Handler) -> None:
        if "NVDA" in handler.path:
            handler.answer(200, json.dumps(chart()).encode())
        elif "TEXT" in handler.path:
            handler.answer(401, b"{}")
        else:
            reset(handler)  # a cookie that cannot be had: yfinance warns of it

    server.reply = reply
    (tmp_path / "home").mkdir()
    env = os.environ | {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("XDG_CACHE_HOME", "http_proxy", "https_proxy"):
        env.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", script],
        cwd=tmp_path / "home",
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list((tmp_path / "home").iterdir()) == []
    assert [path.name for path in (tmp_path / "y").iterdir() if not path.name.startswith("cookies.db")] == []


# ---- in-process, under virtual time


class InProcess(requests.adapters.BaseAdapter):
    """Yahoo as a function: no socket, and a silence that takes virtual time only."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self.clock = clock
        self.asked = 0
        self.silent = False
        self.content = json.dumps(chart()).encode()

    def send(self, request: Any, **kwargs: Any) -> requests.Response:
        self.asked += 1
        if self.silent:
            self.clock.advance(3)
            raise requests.exceptions.ReadTimeout
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url, request
        response._content = self.content if "/chart/" in request.url else b"crumb"
        return response

    def close(self) -> None:
        pass


def in_process(tmp_path: Path) -> tuple[VirtualClock, InProcess, YahooPrices]:
    clock = VirtualClock(datetime(2026, 3, 13, 1, 0, tzinfo=KST))
    adapter = InProcess(clock)

    def session() -> requests.Session:
        made = requests.Session()
        made.trust_env = False
        made.mount("https://", adapter)
        return made

    return clock, adapter, YahooPrices(clock, threading.Event(), None, tmp_path, session)


def test_an_in_process_session_serves_a_simulation_in_virtual_time(tmp_path: Path) -> None:
    clock, adapter, prices = in_process(tmp_path)
    assert prices.quote("NVDA").price == Decimal("178.5")
    assert adapter.asked == 1

    adapter.silent = True
    assert reason_of(prices, "NVDA") == (PricesUnreachable, "응답 시간 초과")
    assert reason_of(prices, "AAPL") == (PricesUnreachable, "응답 시간 초과")
    assert (adapter.asked, clock.monotonic()) == (2, 3.0)

    adapter.silent = False
    clock.advance(60)
    assert prices.quote("NVDA").price == Decimal("178.5")


def test_garbage_is_no_silence_to_an_in_process_session_either(tmp_path: Path) -> None:
    _, adapter, prices = in_process(tmp_path)
    adapter.content = b"<html>Bad Gateway</html>"
    assert reason_of(prices, "NVDA") == (PriceUnknown, "yfinance 오류 JSONDecodeError")
