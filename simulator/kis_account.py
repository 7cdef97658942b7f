"""KIS's account side: whose account, which fields, then on to orders, lists or holdings (protocol §7, §8)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from simulator.books import Account
from simulator.calls import Call
from simulator.codes import business_error, input_error, ledger_ok
from simulator.desk import Desk, Refused
from simulator.hours import following
from simulator.kis_holdings import Holdings
from simulator.kis_lists import OrderLists
from simulator.kis_orders import OrderDesk
from simulator.kis_values import find_day, is_number
from simulator.listings import MARKET_NAMES, ORDER_CODES, PRODUCT_TYPES
from simulator.market import Market
from simulator.messages import Response
from simulator.options import Options
from simulator.paging import LOOKED_UP, Changed, Pager, Row

_ACCOUNT = ("CANO", "ACNT_PRDT_CD")
_CONTEXT = ("CTX_AREA_FK200", "CTX_AREA_NK200")
_FIELDS: dict[str, tuple[str, ...]] = {
    "nccs": (*_ACCOUNT, "OVRS_EXCG_CD", "SORT_SQN", *_CONTEXT),
    "ccnl": (
        *_ACCOUNT,
        *("PDNO", "ORD_STRT_DT", "ORD_END_DT", "SLL_BUY_DVSN", "CCLD_NCCS_DVSN", "OVRS_EXCG_CD", "SORT_SQN"),
        *("ORD_DT", "ORD_GNO_BRNO", "ODNO", *_CONTEXT),
    ),
    "balance": (*_ACCOUNT, "OVRS_EXCG_CD", "TR_CRCY_CD", *_CONTEXT),
    "present-balance": (*_ACCOUNT, "WCRC_FRCR_DVSN_CD", "NATN_CD", "TR_MKET_CD", "INQR_DVSN_CD"),
    "psamount": (*_ACCOUNT, "OVRS_EXCG_CD", "OVRS_ORD_UNPR", "ITEM_CD"),
    "period-profit": (
        *_ACCOUNT,
        *("OVRS_EXCG_CD", "NATN_CD", "CRCY_CD", "PDNO", "INQR_STRT_DT", "INQR_END_DT", "WCRC_FRCR_DVSN_CD"),
        *_CONTEXT,
    ),
}
_PAGE_SIZES = {"nccs": 40, "ccnl": 20, "balance": 100, "period-profit": 100}
_PAPER_PAGE_SIZES = {**_PAGE_SIZES, "ccnl": 15}
_MARKET_NUMBERS = {"NAS": "01", "NYS": "02", "AMS": "05"}

_CALENDAR_DAYS = 1000  # how far from today settlement dates are known

Binder = Callable[[Call, str], bool]


class AccountDesk:
    """Answers everything that concerns one account, orders included.

    ``bind`` ties an account number to the key of a call, and says False for any but the first number.
    """

    def __init__(self, desk: Desk, market: Market, options: Options, paper: bool, bind: Binder) -> None:
        self._desk = desk
        self._market = market
        self._options = options
        self._paper = paper
        self._bind = bind
        self._orders = OrderDesk(desk, options, paper)
        pager = Pager(options, _PAPER_PAGE_SIZES if paper else _PAGE_SIZES)
        lists = OrderLists(lambda at: market.hours.current(at).date, options, pager, paper)
        holdings = Holdings(desk, market, options, pager, paper)
        self._answers = {**lists.answers, **holdings.answers}

    def answer(self, call: Call) -> Response:
        """The answer of the end point that the call asks."""
        assert call.key is not None
        if call.asked.route.name == "holiday":
            return self._holiday(call)
        problem = self._account_problem(call)
        if problem is not None:
            return problem
        account = self._desk.account(call.key.mark, call.at)
        if "trade" in call.asked.route.groups:
            return self._orders.answer(call, account)
        return self._query(call, account)

    def _query(self, call: Call, account: Account) -> Response:
        name = call.asked.route.name
        missing = next((field for field in _FIELDS[name] if field not in call.request.query), "")
        if missing:
            return input_error(missing)
        if name == "nccs" and self._paper and not self._options.nccs_on_paper:
            return business_error("OPSQ0002", "1")
        try:
            return self._answers[name](call, account)
        except Changed:
            return business_error("SYDB0050", "7", padded=True)
        except Refused as refusal:
            return business_error(refusal.code, "7")

    def _account_problem(self, call: Call) -> Response | None:
        """The account is opened by the key; the first number it comes with is its own, any other is refused."""
        trade = "trade" in call.asked.route.groups
        source: dict[str, object] = call.body() if trade else dict(call.request.query)
        first, second = (str(source.get(name, "")) for name in _ACCOUNT)
        if len(first) == 8 and len(second) == 2 and is_number(first + second) and self._bind(call, first + second):
            return None
        return business_error("APAC0081", "7") if trade else business_error("OPSQ2000", "2")

    def _holiday(self, call: Call) -> Response:
        """Settlement dates of a US trading day; no rows for any other day (§9.1)."""
        day = find_day(call.param("TRAD_DT") or "")
        if day is None:
            return input_error("TRAD_DT")
        hours = self._market.hours
        known = abs((day - call.now.date()).days) < _CALENDAR_DAYS
        trades = known and hours.recent(day, 1)[0].date == day
        settles = following(hours, day) if trades else day
        rows = [_settlement_row(exchange, settles) for exchange in ORDER_CODES] if trades else []
        blank = " " * 20
        return ledger_ok({"ctx_area_nk": blank, "ctx_area_fk": blank, "output": rows}, call.asked.tr_id, "", *LOOKED_UP)


def _settlement_row(exchange: str, settles: date) -> Row:
    return {
        "prdt_type_cd": PRODUCT_TYPES[exchange],
        "tr_natn_cd": "840",
        "tr_natn_name": "미국",
        "natn_eng_abrv_cd": "US",
        "tr_mket_cd": _MARKET_NUMBERS[exchange],
        "tr_mket_name": MARKET_NAMES[exchange],
        "acpl_sttl_dt": settles.strftime("%Y%m%d"),
        "dmst_sttl_dt": (settles + timedelta(days=1)).strftime("%Y%m%d"),
    }
