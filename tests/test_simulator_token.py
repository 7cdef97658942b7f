"""Tokens: issued, handed out again, refused, ended (protocol §3)."""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta

import pytest

from clock import KST, VirtualClock
from simulator import Fault, Options, Simulator
from simulator.client import APP_KEY, APP_SECRET, Client

START = datetime(2026, 11, 23, 22, 0, 30, tzinfo=KST)
HOUR = 3600


@pytest.fixture
def clock():
    return VirtualClock(START)


@pytest.fixture
def sim(clock):
    return Simulator(clock)


@pytest.fixture
def client(sim):
    return Client(sim)


def _code(answer):
    return answer[1].get("msg_cd") or answer[1].get("error_code")


def test_a_new_token(client):
    status, body = client.issue()
    assert status == 200
    assert len(body["access_token"]) == 346
    assert body["access_token_token_expired"] == "2026-11-24 22:00:30"
    assert body["expires_in"] == 86400
    assert body["token_type"] == "Bearer"


def test_the_second_call_within_a_minute_is_refused_in_the_other_shape(client, clock):
    client.issue()
    clock.advance(59)
    status, body = client.issue()
    assert (status, set(body)) == (403, {"error_description", "error_code"})
    assert body["error_code"] == "EGW00133"
    clock.advance(1)
    assert client.issue()[0] == 200


def test_within_six_hours_the_same_token_comes_back_with_the_old_expiry_and_a_full_day(client, clock):
    first = client.issue()[1]
    clock.advance(6 * HOUR - 1)
    assert client.issue()[1] == first


def test_after_six_hours_there_is_a_new_token_and_the_old_one_dies(client, clock):
    old = client.login().token
    clock.advance(6 * HOUR)
    assert client.issue()[1]["access_token"] != old
    assert _code(client.price("NVDA")) == "EGW00123"


def test_the_old_token_may_live_on(clock):
    client = Client(Simulator(clock, options=Options(old_token_dies=False))).login()
    clock.advance(6 * HOUR)
    client.issue()
    assert client.price("NVDA")[0] == 200


def test_a_token_ends_after_a_day(client, clock):
    client.login()
    clock.advance(24 * HOUR - 1)
    assert client.price("NVDA")[0] == 200
    clock.advance(1)
    status, body = client.price("NVDA")
    assert (status, body) == (500, {"rt_cd": "1", "msg1": "기간이 만료된 token 입니다.", "msg_cd": "EGW00123"})


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"appkey": "short"}, "EGW00103"),
        ({"appkey": ""}, "EGW00102"),
        ({"appsecret": APP_SECRET + "\n"}, "EGW00105"),
        ({"appsecret": ""}, "EGW00104"),
        ({"grant_type": "password"}, "EGW00116"),
        ({"grant_type": ""}, "EGW00115"),
    ],
)
def test_wrong_pairs_and_grants(client, changed, code):
    status, body = client.issue(**changed)
    assert (status, body["error_code"]) == (403, code)
    assert "rt_cd" not in body


def test_a_known_key_with_another_secret(client, clock):
    client.issue()
    clock.advance(61)
    assert _code(client.issue(appsecret="another".ljust(180, "1"))) == "EGW00105"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"authorization": ""}, "EGW00205"),
        ({"authorization": "Bearer None"}, "EGW00121"),
        ({"appkey": "wrong"}, "EGW00304"),
        ({"appsecret": ""}, "EGW00304"),
    ],
)
def test_business_calls_without_the_right_headers(client, sim, changed, code):
    client.login()
    plain = client.headers
    client.headers = lambda *a, **k: {**plain(*a, **k), **changed}
    status, body = client.price("NVDA")
    assert (status, body["msg_cd"], body["rt_cd"]) == (500, code, "1")


def test_one_keys_token_is_no_good_for_another(sim):
    first, second = Client(sim).login(), Client(sim, key="another-app-key".ljust(36, "1")).login()
    second.token = first.token
    assert _code(second.price("NVDA")) == "EGW00121"


@pytest.mark.parametrize("code", ["EGW00121", "EGW00122", "EGW00123"])
def test_the_server_may_kill_tokens(sim, client, clock, code):
    client.login()
    sim.revoke_tokens(code)
    assert _code(client.price("NVDA")) == code
    clock.advance(61)
    assert client.login().price("NVDA")[0] == 200


def test_a_killed_token_may_be_stuck(sim, client, clock):
    dead = client.login().token
    sim.revoke_tokens(stuck=True)
    clock.advance(61)
    assert client.login().token == dead
    assert _code(client.price("NVDA")) == "EGW00121"
    clock.advance(6 * HOUR)
    assert client.login().price("NVDA")[0] == 200


def test_tokens_may_be_expired(sim, client, clock):
    client.login()
    sim.expire_tokens()
    assert _code(client.price("NVDA")) == "EGW00123"
    clock.advance(61)
    assert client.login().price("NVDA")[0] == 200


def test_a_client_may_revoke_its_token(sim, client):
    client.login()
    answer = client.post("/oauth2/revokeP", {"appkey": APP_KEY, "appsecret": APP_SECRET, "token": client.token})
    assert json.loads(answer.body)["code"] == 200
    assert _code(client.price("NVDA")) == "EGW00121"


def test_issuances_are_recorded_without_secrets(sim, client, clock):
    client.issue()
    client.issue()
    sim.faults.add(Fault("html502", where="token", times=1))
    client.post("/oauth2/tokenP", {"appkey": APP_KEY})
    clock.advance(61)
    client.issue()
    assert [issuance.result for issuance in sim.issuances] == ["new", "EGW00133", "fault:html502", "same"]
    assert sim.issuances[0].at == START
    assert len({issuance.key for issuance in sim.issuances}) == 1
    assert APP_KEY not in repr(sim.issuances)
    assert client.issue()[1].get("access_token", "absent") not in repr(sim.issuances)


def test_tokens_survive_a_restart(clock, tmp_path):
    path = tmp_path / "sim.db"
    first = Simulator(clock, store=path)
    client = Client(first).login()
    first.close()
    second = Simulator(clock, seed=99, store=path)  # another seed must not change the tokens
    client.sim = second
    assert client.price("NVDA")[0] == 200
    assert client.issue()[0] == 403  # the minute is remembered as well
    assert _code(client.issue(appsecret="another".ljust(180, "1"))) == "EGW00105"
    second.close()
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for secret in (APP_KEY, APP_SECRET, client.token):
        assert secret.encode() not in content


def test_a_token_issued_just_before_a_kill_is_remembered(clock, tmp_path):
    client = Client(Simulator(clock, store=tmp_path / "sim.db")).login()  # never closed
    client.sim = Simulator(clock, store=tmp_path / "sim.db")
    assert client.price("NVDA")[0] == 200


def test_a_broker_without_memory_never_issues_an_old_text_again(clock):
    client = Client(Simulator(clock)).login()
    old = client.token
    clock.advance(61)
    client.sim = Simulator(clock)
    assert client.login().token != old


@pytest.mark.parametrize("content", [b"this is no database", b"SQLite format 3\0" + b"x" * 4096])
def test_a_broken_memory_is_put_aside(clock, tmp_path, caplog, content):
    path = tmp_path / "sim.db"
    path.write_bytes(content)
    sim = Simulator(clock, store=path)
    assert Client(sim).login().price("NVDA")[0] == 200
    sim.close()
    assert (tmp_path / "sim.db.bad").read_bytes() == content
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "sim.db" in record.getMessage()


def test_a_memory_of_another_version_is_put_aside(clock, tmp_path):
    path = tmp_path / "sim.db"
    Simulator(clock, store=path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version=99")
    Simulator(clock, store=path).close()
    assert (tmp_path / "sim.db.bad").exists()
    Simulator(clock, store=path).close()


def test_a_locked_memory_is_not_put_aside(clock, tmp_path, monkeypatch):
    path = tmp_path / "sim.db"
    connect = sqlite3.connect
    monkeypatch.setattr("simulator.store.sqlite3.connect", lambda *a, **k: connect(*a, **{**k, "timeout": 0}))
    with closing(connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE somebody (elses)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            Simulator(clock, store=path)
    assert not (tmp_path / "sim.db.bad").exists()


def test_chunked_bodies_are_refused(sim, client):
    from simulator import Request

    answer = sim.handle(Request("POST", "/oauth2/tokenP", {}, {"transfer-encoding": "chunked"}, b"{}"))
    assert (answer.status, json.loads(answer.body)["msg_cd"]) == (500, "EGW00202")


def test_expiry_is_korean_time_whatever_the_clocks_zone(tmp_path):
    from zoneinfo import ZoneInfo

    class Elsewhere(VirtualClock):
        def now(self):
            return super().now().astimezone(ZoneInfo("America/New_York"))

    client = Client(Simulator(Elsewhere(START)))
    assert client.issue()[1]["access_token_token_expired"] == f"{START + timedelta(days=1):%Y-%m-%d %H:%M:%S}"
