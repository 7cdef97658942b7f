"""The one token: when it is issued, when it is not, and what becomes of its file."""

import json
import stat
from datetime import timedelta

import pytest

from errors import NoAnswer, TokenUnavailable
from kis_broker import parse_issued_token
from ledger import Issuance
from simulator import Fault, Options
from token_manager import SPACING, TokenState, seconds_to_wait


def token_in(house):
    return json.loads(house.token_file.read_text("utf-8"))


# at the start


def test_without_a_file_one_token_is_issued_and_kept(house, log):
    house.daemon.check_and_refresh_token()

    assert house.issued() == 1
    document = token_in(house)
    assert document["expires_at"] - document["created_at"] == pytest.approx(86400, abs=2)
    assert document["expires_datetime"].endswith("+09:00")
    assert stat.S_IMODE(house.token_file.stat().st_mode) == 0o600
    assert log("[TOKEN_CHECK]") == [
        "[TOKEN_CHECK] 새 토큰 발급 (만료: 2026-11-24 22:00 KST)",
        "[TOKEN_CHECK] 토큰 유효, 브로커 정상 (다음 재초기화: 6.0시간 후)",
    ]


def test_a_restart_uses_the_token_in_the_file(house, log):
    house.started().restart().daemon.check_and_refresh_token()

    assert house.issued() == 1
    assert "[TOKEN_CHECK] 기존 토큰 사용 (남은시간: 23시간 58분)" in log("기존 토큰")


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"\xff\xfe\x00garbage", b"[1,2]", b"null"),
        *(b'{"access_token": ""}', b'{"access_token": "abc"}', b'{"access_token": "abc", "expires_at": "soon"}'),
        *(b'{"access_token": null, "expires_at": 9999999999}', b'{"access_token": "abc", "expires_at": 1e400}'),
        *(b'{"access_token": 5, "expires_at": 9999999999}', b"[" * 200_000),
        b'{"access_token": "abc", "expires_at": 1' + b"0" * 400 + b"}",
    ],
)
def test_T03_a_file_without_a_token_leads_to_one_issuance(house, log, content):
    house.token_file.write_bytes(content)

    house.daemon.check_and_refresh_token()

    assert house.issued() == 1
    assert house.api.get_current_price("NVDA")
    assert any("api_token.json" in line for line in log("사용 불가"))


def test_T03_a_file_cut_at_any_byte_is_no_token_and_no_exception(house):
    house.started()
    whole = house.token_file.read_bytes()
    for length in range(len(whole) - 1):
        house.restart()
        house.token_file.write_bytes(whole[:length])
        assert house.daemon.tokens.state() is TokenState.NONE
    assert house.issued() == 1


@pytest.mark.parametrize("mark", [{"app_key_mark": "0123456789ab"}, {"mode": "paper"}])
def test_T05_T06_a_token_of_another_key_or_mode_is_not_used(house, log, mark):
    house.started().restart()
    house.token_file.write_text(json.dumps({**token_in(house), **mark}), "utf-8")

    house.daemon.check_and_refresh_token()

    assert house.issued() == 2
    assert log("다른 ")


def test_a_file_without_marks_is_judged_by_its_expiry(house):
    house.started().restart()
    document = token_in(house)
    bare = {key: document[key] for key in ("access_token", "expires_at")}
    house.token_file.write_text(json.dumps(bare), "utf-8")

    house.daemon.check_and_refresh_token()

    assert house.issued() == 1
    assert house.api.get_current_price("NVDA")


def test_T20_a_file_open_to_others_is_closed(house):
    house.started().restart()
    house.token_file.chmod(0o644)

    assert house.daemon.tokens.state() is TokenState.VALID

    assert stat.S_IMODE(house.token_file.stat().st_mode) == 0o600


# renewal


def test_the_token_is_renewed_when_its_last_ten_minutes_begin_and_never_sooner(house, log):
    house.started()
    house.pass_seconds(23 * 3600 + 50 * 60 - 61 - 1)
    house.daemon.check_and_refresh_token()
    assert house.issued() == 1

    house.pass_seconds(1)
    house.daemon.check_and_refresh_token()

    assert house.issued() == 2
    assert log("")[-5:] == [
        "[TOKEN_CHECK] 토큰 변경 감지 (자동 재발급됨)",
        "[TOKEN_CHECK] 브로커 재초기화 시작...",
        "[TOKEN_REFRESH] mojito2 브로커 재초기화 시작...",
        "[TOKEN_REFRESH] mojito2 브로커 재초기화 완료",
        "[TOKEN_CHECK] ✅ 브로커 재초기화 성공",
    ]


def test_T07_a_refused_renewal_is_one_line_and_the_old_token_serves_to_its_last_second(house, log):
    house.started()
    house.pass_seconds(23 * 3600 + 50 * 60 - 61)
    house.sim.faults.add(Fault("error", "token", code="EGW00133", status=403))
    house.daemon.check_and_refresh_token()
    house.pass_seconds(61)
    house.daemon.check_and_refresh_token()

    assert len(log("❌ 토큰 재발급 실패")) == 1
    house.pass_seconds(10 * 60 - 61 - 2)
    assert house.api.get_quote("NVDA").source == "KIS"
    house.pass_seconds(61)
    assert house.api.get_quote("NVDA").source == "yfinance"


def test_T11_the_same_token_with_its_old_expiry_is_not_believed_to_live_a_day(house):
    """KIS gives the same token back within six hours, with `expires_in` 86400 and the old instant."""
    house.started()
    first = token_in(house)
    house.pass_seconds(5 * 3600)
    house.token_file.unlink()

    assert house.api.get_current_price("NVDA")

    again = token_in(house)
    assert again["access_token"] == first["access_token"]
    assert again["expires_at"] == pytest.approx(first["expires_at"], abs=1)


def test_T12_a_new_token_that_seems_dead_already_is_believed_and_the_clock_doubted(house, log):
    house.daemon.tokens._ask_kis = lambda: parse_issued_token(
        {"access_token": "made-up", "access_token_token_expired": "2020-01-01 00:00:00"}
    )
    house.daemon.check_and_refresh_token()

    assert house.daemon.tokens.state() is TokenState.VALID
    assert house.daemon.tokens.remaining() <= timedelta(hours=1)
    assert log("시계를 확인하세요")


# spacing


def test_T07_T17_attempts_stand_61_seconds_apart_across_restarts(house):
    house.sim.faults.add(Fault("html502", "token"))
    for _ in range(10):
        house.restart().daemon.check_and_refresh_token()
        house.pass_seconds(10)
    assert house.issued() == 2  # at 0 and at 70 seconds


def test_T08_issuance_down_for_an_hour_is_asked_patiently_and_found_again_within_five_minutes(house):
    house.sim.faults.add(Fault("error", "token", code="EGW00001", until=house.clock.now() + timedelta(hours=1)))
    for _ in range(60):
        house.daemon.watch()
        house.pass_seconds(60)
    assert house.issued() <= 16

    house.pass_seconds(300)
    house.daemon.watch()
    assert house.api.last_good.source == "KIS"


@pytest.mark.parametrize(
    ("outcomes", "age", "wait"),
    [
        ([], 0, 0),
        (["issued"], 0, 61),
        (["issued"], 60, 1),
        (["issued"], 61, 0),
        (["asked"], 30, 31),
        (["x", "x", "x"], 61, 0),
        (["x", "x", "x", "x"], 61, 239),
        (["issued", "x", "x", "x", "x"], 61, 0),
        (["asked"], -3600, 61),
    ],
)
def test_T07_T08_how_long_the_next_attempt_waits(outcomes, age, wait):
    history = [Issuance(1000.0, "", outcome, None) for outcome in outcomes]
    assert seconds_to_wait(history, 1000.0 + age) == wait


class Killed(BaseException):
    """The process dies here."""


def test_P08_the_attempt_is_on_disk_before_the_request_leaves(house):
    def die():
        raise Killed

    house.daemon.tokens._ask_kis = die
    with pytest.raises(Killed):
        house.daemon.tokens.issue("test")
    assert house.restart().daemon.tokens.wait_seconds() == pytest.approx(SPACING, abs=1)


# the file while the daemon runs


def test_another_programs_new_token_is_taken_from_the_file(make_house, log):
    house = make_house(options=Options(old_token_dies=True)).started()
    house.pass_seconds(7 * 3600)
    other = make_other_token(house)

    house.daemon.check_and_refresh_token()

    assert house.daemon.tokens.token.value == other
    assert "[TOKEN_CHECK] 토큰 변경 감지 (자동 재발급됨)" in log("[TOKEN_CHECK]")
    assert house.api.get_quote("NVDA").source == "KIS"


def make_other_token(house):
    """Another program issues on the same key and writes the file in its own way."""
    import requests

    body = {
        "grant_type": "client_credentials",
        "appkey": house.settings.kis_app_key,
        "appsecret": house.settings.kis_app_secret,
    }
    with requests.post(f"{house.server.url}/oauth2/tokenP", json=body, timeout=5) as answer:
        value = answer.json()["access_token"]
    expires = (house.clock.now() + timedelta(hours=24)).timestamp()
    house.token_file.write_text(json.dumps({"access_token": value, "expires_at": int(expires)}), "utf-8")
    return value


@pytest.mark.parametrize("hours", [-1, 0])
def test_a_stale_token_of_another_program_does_not_push_out_a_good_one(house, log, hours):
    house.started()
    before = token_in(house)["access_token"]
    stale = {"access_token": "made-up-and-old", "expires_at": house.clock.now().timestamp() + hours * 3600}
    house.token_file.write_text(json.dumps(stale), "utf-8")

    house.daemon.check_and_refresh_token()

    assert token_in(house)["access_token"] == before
    assert house.issued() == 1
    assert not log("토큰 변경 감지")


def test_a_file_deleted_at_the_moment_of_saving_is_missed(house, monkeypatch):
    house.started()
    write = house.daemon.tokens._file.write

    def write_and_lose(token):
        signature = write(token)
        house.token_file.unlink()
        return signature

    monkeypatch.setattr(house.daemon.tokens._file, "write", write_and_lose)
    house.daemon.tokens.save()
    assert house.daemon.tokens.state() is TokenState.FILE_MISSING


def test_P08_what_a_kill_left_of_a_write_is_removed(house):
    left = house.settings.data_dir / ".api_token.json.abc.tmp"
    left.write_text("a token")
    house.daemon.check_and_refresh_token()
    assert not left.exists()


def test_without_a_record_of_attempts_the_first_one_waits(house):
    house.settings.database_file.write_bytes(b"no database" * 99)
    house.daemon.check_and_refresh_token()
    assert house.issued() == 0
    house.pass_seconds(61)
    house.daemon.check_and_refresh_token()
    assert house.issued() == 1


def test_garbage_put_into_the_file_is_replaced_by_the_held_token(house, log):
    house.started()
    before = token_in(house)["access_token"]
    house.token_file.write_bytes(b"garbage")

    assert house.api.get_quote("NVDA").source == "KIS"

    assert token_in(house)["access_token"] == before
    assert house.issued() == 1
    assert log("사용 불가")


def test_T04_a_folder_that_takes_no_file_costs_no_second_issuance(house, log, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("files.os.replace", full_disk)
    house.daemon.check_and_refresh_token()
    for _ in range(3):
        house.pass_seconds(61)
        assert house.api.get_quote("NVDA").source == "KIS"
        house.daemon.check_and_refresh_token()
    assert house.issued() == 1
    assert len(log("저장 실패")) == 1
    assert not list(house.settings.data_dir.glob(".api_token*"))

    monkeypatch.undo()
    house.daemon.check_and_refresh_token()
    assert house.token_file.exists()


def test_looking_at_an_untouched_file_reads_nothing(house, monkeypatch):
    house.started()
    monkeypatch.setattr(house.daemon.tokens._file, "read", lambda: pytest.fail("the file was read"))
    for _ in range(100):
        assert house.daemon.tokens.state() is TokenState.VALID


@pytest.mark.parametrize("body", [{}, {"access_token": None}, {"access_token": ""}, {"access_token": "토큰"}])
def test_T10_an_answer_without_a_usable_token_is_no_token(body):
    with pytest.raises(NoAnswer):
        parse_issued_token(body)


def test_nothing_prints_the_token(house):
    house.daemon.check_and_refresh_token()
    value = house.daemon.tokens.token.value
    assert value not in repr(house.daemon.tokens.token)
    assert value not in repr(house.api._brokers._access) + repr(house.api._brokers.brokers)
    with pytest.raises(TokenUnavailable) as caught:
        house.daemon.tokens.issue("test")
    assert value not in str(caught.value)
