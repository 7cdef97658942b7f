"""What can go wrong, by name: which rows of the fault catalogue it carries, and how its details are drawn. Pure.

An event is complete in itself: what is drawn here stands in the plan, and ``acts`` only carries it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

Args = dict[str, Any]
Draw = Callable[[Random], Args]


@dataclass(frozen=True)
class Kind:
    """``aimed``: only useful while orders are traded.
    ``at_open``: a quarter of an hour before an opening. ``after_close``: within three hours after a close.
    ``always``: in every run, several times.
    """

    rows: tuple[str, ...]
    draw: Draw
    aimed: bool = False
    at_open: bool = False
    after_close: bool = False
    always: bool = False


def _lasting(rng: Random, shortest: float = 5.0, longest: float = 6 * 3600.0) -> float:
    """Seconds, as often short as long: evenly spread over their logarithm."""
    return round(math.exp(rng.uniform(math.log(shortest), math.log(longest))), 1)


def _chance(rng: Random) -> float:
    return rng.choice((0.05, 0.3, 1.0))


def _once(rows: str, where: str, *kinds: str, **more: Any) -> Kind:
    """The next call, or the next two."""

    def draw(rng: Random) -> Args:
        return {
            "fault": {"kind": rng.choice(kinds), "where": where, "times": rng.choice((1, 1, 2)), **_drawn(rng, more)}
        }

    return Kind(tuple(rows.split()), draw, aimed=where in ("order", "cancel"))


def _while(rows: str, where: str, *kinds: str, longest: float = 6 * 3600.0, **more: Any) -> Kind:
    """Calls for a span of time, each with a chance."""

    def draw(rng: Random) -> Args:
        fault = {"kind": rng.choice(kinds), "where": where, "chance": _chance(rng), **_drawn(rng, more)}
        return {"fault": fault, "lasts": _lasting(rng, longest=longest)}

    return Kind(tuple(rows.split()), draw)


def _drawn(rng: Random, more: Args) -> Args:
    """A tuple stands for a choice."""
    return {name: rng.choice(value) if isinstance(value, tuple) else value for name, value in more.items()}


def _act(rows: str, draw: Draw = lambda rng: {}, *, aimed: bool = False) -> Kind:
    return Kind(tuple(rows.split()), draw, aimed)


BAD_PRICES = ("0", "-1", "NaN", "Infinity", "1e400", "1,234.5", " ", "", "१२", "1000000")
POINTS = (
    *("before_journal", "before_dial", "before_send", "after_send", "after_record"),
    *("before_cancel", "after_cancel", "before_issue", "after_issue", "loop"),
)
UNLISTED = ("EGW00202", "EGW00203", "EGW00300", "EGW00301", "IGW00009", "XYZ12345")

KINDS: dict[str, Kind] = {
    # an order, and what comes of it
    "order_refused": _once("H01", "order", "refused"),
    "order_dns": _once("H02", "order", "dns"),
    "order_unreachable": _once("H03", "order", "unreachable"),
    "order_hang": _once("H05 B03", "order", "hang", processed=(True, False)),
    "order_drip": _once("H06", "order", "drip"),
    "order_reset": _once("H08 B03", "order", "reset", processed=(True, False)),
    "order_lost": _once("B01 H08", "order", "lost_answer"),
    "order_closed": _once("H09", "order", "closed", processed=(True, False)),
    "order_half": _once("H10 H11", "order", "half", "stall"),
    "order_502": _once(
        "H12 H23", "order", "html502", "html", status=(302, 500, 502, 503, 504), processed=(True, False)
    ),
    "order_empty": _once("H14", "order", "empty"),
    "order_cut": _once("H15", "order", "cut"),
    "order_shape": _once("H17 H18", "order", "json_list", "wrong_types"),
    "order_limit": _once("H22", "order", "error", code=("EGW00201", "EGW00215")),
    "order_token": _once("T01", "order", "error", code=("EGW00123", "EGW00121")),
    "order_unlisted": _once("B06 H13", "order", "error", code=UNLISTED, processed=(True, False)),
    "order_no_number": _once("B07", "order", "no_number"),
    "order_denied": _once("B05", "order", "error", code=("APBK0952", "APTR0057", "APBK0918"), status=200),
    "order_hidden": _once("B02", "order", "hide", seconds=(30, 90, 240, 900)),
    "order_rejected_later": _once("B23", "order", "reject_later", seconds=(5, 60, 400)),
    "order_partial": _once("B10", "order", "partial"),
    "order_no_fill": _once("B10", "order", "no_fill"),
    "order_slow": _once("B01", "order", "delay", seconds=(2, 7, 8.4)),
    # a cancellation
    "cancel_lost": _once("B12", "cancel", "lost_answer", "hang", "reset", "html502"),
    "cancel_refused": _while("B13", "cancel", "error", code=("APBK0344", "EGW00202")),
    # the account's lists
    "lists_down": _while("B22 B30 H13", "ledger", "error", code=("EGW00300", "EGW00202"), longest=2 * 3600.0),
    "lists_broken": _while(
        "H05 H08 H12 H15 H18", "ledger", "hang", "reset", "html502", "cut", "wrong_types", "json_list"
    ),
    "page_fails": _while("B15", "ledger", "error", "html502", "hang", page=(2, 3), code="EGW00300"),
    "lists_change": _while("B16", "ledger", "error", code="SYDB0050", longest=900.0),
    "lists_endless": _while("B17", "ccnl", "endless", longest=900.0),
    "lists_double": _while("B18", "ledger", "duplicate_rows"),
    "lists_empty_object": _while("B18", "ccnl", "object_rows"),
    "balance_down": _while("B22", "balance", "error", "cut", "hang", code="EGW00300"),
    "lists_limit": _while("H22", "ledger", "error", code="EGW00215", longest=1800.0),
    "unsellable": _while("B31", "balance", "unsellable"),
    # quotes
    "quotes_down": _while("H01 H02 H03 H05 H12", "quote", "refused", "dns", "unreachable", "hang", "html502"),
    "quotes_torn": _while("H08 H09 H10 H11 H14 H15", "quote", "reset", "closed", "half", "stall", "empty", "cut"),
    "quotes_drip": _while("H06", "quote", "drip", longest=1800.0),
    "quotes_shape": _while("H17 H18", "quote", "json_list", "wrong_types"),
    "quotes_bad": _while("H19", "quote", "bad_price", text=BAD_PRICES),
    "quotes_blank": _while("H26", "quote", "blank"),
    "quotes_limit": _while("H22", "quote", "error", code="EGW00201", longest=1800.0),
    "quotes_error": _while("H13", "quote", "error", code=("EGW00300", "EGW00203")),
    # all of KIS
    "kis_down": _while("H01 H02 H03 H05 H12", "kis", "refused", "dns", "unreachable", "hang", "html502"),
    "kis_flaky": _while("H08 H09", "kis", "reset", "closed"),
    # the token
    "token_dies": _act("T01 T13 T15", lambda r: {"code": r.choice(("EGW00121", "EGW00122", "EGW00123"))}),
    "token_stuck": _act("T14", lambda r: {"code": "EGW00121"}),
    "token_expires": _act("T01 T11"),
    "issue_limited": _while("T07", "token", "error", code="EGW00133", longest=1800.0),
    "issue_down": _while("T08 T16", "token", "hang", "refused", "html502", "error", code="EGW00300"),
    "issue_lost": _once("T09", "token", "lost_answer"),
    "issue_invalid": _once("T10", "token", "wrong_types", "json_list", "empty", "cut", "html502"),
    "file_deleted": _act("T02"),
    "file_garbage": _act(
        "T03", lambda r: {"keep": r.choice((0, 1, 20, 90)), "text": r.choice(("", "[]", "{}", "\x00ÿ"))}
    ),
    "file_foreign": _act("T05 T06", lambda r: {"whose": r.choice(("key", "mode"))}),
    "other_program": _act("P12"),
    # Yahoo
    "yahoo_down": _while("Y01 Y05", "yahoo", "refused", "dns", "hang", "reset", "html502"),
    "yahoo_refuses": _while("Y02", "yahoo", "error", status=(429, 403, 500)),
    "yahoo_bad": _while("Y03 Y04 Y06", "yahoo", "blank", "bad_price", "wrong_types", "cut", text="NaN"),
    # the process, the disk, the clocks
    "kill": Kind(
        ("P04", "P05", "P06", "P07", "P08"),
        lambda r: {"point": r.choice(POINTS), "nth": r.choice((1, 1, 2))},
        aimed=True,
        always=True,
    ),
    "kill_now": _act("P04 T17"),
    "kill_at_commit": _act("P09", lambda r: {"nth": r.randint(1, 12), "after": r.random() < 0.5}),
    "restart": _act("P01"),
    "suspend": _act("C01", lambda r: {"seconds": _lasting(r, 120, 9 * 3600)}),
    "sleep_through": Kind(("C01",), lambda r: {"seconds": r.choice((27000, 28800))}, at_open=True),
    "clock_step": _act("C02 C03", lambda r: {"seconds": r.choice((-3600, 3600, -300, 300))}),
    "clock_day_off": Kind(("T12",), lambda r: {"seconds": r.choice((-86400, 86400)), "lasts": 14400}, after_close=True),
    "ledger_full": _act("P14 P19", lambda r: {"lasts": _lasting(r, 30, 2 * 3600)}),
    "ledger_broken": _act("P18"),
    "token_disk_full": _act("T04", lambda r: {"lasts": _lasting(r, 60, 7200)}),
    "status_disk_full": _act("P15", lambda r: {"lasts": _lasting(r, 60, 7200)}),
    # the owner and the market
    "halt": _act("P01", lambda r: {"lasts": _lasting(r, 60, 7200)}),
    "twin_order": _act("B21", lambda r: {"channel": r.choice(("모바일", "OpenAPI"))}, aimed=True),
    "cancel_race": _act("B11", aimed=True),
    "owner_buys": _act("B21 B31", lambda r: {"quantity": r.randint(1, 30)}, aimed=True),
    "owner_sells": _act("B31", aimed=True),
    "deposit": _act("B31", lambda r: {"amount": r.choice((-3000, -500, 2000))}),
    "watchlist_broken": _act("G09", lambda r: {"lasts": _lasting(r, 60, 3600)}),
    "price_jump": _act(
        "C12", lambda r: {"factor": r.choice((0.85, 0.95, 1.06, 1.2)), "lasts": _lasting(r, 300, 7200)}, aimed=True
    ),
}
ROWS = {name: kind.rows for name, kind in KINDS.items()}
START_ROWS = ("C05", "C06", "C07", "C08", "C11", "C12")  # carried by the dates that runs start on

Part = tuple[float, str, Args]  # seconds after the recipe's instant, kind, arguments


def _fault(kind: str, what: str, where: str, lasts: float | None = None, **more: Any) -> Part:
    args: Args = {"fault": {"kind": what, "where": where, **more}}
    return 0.0, kind, args if lasts is None else {**args, "lasts": lasts}


def _dies(point: str) -> Part:
    return 0.0, "kill", {"point": point, "nth": 1}


def _steps(seconds: int) -> Part:
    return 0.0, "clock_step", {"seconds": seconds, "open": True}


def _hidden(seconds: float) -> Part:
    return _fault("order_hidden", "hide", "order", times=1, seconds=seconds)


LOST = _fault("order_lost", "lost_answer", "order", times=1)
HANGING = _fault("order_hang", "hang", "order", times=1, processed=True)
UNFILLED = _fault("order_no_fill", "no_fill", "order", times=2)
CANCELS_LOST = _fault("cancel_lost", "lost_answer", "cancel", times=2)
CANCELS_REFUSED = _fault("cancel_refused", "error", "cancel", 3600.0, code="APBK0344")
NO_SECOND_PAGE = _fault("page_fails", "error", "ledger", 1500.0, code="EGW00300", page=2)
NO_LISTS = _fault("lists_down", "error", "ledger", 2400.0, code="EGW00300")
NO_ISSUANCE = _fault("issue_down", "hang", "token", 400.0)
NO_MORE_THIS_MINUTE = _fault("issue_limited", "error", "token", 400.0, code="EGW00133")
KIS_SILENT = _fault("kis_down", "hang", "kis", 900.0)
YAHOO_SILENT = _fault("yahoo_down", "hang", "yahoo", 900.0)
DEAD: Part = (0.0, "token_dies", {"code": "EGW00121"})

# Faults that only bite together; each is laid over one instant.
RECIPES: tuple[tuple[Part, ...], ...] = (
    (LOST, _hidden(240)),
    (LOST, _hidden(700)),
    (LOST, NO_SECOND_PAGE),
    (LOST, NO_LISTS),
    (LOST, (0.0, "twin_order", {"channel": "OpenAPI"})),
    (LOST, _hidden(400), (0.0, "twin_order", {"channel": "모바일"})),
    (LOST, NO_LISTS, _dies("after_record")),
    (HANGING, _dies("after_send")),
    (UNFILLED, CANCELS_LOST, _dies("before_cancel")),
    (UNFILLED, _dies("after_cancel")),
    (UNFILLED, (0.0, "cancel_race", {})),
    (UNFILLED, CANCELS_REFUSED),
    (UNFILLED, _steps(3600)),
    (UNFILLED, _steps(-3600)),
    (DEAD, NO_ISSUANCE),
    (DEAD, NO_MORE_THIS_MINUTE),
    (DEAD, _dies("after_issue")),
    (DEAD, _dies("before_issue")),
    (LOST, (0.0, "ledger_full", {"lasts": 2700.0})),
    (KIS_SILENT, YAHOO_SILENT),
)

NIGHT = (
    *("order_lost", "order_no_fill", "lists_down", "quotes_down", "kis_down", "token_dies", "file_deleted"),
    *("issue_down", "yahoo_down", "kill_now", "restart", "order_502"),
)
