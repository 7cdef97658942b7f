"""KIS's error codes for the owner: what a code means, what the daemon has done about it, what is left to do. Pure.

One table that the log, ``check`` and the report share. Codes and their meaning: protocol §5. What the daemon does
with a code is decided in ``kis_codes`` and ``intents``; here it is only said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """Three Korean sentences about a code."""

    meaning: str
    done: str  # by the daemon, already
    todo: str  # by the owner

    @property
    def needs_owner(self) -> bool:
        """Whether anything is left for the owner."""
        return not self.todo.startswith(NOTHING)

    def __str__(self) -> str:
        return f"{self.meaning} · 데몬: {self.done} · 할 일: {self.todo}"


NOTHING = "없음"

# what the daemon does

_RECOVERS = "토큰을 한 번 다시 발급하고 브로커를 새로 만든 뒤 그 호출을 한 번 더 함"
_WAITS_TO_ISSUE = "61초 넘게 기다렸다가 다시 발급을 시도함 (세 번 실패하면 5분 간격). 그동안 시세는 yfinance"
_SLOWS_DOWN = "조회는 잠시 뒤 다시 하고, 한 시간 동안 호출을 절반으로 줄임"
_ASKS_NEXT_TIME = (
    "그 조회를 건너뛰고 다음 차례에 다시 물음 (시세는 yfinance). 주문의 답이었다면 결과 불명으로 두고 확인함"
)
_WATCHES = "주문은 다시 보내지 않고 '결과 불명'으로 두어 주문내역에서 확인함. 조회였다면 다음 차례에 다시 물음"
_NOT_ORDERED = "접수되지 않은 것으로 적고, 같은 종목의 같은 주문은 15분 동안 내지 않음"
_REFUSED = f"조회였다면 그 차례를 건너뜀. 주문이었다면 {_NOT_ORDERED}"
_KEYS_REFUSED = "시작할 때면 종료 상태 2로 끝남. 실행 중이면 시세만 yfinance로 잇고 주문하지 않음"

# what is left

_NOTHING_BUT = f"{NOTHING} (계속되면 KIS Developers 공지 확인)"
_CHECK_KEYS = ".env의 KIS_APP_KEY와 KIS_APP_SECRET을 KIS Developers의 값과 맞추고 다시 시작: python main.py"
_CHECK_MODE = "KIS_MODE와 앱키의 종류(실전용·모의투자용)가 맞는지 .env를 확인하고 다시 시작"
_CHECK_ACCOUNT = ".env의 KIS_ACCOUNT를 확인 (12345678-01 꼴). 계좌가 해지되거나 제한됐는지 KIS에 확인"
_REPORT = "프로그램이 KIS의 바뀐 규격을 모를 수 있음: git pull로 새 판을 받고, 그래도 나오면 로그와 함께 알려 주세요"
_READ_THE_TEXT = "로그의 msg를 읽고, 계좌 문제라면 KIS에 확인"
_IF_OFTEN = f"{NOTHING} (자주 나오면 KIS_CALLS_PER_SECOND를 낮추거나, 같은 앱키를 쓰는 다른 프로그램을 끄세요)"

_TABLE: dict[str, tuple[str, str, str]] = {
    # the gateway (§5.2)
    "EGW00001": ("KIS의 일시적 오류", _ASKS_NEXT_TIME, _NOTHING_BUT),
    "EGW00002": ("KIS 서버 오류", _ASKS_NEXT_TIME, _NOTHING_BUT),
    "EGW00003": ("KIS가 접근을 거부함", _ASKS_NEXT_TIME, _CHECK_KEYS),
    "EGW00004": ("이 고객에게 허락되지 않은 기능", _ASKS_NEXT_TIME, "KIS Developers에서 API 신청 상태를 확인"),
    "EGW00101": ("요청의 모양이 틀림", _ASKS_NEXT_TIME, _REPORT),
    "EGW00102": ("앱키가 비어 있음", _KEYS_REFUSED, _CHECK_KEYS),
    "EGW00103": ("앱키가 유효하지 않음", _KEYS_REFUSED, _CHECK_KEYS),
    "EGW00104": ("앱 시크릿이 비어 있음", _KEYS_REFUSED, _CHECK_KEYS),
    "EGW00105": ("앱 시크릿이 유효하지 않음", _KEYS_REFUSED, _CHECK_KEYS),
    "EGW00115": ("발급 요청의 grant_type이 빠짐", _WAITS_TO_ISSUE, _REPORT),
    "EGW00116": ("발급 요청의 grant_type이 틀림", _WAITS_TO_ISSUE, _REPORT),
    "EGW00121": ("KIS가 이 토큰을 모름", _RECOVERS, NOTHING),
    "EGW00122": ("KIS에서 토큰을 찾지 못함", _RECOVERS, NOTHING),
    "EGW00123": ("토큰의 24시간이 끝남", _RECOVERS, NOTHING),
    "EGW00131": ("hashkey가 틀림", _ASKS_NEXT_TIME, _REPORT),
    "EGW00132": ("Content-Type이 틀림", _ASKS_NEXT_TIME, _REPORT),
    "EGW00133": (
        "토큰 발급은 1분에 한 번만 됨",
        _WAITS_TO_ISSUE,
        f"{NOTHING} (같은 앱키를 쓰는 다른 프로그램이 있으면 끄세요)",
    ),
    "EGW00201": ("1초에 허락된 호출 수를 넘음", _SLOWS_DOWN, _IF_OFTEN),
    "EGW00202": ("KIS 안에서 길을 잃음 (접수 여부를 알 수 없음)", _WATCHES, _NOTHING_BUT),
    "EGW00203": ("KIS 안에서 길을 잃음", _WATCHES, _NOTHING_BUT),
    "EGW00205": ("인증 형식이 틀리거나, 모의투자 서버에 실전 전용 기능을 물음", _REFUSED, _CHECK_MODE),
    "EGW00206": ("이 API를 쓸 권한이 없음", _ASKS_NEXT_TIME, "KIS Developers에서 API와 해외증권 거래신청을 확인"),
    "EGW00207": ("IP 주소가 유효하지 않음 (법인용)", _ASKS_NEXT_TIME, _CHECK_KEYS),
    "EGW00208": ("고객 구분이 틀림", _ASKS_NEXT_TIME, _REPORT),
    "EGW00209": ("일련번호가 틀림 (법인용)", _ASKS_NEXT_TIME, _REPORT),
    "EGW00210": ("법인은 모의투자를 쓸 수 없음", _ASKS_NEXT_TIME, "개인 계좌의 모의투자용 앱키로 바꾸세요"),
    "EGW00213": ("모의투자에 없는 기능이거나 제휴사 전용", _ASKS_NEXT_TIME, _CHECK_MODE),
    "EGW00215": ("잔고·주문내역은 1초에 한 번쯤만 됨", _SLOWS_DOWN, _IF_OFTEN),
    "EGW00300": ("KIS 게이트웨이의 오류 (몇 분 이어지기도 함)", _WATCHES, _NOTHING_BUT),
    "EGW00301": ("KIS 안에서 연결 시간이 초과됨 (접수 여부를 알 수 없음)", _WATCHES, _NOTHING_BUT),
    "EGW00302": ("KIS 안에서 거래 시간이 초과됨 (접수 여부를 알 수 없음)", _WATCHES, _NOTHING_BUT),
    "EGW00304": ("앱키와 시크릿이 맞지 않음", _KEYS_REFUSED, _CHECK_KEYS),
    "EGW00316": ("KIS가 조회를 처리하다 실패함", _ASKS_NEXT_TIME, _NOTHING_BUT),
    "EGW00356": ("TR ID의 첫 글자가 이 서버의 것이 아님", _REFUSED, _CHECK_MODE),
    "EGW02004": ("실전 서버에 모의투자용 기능이나 앱키를 씀", _REFUSED, _CHECK_MODE),
    "EGW02006": ("모의투자에 없는 기능", _REFUSED, _CHECK_MODE),
    "EGW2004": ("모의투자에 없는 기능", _WATCHES, _CHECK_MODE),  # an older form of EGW02006
    "EGW02007": ("모의투자 서버에 실전용 앱키를 씀 (토큰과 시세는 되고 계좌만 안 됨)", _REFUSED, _CHECK_MODE),
    "IGW00009": ("KIS가 답을 만들다 실패함 (접수 여부를 알 수 없음)", _WATCHES, _NOTHING_BUT),
    "IGW00022": ("취소할 원주문번호가 틀림", "주문내역을 다시 읽어 그 주문이 어떻게 됐는지 확인함", NOTHING),
    "IGW00036": ("주문서버구분코드가 틀림", _WATCHES, _REPORT),
    "OPSQ0001": ("KIS 내부의 호출 오류", _WATCHES, _NOTHING_BUT),
    "OPSQ0002": (
        "KIS가 모르는 서비스 코드",
        "미체결 조회라면 주문내역만으로 이어감. 그 밖의 조회는 다음 차례에 다시 물음",
        _CHECK_MODE,
    ),
    "OPSQ0003": ("KIS 내부의 호출 오류", _WATCHES, _NOTHING_BUT),
    "OPSQ1002": ("KIS 내부의 세션 연결 오류", _WATCHES, _NOTHING_BUT),
    "OPSQ2000": ("계좌번호나 상품코드가 틀림 (드물게 저절로 사라짐)", _WATCHES, _CHECK_ACCOUNT),
    "OPSQ2001": ("요청의 값 하나가 KIS의 검사에 걸림", _WATCHES, _REPORT),
    "OPSQ2002": ("요청의 값 하나가 너무 길거나 짧음", _WATCHES, _REPORT),
    "SYDB0050": ("읽는 사이에 자료가 바뀜", "첫 쪽부터 다시 읽음. 그래도 안 되면 다음 차례에", NOTHING),
    # the order ledger (§5.3)
    "APTR0057": ("주문 가격의 소수점이 맞지 않음 ($1 이상은 둘째 자리까지)", _NOT_ORDERED, _REPORT),
    "APBK1507": ("$0.01 미만의 가격으로는 주문할 수 없음", _NOT_ORDERED, "그 종목을 stocks_config.json에서 빼세요"),
    "APBK0918": ("장 운영 시간이 아니라고 함 (KIS가 다른 뜻으로도 쓰니 로그의 msg를 보세요)", _NOT_ORDERED, NOTHING),
    "APBK1664": ("장이 열려 있지 않음", _NOT_ORDERED, NOTHING),
    "APBK0919": ("장 운영일과 주문일이 다름 (휴장일)", _NOT_ORDERED, NOTHING),
    "APBK0952": ("주문가능금액이 모자람", _NOT_ORDERED, f"{NOTHING} (더 사려면 달러를 채우세요)"),
    "APBK0400": ("주문 가능한 수량보다 많음", _NOT_ORDERED, f"{NOTHING} (직접 파셨다면 python main.py adopt)"),
    "APBK0656": ("그 거래소에 그 종목이 없음", _NOT_ORDERED, "stocks_config.json의 종목과 exchanges를 확인하세요"),
    "APBK1672": (
        "계좌에 해외 ETP(ETF) 거래신청이 없음",
        _NOT_ORDERED,
        "KIS 앱에서 해외 ETP 거래신청을 하거나 그 ETF를 stocks_config.json에서 빼세요",
    ),
    "APBK1680": (
        "레버리지 ETF 사전교육을 받지 않음",
        _NOT_ORDERED,
        "사전교육을 마치고 등록하거나 그 ETF를 stocks_config.json에서 빼세요",
    ),
    "APBK1681": (
        "레버리지 ETF의 기본예탁금이 모자람",
        _NOT_ORDERED,
        "예탁금을 채우거나 그 ETF를 stocks_config.json에서 빼세요",
    ),
    "APAC0081": ("계좌번호가 틀림", _WATCHES, _CHECK_ACCOUNT),
    # the paper engine (§5.4)
    "40570000": ("모의투자: 장 시작 전", _NOT_ORDERED, NOTHING),
    "40580000": ("모의투자: 장 종료", _NOT_ORDERED, NOTHING),
    "40100000": ("모의투자: 영업일이 아님", _NOT_ORDERED, NOTHING),
    "40250000": ("모의투자: 주문가능금액이 모자람", _NOT_ORDERED, NOTHING),
    "40240000": (
        "모의투자: 팔 잔고가 없음",
        _NOT_ORDERED,
        f"{NOTHING} (모의계좌를 초기화하셨다면 python main.py adopt)",
    ),
    "40070000": ("모의투자: 거래할 수 없는 종목", _NOT_ORDERED, "그 종목을 stocks_config.json에서 빼세요"),
    "40030000": ("모의투자: 호가 단위가 틀림", _NOT_ORDERED, _REPORT),
    "40910000": ("모의투자: 주문할 수 없는 계좌", _NOT_ORDERED, "모의투자 기간이 끝났는지 확인하고 다시 신청하세요"),
    "90000000": ("모의투자에서는 되지 않는 일", _REFUSED, _CHECK_MODE),
}

_FAMILIES: tuple[tuple[str, tuple[str, str, str]], ...] = (
    (r"[EI]GW\d{4,5}", ("KIS 게이트웨이의 오류", _WATCHES, _NOTHING_BUT)),
    (r"OPSQ2\d{3}", ("요청이 KIS의 검사에 걸림", _WATCHES, _REPORT)),
    (r"OPSQ\d{4}", ("KIS 내부의 오류", _WATCHES, _NOTHING_BUT)),
    (r"AP(BK|TR)\d{4}", ("KIS가 주문이나 조회를 거절함 (로그의 msg가 이유)", _REFUSED, _READ_THE_TEXT)),
    (r"APAC\d{4}", ("KIS가 계좌를 받아들이지 않음", _WATCHES, _CHECK_ACCOUNT)),
    (r"4\d{7}", ("모의투자 서버가 주문을 거절함 (로그의 msg가 이유)", _NOT_ORDERED, NOTHING)),
)


def explain(code: str) -> Explanation | None:
    """What is to be said of a code: its own entry, else its family's; None for a code of no known family."""
    entry = _TABLE.get(code) or next((words for shape, words in _FAMILIES if re.fullmatch(shape, code)), None)
    return Explanation(*entry) if entry else None


def known_codes() -> tuple[str, ...]:
    """Every code that has an entry of its own."""
    return tuple(_TABLE)
