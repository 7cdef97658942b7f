"""The account's calls to KIS: which TR ids, which fields, which pages. mojito2's own order calls are never used.

TR ids stand in one table for both modes; none is derived: the paper id for a US sell is VTTT1001U (protocol §7.2).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from errors import KISRefusal, NoAnswer
from kis_broker import Access
from kis_transport import Answer, KISTransport
from portfolio import Side, rows_of

ORDER_CODES = {"나스닥": "NASD", "뉴욕": "NYSE", "아멕스": "AMEX"}  # OVRS_EXCG_CD, protocol §2.5
MAX_PAGES = 40
CHANGED = "SYDB0050"  # the data changed between two pages: begin again (§5.5)
RESTARTS = 3
_PREFIX = "uapi/overseas-stock/v1/trading"


@dataclass(frozen=True)
class TrIds:
    """TR ids of one mode (§7, §8)."""

    buy: str
    sell: str
    cancel: str
    orders: str
    open_orders: str
    balance: str
    buyable: str


REAL = TrIds("TTTT1002U", "TTTT1006U", "TTTT1004U", "TTTS3035R", "TTTS3018R", "TTTS3012R", "TTTS3007R")
PAPER = TrIds("VTTT1002U", "VTTT1001U", "VTTT1004U", "VTTS3035R", "VTTS3018R", "VTTS3012R", "VTTS3007R")


class KISTrading:
    """Requests about one account. ``transport`` gives the one in use now. Every method raises KISError or Stopping."""

    def __init__(self, access: Access, transport: Callable[[], KISTransport]) -> None:
        self._access = access
        self._transport = transport
        self._ids = PAPER if access.paper else REAL
        self._account = {"CANO": access.account[:8], "ACNT_PRDT_CD": access.account[-2:]}

    @property
    def paper(self) -> bool:
        """Whether this is 모의투자."""
        return self._access.paper

    # lists; each is one page, ``read_pages`` puts them together

    def orders_page(self, first: str, last: str, context: Mapping[str, str]) -> Answer:
        """Orders and fills of New York dates YYYYMMDD (§8.2); on paper every filter must be blank."""
        anything = "" if self.paper else "%"
        query = {
            **self._account,
            "PDNO": anything,
            "ORD_STRT_DT": first,
            "ORD_END_DT": last,
            "SLL_BUY_DVSN": "00",
            "CCLD_NCCS_DVSN": "00",
            "OVRS_EXCG_CD": "" if self.paper else "NASD",  # all of the US
            "SORT_SQN": "DS",
            "ORD_DT": "",
            "ORD_GNO_BRNO": "",
            "ODNO": "",
        }
        return self._get("inquire-ccnl", self._ids.orders, query, context)

    def open_orders_page(self, context: Mapping[str, str]) -> Answer:
        """Orders with shares still to be filled (§8.1)."""
        query = {**self._account, "OVRS_EXCG_CD": "NASD", "SORT_SQN": "DS"}
        return self._get("inquire-nccs", self._ids.open_orders, query, context)

    def balance_page(self, exchange: str, context: Mapping[str, str]) -> Answer:
        """Positions (§8.3). On real accounts ``NASD`` means all of the US; paper wants each exchange by itself."""
        query = {**self._account, "OVRS_EXCG_CD": exchange, "TR_CRCY_CD": "USD"}
        return self._get("inquire-balance", self._ids.balance, query, context)

    def buyable(self, exchange: str, symbol: str, price: str) -> Answer:
        """What may be spent, asked for a symbol at a price (§8.5)."""
        query = {
            **self._account,
            "OVRS_EXCG_CD": ORDER_CODES[exchange],
            "OVRS_ORD_UNPR": price,
            "ITEM_CD": symbol,
        }
        return self._get("inquire-psamount", self._ids.buyable, query, {})

    # orders

    @contextmanager
    def order_line(self) -> Iterator[Callable[[Side, str, str, int, str], Answer]]:
        """A connection that is open before an order is sent on it, once, with
        (side, exchange, symbol, quantity, limit).

        Raises NoAnswer or Stopping when it cannot be opened: nothing was sent then.
        """
        url = f"{self._access.base_url}/{_PREFIX}/order"
        bearer = self._access.bearer()
        with self._transport().line(url) as post:

            def send(side: Side, exchange: str, symbol: str, quantity: int, limit: str) -> Answer:
                tr_id = {Side.BUY: self._ids.buy, Side.SELL: self._ids.sell}[side]
                body = self._order_body(side, exchange, symbol, quantity, limit)
                return post(self._headers(tr_id, bearer), json.dumps(body))

            yield send

    def cancel(self, exchange: str, symbol: str, number: int, quantity: int) -> Answer:
        """Ask for a cancel (§7.4). Whatever comes back proves nothing: read the list."""
        body = {
            **self._account,
            "OVRS_EXCG_CD": ORDER_CODES[exchange],
            "PDNO": symbol,
            "ORGN_ODNO": f"{number:010d}",
            "RVSE_CNCL_DVSN_CD": "02",
            "ORD_QTY": str(quantity),
            "OVRS_ORD_UNPR": "0",
            "CTAC_TLNO": "",
            "MGCO_APTM_ODNO": "",
            "ORD_SVR_DVSN_CD": "0",
        }
        url = f"{self._access.base_url}/{_PREFIX}/order-rvsecncl"
        headers = self._headers(self._ids.cancel, self._access.bearer())
        return self._transport().post(url, headers, json.dumps(body))

    def _order_body(self, side: Side, exchange: str, symbol: str, quantity: int, limit: str) -> dict[str, str]:
        return {
            **self._account,
            "OVRS_EXCG_CD": ORDER_CODES[exchange],
            "PDNO": symbol,
            "ORD_QTY": str(quantity),
            "OVRS_ORD_UNPR": limit,
            "CTAC_TLNO": "",
            "MGCO_APTM_ODNO": "",
            "SLL_TYPE": "" if side is Side.BUY else "00",
            "ORD_SVR_DVSN_CD": "0",
            "ORD_DVSN": "00",  # limit; there is no market order for US stocks (§7.1)
        }

    def _get(self, path: str, tr_id: str, query: Mapping[str, str], context: Mapping[str, str]) -> Answer:
        url = f"{self._access.base_url}/{_PREFIX}/{path}"
        headers = self._headers(tr_id, self._access.bearer())
        if context:
            headers["tr_cont"] = "N" if any(value.strip() for value in context.values()) else ""
        return self._transport().get(url, headers, {**query, **context}, ledger=True)

    def _headers(self, tr_id: str, bearer: str) -> dict[str, str]:
        return {
            "content-type": "application/json; charset=utf-8",
            "authorization": f"Bearer {bearer}",
            "appkey": self._access.app_key,
            "appsecret": self._access.app_secret,
            "tr_id": tr_id,
            "custtype": "P",
        }


FIRST_PAGE = {"CTX_AREA_FK200": "", "CTX_AREA_NK200": ""}


def read_pages(ask: Callable[[Mapping[str, str]], Answer], rows_name: str) -> list[Mapping[str, Any]]:
    """All rows of a list, or an error: a list that could not be read to its end is never shown as whole.

    ``ask`` gets the context of the page before. Data that change meanwhile begin the reading anew.
    """
    for _ in range(RESTARTS):
        try:
            return _read_once(ask, rows_name)
        except KISRefusal as exc:
            if exc.code != CHANGED:
                raise
    raise NoAnswer("목록이 읽는 동안 계속 바뀜", status=200)


def _read_once(ask: Callable[[Mapping[str, str]], Answer], rows_name: str) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    context: Mapping[str, str] = FIRST_PAGE
    seen = set()
    for _ in range(MAX_PAGES):
        answer = ask(context)
        page = rows_of(answer.body, rows_name)
        if page and rows[-len(page) :] == page:
            raise NoAnswer("목록이 같은 쪽을 되풀이함", status=200)
        rows += page
        if answer.headers.get("tr_cont", "").strip() not in ("F", "M"):
            return rows
        context = {name: str(answer.body.get(name.lower()) or "") for name in FIRST_PAGE}
        key = tuple(context.values())
        if key in seen or not any(value.strip() for value in key):
            break
        seen.add(key)
    raise NoAnswer("목록의 쪽이 끝나지 않음", status=200)
