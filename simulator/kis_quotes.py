"""KIS's quote end points (protocol §6). Prices are USD texts with four decimals."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

from clock import KST, NEW_YORK
from simulator.calls import Call
from simulator.codes import input_error, quote_ok
from simulator.hours import Session, is_open, previous
from simulator.kis_values import find_day, is_number
from simulator.listings import EXCHANGES, Listing, find_listing
from simulator.market import Bar, Market
from simulator.messages import Response
from simulator.options import Options

MULTI_LIMIT = 10  # symbols in one multprice call
DAILY_ROWS = 100
_DAYTIME = {"BAQ": "NAS", "BAY": "NYS", "BAA": "AMS"}


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_PRICE_FIELDS = _names("rsym zdiv base pvol last sign diff rate tvol tamt ordy")
_DETAIL_FIELDS = _names("""
    rsym pvol open high low last base tomv pamt uplp dnlp h52p h52d l52p l52d perx pbrx epsx bpsx shar mcap curr zdiv
    vnit t_xprc t_xdif t_xrat p_xprc p_xdif p_xrat t_rate p_rate t_xsgn p_xsng e_ordyn e_hogau e_icod e_parp tvol tamt
    etyp_nm
""")
_MULTI_FIELDS = _names("""
    rsym excd symb knam exnm nnam stat1 stat2 zdiv last sign diff rate open high low pbid pask vbid vask bvol avol evol
    tvol tamt powx xhms khms curr base pvol pamt popen phigh plow shar mcap tomv h52p l52p h52d l52d hanp lanp hand land
    bnit t_xprc
""")
_BAR_BLANKS = {"pbid": "", "vbid": "", "pask": "", "vask": ""}


class Quotes:
    """Answers the quote TRs from the market."""

    def __init__(self, market: Market, options: Options, paper: bool) -> None:
        self._market = market
        self._blank = options.blank_on_paper if paper else frozenset[str]()

    def answer(self, call: Call) -> Response:
        """The answer of the end point that the call asks."""
        match call.asked.route.name:
            case "price":
                return self._one(call, _PRICE_FIELDS)
            case "price-detail":
                return self._one(call, _DETAIL_FIELDS)
            case "dailyprice":
                return self._daily(call)
            case "multprice":
                return self._multi(call)
            case _:
                return self._search(call)

    def _one(self, call: Call, names: tuple[str, ...]) -> Response:
        problem = _missing(call, "AUTH", "EXCD", "SYMB")
        if problem:
            return input_error(problem)
        exchange, symbol = call.request.query["EXCD"], call.request.query["SYMB"]
        values = self._values(call, exchange, symbol, detail=names is not _PRICE_FIELDS)
        output = {name: values.get(name, "") for name in names}
        return quote_ok({"output": output}, call.asked.tr_id)

    def _values(self, call: Call, exchange: str, symbol: str, *, detail: bool) -> dict[str, str]:
        """Every field we know of a pair; nothing for a wrong pair, as KIS answers it (§6.1)."""
        listing = self._listed(exchange, symbol)
        if listing is None or call.about("blank", symbol):
            return {}
        values = self._price_values(listing, exchange, symbol, call.at)
        if detail:
            values |= self._detail_values(listing, call.at)
            values |= _clock_values(call.now)
        spoiled = call.about("bad_price", symbol)
        if spoiled is not None:
            values["last"] = spoiled.text
        return values

    def _listed(self, exchange: str, symbol: str) -> Listing | None:
        listing = find_listing(symbol)
        if listing is None or listing.symbol in self._blank:
            return None
        return listing if listing.exchange == _DAYTIME.get(exchange, exchange) else None

    def _price_values(self, listing: Listing, exchange: str, symbol: str, at: float) -> dict[str, str]:
        market = self._market
        session = market.hours.current(at)
        before = previous(market.hours, session)
        last, base = market.price(listing, at), market.previous_close(listing, at)
        volume = market.volume(listing, session, at)
        return {
            "rsym": f"D{exchange}{symbol}",
            "zdiv": "4",
            "base": str(base),
            "pvol": str(market.volume(listing, before, before.closes)),
            "last": str(last),
            "tvol": str(volume),
            "tamt": str(int(volume * last)),
            "ordy": "매수 가능",
            **_change(last, base, traded=volume > 0),
        }

    def _detail_values(self, listing: Listing, at: float) -> dict[str, str]:
        session = self._market.hours.current(at)
        bar = self._market.bar(listing, session, max(at, session.opens))
        shares = 100_000_000 + len(listing.symbol) * 37_000_000
        rate = self._market.won_per_dollar(at)
        state = "실시간" if is_open(self._market.hours, at) else "휴장"
        return {
            "excd": listing.exchange,
            "symb": listing.symbol.ljust(16),  # padded; to be stripped (§6.4)
            "knam": listing.symbol,
            "exnm": listing.exchange,
            "nnam": listing.symbol,
            "stat1": state[0],
            "stat2": state,
            "open": str(bar.open),
            "high": str(bar.high),
            "low": str(bar.low),
            "curr": "USD",
            "vnit": "1",
            "bnit": "1",
            "e_ordyn": "매매 가능",
            "e_hogau": "0.0100" if bar.close >= 1 else "0.0001",
            "shar": str(shares),
            "tomv": str(int(shares * bar.close)),
            "t_xprc": str(int(bar.close * rate)),
            "t_rate": str(rate),
            "pbid": str(bar.close),
            "pask": str(bar.close),
            "vbid": "100",
            "vask": "100",
        }

    def _multi(self, call: Call) -> Response:
        count = call.param("NREC") or ""
        if "AUTH" not in call.request.query or not is_number(count) or not 1 <= int(count) <= MULTI_LIMIT:
            return input_error("NREC")
        rows = []
        for number in range(1, int(count) + 1):
            exchange, symbol = call.param(f"EXCD_{number:02}") or "", call.param(f"SYMB_{number:02}") or ""
            values = self._values(call, exchange, symbol, detail=True)
            # A wrong pair is not on record; a row with blank fields is what the single quote does (§6.4).
            rows.append({name: values.get(name, "") for name in _MULTI_FIELDS} | {"excd": exchange, "symb": symbol})
        return quote_ok({"output": {"nrec": str(len(rows))}, "output2": rows}, call.asked.tr_id)

    def _daily(self, call: Call) -> Response:
        problem = _missing(call, "AUTH", "EXCD", "SYMB", "GUBN", "BYMD", "MODP")
        asked = (call.param("BYMD") or "").strip()
        until = find_day(asked) if asked else date.max
        if problem or until is None:
            return input_error(problem or "BYMD")
        exchange, symbol = call.request.query["EXCD"], call.request.query["SYMB"]
        listing = self._listed(exchange, symbol)
        bars = [] if listing is None else self._bars(listing, call, until)
        head = {"rsym": f"D{exchange}{symbol}", "zdiv": "4", "nrec": str(len(bars))}
        return quote_ok({"output1": head, "output2": bars}, call.asked.tr_id)

    def _bars(self, listing: Listing, call: Call, until: date) -> list[dict[str, str]]:
        """Newest first, the running session's unfinished bar included."""
        current = self._market.hours.current(call.at)
        last = until if until < current.date else current.date
        sessions = self._market.hours.recent(last, _sessions_for(call.param("GUBN") or "0"))
        if sessions and call.at < sessions[0].opens:  # begun, but nothing has traded
            sessions = sessions[1:]
        groups = _grouped(sessions, call.param("GUBN") or "0")[: DAILY_ROWS + 1]
        bars = [_joined([self._market.bar(listing, session, call.at) for session in group]) for group in groups]
        rows = [_bar_row(bar, before) for bar, before in pairwise(bars)]
        return rows[:DAILY_ROWS]

    def _search(self, call: Call) -> Response:
        """Condition search reduced to the exchange's well-known symbols; conditions are not looked at."""
        exchange = call.param("EXCD") or ""
        if exchange not in EXCHANGES:
            return input_error("EXCD")
        return quote_ok({"output1": {"zdiv": "4", "stat": "무료실시간", "nrec": "0"}, "output2": []}, call.asked.tr_id)


@lru_cache(maxsize=1)
def _clock_values(now: datetime) -> dict[str, str]:
    """The instant of a request, at each of its symbols."""
    return {"xhms": f"{now.astimezone(NEW_YORK):%H%M%S}", "khms": f"{now.astimezone(KST):%H%M%S}"}


def _change(last: Decimal, base: Decimal, *, traded: bool) -> dict[str, str]:
    """``sign``, ``diff`` (unsigned) and ``rate`` (signed percent), as §6.1 shows them."""
    if not traded:
        return {"sign": "0", "diff": "0.0000", "rate": " 0.00"}
    diff = last - base
    rate = (diff / base * 100).quantize(Decimal("0.01"))
    sign = "2" if diff > 0 else "5" if diff < 0 else "3"
    return {"sign": sign, "diff": str(abs(diff)), "rate": f"{rate:+}" if rate else " 0.00"}


def _bar_row(bar: Bar, before: Bar) -> dict[str, str]:
    return {
        "xymd": bar.date.strftime("%Y%m%d"),
        "clos": str(bar.close),
        **_change(bar.close, before.close, traded=True),
        "open": str(bar.open),
        "high": str(bar.high),
        "low": str(bar.low),
        "tvol": str(bar.volume),
        "tamt": str(int(bar.volume * bar.close)),
        **_BAR_BLANKS,
    }


def _sessions_for(period: str) -> int:
    """How many sessions a hundred days, weeks or months (and one more, for the change) can hold."""
    return (DAILY_ROWS + 1) * {"1": 7, "2": 31}.get(period, 1)


def _grouped(sessions: list[Session], period: str) -> list[list[Session]]:
    """Sessions by day, week (1) or month (2); newest first."""
    groups: dict[object, list[Session]] = {}
    for session in sessions:
        day = session.date
        name = day.isocalendar()[:2] if period == "1" else (day.year, day.month) if period == "2" else day
        groups.setdefault(name, []).append(session)
    return list(groups.values())


def _joined(bars: list[Bar]) -> Bar:
    """One bar out of several, newest first."""
    if len(bars) == 1:
        return bars[0]
    high, low = max(bar.high for bar in bars), min(bar.low for bar in bars)
    return Bar(bars[0].date, bars[-1].open, high, low, bars[0].close, sum(bar.volume for bar in bars))


def _missing(call: Call, *names: str) -> str:
    """The first parameter that is not there. Only the documented upper-case names count."""
    return next((name for name in names if name not in call.request.query), "")
