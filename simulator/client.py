"""A bare KIS client for tests: builds the requests that a client's library would, over nothing but ``handle``.

The key, secret and account here are made up. Answers come back as (status, parsed body).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from simulator.books import Side
from simulator.core import Simulator
from simulator.messages import Request, Response, to_json

APP_KEY = "made-up-app-key-".ljust(36, "0")
APP_SECRET = "made-up-app-secret-".ljust(180, "0")
ACCOUNT = ("87654321", "01")
PRICE_PATH = "/uapi/overseas-price/v1/quotations/"
TRADE_PATH = "/uapi/overseas-stock/v1/trading/"
ORDER_IDS: dict[str, dict[Side, str]] = {
    "real": {"buy": "TTTT1002U", "sell": "TTTT1006U"},
    "paper": {"buy": "VTTT1002U", "sell": "VTTT1001U"},
}


class Client:
    """Somebody with an app key. ``token`` is asked for with ``login``."""

    def __init__(self, sim: Simulator, key: str = APP_KEY, secret: str = APP_SECRET) -> None:
        self.sim = sim
        self.key, self.secret = key, secret
        self.account = ACCOUNT
        self.token = ""

    def login(self) -> Client:
        """Ask for a token and keep it; KeyError if it is refused."""
        self.token = self.issue()[1]["access_token"]
        return self

    def issue(self, **changed: str) -> tuple[int, Any]:
        """POST /oauth2/tokenP, with other fields where given."""
        body = {"grant_type": "client_credentials", "appkey": self.key, "appsecret": self.secret, **changed}
        return _parsed(self.post("/oauth2/tokenP", body))

    def price(self, symbol: str, exchange: str = "NAS") -> tuple[int, Any]:
        """The current price of a pair."""
        return self.get(PRICE_PATH + "price", "HHDFS00000300", AUTH="", EXCD=exchange, SYMB=symbol)

    def order(self, side: Side, symbol: str, quantity: int, limit: str, exchange: str = "NASD", **changed: str) -> Any:
        """The parsed answer to a limit order, under the right TR id of the profile."""
        cano, product = self.account
        body = {
            "CANO": cano,
            "ACNT_PRDT_CD": product,
            "OVRS_EXCG_CD": exchange,
            "PDNO": symbol,
            "ORD_QTY": str(quantity),
            "OVRS_ORD_UNPR": limit,
            "CTAC_TLNO": "",
            "MGCO_APTM_ODNO": "",
            "SLL_TYPE": "00" if side == "sell" else "",
            "ORD_SVR_DVSN_CD": "0",
            "ORD_DVSN": "00",
            **changed,
        }
        return _parsed(self.post(TRADE_PATH + "order", body, ORDER_IDS[self.sim.profile][side]))[1]

    def change(self, number: str, symbol: str, exchange: str = "NASD", **changed: str) -> Any:
        """The parsed answer to a cancellation; ``RVSE_CNCL_DVSN_CD="01"`` and a price make it a change."""
        cano, product = self.account
        body = {
            "CANO": cano,
            "ACNT_PRDT_CD": product,
            "OVRS_EXCG_CD": exchange,
            "PDNO": symbol,
            "ORGN_ODNO": number,
            "RVSE_CNCL_DVSN_CD": "02",
            "ORD_QTY": "0",
            "OVRS_ORD_UNPR": "0",
            "ORD_SVR_DVSN_CD": "0",
            **changed,
        }
        return _parsed(self.post(TRADE_PATH + "order-rvsecncl", body, self._paper_id("TTTT1004U")))[1]

    def nccs(self, exchange: str = "NASD", **more: str) -> Any:
        """The first page of open orders."""
        return self._ask("inquire-nccs", "TTTS3018R", OVRS_EXCG_CD=exchange, SORT_SQN="DS", **more)

    def ccnl(self, start: str, end: str, **changed: str) -> Any:
        """The first page of orders and fills between two New York dates (YYYYMMDD)."""
        paper = self.sim.profile == "paper"
        query = {
            "PDNO": "" if paper else "%",
            "ORD_STRT_DT": start,
            "ORD_END_DT": end,
            "SLL_BUY_DVSN": "00",
            "CCLD_NCCS_DVSN": "00",
            "OVRS_EXCG_CD": "" if paper else "NASD",
            "SORT_SQN": "DS",
            "ORD_DT": "",
            "ORD_GNO_BRNO": "",
            "ODNO": "",
        }
        return self._ask("inquire-ccnl", "TTTS3035R", **{**query, **changed})

    def balance(self, exchange: str = "NASD", **more: str) -> Any:
        """The first page of holdings."""
        return self._ask("inquire-balance", "TTTS3012R", OVRS_EXCG_CD=exchange, TR_CRCY_CD="USD", **more)

    def present_balance(self, currency: str = "02", market: str = "00") -> Any:
        """Positions and cash; currency 02 is dollars."""
        codes = {"WCRC_FRCR_DVSN_CD": currency, "NATN_CD": "840", "TR_MKET_CD": market, "INQR_DVSN_CD": "00"}
        tr_id = "VTRP6504R" if self.sim.profile == "paper" else "CTRP6504R"
        cano, product = self.account
        path = TRADE_PATH + "inquire-present-balance"
        return self.get(path, tr_id, CANO=cano, ACNT_PRDT_CD=product, **codes)[1]

    def psamount(self, symbol: str, price: str, exchange: str = "NASD") -> Any:
        """What may be bought."""
        return self._ask("inquire-psamount", "TTTS3007R", OVRS_EXCG_CD=exchange, OVRS_ORD_UNPR=price, ITEM_CD=symbol)

    def pages(self, ask: Callable[..., Any], *args: str) -> list[Any]:
        """Every page of a list, as KIS wants to be asked; an error answer ends it."""
        found = [ask(*args)]
        while found[-1]["rt_cd"] == "0" and found[-1]["ctx_area_nk200"].strip():
            last = found[-1]
            keys = {"CTX_AREA_FK200": last["ctx_area_fk200"], "CTX_AREA_NK200": last["ctx_area_nk200"]}
            found.append(ask(*args, tr_cont="N", **keys))
        return found

    def _ask(self, name: str, tr_id: str, *, tr_cont: str = "", **query: str) -> Any:
        cano, product = self.account
        whole = {"CANO": cano, "ACNT_PRDT_CD": product, "CTX_AREA_FK200": "", "CTX_AREA_NK200": "", **query}
        return self.get(TRADE_PATH + name, self._paper_id(tr_id), tr_cont=tr_cont, **whole)[1]

    def _paper_id(self, tr_id: str) -> str:
        """Apart from the sell order the paper ids do differ in their first letter only (§10)."""
        return "V" + tr_id[1:] if self.sim.profile == "paper" else tr_id

    def get(self, path: str, tr_id: str, *, tr_cont: str = "", **query: str) -> tuple[int, Any]:
        """A GET with KIS's headers."""
        return _parsed(self.sim.handle(Request("GET", path, query, self.headers(tr_id, tr_cont=tr_cont))))

    def post(self, path: str, body: dict[str, str], tr_id: str = "") -> Response:
        """A POST with KIS's headers; the raw answer."""
        data = to_json(body)
        return self.sim.handle(Request("POST", path, {}, self.headers(tr_id, length=len(data)), data))

    def headers(self, tr_id: str, *, tr_cont: str = "", length: int = 0) -> dict[str, str]:
        """The headers of a business call."""
        return {
            "content-type": "application/json; charset=utf-8",
            "content-length": str(length),
            "authorization": f"Bearer {self.token}",
            "appkey": self.key,
            "appsecret": self.secret,
            "tr_id": tr_id,
            "tr_cont": tr_cont,
            "custtype": "P",
        }


def _parsed(response: Response) -> tuple[int, Any]:
    return response.status, json.loads(response.body)
