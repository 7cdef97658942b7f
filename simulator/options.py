"""The switches of the embedded broker: where the sources conflict, and how lively the market is."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Profile = Literal["real", "paper"]
HoursName = Literal["always", "nyse"]


@dataclass(frozen=True)
class Options:
    """Everything that can be chosen; the defaults are what the protocol sheet holds to be likeliest (§13, §15)."""

    hours: HoursName = "always"
    """``always``: open day and night, the trading day is New York's date and ends at 16:00 there.
    ``nyse``: NYSE's regular sessions with holidays and half days."""

    opening_cash: Decimal = Decimal(100_000)
    """USD in a new account (§8.5)."""

    latency: float = 0.0
    """Seconds before each answer."""

    old_token_dies: bool = True
    """A new token (issued more than six hours after the first) kills the older one (§3.1, conflict)."""

    dead_token_returns: bool = False
    """Within six hours KIS hands out the same token even if it was revoked (§3.1, C17b)."""

    rate_limit: bool = True
    """EGW00201 on or off."""

    calls_per_second: float | None = None
    """None: 18 in real, 1 in paper. 3 is what a new customer has (§4.1)."""

    rate_limit_status: int = 500
    """HTTP status of EGW00201: 500 in most records, 200 in some (§4.2)."""

    ledger_limit: bool = True
    """EGW00215 on or off: account queries at most ``ledger_calls_per_second`` for each account."""

    ledger_calls_per_second: float = 1.0

    yahoo_skew_bps: float = 3.0
    """Yahoo's price may differ from the market's by so many basis points (1/10,000)."""

    blank_on_paper: frozenset[str] = frozenset()
    """Symbols that the paper server quotes blank although they are right (§6.1)."""

    # --- orders

    matching: bool = True
    """False: orders are filled by hand only (``Simulator.fill``)."""

    fill_delay: tuple[float, float] = (0.5, 3.0)
    """Seconds from acceptance to the first look at the market, drawn for each order. (0, 0): at once."""

    partial_chance: float = 0.0
    """Share of the orders that are filled in several parts, at least fifteen seconds apart."""

    cancel_delay: float = 0.0
    """Seconds until an accepted cancellation takes effect; a fill may come first."""

    commission: Decimal = Decimal("0.0025")
    """KIS's usual online commission on US stocks: 0.25 % of the value, in whole cents."""

    sec_fee: Decimal = Decimal("0.0000206")
    """The SEC's fee on sales: $20.60 a million, rounded up to a cent."""

    extended_hours: bool = True
    """Real profile with ``nyse``: orders are taken from 04:00 to 20:00 New York (§7.1); they match in the regular
    session only. Off: regular session only, as always on paper."""

    untradable_on_paper: frozenset[str] = frozenset()
    """Symbols that the paper engine does not trade (40070000)."""

    paper_engine_status: int = 200
    """HTTP status of the paper engine's refusals: 200 in some records, 500 in others (§5.1, conflict)."""

    numbers_restart_daily: bool = False
    """Order numbers begin again on each trading date."""

    # --- lists

    visible_after: float = 0.0
    """Seconds until an accepted order appears in the order lists."""

    fill_visible_after: float = 0.0
    """Seconds until a fill appears in the order lists; cash and holdings show it at once."""

    page_size: int | None = None
    """Rows on a page of every list. None: KIS's own, 40 open orders, 20 orders (paper 15), 100 holdings."""

    more_mark: Literal["M", "F"] = "M"
    """``tr_cont`` of a page that is followed by another; both mean "more" (§2.3)."""

    changed_between_pages: bool = True
    """SYDB0050 when the rows have changed since the first page."""

    duplicate_rows: bool = False
    """Lists show every row twice (§8.2)."""

    padding_row: bool = False
    """The balance ends with a row of blanks and zeros, as in KIS's document (§8.3)."""

    object_when_empty: bool = True
    """The order list without rows is an object of blanks instead of a list (§8.2)."""

    strip_order_numbers: bool | None = None
    """Order numbers in lists without leading zeros. None: on paper only (§8.2)."""

    unfilled_price_zero: bool = False
    """Rows of unfilled orders show a price of 0."""

    nccs_on_paper: bool = True
    """VTTS3018R answers (§15, conflict); off: OPSQ0002."""

    # --- long runs

    keep_days: int | None = None
    """Ended orders older than so many days are dropped from memory; the books still add up. None keeps all."""
