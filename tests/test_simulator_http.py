"""The simulator over real sockets and inside a process, with real requests, mojito2 and yfinance."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import requests
from requests.adapters import HTTPAdapter

from clock import KST, SystemClock, VirtualClock
from simulator import Fault, Options, Simulator
from simulator.client import APP_KEY, APP_SECRET, Client
from simulator.inprocess import HungForever, InProcessAdapter
from simulator.listings import find_listing
from simulator.server import serve
from simulator.true_clock import TrueClock

START = datetime(2026, 11, 23, 23, 45, tzinfo=KST)
PRICE = "/uapi/overseas-price/v1/quotations/price"
NVDA_LISTING = find_listing("NVDA")
NVDA = {"AUTH": "", "EXCD": "NAS", "SYMB": "NVDA"}
ROOT = Path(__file__).parent.parent
CHART = "/v8/finance/chart/NVDA"


@pytest.fixture
def clock():
    return VirtualClock(START)


@pytest.fixture
def sim(clock):
    return Simulator(clock, seed=4, options=Options(rate_limit=False))


@pytest.fixture
def server(sim):
    with serve(sim) as running:
        yield running


@pytest.fixture
def session():
    with requests.Session() as one:
        one.trust_env = False
        yield one


@pytest.fixture
def inside(sim, session):
    """A session whose every request ends in the simulator, without sockets."""
    session.mount("https://", InProcessAdapter(sim))
    return session


def ask(session, base, sim, timeout=2.0, **options):
    """A quote over the given session."""
    headers = Client(sim).headers("HHDFS00000300")
    del headers["content-length"]
    headers["authorization"] = "Bearer " + token(sim)
    return session.get(base + PRICE, params=NVDA, headers=headers, timeout=timeout, **options)


def token(sim):
    """The one token, asked for once."""
    if not hasattr(sim, "test_token"):
        sim.test_token = Client(sim).login().token
    return sim.test_token


KIS = "https://kis.invalid:9443"


@pytest.mark.parametrize("where", ["server", "inside"])
def test_the_same_answers_over_both_roads(request, sim, session, where):
    base = request.getfixturevalue("server").url if where == "server" else KIS
    if where == "inside":
        session.mount("https://", InProcessAdapter(sim))
    answer = ask(session, base, sim)
    assert answer.json()["output"]["rsym"] == "DNASNVDA"
    assert answer.headers["tr_id"] == "HHDFS00000300"
    assert answer.status_code == 200


def test_one_connection_serves_many_requests(server, sim, session):
    with socket.create_connection((server.host, server.port), timeout=2) as connection:
        for _ in range(3):
            connection.sendall(b"GET /uapi/nothing HTTP/1.1\r\nhost: x\r\n\r\n")
            answer = connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 404 ")
            assert answer.endswith(b"content-length: 0\r\n\r\n")
            assert b"Date" not in answer


def test_keep_alive_is_fast(server, sim, session):
    ask(session, server.url, sim)
    begun = time.perf_counter()
    for _ in range(20):
        ask(session, server.url, sim)
    assert time.perf_counter() - begun < 0.5  # 40 ms each would be 0.8 s: Nagle


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("refused", requests.exceptions.ConnectionError),
        ("reset", requests.exceptions.ConnectionError),
        ("closed", requests.exceptions.ConnectionError),
        ("hang", requests.exceptions.ReadTimeout),
        ("half", requests.exceptions.ChunkedEncodingError),
        ("stall", requests.exceptions.ConnectionError),
        ("lost_answer", requests.exceptions.ConnectionError),
    ],
)
@pytest.mark.parametrize("where", ["server", "inside"])
def test_broken_wires_look_alike_over_both_roads(request, sim, session, where, kind, expected):
    token(sim)
    sim.faults.add(Fault(kind, where="price", times=1))
    base = request.getfixturevalue("server").url if where == "server" else KIS
    if where == "inside":
        session.mount("https://", InProcessAdapter(sim))
    with pytest.raises(expected) as caught:
        ask(session, base, sim, timeout=(1, 0.2))
    text = {
        "reset": "reset by peer",
        "lost_answer": "reset by peer",
        "closed": "Remote end closed",
        "hang": "Read timed",
    }
    assert text.get(kind, "") in str(caught.value)
    assert ask(session, base, sim).status_code == 200


def test_a_reset_is_a_real_reset(server, sim):
    sim.faults.add(Fault("reset"))
    with socket.create_connection((server.host, server.port), timeout=2) as connection:
        connection.sendall(b"GET /uapi/nothing2 HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = connection.recv(10)  # an unknown path meets no fault
        assert answer == b"HTTP/1.1 4"
    with socket.create_connection((server.host, server.port), timeout=2) as connection:
        connection.sendall(b"GET " + PRICE.encode() + b" HTTP/1.1\r\nhost: x\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(10)


def test_a_port_that_refuses(server, sim, session):
    with server.down(), pytest.raises(requests.exceptions.ConnectionError, match="Connection refused"):
        ask(session, server.url, sim)
    assert ask(session, server.url, sim).status_code == 200


def test_inside_a_refusal_looks_like_the_real_one(inside, sim):
    token(sim)
    sim.faults.add(Fault("refused"))
    with pytest.raises(requests.exceptions.ConnectionError) as caught:
        ask(inside, KIS, sim)
    assert "NewConnectionError" in str(caught.value)
    assert f"Max retries exceeded with url: {PRICE}?AUTH=&EXCD=NAS&SYMB=NVDA" in str(caught.value)
    adapter = inside.get_adapter(KIS)
    with pytest.raises(requests.exceptions.ConnectionError):
        adapter.connect(KIS + PRICE)
    sim.faults.clear()
    adapter.connect(KIS + PRICE)


def test_inside_silence_costs_virtual_time_only(inside, sim, clock):
    token(sim)
    sim.faults.add(Fault("hang", times=1), Fault("unreachable", times=1), Fault("delay", times=1, seconds=3))
    with pytest.raises(requests.exceptions.ReadTimeout):
        ask(inside, KIS, sim, timeout=(3, 10))
    assert clock.monotonic() == 10
    with pytest.raises(requests.exceptions.ConnectTimeout):
        ask(inside, KIS, sim, timeout=(3, 10))
    assert clock.monotonic() == 13
    ask(inside, KIS, sim, timeout=(3, 10))
    assert clock.monotonic() == 16
    sim.faults.add(Fault("delay", times=1, seconds=30))
    with pytest.raises(requests.exceptions.ReadTimeout):
        ask(inside, KIS, sim, timeout=(3, 10))
    assert clock.monotonic() == 26
    sim.faults.add(Fault("hang"))
    with pytest.raises(HungForever):
        ask(inside, KIS, sim, timeout=None)


def test_inside_a_dripping_body_takes_a_second_for_each_byte(inside, sim, clock):
    token(sim)
    sim.faults.add(Fault("drip"))
    answer = ask(inside, KIS, sim, stream=True)
    assert clock.monotonic() == 0
    assert answer.raw.read(5) == b'{"out'
    assert clock.monotonic() == 5
    assert next(answer.iter_content(3)) == b"put"
    assert clock.monotonic() == 8
    answer.close()


def test_a_served_body_drips(server, sim, session):
    token(sim)
    sim.faults.add(Fault("drip", seconds=0.01))
    answer = ask(session, server.url, sim, stream=True)
    arrived = [part for part, _ in zip(answer.iter_content(1), range(20), strict=False)]
    assert b"".join(arrived) == b'{"output":{"rsym":"D'
    answer.close()


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("html502", lambda a: a.status_code == 502 and "<html>" in a.text),
        ("empty", lambda a: a.status_code == 200 and a.content == b""),
        ("cut", lambda a: a.status_code == 200 and a.content.startswith(b'{"output"') and not a.content.endswith(b"}")),
        ("json_list", lambda a: isinstance(a.json(), list)),
        ("wrong_types", lambda a: not any(isinstance(v, str) for v in a.json()["output"].values())),
        ("error", lambda a: a.status_code == 500 and a.json()["msg_cd"] == "EGW00316"),
    ],
)
def test_spoiled_bodies(inside, sim, kind, check):
    token(sim)
    sim.faults.add(Fault(kind, where="quote", code="EGW00316"))
    assert check(ask(inside, KIS, sim))


def test_errors_of_the_token_end_point_have_its_own_shape(sim):
    sim.faults.add(Fault("error", where="token", code="EGW00133"))
    status, body = Client(sim).issue()
    assert (status, body["error_code"]) == (403, "EGW00133")


def test_when_faults_fire(sim, clock):
    client = Client(sim).login()
    sim.faults.add(
        Fault("html502", where="price", after=1, times=2),
        Fault("empty", where="HHDFS00000300", start=START + timedelta(minutes=5), until=START + timedelta(minutes=6)),
    )
    statuses = []
    for _ in range(6):
        answer = sim.handle(_price_request(client))
        statuses.append((answer.status, bool(answer.body)))
        clock.advance(80)
    assert statuses == [(200, True), (502, True), (502, True), (200, True), (200, False), (200, True)]


def test_chances_come_from_the_seed(clock):
    def run():
        client = Client(Simulator(clock, options=Options(rate_limit=False))).login()
        client.sim.faults.add(Fault("html502", where="price", chance=0.3))
        return [client.sim.handle(_price_request(client)).status for _ in range(100)]

    first = run()
    clock.advance(61)
    assert first == run()
    assert 15 < first.count(502) < 45


def test_a_fault_more_leaves_the_others_chances_alone(clock):
    def run(*more):
        client = Client(Simulator(clock, options=Options(rate_limit=False))).login()
        client.sim.faults.add(*more, Fault("html502", where="price", chance=0.3))
        return [client.sim.handle(_price_request(client)).status for _ in range(100)]

    assert run() == run(Fault("empty", where="yahoo", chance=0.5))


def _price_request(client):
    from simulator import Request

    return Request("GET", PRICE, NVDA, client.headers("HHDFS00000300"))


def test_faults_travel_as_json():
    fault = Fault("error", where="order", code="EGW00301", processed=True, times=2, start=START, symbol="NVDA")
    assert Fault.from_dict(json.loads(json.dumps(fault.to_dict()))) == fault
    assert Fault("hang").to_dict() == {"kind": "hang"}
    for wrong in (
        {"kind": "earthquake"},
        {"kind": "hang", "times": "2"},
        {"kind": "hang", "start": "2026-11-23T22:00"},
    ):
        with pytest.raises(ValueError, match=r"unknown kind|no number|without a zone"):
            Fault.from_dict(wrong)


def test_the_admin_door(server, sim, session):
    client = Client(sim)
    client.token = token(sim)
    fault = {"kind": "html502", "where": "price"}
    assert session.post(server.url + "/sim/faults", json=[fault], timeout=2).json() == {"added": 1}
    assert ask(session, server.url, sim).status_code == 502
    session.delete(server.url + "/sim/faults", timeout=2)
    session.post(server.url + "/sim/pin", json={"symbol": "NVDA", "price": "150.25", "base": "149"}, timeout=2)
    assert client.price("NVDA")[1]["output"]["last"] == "150.2500"
    session.post(server.url + "/sim/revoke", json={"code": "EGW00123"}, timeout=2)
    assert client.price("NVDA")[1]["msg_cd"] == "EGW00123"
    assert session.get(server.url + "/sim/counts", timeout=2).json()["token"] == sim.count("token")
    [first, *_] = session.get(server.url + "/sim/issuances", timeout=2).json()
    assert first["at"] == "2026-11-23T23:45:00+09:00"
    assert session.post(server.url + "/sim/faults", json={"kind": "earthquake"}, timeout=2).status_code == 400
    assert session.get(server.url + "/sim/nothing", timeout=2).status_code == 404


def test_the_admin_door_to_the_account(server, sim, session):
    client = Client(sim)
    client.token = token(sim)

    def post(name, **body):
        answer = session.post(f"{server.url}/sim/{name}", json=body, timeout=2)
        assert answer.ok, answer.text
        return answer.json()

    def get(name):
        return session.get(f"{server.url}/sim/{name}", timeout=2).json()

    post("give", symbol="NVDA", quantity=5, price="100")
    post("deposit", amount="250.50")
    number = post("foreign", symbol="NVDA", side="sell", quantity=2, limit="9999")["number"]
    post("fill", number=number, quantity=1, price="10000")
    account = get("account")
    assert (account["holdings"], account["cash"]) == ({"NVDA": 4}, "110225.29")  # 25.00 and 0.21 of fees
    assert [(order["number"], order["filled"]) for order in account["orders"]] == [(number, 1)]
    assert get("audit") == {"problems": []}
    client.order("buy", "NVDA", 1, "1.00")
    assert [(one["name"], one["body"]["PDNO"]) for one in get("accepted")] == [("order", "NVDA")]
    refused = session.post(f"{server.url}/sim/foreign", json={"symbol": "ZZZZ"}, timeout=2)
    assert refused.status_code == 400


def test_closing_cuts_what_hangs_and_leaves_no_thread(sim):
    sim.faults.add(Fault("hang"), Fault("drip", where="yahoo"))
    before = threading.active_count()
    server = serve(sim)
    sockets = [socket.create_connection((server.host, server.port), timeout=5) for _ in range(4)]
    for connection, path in zip(sockets, [PRICE, CHART, PRICE, ""], strict=True):
        connection.sendall(f"GET {path or '/'} HTTP/1.1\r\nhost: x\r\n".encode() + (b"\r\n" if path else b""))
    begun = time.perf_counter()
    server.close()
    assert time.perf_counter() - begun < 1
    assert threading.active_count() == before
    for connection in sockets:
        connection.close()


def test_many_threads_at_once(server, sim):
    token(sim)
    statuses = []

    def work():
        with requests.Session() as own:
            own.trust_env = False
            statuses.extend(ask(own, server.url, sim).status_code for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 80


def test_over_tls(sim, tmp_path, session):
    certificate = tmp_path / "tls.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", certificate, "-out", tmp_path / "cert.pem"]
    made = subprocess.run([*command.split(), *files], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no openssl here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", certificate)
    with serve(sim, ssl_context=context) as server:
        session.verify = str(tmp_path / "cert.pem")
        assert server.url.startswith("https://")
        assert ask(session, server.url, sim).status_code == 200
        sim.faults.add(Fault("reset", times=1))
        with pytest.raises(requests.exceptions.ConnectionError):
            ask(session, server.url, sim)


def test_an_unknown_symbol_at_yahoo(inside):
    answer = inside.get("https://query2.finance.yahoo.com/v8/finance/chart/NOPE", timeout=2)
    assert answer.status_code == 404
    assert answer.json()["chart"]["error"]["code"] == "Not Found"


def test_cookies_and_crumbs_inside(inside):
    inside.get("https://fc.yahoo.com/", timeout=2)
    assert "A3" in inside.cookies
    assert inside.get("https://query1.finance.yahoo.com/v1/test/getcrumb", timeout=2).text


# --- the real libraries -----------------------------------------------------------------------------------------------


@pytest.fixture
def mojito_broker(server, monkeypatch, tmp_path):
    import mojito

    monkeypatch.chdir(tmp_path)  # it writes token.dat where it stands
    monkeypatch.setattr("mojito.koreainvestment.requests", requests)  # whatever the daemon's tests put there
    for name in ("REQUESTS_CA_BUNDLE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    url = server.url

    class Here(mojito.KoreaInvestment):
        def set_base_url(self, mock=True):
            self.base_url = url

    return lambda **options: Here(APP_KEY, APP_SECRET, "87654321-01", exchange="나스닥", **options)


def test_unmodified_mojito_quotes(mojito_broker, sim):
    broker = mojito_broker()
    body = broker.fetch_price("NVDA")
    assert Decimal(body["output"]["last"]) > 0
    assert broker.fetch_price("SNOW")["output"]["last"] == ""
    rows = broker.fetch_ohlcv_overesea("NVDA", end_day="20261123")["output2"]
    assert rows[0]["xymd"] == "20261123"
    assert sim.count("token") == 1


def test_unmodified_mojito_meets_the_recorded_refusals(mojito_broker, sim):
    broker = mojito_broker()
    sim.revoke_tokens("EGW00123")
    assert broker.fetch_price("NVDA")["msg_cd"] == "EGW00123"
    with pytest.raises(KeyError, match="access_token"):
        broker.issue_access_token()  # within the minute


def test_unmodified_mojito_sees_the_account_as_far_as_it_can(mojito_broker, sim):
    broker = mojito_broker()
    assert broker.fetch_present_balance()["output2"][0]["crcy_cd"] == "USD"
    with pytest.raises(KeyError, match="output"):
        broker.fetch_balance()  # it asks a path whose id is dead
    assert broker.create_limit_buy_order("NVDA", 100.0, 1)["msg_cd"] == "EGW00356"
    assert sim.accepted == []


def test_unmodified_mojito_buys_when_a_paper_account_sells(mojito_broker, server, clock):
    sim = server.use(Simulator(clock, "paper", seed=4, options=Options(rate_limit=False, fill_delay=(0, 0))))
    sim.pin("NVDA", "150")
    broker = mojito_broker(mock=True)
    assert broker.create_limit_buy_order("NVDA", 150, 1)["rt_cd"] == "0"
    assert broker.create_limit_sell_order("NVDA", 150, 1)["rt_cd"] == "0"
    assert sim.account().held("NVDA") == 2
    assert sim.count("hashkey") == 2
    assert broker.create_limit_buy_order("NVDA", 150.123, 1)["msg_cd"] == "40030000"
    sim.audit()


@pytest.fixture
def yahoo(monkeypatch, tmp_path, server):
    """The real yfinance, its requests sent to the simulator."""
    yf = pytest.importorskip("yfinance")
    yf.set_tz_cache_location(str(tmp_path))
    yf.config.debug.hide_exceptions = False
    base = server.url

    class Loopback(HTTPAdapter):
        def send(self, request, **options):
            asked = request.url
            parts = urlsplit(asked)
            request.url = base + urlunsplit(("", "", parts.path or "/", parts.query, ""))
            answer = super().send(request, **options)
            answer.url = asked
            return answer

    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", Loopback())
        yield lambda symbol: yf.Ticker(symbol, session=session)
    yf.config.debug.hide_exceptions = True


@pytest.fixture
def today(sim, clock):
    """yfinance reads the real clock, so the market has to be about now."""
    clock.step((datetime.now(KST) - clock.now()).total_seconds())
    return clock


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("hours", ["always", "nyse"])
def test_real_yfinance(yahoo, server, clock, today, hours):
    sim = server.use(Simulator(clock, seed=4, options=Options(hours=hours)))
    now = clock.now().timestamp()
    done = [s for s in sim.market.hours.recent(sim.market.hours.current(now).date, 3) if s.opens <= now]
    kis = float(sim.market.price(NVDA_LISTING, now))
    base = float(sim.market.close(NVDA_LISTING, done[1]))
    ticker = yahoo("NVDA")
    frame = ticker.history(period="5d", auto_adjust=False)
    assert len(frame) == 5
    assert frame["Close"].notna().all()
    assert frame.index[-1].date() == done[0].date
    last = ticker.history_metadata["regularMarketPrice"]
    assert last == pytest.approx(kis, rel=4e-4)
    assert frame["Close"].iloc[-1] == pytest.approx(last)
    assert frame["Close"].iloc[-2] == pytest.approx(base, rel=4e-4)
    if hours == "nyse":  # fast_info looks at bars up to today's date only
        fast = yahoo("NVDA").fast_info
        assert fast.last_price == pytest.approx(last)
        assert fast.currency == "USD"
        assert fast.regular_market_previous_close > 0
        assert fast.previous_close > 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_real_yfinance_meets_trouble(yahoo, sim, today):
    yf = pytest.importorskip("yfinance")
    with pytest.raises((requests.exceptions.HTTPError, yf.exceptions.YFPricesMissingError)):
        yahoo("NOPE").history(period="5d")
    sim.faults.add(Fault("error", where="yahoo", status=429))
    with pytest.raises(yf.exceptions.YFRateLimitError):
        yahoo("NVDA").history(period="5d")
    sim.faults.clear()
    sim.faults.add(Fault("bad_price", where="chart", text="NaN"))
    assert yahoo("NVDA").history(period="5d", auto_adjust=False, keepna=True)["Close"].isna().iloc[-1]
    sim.faults.clear()
    sim.faults.add(Fault("html502", where="chart"))
    with pytest.raises((ValueError, requests.exceptions.RequestException)):
        yahoo("NVDA").history(period="5d")


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_python_m_simulator(tmp_path, session, number):
    command = [sys.executable, "-m", "simulator", "--profile", "paper", "--store", str(tmp_path / "sim.db")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        kis, yahoo_line = process.stdout.readline().split(), process.stdout.readline().split()
        assert (kis[0], yahoo_line[0]) == ("KIS", "YAHOO")
        assert session.get(yahoo_line[1] + CHART, timeout=5).status_code == 200
        body = {"grant_type": "client_credentials", "appkey": APP_KEY, "appsecret": APP_SECRET}
        assert session.post(kis[1] + "/oauth2/tokenP", json=body, timeout=5).status_code == 200
        process.send_signal(number)
        rest, errors = process.communicate(timeout=10)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_a_signal_right_after_the_start_ends_it_as_well():
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-m", "simulator"], cwd=ROOT, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            process.terminate()
            process.communicate(timeout=10)
        assert process.returncode == 0


def test_the_brokers_watch_may_ignore_a_step_of_the_daemons_clock(clock):
    sim = Simulator(TrueClock(clock))
    client = Client(sim).login()
    clock.advance(10)
    clock.step(25 * 3600)
    assert client.price("NVDA")[0] == 200
    assert sim.clock.now() == START + timedelta(seconds=10)


def test_the_system_clock_will_do():
    sim = Simulator(SystemClock())
    assert Client(sim).login().price("NVDA")[0] == 200
