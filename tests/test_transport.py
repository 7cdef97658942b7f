"""The one road to KIS: what comes back as what, what is bounded, and how fast it may be used."""

import contextlib
import json
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise

import certifi
import pytest
import requests
import trustme

from clock import KST, SystemClock, VirtualClock
from errors import KISRefusal, NoAnswer, RateLimited, Stopping, TokenRejected, WrongKeys
from kis_codes import check_answer
from kis_transport import KISTransport, new_session, token_mark
from rate_limit import LEDGER_SPACING, RateLimiter
from simulator import Simulator
from simulator.client import APP_KEY, APP_SECRET
from simulator.server import serve

TOKEN_REQUEST = {"grant_type": "client_credentials", "appkey": APP_KEY, "appsecret": APP_SECRET}
START = datetime(2026, 11, 23, 22, 0, tzinfo=KST)


# what an answer means


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, {"rt_cd": "1", "msg_cd": "EGW00123", "msg1": "기간이 만료된 token 입니다."}, TokenRejected),
        (200, {"rt_cd": "1", "msg_cd": "EGW00121", "msg1": "유효하지 않은 token 입니다."}, TokenRejected),
        (500, {"rt_cd": "1", "msg_cd": "EGW00122", "msg1": ""}, TokenRejected),
        (500, {"rt_cd": "1", "msg1": "접근토큰이 유효하지 않습니다"}, TokenRejected),
        (401, {"error_description": "Auth failed", "error_code": ""}, TokenRejected),
        (403, {"error_description": "token expired"}, TokenRejected),
        (500, {"msg_cd": "EGW00123", "msg1": "기간이 만료된 token 입니다."}, TokenRejected),
        (200, {"msg_cd": "EGW00123", "msg1": "기간이 만료된 token 입니다."}, TokenRejected),
        (401, {"msg1": "유효하지 않은 token"}, TokenRejected),
        (500, {"msg1": "잠시 후 다시"}, KISRefusal),
        (500, {"rt_cd": "1", "msg_cd": "EGW00201", "msg1": "token 초당 거래건수를 초과하였습니다."}, RateLimited),
        (200, {"rt_cd": "1", "msg_cd": "EGW00215", "msg1": ""}, RateLimited),
        (200, {"rt_cd": "1", "msg_cd": "XXXX", "msg1": "초당 거래건수를 초과"}, RateLimited),
        (403, {"error_code": "EGW00103", "error_description": "유효하지 않은 AppKey입니다."}, WrongKeys),
        (403, {"error_code": "EGW00133", "error_description": "접근토큰 발급 잠시 후"}, KISRefusal),
        (500, {"rt_cd": "1", "msg_cd": "EGW00300", "msg1": "인증 auth token"}, KISRefusal),
        (200, {"rt_cd": "7", "msg_cd": "APBK0952", "msg1": "주문가능금액을 초과 했습니다"}, KISRefusal),
        (200, {"rt_cd": 1, "msg_cd": None, "msg1": None}, KISRefusal),
        (502, {"message": "auth token"}, NoAnswer),
        (404, {"message": "auth token"}, NoAnswer),
    ],
)
def test_T19_H13_what_an_error_stands_for(status, body, error):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the exact class is what is tested
        check_answer(status, body)
    assert type(caught.value) is error


@pytest.mark.parametrize("body", [{"rt_cd": "0"}, {"rt_cd": 0}, {"access_token": "x"}, {"HASH": "x"}])
def test_what_is_a_success(body):
    check_answer(200, body)


def test_H28_a_message_from_outside_cannot_forge_a_log_line():
    with pytest.raises(KISRefusal) as caught:
        check_answer(500, {"rt_cd": "1", "msg_cd": "X", "msg1": "a\n2026-01-01 - main\x1b[31m" + " " * 60})
    assert caught.value.message == "a 2026-01-01 - main [31m"


# the wire


class Wire:
    """A port on which a test decides byte by byte what comes back."""

    def __init__(self, *behaviours):
        self.behaviours = list(behaviours)
        self.requests = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/x?AUTH=&CANO=50123987"
        self.done = threading.Event()
        self.peers = []
        self.threads = [threading.Thread(target=self.serve, daemon=True)]
        self.threads[0].start()

    def serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            self.peers.append(peer)
            thread = threading.Thread(target=self.answer, args=(peer,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def answer(self, peer):
        with peer:
            while not self.done.is_set():
                try:
                    if not peer.recv(65536):
                        return
                    self.requests += 1
                    behaviour = self.behaviours[min(self.requests, len(self.behaviours)) - 1]
                    if behaviour(peer, self.done) == "close":
                        return
                except OSError:
                    return

    def close(self):
        self.done.set()
        for each in [self.socket, *self.peers]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self.threads:
            thread.join(5)


def say(text, *, head="HTTP/1.1 200 OK\r\n", length=None):
    body = text.encode()

    def behave(peer, done):
        peer.sendall(f"{head}Content-Length: {length or len(body)}\r\n\r\n".encode() + body)
        return "close" if length else None

    return behave


def hang(peer, done):
    done.wait(20)
    return "close"


def drip(peer, done):
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not done.wait(0.2):
        peer.sendall(b" ")
    return "close"


def continue_for_ever(peer, done):
    while not done.wait(0.1):
        peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    return "close"


def hang_up(peer, done):
    return "close"


GOOD = say('{"rt_cd": "0", "output": {}}')


@pytest.fixture
def wire():
    wires = []

    def make(*behaviours):
        wires.append(Wire(*behaviours))
        return wires[-1]

    yield make
    for each in wires:
        each.close()


@pytest.fixture
def transport():
    clock, stop = SystemClock(), threading.Event()
    road = KISTransport(new_session, RateLimiter(1000, clock, stop), clock, stop)
    yield road
    road.close()


def test_H05_H06_whatever_the_server_does_a_call_ends_before_five_seconds(wire, transport):
    def ask(behaviour):
        started = time.monotonic()
        with pytest.raises(NoAnswer, match="응답 시간 초과"):
            transport.get(wire(behaviour).url)
        return time.monotonic() - started

    with ThreadPoolExecutor(3) as pool:
        assert max(pool.map(ask, [hang, drip, continue_for_ever])) < 5


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (say("<html>token auth</html>", head="HTTP/1.1 502 Bad Gateway\r\n"), "HTTP 502, JSON 아님"),
        (say(""), "HTTP 200, 빈 응답"),
        (say('{"rt_cd": "0", "out'), "HTTP 200, JSON 아님"),
        (say("[1, 2]"), "HTTP 200, JSON 객체 아님"),
        (say("null"), "HTTP 200, JSON 객체 아님"),
        (say("[" * 200_000), "HTTP 200, JSON 아님"),
        (say("", head="HTTP/1.1 404 Not Found\r\n"), "HTTP 404, 빈 응답"),
        (say('{"rt_cd"', length=500), "연결 끊김"),
        (say("x" * (2 * 1024 * 1024 + 1)), "응답이 너무 큼"),
        (hang_up, "연결 끊김"),
    ],
)
def test_H10_H12_H14_H17_H21_S01_what_is_no_answer_is_named_without_the_url(wire, transport, behaviour, reason):
    with pytest.raises(NoAnswer) as caught:
        transport.get(wire(behaviour).url)
    assert str(caught.value) == reason
    assert "CANO" not in repr(caught.value) + str(caught.value.__cause__)


def test_H15_json_cut_at_any_byte_is_no_answer(wire, transport):
    whole = '{"rt_cd":"0","output":{"last":"178.5000"}}'
    peer = wire(*[say(whole[:length]) for length in range(len(whole))])
    for _ in range(len(whole)):
        with pytest.raises(NoAnswer):
            transport.get(peer.url)


def test_H09_a_dropped_read_is_tried_once_more_and_a_post_never(wire, transport):
    peer = wire(hang_up, GOOD)
    assert transport.get(peer.url).body["rt_cd"] == "0"

    peer = wire(hang_up, GOOD)
    with pytest.raises(NoAnswer):
        transport.post(peer.url, data="{}")
    assert peer.requests == 1


def test_H01_a_closed_port_is_a_refused_connection(transport):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(NoAnswer, match="연결 거부"):
        transport.get(f"http://127.0.0.1:{port}/?AUTH=")


def test_H02_a_name_that_does_not_resolve_is_no_token_error(transport):
    with pytest.raises(NoAnswer, match="DNS"):
        transport.get("http://no-such-host.invalid/?AUTH=")


def test_over_tls_an_order_goes_out_on_the_very_connection_that_was_opened_before(tmp_path):
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    accepted = []
    clock, stop = SystemClock(), threading.Event()

    def session():
        fresh = new_session()
        fresh.verify = str(bundle)
        return fresh

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                accepted.append(peer)
                with context.wrap_socket(peer, server_side=True) as secure:
                    request = b""
                    while (part := secure.recv(65536)) and not (request := request + part).endswith(b"{}"):
                        pass
                    if request:
                        body = b'{"rt_cd": "0"}'
                        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        road = KISTransport(session, RateLimiter(1000, clock, stop), clock, stop)
        with road.line(f"https://127.0.0.1:{listener.getsockname()[1]}/order") as post:
            assert len(accepted) == 1
            assert post({}, "{}").body == {"rt_cd": "0"}
        road.close()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    assert len(accepted) == 1


@pytest.fixture
def authority(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return authority


def ask_over_tls(authority, bundle, name="127.0.0.1"):
    """One request over a new pool that trusts ``bundle``, to a server that ``authority`` calls ``name``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    clock, stop, session = SystemClock(), threading.Event(), new_session()
    session.verify = str(bundle)
    road = KISTransport(lambda: session, RateLimiter(1000, clock, stop), clock, stop)
    with serve(Simulator(clock), ssl_context=context) as server, contextlib.closing(road):
        return road.post(f"{server.url}/oauth2/tokenP", data=json.dumps(TOKEN_REQUEST)).status


def test_the_trusted_authorities_are_read_once_for_all_pools(authority, tmp_path):
    assert ask_over_tls(authority, tmp_path / "ca.pem") == 200
    (tmp_path / "ca.pem").unlink()
    assert ask_over_tls(authority, tmp_path / "ca.pem") == 200


def test_H04_a_server_that_nobody_vouches_for_hears_nothing(authority, tmp_path):
    with pytest.raises(NoAnswer, match="TLS 오류"):
        ask_over_tls(trustme.CA(), tmp_path / "ca.pem")
    with pytest.raises(NoAnswer, match="TLS 오류"):
        ask_over_tls(authority, tmp_path / "ca.pem", name="somebody-else.invalid")
    with pytest.raises(NoAnswer, match="TLS 오류"):
        ask_over_tls(authority, certifi.where())
    with pytest.raises(NoAnswer, match="통신 오류 FileNotFoundError"):
        ask_over_tls(authority, tmp_path / "gone.pem")


def test_H23_redirects_are_not_followed(wire, transport):
    peer = wire(say("", head="HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"))
    with pytest.raises(NoAnswer, match="HTTP 302"):
        transport.get(peer.url)
    assert peer.requests == 1


def test_H24_proxies_of_the_environment_are_ignored(wire, transport, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert transport.get(wire(GOOD).url).status == 200


def test_connections_are_reused(wire, transport):
    peer = wire(GOOD)
    for _ in range(20):
        transport.get(peer.url)
    assert len(peer.threads) == 2  # the accepting one and one connection


def test_a_token_error_names_the_token_that_was_sent_by_its_mark(wire, transport):
    peer = wire(say('{"rt_cd":"1","msg_cd":"EGW00123","msg1":"x"}', head="HTTP/1.1 500 Error\r\n"))
    with pytest.raises(TokenRejected) as caught:
        transport.get(peer.url, {"authorization": "Bearer made-up-token"})
    assert caught.value.mark == token_mark("made-up-token")
    assert "made-up" not in repr(caught.value)


def test_after_the_stop_nothing_is_sent(wire):
    peer, stop, clock = wire(GOOD), threading.Event(), SystemClock()
    road = KISTransport(requests.Session, RateLimiter(1000, clock, stop), clock, stop)
    stop.set()
    with pytest.raises(Stopping):
        road.get(peer.url)
    assert peer.requests == 0
    road.close()


# the limits


def times_of(limiter, clock, count, **kind):
    times = []
    for _ in range(count):
        limiter.acquire(**kind)
        times.append(clock.monotonic())
    return times


@pytest.mark.parametrize(("rate", "window", "most"), [(15, 1.0, 15), (0.8, 1.25, 1), (2.5, 0.8, 2)])
def test_H22_never_more_calls_in_any_window_than_the_rate_allows(rate, window, most):
    clock = VirtualClock(START)
    times = times_of(RateLimiter(rate, clock, threading.Event()), clock, 100)
    for i in range(len(times) - most):
        assert times[i + most] - times[i] >= window - 1e-9


def test_H22_account_queries_stand_apart():
    clock = VirtualClock(START)
    limiter = RateLimiter(15, clock, threading.Event())
    times = times_of(limiter, clock, 5, ledger=True)
    assert all(b - a >= LEDGER_SPACING - 1e-9 for a, b in pairwise(times))


def test_H22_after_a_refusal_the_rate_is_halved_for_an_hour():
    clock = VirtualClock(START)
    limiter = RateLimiter(0.8, clock, threading.Event())
    limiter.slow_down()
    assert times_of(limiter, clock, 3)[-1] == pytest.approx(5.0)
    clock.advance(3600)
    start = clock.monotonic()
    assert times_of(limiter, clock, 3)[-1] - start == pytest.approx(2.5)


def test_eight_threads_share_one_limit():
    clock, stop = SystemClock(), threading.Event()
    limiter = RateLimiter(200, clock, stop)
    times = []
    threads = [threading.Thread(target=lambda: times.extend(times_of(limiter, clock, 40))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    times.sort()
    assert len(times) == 320
    assert times[-1] - times[0] >= 0.55  # 320 calls at 200 a second; the first 200 may go at once
