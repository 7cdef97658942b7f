"""Which path is which end point, under which TR ids, and by what names faults and counters call it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from simulator.messages import Request
from simulator.options import Profile


@dataclass(frozen=True)
class Route:
    """One end point. ``real`` and ``paper`` are the TR ids it answers to; empty: not there in that profile."""

    name: str
    method: str
    groups: tuple[str, ...] = ("kis",)
    real: tuple[str, ...] = ()
    paper: tuple[str, ...] = ()

    @cached_property
    def names(self) -> frozenset[str]:
        """What faults and counters call it."""
        return frozenset((self.name, *self.groups))

    @property
    def is_ledger(self) -> bool:
        """Whether the account's own limit counts it (§4.1)."""
        return "ledger" in self.groups

    def tr_ids(self, profile: Profile) -> tuple[str, ...]:
        """The TR ids that are right here."""
        return self.real if profile == "real" else self.paper


_QUOTE, _LEDGER, _TRADE = ("kis", "quote"), ("kis", "ledger"), ("kis", "trade")
_PRICE = "/uapi/overseas-price/v1/quotations/"
_STOCK = "/uapi/overseas-stock/v1/trading/"


def _both(name: str, tr_id: str) -> Route:
    return Route(name, "GET", _QUOTE, (tr_id,), (tr_id,))


ROUTES: dict[str, Route] = {
    "/oauth2/tokenP": Route("token", "POST"),
    "/oauth2/revokeP": Route("revoke", "POST"),
    "/uapi/hashkey": Route("hashkey", "POST"),
    _PRICE + "price": _both("price", "HHDFS00000300"),
    _PRICE + "dailyprice": _both("dailyprice", "HHDFS76240000"),
    _PRICE + "inquire-search": _both("inquire-search", "HHDFS76410000"),
    _PRICE + "price-detail": Route("price-detail", "GET", _QUOTE, ("HHDFS76200200",)),
    _PRICE + "multprice": Route("multprice", "GET", _QUOTE, ("HHDFS76220000",)),
    _STOCK + "order": Route("order", "POST", _TRADE, ("TTTT1002U", "TTTT1006U"), ("VTTT1002U", "VTTT1001U")),
    _STOCK + "order-rvsecncl": Route("cancel", "POST", _TRADE, ("TTTT1004U",), ("VTTT1004U",)),
    _STOCK + "inquire-nccs": Route("nccs", "GET", _LEDGER, ("TTTS3018R",), ("VTTS3018R",)),
    _STOCK + "inquire-ccnl": Route("ccnl", "GET", _LEDGER, ("TTTS3035R",), ("VTTS3035R",)),
    _STOCK + "inquire-balance": Route("balance", "GET", _LEDGER, ("TTTS3012R",), ("VTTS3012R",)),
    _STOCK + "inquire-present-balance": Route("present-balance", "GET", _LEDGER, ("CTRP6504R",), ("VTRP6504R",)),
    _STOCK + "inquire-psamount": Route("psamount", "GET", _LEDGER, ("TTTS3007R",), ("VTTS3007R",)),
    _STOCK + "inquire-period-profit": Route("period-profit", "GET", _LEDGER, ("TTTS3039R",)),
    _STOCK + "dayornight": Route("dayornight", "GET"),  # gone from the documents; every id is refused
    "/uapi/overseas-stock/v1/quotations/countries-holiday": Route("holiday", "GET", ("kis",), ("CTOS5011R",)),
}
_YAHOO_CHART = "/v8/finance/chart/"
_SYMBOL_FIELDS = ("SYMB", "PDNO", "ITEM_CD")
_YAHOO = {
    "/": Route("cookie", "GET", ("yahoo",)),
    "/v1/test/getcrumb": Route("crumb", "GET", ("yahoo",)),
}
CHART = Route("chart", "GET", ("yahoo",))
_OTHER_YAHOO = Route("yahoo-other", "GET", ("yahoo",))
_NOWHERE = Route("unknown", "GET")


class Asked(NamedTuple):
    """What a request asks for, found out once."""

    route: Route
    path: str  # without doubled slashes
    tr_id: str
    names: frozenset[str]
    symbols: frozenset[str]


def find_route(path: str) -> Route | None:
    """The end point at a path; None for a path that KIS and Yahoo do not have."""
    if path.startswith(_YAHOO_CHART) and len(path) > len(_YAHOO_CHART):
        return CHART
    if path.startswith(("/v7/finance", "/v8/finance", "/v10/finance", "/ws/", "/v2/")):
        return _OTHER_YAHOO
    return ROUTES.get(path) or _YAHOO.get(path)


def read(request: Request) -> tuple[Asked, bool]:
    """What is asked for, and whether there is such a place at all."""
    path = _single(request.path)
    found = find_route(path)
    route = found or _stranger(path)
    asked = Asked(route, path, request.headers.get("tr_id", ""), route.names, _symbols(request, route, path))
    return asked, found is not None and route.method == request.method


def place_at(path: str) -> Route:
    """The end point at a path, doubled slashes or not; whose it would be where there is none."""
    path = _single(path)
    return find_route(path) or _stranger(path)


def _stranger(path: str) -> Route:
    return _NOWHERE if path.startswith(("/uapi", "/oauth2")) else _OTHER_YAHOO


def _single(path: str) -> str:
    while "//" in path:
        path = path.replace("//", "/")
    return path


def _symbols(request: Request, route: Route, path: str) -> frozenset[str]:
    """The tickers a request is about, for faults and the journal."""
    if route is CHART:
        return frozenset((path.removeprefix(_YAHOO_CHART),))
    if route.method == "GET":
        return frozenset(value for name, value in request.query.items() if value and name.startswith(_SYMBOL_FIELDS))
    if "trade" in route.groups:
        return frozenset((_symbol_in(request.body),))
    return frozenset()


def _symbol_in(body: bytes) -> str:
    try:
        return str(json.loads(body)["PDNO"])
    except (ValueError, KeyError, TypeError):
        return ""
