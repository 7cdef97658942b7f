"""KIS's answers in words: codes and texts as recorded (protocol §2.4, §5), and the shapes they come in."""

from __future__ import annotations

from collections.abc import Mapping

from simulator.messages import Response, json_answer

TEXTS = {
    "EGW00101": "유효하지 않은 요청입니다.",
    "EGW00102": "AppKey는 필수입니다.",
    "EGW00103": "유효하지 않은 AppKey입니다.",
    "EGW00104": "AppSecret은 필수입니다.",
    "EGW00105": "유효하지 않은 AppSecret입니다.",
    "EGW00115": "grant_type은 필수입니다.",
    "EGW00116": "지원하지 않는 grant_type 입니다.",
    "EGW00121": "유효하지 않은 token 입니다.",
    "EGW00122": "token을 찾을 수 없습니다.",
    "EGW00123": "기간이 만료된 token 입니다.",
    "EGW00133": "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)",
    "EGW00201": "초당 거래건수를 초과하였습니다.",
    "EGW00202": "GW라우팅 중 오류가 발생했습니다.",
    "EGW00203": "OPS라우팅 중 오류가 발생했습니다.",
    "EGW00205": "credentials_type이 유효하지 않습니다.(Bearer)",
    "EGW00215": "원장에서 허용 가능한 초당 거래건수를 초과하였습니다.",
    "EGW00300": "Gateway 라우팅 오류가 발생했습니다.",
    "EGW00301": "연결 시간이 초과되었습니다. 직전 거래를 반드시 확인하세요.",
    "EGW00302": "거래 시간이 초과되었습니다. 직전 거래를 반드시 확인하세요.",
    "EGW00304": "고객식별키(법인 personalSeckey, 개인 appSecret)가 유효하지 않습니다.",
    "EGW00316": "조회 처리 중 오류 발생하였습니다. 재 조회 수행 부탁드립니다.",
    "EGW00356": "타겟 서버가 올바르지 않습니다. API 문서를 확인하세요 (타겟 서버 : 입력한 TR ID의 제일 첫 문자)",
    "EGW02004": "실전투자 TR 이 아닙니다.",
    "EGW02006": "모의투자 TR 이 아닙니다.",
    "EGW02007": "해당 앱키는 모의투자용 앱키가 아닙니다",
    "IGW00009": "응답전문 구성 중 오류가 발생하였습니다.",
    "IGW00022": "원주문번호 오류",
    "IGW00036": "주문서버구분코드를 확인해주세요.",
    "OPSQ0002": "없는 서비스 코드 입니다.",
    "OPSQ2000": "ERROR : INPUT INVALID_CHECK_ACNO",
    "OPSQ2001": "ERROR : INPUT INVALID_CHECK_{}",
    "SYDB0050": "조회이후에 자료가 변경되었습니다.(다시 조회하세요)",
    "APAC0081": "계좌번호 입력 오류입니다",
    "APBK0101": "주문구분 입력오류",  # the text is on record, its code is not
    "APBK0102": "주문수량을 확인 하시기 바랍니다.",  # neither text nor code is on record (§15)
    "APBK0344": "정정취소 가능수량이 없습니다.",  # not on record either
    "APBK0400": "주문 가능한 수량을 초과하였습니다.",
    "APBK0656": "해당종목정보가 없습니다",
    "APBK0918": "장운영시간이 아닙니다.(단,주간거래시간이면 전용화면 주문가능, 주문시간 외 불가)",
    "APBK0919": "장운영일자가 주문일과 상이합니다",
    "APBK0952": "주문가능금액을 초과 했습니다",
    "APBK1507": "가격 $0.01 미만시 온라인 주문불가",
    "APTR0057": "주문 가격을 확인 하시기 바랍니다. 1$이상 소수점 2자리까지만 가능 합니다.",
    "40030000": "모의투자 주문처리가 안되었습니다(호가단위 오류)",
    "40070000": "모의투자 주문처리가 안되었습니다(매매불가 종목)",
    "40100000": "모의투자 영업일이 아닙니다.",
    "40240000": "모의투자 잔고내역이 없습니다.",
    "40250000": "모의투자 주문가능금액이 부족합니다.",
    "40330000": "모의투자 정정/취소할 수량이 없습니다.",
    "40570000": "모의투자 장시작전 입니다.",
    "40580000": "모의투자 장종료 입니다.",
    "90000000": "모의투자에서는 해당업무가 제공되지 않습니다.",
}
_TEXT_FIRST = {"EGW00123", "EGW00215", "EGW00202", "EGW00304"}  # key order differs from code to code (§2.4)
_LEDGER_TEXT = 80  # ledger TRs pad msg1 to this width


def text_of(code: str) -> str:
    """The recorded text of a code; a general sentence for one that is not on record."""
    return TEXTS.get(code, "처리 중 오류가 발생하였습니다.")


def token_refusal(code: str, status: int = 403, text: str | None = None) -> Response:
    """A refusal of the token end point: no rt_cd, no msg_cd (§3.1)."""
    return json_answer({"error_description": text or text_of(code), "error_code": code}, status)


def gateway_error(code: str, status: int = 500, text: str | None = None) -> Response:
    """An error of the gateway: HTTP 500 with a JSON body (§5.1)."""
    return json_answer(_error_body("1", code, text or text_of(code)), status)


def input_error(field: str) -> Response:
    """A parameter is missing or out of range: HTTP 200, rt_cd 2 (§5.2)."""
    return json_answer(_error_body("2", "OPSQ2001", TEXTS["OPSQ2001"].format(field)))


def business_error(code: str, rt_cd: str = "7", text: str | None = None, *, padded: bool = False) -> Response:
    """A refusal of the order ledger or the paper engine: HTTP 200 (§5.3, §5.4)."""
    message = text or text_of(code)
    return json_answer(_error_body(rt_cd, code, message.ljust(_LEDGER_TEXT) if padded else message))


def kis_error(code: str, status: int | None = None, text: str | None = None) -> Response:
    """Any code in the shape of its family: gateway codes as HTTP 500, all others as HTTP 200 (§5.1)."""
    if code.startswith(("EGW", "IGW")):
        return gateway_error(code, status or 500, text)
    rt_cd = "7" if code.startswith(("AP", "SY", "KI")) else "2" if code.startswith("OPSQ2") else "1"
    answer = business_error(code, rt_cd, text)
    return Response(status or 200, answer.headers, answer.body)


def quote_ok(payload: Mapping[str, object], tr_id: str) -> Response:
    """A good answer of the quote family: the envelope comes after the data's own keys in no fixed order."""
    body = {**payload, "rt_cd": "0", "msg_cd": "MCA00000", "msg1": "정상처리 되었습니다."}
    return json_answer(body, headers={"tr_id": tr_id, "tr_cont": ""})


def ledger_ok(payload: Mapping[str, object], tr_id: str, tr_cont: str, code: str, text: str) -> Response:
    """A good answer of the ledger family: msg1 padded to 80 (§2.4)."""
    body = {**payload, "rt_cd": "0", "msg_cd": code, "msg1": text.ljust(_LEDGER_TEXT)}
    return json_answer(body, headers={"tr_id": tr_id, "tr_cont": tr_cont})


def _error_body(rt_cd: str, code: str, text: str) -> dict[str, str]:
    if code in _TEXT_FIRST:
        return {"rt_cd": rt_cd, "msg1": text, "msg_cd": code}
    return {"rt_cd": rt_cd, "msg_cd": code, "msg1": text}
