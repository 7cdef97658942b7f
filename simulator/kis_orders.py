"""KIS's order end points (protocol §7): from a request's body to the desk, and its word back."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from functools import partial

from clock import KST
from simulator.books import ZERO, Account, Order, Side
from simulator.calls import Call
from simulator.codes import business_error, gateway_error, input_error
from simulator.desk import Accepted, Desk, Refused, Ticket
from simulator.kis_values import find_price
from simulator.listings import ORDER_CODES
from simulator.matching import WITHOUT_LIMIT
from simulator.messages import Response, json_answer, parse_object
from simulator.options import Options

SIDES: dict[str, Side] = {"TTTT1002U": "buy", "TTTT1006U": "sell", "VTTT1002U": "buy", "VTTT1001U": "sell"}
BRANCH = "01790"  # KRX_FWDG_ORD_ORGNO
_ORDER_FIELDS = ("CANO", "ACNT_PRDT_CD", "OVRS_EXCG_CD", "PDNO", "ORD_QTY", "OVRS_ORD_UNPR", "ORD_DVSN")
_CHANGE_FIELDS = (
    "CANO",
    "ACNT_PRDT_CD",
    "OVRS_EXCG_CD",
    "PDNO",
    "ORGN_ODNO",
    "RVSE_CNCL_DVSN_CD",
    "ORD_QTY",
    "OVRS_ORD_UNPR",
)
_NUMBER = re.compile(r"\d{1,10}", re.ASCII)
_DOLLAR = Decimal(1)
_SMALLEST = Decimal("0.01")


class OrderDesk:
    """Answers ``order`` and ``order-rvsecncl``."""

    def __init__(self, desk: Desk, options: Options, paper: bool) -> None:
        self._desk = desk
        self._options = options
        self._paper = paper

    def answer(self, call: Call, account: Account) -> Response:
        """The answer to an order, a change or a cancellation. Keys that are not in upper case are not there."""
        body = {name: str(value) for name, value in parse_object(call.request.body).items()}
        try:
            if call.asked.route.name == "order":
                return self._order(call, account, body)
            return self._change(call, account, body)
        except Refused as refusal:
            return self._refusal(refusal.code)

    def _order(self, call: Call, account: Account, body: dict[str, str]) -> Response:
        if "ORD_SVR_DVSN_CD" not in body:
            return gateway_error("IGW00036")
        problem = _input_problem(body, _ORDER_FIELDS)
        if problem:
            return input_error(problem)
        ticket = self._ticket(call.asked.tr_id, body)
        return self._accepted(call, self._desk.place(account, ticket, call.at, partial(self._obey, call)))

    def _ticket(self, tr_id: str, body: dict[str, str]) -> Ticket:
        side, division = SIDES[tr_id], body["ORD_DVSN"]
        if not _NUMBER.fullmatch(body["ORD_QTY"]) or int(body["ORD_QTY"]) == 0:
            raise Refused("APBK0102")
        limit = self._limit(body["OVRS_ORD_UNPR"], market=division in WITHOUT_LIMIT)
        return Ticket(body["PDNO"], body["OVRS_EXCG_CD"], side, int(body["ORD_QTY"]), limit, division)

    def _limit(self, text: str, *, market: bool) -> Decimal:
        """A limit in USD: at most two decimals from a dollar up, four below; zeros at the end do not count (§7.3)."""
        limit = (find_price(text) or ZERO).normalize()
        if market:
            return ZERO
        if limit == 0:
            raise Refused("40030000" if self._paper else "APBK1507")
        exponent = limit.as_tuple().exponent
        assert isinstance(exponent, int)
        if -exponent > (2 if limit >= _DOLLAR else 4):
            raise Refused("40030000" if self._paper else "APTR0057")
        return limit.quantize(_SMALLEST) if limit >= _DOLLAR else limit

    def _obey(self, call: Call, order: Order) -> None:
        """The faults that belong to a single order."""
        for fault in call.faults:
            match fault.kind:
                case "hide":
                    order.visible = call.at + fault.seconds
                case "reject_later":
                    order.reject_at, order.reason = call.at + fault.seconds, fault.text or "매매불가 종목"
                case "no_fill":
                    order.due = float("inf")
                case "partial":
                    order.share = 0.3

    def _change(self, call: Call, account: Account, body: dict[str, str]) -> Response:
        problem = _input_problem(body, _CHANGE_FIELDS)
        if problem:
            return input_error(problem)
        number, kind = body["ORGN_ODNO"].strip(), body["RVSE_CNCL_DVSN_CD"]
        if kind not in ("01", "02"):
            return input_error("RVSE_CNCL_DVSN_CD")
        original = self._desk.find(account, int(number), call.at) if _NUMBER.fullmatch(number) else None
        if original is None or original.symbol != body["PDNO"]:
            return gateway_error("IGW00022")
        if kind == "02":
            return self._accepted(call, self._desk.cancel(account, original, call.at))
        quantity = int(body["ORD_QTY"]) if _NUMBER.fullmatch(body["ORD_QTY"]) else 0
        limit = self._limit(body["OVRS_ORD_UNPR"], market=False)
        return self._accepted(call, self._desk.modify(account, original, quantity, limit, call.at))

    def _accepted(self, call: Call, order: Order) -> Response:
        body = parse_object(call.request.body)
        self._desk.accepted.append(Accepted(call.now, order.number, call.asked.route.name, call.asked.tr_id, body))
        headers = {"tr_id": call.asked.tr_id, "tr_cont": ""}
        if call.has("no_number"):  # on record: a success without a number (§7.1)
            text = {"rt_cd": "0", "msg_cd": "IGW00009", "msg1": "응답전문 구성 중 오류가 발생하였습니다."}
            return json_answer(text, headers=headers)
        output = {
            "KRX_FWDG_ORD_ORGNO": BRANCH,
            "ODNO": f"{order.number:010}",
            "ORD_TMD": datetime.fromtimestamp(call.at, KST).strftime("%H%M%S"),
        }
        envelope = {"rt_cd": "0", "msg_cd": "APBK0013", "msg1": "주문 전송 완료 되었습니다."}
        return json_answer({**envelope, "output": output}, headers=headers)

    def _refusal(self, code: str) -> Response:
        """The paper engine and the real ledger each speak their own way (§5.3, §5.4)."""
        if code.startswith("AP"):
            return business_error(code, "7")
        answer = business_error(code, "1")
        return Response(self._options.paper_engine_status, answer.headers, answer.body)


def _input_problem(body: dict[str, str], names: tuple[str, ...]) -> str:
    """The first field that is not there, or an exchange code that is none."""
    missing = next((name for name in names if name not in body), "")
    if missing:
        return missing
    return "" if body["OVRS_EXCG_CD"] in ORDER_CODES.values() else "OVRS_EXCG_CD"
