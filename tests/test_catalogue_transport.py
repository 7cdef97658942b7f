"""Rows of the fault catalogue about the wire and its bodies (H) that no other test carries, named by their numbers."""

import contextlib
import gzip
import json
import os
import socket
import ssl
import threading
import time
import tracemalloc
from decimal import Decimal

import pytest
import trustme
from conftest import START
from test_intents import INTENT
from test_orders import only, shop, trade  # noqa: F401 - a fixture
from test_transport import hang, say, transport, wire  # noqa: F401 - two are fixtures

from errors import KISError, NoAnswer, PriceUnknown
from intents import after_answer
from kis_codes import check_answer
from kis_quotes import parse_quote, parse_quotes
from kis_transport import Answer, _Times
from portfolio import read_cash, read_orders, read_positions, rows_of


@pytest.fixture
def hasty(monkeypatch):
    """Bounds of tenths of a second instead of seconds."""
    monkeypatch.setattr("kis_transport.CONNECT_TIMEOUT", 0.2)
    monkeypatch.setattr("kis_transport.READ_TIMES", _Times(silence=0.3, deadline=0.5))


def ask(transport, url):  # noqa: F811
    return transport.get(url)


def dial(transport, url):  # noqa: F811
    with transport.line(url):
        pytest.fail("the line is open")


def reason_within(seconds, act, transport, url):  # noqa: F811
    began = time.monotonic()
    with pytest.raises(NoAnswer) as caught:
        act(transport, url)
    assert time.monotonic() - began < seconds
    return str(caught.value)


# no connection: nothing was sent


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("act", [ask, dial])
def test_H02_a_resolver_that_does_not_answer_is_given_up(transport, monkeypatch, act):  # noqa: F811
    over = threading.Event()

    def silent(*_, **__):
        over.wait(10)
        raise socket.gaierror

    monkeypatch.setattr("socket.getaddrinfo", silent)
    try:
        assert "시간 초과" in reason_within(2, act, transport, "http://kis.invalid/x")
    finally:
        over.set()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("act", [ask, dial])
def test_H03_a_host_that_takes_no_connection_is_given_up(transport, act):  # noqa: F811
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # its queue is full
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        assert reason_within(2, act, transport, url) == "연결 시간 초과"


@pytest.mark.parametrize("act", [ask, dial])
def test_H04_a_certificate_that_nobody_vouches_for_is_refused_and_not_asked_again(transport, act):  # noqa: F811
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    met, heard = [], []

    def serve(listener):
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            met.append(peer)
            with contextlib.suppress(OSError), context.wrap_socket(peer, server_side=True) as secure:
                heard.append(secure.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        assert reason_within(5, act, transport, f"https://127.0.0.1:{listener.getsockname()[1]}/x") == "TLS 오류"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    assert len(met) == 1
    assert not any(heard)


# half an answer


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("body", ["", '{"rt_cd":'])
def test_H11_headers_and_then_silence_is_silence(wire, transport, body):  # noqa: F811
    def headers_then_silence(peer, done):
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + body.encode())
        return hang(peer, done)

    assert reason_within(2, ask, transport, wire(headers_then_silence).url) == "응답 시간 초과"


def test_H21_a_small_answer_that_unpacks_to_a_flood_is_cut_off(wire, transport):  # noqa: F811
    bomb = gzip.compress(bytes(20 * 1024 * 1024)) * 10

    def flood(peer, done):
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)

    url = wire(flood).url
    tracemalloc.start()
    try:
        assert reason_within(4, ask, transport, url) == "응답이 너무 큼"
        assert tracemalloc.get_traced_memory()[1] < 150 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_H22_a_limit_without_a_code_of_kis_is_no_answer(wire, transport, status):  # noqa: F811
    code = status.split()[0]
    assert reason_within(2, ask, transport, wire(say("", head=f"HTTP/1.1 {status}\r\n")).url) == f"HTTP {code}, 빈 응답"


def test_H28_a_korean_message_in_another_encoding_is_an_answer_all_the_same(wire, transport):  # noqa: F811
    body = '{"rt_cd":"7","msg_cd":"APBK0952","msg1":"주문가능금액\n초과"}'.encode("euc-kr").replace(b"\n", b"\\n")

    def euc_kr(peer, done):
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with pytest.raises(KISError) as caught:
        transport.get(wire(euc_kr).url)
    assert caught.value.code == "APBK0952"
    assert caught.value.message.isprintable()


def test_H27_remade_brokers_leave_no_connection_behind(make_house):
    house = make_house().started()
    house.api.get_quote("NVDA")

    def handles():
        return len(os.listdir("/proc/self/fd"))

    before, kept = handles(), []
    for _ in range(20):
        kept.append(house.api._brokers)  # else the garbage collector would close what was forgotten
        house.api.reinitialize_brokers()
        house.pass_seconds(61)
        assert house.api.get_quote("NVDA").source == "KIS"
    assert handles() <= before + 4  # the broker's end of the last ones closes in its own time


# bodies of any shape

ODD = [
    None,
    True,
    5,
    -1,
    1.5,
    float("nan"),
    float("inf"),
    "",
    " ",
    "가격",
    "-1",
    "1e400",
    "NaN",
    [],
    ["1"],
    {},
    {"0": "1"},
]
READERS = {
    "price": lambda body: [parse_quote(body, "SOUN", "나스닥", START)],
    "multprice": lambda body: list(parse_quotes(body, [("나스닥", "SOUN"), ("나스닥", "NVDA")], START).values()),
    "ccnl": lambda body: read_orders(rows_of(body, "output")),
    "balance": lambda body: list(read_positions(rows_of(body, "output1")).values()),
    "psamount": lambda body: [read_cash(body)],
    "order": lambda body: [after_answer(INTENT, Answer(200, {}, body), 0.0)],
}


@pytest.fixture
def answers(shop):  # noqa: F811
    """What the broker answers at each end point on a day with an order and a holding."""
    house, bodies = shop(only("SOUN")), {}
    handle = house.sim.handle

    def listen(request):
        answer = handle(request)
        bodies[request.path.rsplit("/", 1)[-1].removeprefix("inquire-")] = json.loads(answer.body)
        return answer

    house.sim.handle = listen
    house.started()
    house.daemon.watch()
    house.pass_seconds(61)
    house.daemon.watch()
    for _ in range(2):
        trade(house)
        house.pass_seconds(1800)
    return bodies


def spoilt(value):
    """Each copy of a JSON value in which one part is odd or missing."""
    if not isinstance(value, dict | list):
        yield from ODD
        return
    for name, part in value.items() if isinstance(value, dict) else enumerate(value):
        for other in [*spoilt(part), *ODD]:
            copy = value.copy()
            copy[name] = other
            yield copy
        rest = value.copy()
        del rest[name]
        yield rest


def check_values(read):
    for name, number in vars(read).items():
        if name in ("quantity", "filled", "open", "sellable", "number"):
            assert number is None or (type(number) is int and number >= 0)
        if name in ("price", "previous_close", "usd", "average_price", "limit", "fill_price") and number is not None:
            assert Decimal(number).is_finite()


@pytest.mark.parametrize("where", READERS)
def test_H18_a_part_of_the_wrong_type_is_an_error_of_ours_or_a_value_that_is_one(answers, where):
    whole = answers[where]
    assert READERS[where](whole)
    for body in spoilt(whole):
        with contextlib.suppress(NoAnswer, PriceUnknown):
            for read in READERS[where](body):
                check_values(read)
        with contextlib.suppress(KISError):
            check_answer(200, body)
