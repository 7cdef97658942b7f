"""KIS's quotes, limits and refusals (protocol §4, §6, §10)."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal

import pytest

from clock import KST, VirtualClock
from simulator import Fault, Options, Request, Simulator
from simulator.client import PRICE_PATH, TRADE_PATH, Client

FREE = Options(rate_limit=False)


@pytest.fixture
def clock():
    return VirtualClock(datetime(2026, 11, 23, 23, 45, tzinfo=KST))


def make(clock, profile="real", **options):
    sim = Simulator(clock, profile, seed=4, options=Options(**{"rate_limit": False, **options}))
    return Client(sim).login()


@pytest.fixture
def client(clock):
    return make(clock)


@pytest.fixture
def paper(clock):
    return make(clock, "paper")


def multi(client, *pairs):
    numbered = {}
    for number, (exchange, symbol) in enumerate(pairs, 1):
        numbered |= {f"EXCD_{number:02}": exchange, f"SYMB_{number:02}": symbol}
    return client.get(PRICE_PATH + "multprice", "HHDFS76220000", AUTH="", NREC=str(len(pairs)), **numbered)


def daily(client, symbol, exchange="NAS", until="", period="0"):
    return client.get(
        PRICE_PATH + "dailyprice",
        "HHDFS76240000",
        AUTH="",
        EXCD=exchange,
        SYMB=symbol,
        GUBN=period,
        BYMD=until,
        MODP="0",
    )


def test_a_price_as_kis_gives_it(client):
    status, body = client.price("NVDA")
    output = body["output"]
    assert (status, body["rt_cd"], body["msg_cd"], body["msg1"]) == (200, "0", "MCA00000", "정상처리 되었습니다.")
    assert all(isinstance(value, str) for value in output.values())
    assert output["rsym"] == "DNASNVDA"
    last, base, diff = (Decimal(output[name]) for name in ("last", "base", "diff"))
    assert last.as_tuple().exponent == base.as_tuple().exponent == -4
    assert last == base + diff * (1 if output["sign"] == "2" else -1)
    assert diff >= 0
    assert output["rate"][0] in "+- "
    assert Decimal(output["rate"]) == ((last / base - 1) * 100).quantize(Decimal("0.01"))


def test_answers_have_lower_case_headers(client):
    request = Request(
        "GET", PRICE_PATH + "price", {"AUTH": "", "EXCD": "NAS", "SYMB": "NVDA"}, client.headers("HHDFS00000300")
    )
    headers = client.sim.handle(request).headers
    assert all(name == name.lower() for name in headers)
    assert headers["tr_id"] == "HHDFS00000300"
    assert headers["tr_cont"] == ""
    assert headers["date"] == "Mon, 23 Nov 2026 14:45:00 GMT"


@pytest.mark.parametrize(
    ("symbol", "exchange"), [("SNOW", "NAS"), ("NOPE", "NAS"), ("nvda", "NAS"), ("NVDA", "AMS"), ("SPY", "NYS")]
)
def test_a_wrong_pair_is_a_good_answer_with_blanks(client, symbol, exchange):
    status, body = client.price(symbol, exchange)
    assert (status, body["rt_cd"]) == (200, "0")
    assert set(body["output"].values()) == {""}


def test_class_shares_and_doubled_slashes(client):
    assert client.price("BRK/B", "NYS")[1]["output"]["last"]
    assert (
        client.get("//uapi//overseas-price/v1/quotations/price", "HHDFS00000300", AUTH="", EXCD="NAS", SYMB="NVDA")[0]
        == 200
    )


def test_under_a_dollar(client):
    last = client.price("BURU", "AMS")[1]["output"]["last"]
    assert Decimal(last) < 1
    assert Decimal(last).as_tuple().exponent == -4


def test_before_the_first_trade(clock):
    early = VirtualClock(datetime(2026, 11, 23, 22, tzinfo=KST))  # 08:00 New York
    output = make(early, hours="nyse").price("NVDA")[1]["output"]
    assert (output["sign"], output["tvol"], output["last"]) == ("0", "0", output["base"])


def test_a_missing_parameter(client):
    status, body = client.get(PRICE_PATH + "price", "HHDFS00000300", AUTH="", EXCD="NAS", symb="NVDA")
    assert (status, body["rt_cd"], body["msg_cd"], body["msg1"]) == (
        200,
        "2",
        "OPSQ2001",
        "ERROR : INPUT INVALID_CHECK_SYMB",
    )


def test_many_at_once(client):
    body = multi(client, ("NAS", "NVDA"), ("NYS", "SNOW"), ("NAS", "SNOW"), ("AMS", "BURU"))[1]
    assert body["output"] == {"nrec": "4"}
    assert [row["last"] != "" for row in body["output2"]] == [True, True, False, True]
    single = client.price("NVDA")[1]["output"]
    assert {name: body["output2"][0][name] for name in ("last", "base", "sign")} == {
        name: single[name] for name in ("last", "base", "sign")
    }
    assert body["output2"][2]["symb"].strip() == "SNOW"


def test_not_more_than_ten_at_once(client):
    assert multi(client, *[("NAS", "NVDA")] * 10)[1]["rt_cd"] == "0"
    assert multi(client, *[("NAS", "NVDA")] * 11)[1]["rt_cd"] == "2"


def test_detail(client):
    output = client.get(PRICE_PATH + "price-detail", "HHDFS76200200", AUTH="", EXCD="NAS", SYMB="NVDA")[1]["output"]
    assert Decimal(output["low"]) <= Decimal(output["last"]) <= Decimal(output["high"])
    assert output["e_hogau"] == "0.0100"


def test_daily_bars(client):
    body = daily(client, "NVDA")[1]
    rows = body["output2"]
    assert len(rows) == 100
    assert rows[0]["xymd"] == "20261123"  # today's, unfinished, in New York's date
    assert [row["xymd"] for row in rows] == sorted((row["xymd"] for row in rows), reverse=True)
    quote = client.price("NVDA")[1]["output"]
    assert (rows[0]["clos"], rows[1]["clos"]) == (quote["last"], quote["base"])
    for row in rows:
        assert Decimal(row["low"]) <= min(Decimal(row["open"]), Decimal(row["clos"]))
        assert Decimal(row["high"]) >= max(Decimal(row["open"]), Decimal(row["clos"]))
    assert all(row["sign"] == ("2" if row["rate"][0] == "+" else "5") or row["rate"] == " 0.00" for row in rows)


def test_daily_bars_before_a_date_by_week_and_of_a_wrong_pair(client):
    assert daily(client, "NVDA", until="20260302")[1]["output2"][0]["xymd"] == "20260302"
    assert len(daily(client, "NVDA", period="1")[1]["output2"]) == 100
    assert daily(client, "SNOW")[1]["output2"] == []
    assert daily(client, "NVDA", until="yesterday")[1]["rt_cd"] == "2"


def test_the_real_limit(clock):
    client = make(clock, rate_limit=True)
    assert all(client.price("NVDA")[0] == 200 for _ in range(18))
    status, body = client.price("NVDA")
    assert (status, body["msg_cd"]) == (500, "EGW00201")
    clock.advance(1)
    assert [client.price("NVDA")[0] for _ in range(19)].count(200) == 18


def test_fifteen_a_second_pass_for_ever(clock):
    client = make(clock, rate_limit=True)
    for _ in range(200):
        assert client.price("NVDA")[0] == 200
        clock.advance(1 / 15)


def test_the_paper_limit(clock):
    client = make(clock, "paper", rate_limit=True, rate_limit_status=200)
    assert client.price("NVDA")[1]["rt_cd"] == "0"
    clock.advance(0.35)
    status, body = client.price("NVDA")
    assert (status, body["msg_cd"]) == (200, "EGW00201")
    clock.advance(1)
    assert client.price("NVDA")[1]["rt_cd"] == "0"


def test_new_customers_and_hashkeys_count(clock):
    client = make(clock, rate_limit=True, calls_per_second=3)
    answers = [client.post("/uapi/hashkey", {"CANO": "1"}).status for _ in range(4)]
    assert answers == [200, 200, 200, 500]


def test_hashkey(client):
    body = json.loads(client.post("/uapi/hashkey", {"CANO": "1"}).body)
    assert body["BODY"] == {"CANO": "1"}
    assert len(body["HASH"]) == 64


def test_unknown_paths(client):
    for path in ("/uapi/overseas-price/v1/quotations/nothing", "/nothing", "/oauth2/Token"):
        answer = client.sim.handle(Request("GET", path, {}, client.headers("X")))
        assert (answer.status, answer.body) == (404, b"")


def test_dead_and_foreign_tr_ids_on_the_real_host(client):
    path = TRADE_PATH + "inquire-balance"
    assert client.get(path, "JTTT3012R")[:1] == (500,)
    assert client.get(path, "JTTT3012R")[1]["msg_cd"] == "EGW00356"
    status, body = client.get(path, "VTTS3012R")
    assert (status, body["msg_cd"]) == (200, "OPSQ0002")


def test_real_only_things_on_paper(paper):
    status, body = paper.get(TRADE_PATH + "inquire-balance", "TTTS3012R")
    assert (status, body["msg_cd"]) == (500, "EGW02006")
    assert multi(paper, ("NAS", "NVDA"))[1]["msg_cd"] == "OPSQ0002"
    assert json.loads(paper.post(TRADE_PATH + "order", {}, "VTTT1006U").body)["msg_cd"] == "90000000"


def test_some_right_symbols_are_blank_on_paper(clock):
    client = make(clock, "paper", blank_on_paper=frozenset({"OKLO"}))
    assert client.price("OKLO", "NYS")[1]["output"]["last"] == ""
    assert client.price("IONQ", "NYS")[1]["output"]["last"] != ""


def test_counts_and_journal(client):
    client.price("NVDA")
    client.price("SNOW")
    multi(client, ("NAS", "AAPL"))
    sim = client.sim
    assert (sim.count("price"), sim.count("multprice"), sim.count("quote"), sim.count("kis")) == (2, 1, 3, 4)
    assert sim.count("HHDFS00000300") == sim.count(PRICE_PATH + "price") == 2
    assert sim.requests[-1].symbols >= {"AAPL"}


@pytest.mark.parametrize("text", ["0", "-1", "NaN", "Infinity", "1e400", "1,234.5", " ", "abc"])
def test_bad_prices(client, text):
    client.sim.faults.add(Fault("bad_price", where="quote", symbol="NVDA", text=text))
    assert client.price("NVDA")[1]["output"]["last"] == text
    assert client.price("AAPL")[1]["output"]["last"] != text
    assert [row["last"] == text for row in multi(client, ("NAS", "AAPL"), ("NAS", "NVDA"))[1]["output2"]] == [
        False,
        True,
    ]


def test_blank_prices_of_one_symbol(client):
    client.sim.faults.add(Fault("blank", where="price", symbol="NVDA", times=1))
    assert client.price("NVDA")[1]["output"]["last"] == ""
    assert client.price("NVDA")[1]["output"]["last"] != ""


def test_pinned_prices_by_hand(client):
    client.sim.pin("NVDA", "150", base="148.5")
    output = client.price("NVDA")[1]["output"]
    assert (output["last"], output["base"], output["rate"]) == ("150.0000", "148.5000", "+1.01")


def test_a_falling_price(client):
    client.sim.pin("NVDA", "147", base="150")
    output = client.price("NVDA")[1]["output"]
    assert (output["sign"], output["diff"], output["rate"]) == ("5", "3.0000", "-2.00")


def test_two_simulators_of_one_seed_agree_byte_for_byte(clock):
    one, two = make(clock), make(clock)
    request = Request(
        "GET", PRICE_PATH + "price", {"AUTH": "", "EXCD": "NAS", "SYMB": "NVDA"}, one.headers("HHDFS00000300")
    )
    assert one.sim.handle(request) == two.sim.handle(request)
