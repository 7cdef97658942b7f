"""KIS's lists of orders and fills (protocol §8.1, §8.2): one row for each order, changes and cancellations too."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache

from clock import KST
from simulator.books import ZERO, Account, Fill, Order
from simulator.calls import Call
from simulator.codes import input_error
from simulator.kis_orders import BRANCH
from simulator.kis_values import find_day, is_here, listed
from simulator.listings import MARKET_NAMES, ORDER_CODES
from simulator.messages import Response
from simulator.options import Options
from simulator.paging import DONE, NO_ROWS, Pager, Row

MOST_GIVEN = 64  # answers
_SIDES = {"sell": ("01", "매도"), "buy": ("02", "매수")}
_KINDS = {"new": ("00", ""), "modify": ("01", "정정"), "cancel": ("02", "취소")}


class OrderLists:
    """Answers ``inquire-nccs`` and ``inquire-ccnl``."""

    def __init__(self, today: Callable[[float], date], options: Options, pager: Pager, paper: bool) -> None:
        self._today = today  # the trading date of an instant
        self._options = options
        self._pager = pager
        self._paper = paper
        self.answers: dict[str, Callable[[Call, Account], Response]] = {"nccs": self._nccs, "ccnl": self._ccnl}
        self._given: OrderedDict[object, Response] = OrderedDict()

    def _nccs(self, call: Call, account: Account) -> Response:
        """Open orders (§8.1)."""
        exchange = call.request.query["OVRS_EXCG_CD"]
        if exchange not in ORDER_CODES.values():
            return input_error("OVRS_EXCG_CD")
        today = self._today(call.at)
        rows = [o for o in account.between(today, today) if call.at >= o.visible and _rest(o, self._seen(o, call))]
        rows = [order for order in rows if is_here(order.exchange, exchange, paper=self._paper)]
        rows.sort(key=lambda order: order.id, reverse=call.request.query["SORT_SQN"] != "DS")
        marks = tuple([(order.id, order.status, self._seen(order, call)) for order in rows])
        page = self._pager.cut(call, [(number, seen) for number, _, seen in marks])

        def answer() -> Response:
            output = self._pager.repeated(call, [self._nccs_row(o, call) for o in rows[page.first : page.last]])
            context = f"{exchange}^{call.request.query['SORT_SQN']}^"
            return self._pager.answer(call, page, {"output": output}, context, DONE)

        return self._as_before(
            call, (account.key, "nccs", exchange, call.request.query["SORT_SQN"], marks, page), answer
        )

    def _ccnl(self, call: Call, account: Account) -> Response:
        """Orders and fills of some days: one row for each order (§8.2)."""
        query = call.request.query
        problem = self._paper_filter(query) if self._paper else ""
        start, end = find_day(query["ORD_STRT_DT"]), find_day(query["ORD_END_DT"])
        if problem or start is None or end is None:
            return input_error(problem or "ORD_STRT_DT")
        rows = [o for o in account.between(start, end) if self._wanted(o, call)]
        rows.sort(key=lambda order: order.id, reverse=query["SORT_SQN"] != "AS")
        marks = tuple([(order.id, order.status, self._seen(order, call)) for order in rows])
        page = self._pager.cut(call, marks)
        fields = (query["ORD_STRT_DT"], query["ORD_END_DT"], query["SLL_BUY_DVSN"], query["CCLD_NCCS_DVSN"])

        def answer() -> Response:
            output: object = self._pager.repeated(call, [self._ccnl_row(o, call) for o in rows[page.first : page.last]])
            if not rows and (self._options.object_when_empty or call.has("object_rows")):
                output = _NO_ROW
            context = "".join(f"^{field}" for field in fields) + "^"
            return self._pager.answer(call, page, {"output": output}, context, DONE if rows else NO_ROWS)

        return self._as_before(call, (account.key, "ccnl", *fields, marks, page), answer)

    def _as_before(self, call: Call, question: object, answer: Callable[[], Response]) -> Response:
        """A page of which nothing has changed is the same to the last byte, and is asked for again and again."""
        if call.faults:
            return answer()
        question = (question, call.asked.tr_id, call.request.query["CANO"], call.request.query["ACNT_PRDT_CD"])
        if question not in self._given:
            self._given[question] = answer()
            if len(self._given) > MOST_GIVEN:
                self._given.popitem(last=False)
        return self._given[question]

    def _paper_filter(self, query: dict[str, str]) -> str:
        """On paper nothing can be filtered; the field that tries it."""
        allowed = {"PDNO": ("", "%"), "SLL_BUY_DVSN": ("00",), "CCLD_NCCS_DVSN": ("00",), "OVRS_EXCG_CD": ("", "%")}
        return next((field for field, values in allowed.items() if query[field] not in values), "")

    def _wanted(self, order: Order, call: Call) -> bool:
        query = call.request.query
        if call.at < order.visible or not is_here(order.exchange, query["OVRS_EXCG_CD"], paper=self._paper):
            return False
        if query["PDNO"] not in ("", "%", order.symbol):
            return False
        if query["SLL_BUY_DVSN"] not in ("00", "", _SIDES[order.side][0]):
            return False
        wanted = query["CCLD_NCCS_DVSN"]
        if wanted in ("00", ""):
            return True
        seen = self._seen(order, call)
        return (seen if wanted == "01" else _rest(order, seen)) > 0

    def _seen(self, order: Order, call: Call) -> int:
        """Traded shares as far as the lists know by now."""
        return sum([fill.quantity for fill in self._seen_fills(order, call)]) if order.fills else 0

    def _seen_fills(self, order: Order, call: Call) -> list[Fill]:
        return [fill for fill in order.fills if fill.at + self._options.fill_visible_after <= call.at]

    def _nccs_row(self, order: Order, call: Call) -> Row:
        return {
            **self._common(order, call),
            "rvse_cncl_dvsn_cd": _KINDS[order.kind][0],
            "rvse_cncl_dvsn_cd_name": _KINDS[order.kind][1],
            "natn_cd": "840",
            "natn_kor_name": "미국",
        }

    def _ccnl_row(self, order: Order, call: Call) -> Row:
        day, time = _in_seoul(order.placed)
        return {
            **self._common(order, call),
            "rvse_cncl_dvsn": _KINDS[order.kind][0],
            "rvse_cncl_dvsn_name": _KINDS[order.kind][1],
            "tr_natn": "840",
            "tr_natn_name": "미국",
            "dmst_ord_dt": day,
            "thco_ord_tmd": time,
            "mdia_dvsn_name": order.channel,
        }

    def _common(self, order: Order, call: Call) -> Row:
        fills = self._seen_fills(order, call)
        quantity = sum(fill.quantity for fill in fills)
        value = sum((fill.price * fill.quantity for fill in fills), ZERO)
        shown = ZERO if self._options.unfilled_price_zero and not quantity else order.limit
        rest = _rest(order, quantity)
        return {
            "ord_dt": _day(order.date),
            "ord_gno_brno": BRANCH,
            "odno": self._number(order.number),
            "orgn_odno": self._number(order.original) if order.original else "",
            "pdno": order.symbol,
            "prdt_name": order.symbol,
            "sll_buy_dvsn_cd": _SIDES[order.side][0],
            "sll_buy_dvsn_cd_name": _SIDES[order.side][1],
            "rjct_rson": "1" if order.status == "rejected" else "",
            "rjct_rson_name": order.reason if order.status == "rejected" else "",
            "prcs_stat_name": _state(order, rest),
            "ord_tmd": _in_seoul(order.placed)[1],
            "tr_mket_name": MARKET_NAMES[listed(order.symbol).exchange],
            "tr_crcy_cd": "USD",
            "ft_ord_qty": str(order.quantity),
            "ft_ccld_qty": str(quantity),
            "nccs_qty": str(rest),
            "ft_ord_unpr3": f"{shown:.8f}",
            "ft_ccld_unpr3": f"{value / quantity if quantity else ZERO:.8f}",
            "ft_ccld_amt3": f"{value:.5f}",
            "ovrs_excg_cd": order.exchange,
            "loan_type_cd": "10",
            "loan_dt": "",
            "usa_amk_exts_rqst_yn": "N",
            "splt_buy_attr_name": "",
        }

    def _number(self, number: int) -> str:
        strip = self._paper if self._options.strip_order_numbers is None else self._options.strip_order_numbers
        return str(number) if strip else f"{number:010}"


_NO_ROW = {
    **dict.fromkeys(("ord_dt", "ord_gno_brno", "odno", "orgn_odno", "sll_buy_dvsn_cd", "sll_buy_dvsn_cd_name"), ""),
    **dict.fromkeys(("rvse_cncl_dvsn", "rvse_cncl_dvsn_name", "pdno", "prdt_name", "prcs_stat_name"), ""),
    **dict.fromkeys(("rjct_rson", "rjct_rson_name", "ord_tmd", "tr_mket_name", "tr_natn", "tr_natn_name"), ""),
    **dict.fromkeys(("ovrs_excg_cd", "tr_crcy_cd", "dmst_ord_dt", "thco_ord_tmd", "loan_type_cd", "loan_dt"), ""),
    **dict.fromkeys(("usa_amk_exts_rqst_yn", "splt_buy_attr_name"), ""),
    "ft_ord_qty": "0",
    "ft_ord_unpr3": "0.00000000",
    "ft_ccld_qty": "0",
    "ft_ccld_unpr3": "0.00000000",
    "ft_ccld_amt3": "0.00000",
    "nccs_qty": "0",
    "mdia_dvsn_name": "OpenAPI",
}


def _rest(order: Order, seen: int) -> int:
    """Shares that the lists hold to be open, of which they have ``seen`` some traded: a fill they do not know yet still
    counts as open."""
    return order.quantity - seen if order.status in ("open", "filled") and order.kind != "cancel" else 0


@lru_cache(maxsize=64)
def _day(day: date) -> str:
    return f"{day:%Y%m%d}"


@lru_cache(maxsize=256)
def _in_seoul(at: float) -> tuple[str, str]:
    """Date and time of an instant, as KIS writes them."""
    here = datetime.fromtimestamp(at, KST)
    return f"{here:%Y%m%d}", f"{here:%H%M%S}"


def _state(order: Order, rest: int) -> str:
    """``prcs_stat_name``: refused, under way, or done."""
    if order.status == "rejected":
        return "거부"
    return "전송" if rest or order.status == "open" else "완료"
