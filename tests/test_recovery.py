"""The one recovery: what starts it, what it says, and that it happens once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import SIXTEEN, LivingClock

from simulator import Fault, Options

BLOCK = [
    "[AUTO_RECOVER] AAPL 토큰 오류 감지, 자동 복구 시도...",
    "[AUTO_RECOVER] TokenManager 토큰 재발급...",
    "[AUTO_RECOVER] 토큰 재발급 성공",
    "[AUTO_RECOVER] mojito2 브로커 재초기화...",
    "[TOKEN_REFRESH] mojito2 브로커 재초기화 시작...",
    "[TOKEN_REFRESH] mojito2 브로커 재초기화 완료",
    "[AUTO_RECOVER] ✅ 자동 복구 성공, 재시도...",
]
SEVEN_HOURS = 7 * 3600


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("EGW00123", "기간이 만료된 token 입니다."),
        ("EGW00121", "유효하지 않은 token 입니다."),
        ("EGW00122", "token을 찾을 수 없습니다."),
    ],
)
def test_T01_a_refused_token_is_replaced_and_the_quote_answered(house, log, code, message):
    house.started().pass_seconds(SEVEN_HOURS)
    house.sim.pin("AAPL", "178.50")
    house.sim.revoke_tokens(code)

    assert house.api.get_current_price("AAPL") == 178.50

    lines = log("")
    start = lines.index(f"AAPL KIS API 오류: rt_cd={code}, msg={message}")
    assert lines[start + 1 :] == [*BLOCK, "[OK] AAPL 현재가: $178.50 (나스닥)"]
    assert house.issued() == 2
    assert house.sim.count("price") == 2


def test_T02_a_deleted_file_is_noticed_before_the_cache_and_kis_is_asked_afresh(house, log):
    house.started()
    house.sim.pin("AAPL", "178.50")
    house.api.get_quote("AAPL")
    asked = house.sim.count("price")
    house.token_file.unlink()

    house.api.get_quote("AAPL")

    assert log("")[-8:] == [*BLOCK, "[OK] AAPL 현재가: $178.50 (나스닥)"]
    assert house.sim.count("price") == asked + 1
    assert house.token_file.exists()


def test_T02_the_token_check_notices_a_deleted_file_too(house, log):
    house.started()
    house.token_file.unlink()

    house.daemon.check_and_refresh_token()

    assert "[AUTO_RECOVER] 토큰 점검 토큰 오류 감지, 자동 복구 시도..." in log("[AUTO_RECOVER]")
    assert not log("토큰 변경 감지")
    assert log("[TOKEN_CHECK]")[-1].startswith("[TOKEN_CHECK] 토큰 유효")


def test_within_61_seconds_of_an_issuance_quotes_come_from_yfinance_until_it_may_be_tried(house, log):
    house.daemon.check_and_refresh_token()
    house.pass_seconds(20)
    house.token_file.unlink()

    assert house.api.get_quote("NVDA").source == "yfinance"
    assert house.api.get_quote("AMZN").source == "yfinance"
    wait = log("[AUTO_RECOVER] ❌")
    assert wait == ["[AUTO_RECOVER] ❌ 자동 복구 실패: 발급 간격 미경과 (41초 후 재시도)"]
    assert house.issued() == 1

    house.pass_seconds(61)
    assert house.api.get_quote("NVDA").source == "KIS"
    assert house.issued() == 2


def test_T15_sixteen_symbols_on_one_dead_token_cause_one_issuance(house):
    house.started().pass_seconds(SEVEN_HOURS)
    house.sim.revoke_tokens("EGW00123")

    prices = [house.api.get_current_price(symbol) for symbol in SIXTEEN]

    assert all(prices)
    assert house.issued() == 2


def test_T15_eight_threads_on_one_dead_token_cause_one_issuance_and_one_retry_each(make_house, log):
    house = make_house(LivingClock(), options=Options(rate_limit=False), kis_calls_per_second=10_000.0).started()
    for symbol in SIXTEEN:
        house.api.get_quote(symbol)
    house.pass_seconds(SEVEN_HOURS)
    house.sim.revoke_tokens("EGW00123")
    asked = house.sim.count("price")
    gate = threading.Barrier(8)

    def quote(symbols):
        gate.wait(10)
        return [house.api.get_quote(symbol) for symbol in symbols]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(quote, [SIXTEEN[i::8] for i in range(8)]))

    assert all(quote and quote.source == "KIS" for some in results for quote in some)
    assert house.issued() == 2
    assert house.api.recovery.count == 1
    assert len(log("토큰 오류 감지")) == len(log("브로커 재초기화 시작")) == 1
    assert house.sim.count("price") - asked <= 2 * len(SIXTEEN)


def test_T15_a_call_whose_token_another_thread_has_just_given_up_waits_for_the_new_one(house):
    house.started()
    tokens, dead = house.daemon.tokens, house.daemon.tokens.mark
    asked = []

    def ask():
        asked.append(tokens.mark)
        if len(asked) == 1:
            tokens.refuse(dead)  # between the look at the token and the request, as the other thread does it
        return tokens.bearer()

    house.pass_seconds(SEVEN_HOURS)
    assert house.api.recovery.call("NVDA", ask) == tokens.token.value
    assert len(asked) == 2
    assert tokens.mark != dead


def test_a_recovery_that_failed_waits_no_longer_once_the_token_check_has_brought_a_token(house):
    house.started()
    house.sim.revoke_tokens("EGW00121", stuck=True)
    house.daemon.watch()
    assert house.api.recovery.waiting
    house.sim.release_tokens()
    house.pass_seconds(SEVEN_HOURS)
    house.daemon.tokens.issue("점검")
    house.daemon.table.clear("복구")  # what was booked while it waited

    house.daemon.watch()

    assert not house.api.recovery.waiting
    assert not house.daemon.table.get_jobs("복구")  # or it would look again at once, and again


def test_T14_the_same_refused_token_again_means_an_hour_without_kis(house, log):
    house.started()
    house.sim.revoke_tokens("EGW00121", stuck=True)

    assert house.api.get_quote("NVDA").source == "yfinance"
    issued, asked = house.issued(), house.sim.count("kis")
    for _ in range(58):
        house.pass_seconds(60)
        assert house.api.get_quote("NVDA").source == "yfinance"
    assert house.issued() == issued == 2
    assert house.sim.count("kis") == asked
    assert len(log("[AUTO_RECOVER] ❌")) == 1

    house.pass_seconds(SEVEN_HOURS)
    assert house.api.get_quote("NVDA").source == "KIS"


def test_T13_a_refused_token_is_remembered_across_a_restart(house):
    house.started()
    house.sim.revoke_tokens("EGW00121", stuck=True)
    house.api.get_quote("NVDA")

    house.restart().daemon.check_and_refresh_token()
    house.pass_seconds(120)

    assert house.api.get_quote("NVDA").source == "yfinance"
    assert house.issued() == 2


def test_T14_a_new_token_refused_as_well_means_an_hour_without_issuance(house, log):
    house.started().pass_seconds(SEVEN_HOURS)
    house.sim.faults.add(Fault("error", "quote", code="EGW00121", message="유효하지 않은 token 입니다.", status=500))

    for _ in range(50):
        house.api.get_quote("NVDA")
        house.pass_seconds(61)

    assert house.issued() == 2
    assert log("새 토큰도 거부됨")


def test_T13_a_newer_token_in_the_file_is_used_and_nothing_issued(house, log):
    from test_token import make_other_token

    house.started().pass_seconds(SEVEN_HOURS)
    house.daemon.tokens.bearer()
    real_signature = house.daemon.tokens._file.signature
    make_other_token(house)
    house.daemon.tokens._signature = real_signature()  # as where the file system's times are too coarse to tell
    issued = house.issued()

    assert house.api.get_quote("NVDA").source == "KIS"

    assert house.issued() == issued
    assert "[AUTO_RECOVER] 파일의 새 토큰 사용" in log("[AUTO_RECOVER]")
    assert not log("TokenManager 토큰 재발급")


def test_with_retry_count_one_there_is_no_recovery_left(house, log):
    house.started().pass_seconds(SEVEN_HOURS)
    house.sim.revoke_tokens("EGW00123")

    assert house.api.get_quote("NVDA", retry_count=1).source == "yfinance"

    assert house.issued() == 1
    assert not log("[AUTO_RECOVER]")


def test_T16_a_failed_issuance_does_not_use_up_the_recovery(house):
    house.started().pass_seconds(SEVEN_HOURS)
    house.sim.revoke_tokens("EGW00123")
    house.sim.faults.add(Fault("reset", "token", times=2))

    assert house.api.get_quote("NVDA").source == "yfinance"
    house.pass_seconds(62)
    house.api.get_quote("NVDA")
    house.pass_seconds(62)
    assert house.api.get_quote("NVDA").source == "KIS"


NO_TOKEN_ERRORS = {
    "no connection": Fault("refused", "quote"),
    "reset": Fault("reset", "quote"),
    "closed": Fault("closed", "quote"),
    "a 502 page": Fault("html502", "quote"),
    "an empty body": Fault("empty", "quote"),
    "a cut body": Fault("cut", "quote"),
    "a list": Fault("json_list", "quote"),
    "wrong types": Fault("wrong_types", "quote"),
    "the call limit": Fault(
        "error", "quote", code="EGW00201", message="token auth 인증 초당 거래건수 초과", status=500
    ),
    "the ledger limit": Fault("error", "quote", code="EGW00215", message="인증", status=500),
    "a routing error": Fault("error", "quote", code="EGW00300", message="auth token 접근토큰 인증", status=500),
    "an unlisted code": Fault("error", "quote", code="ABCD1234", message="인증 token", status=200),
}


@pytest.mark.parametrize("fault", NO_TOKEN_ERRORS.values(), ids=NO_TOKEN_ERRORS.keys())
def test_T19_H12_H17_H18_only_a_token_error_is_a_token_error(house, log, fault):
    house.started()
    before = house.token_file.read_bytes()
    house.sim.faults.add(fault)

    assert house.api.get_quote("NVDA").source == "yfinance"

    assert house.token_file.read_bytes() == before
    assert house.issued() == 1
    assert not log("[AUTO_RECOVER]")
    assert log("[FALLBACK] NVDA KIS 조회 실패")


def test_H22_a_read_refused_by_a_limit_is_asked_again_after_a_pause(house):
    house.started()
    house.sim.faults.add(Fault("error", "quote", code="EGW00201", message="초당 거래건수를 초과하였습니다.", times=2))
    house.api._book.learn("NVDA", "나스닥")

    assert house.api.get_quote("NVDA").source == "KIS"
    assert house.sim.count("price") == 3
