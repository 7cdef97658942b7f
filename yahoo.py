"""Yahoo, the second source of quotes: the one place that touches yfinance.

yfinance is imported at the first quote (0.6 s, 96 MB), never at the start of the daemon. It scrapes a site that owes
us nothing, so everything here is about what it may cost: one request a quote, one worker thread, four seconds.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from clock import Clock
from errors import AutoStockError, PricesUnreachable, PriceUnknown, Stopping
from quotes import Quote, parse_price

logger = logging.getLogger(__name__)

SOURCE = "yfinance"
DEADLINE = 4.0  # seconds for a whole quote
REQUEST_SHARE = 0.75  # of the deadline, for one request: a silent Yahoo ends the worker before we give it up
REST = 60.0  # seconds without questions after a silence
RATE_LIMIT_REST = 15 * 60.0  # seconds without questions after "Too Many Requests"
ODDITIES = 3  # symbols in a row that yfinance stumbles over: then it is Yahoo, not the symbol
REFUSALS = frozenset({401, 403, 429})  # statuses that are about us, not about the symbol

# What a failure means, by the first name found among its class and that one's parents; by name, because the classes
# are yfinance's, curl_cffi's and requests', and none may be imported before the first quote.
SILENT, BROKEN, LIMITED, NO_PRICE = "응답 시간 초과", "연결 실패", "요청 제한", "시세 없음"
MEANINGS: dict[str, str | None] = {
    "YFTickerMissingError": NO_PRICE,
    "YFRateLimitError": LIMITED,
    "DeadlineExceeded": SILENT,
    "Timeout": SILENT,
    "TimeoutError": SILENT,
    "JSONDecodeError": None,  # an answer, though not Yahoo's; requests counts it among its network errors
    "ConnectionError": BROKEN,
    "gaierror": BROKEN,
    "RequestException": BROKEN,
}


class YahooPrices:
    """Quotes from Yahoo, one at a time; a source that is silent or refuses everybody is left alone for a while."""

    def __init__(
        self,
        clock: Clock,
        stop: threading.Event,
        base_url: str | None,
        cache_dir: Path,
        session: Callable[[], Any] | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        self._clock = clock
        self._stop = stop
        self._cache_dir = cache_dir
        self._make_session = session or (lambda: _curl_session(base_url, deadline * REQUEST_SHARE))
        self._deadline = deadline
        self._turn = threading.Lock()
        self._library: _Library | None = None
        self._said_missing = False
        self._asked: threading.Event | None = None  # set when the last question to Yahoo is over
        self._odd: set[str] = set()
        self._rests_until = float("-inf")
        self._reason = ""

    def quote(self, symbol: str) -> Quote:
        """Yahoo's price of ``symbol`` and its close before that day.

        Raises PriceUnknown (this symbol has none), PricesUnreachable (nobody gets one just now), Stopping.
        """
        with self._turn:
            if self._stop.is_set():
                raise Stopping
            if self._clock.monotonic() < self._rests_until:
                raise PricesUnreachable(self._reason)
            if self._asked is not None and not self._asked.is_set():
                raise PricesUnreachable("앞선 조회가 끝나지 않음")
            return self._ask(symbol)

    def _ask(self, symbol: str) -> Quote:
        try:
            quote = read_chart(symbol, self._fetch(symbol))
        except PriceUnknown:
            self._odd.clear()
            raise
        except AutoStockError:
            raise
        except Exception as exc:  # yfinance raises anything at all, most of all after a change at Yahoo
            logger.debug("%s: %s", symbol, type(exc).__name__)
            raise self._judged(symbol, exc) from exc
        self._odd.clear()
        return quote

    def _fetch(self, symbol: str) -> Chart:
        library = self._library = self._library or _Library(self._make_session(), self._cache_dir)
        finished = threading.Event()

        def work() -> Chart:
            self._asked = finished
            try:
                return library.chart(symbol)
            finally:
                finished.set()

        return self._clock.within(self._deadline, work)

    def _judged(self, symbol: str, exc: Exception) -> PriceUnknown:
        """What the caller should hear; the source rests where it was not about this symbol alone."""
        kind = type(exc).__name__
        if self._library is None:
            return self._missing(kind)
        known = [parent.__name__ for parent in type(exc).__mro__ if parent.__name__ in MEANINGS]
        reason = MEANINGS[known[0]] if known else None
        if self._library.refused:  # a 401 in JSON is an unknown symbol to yfinance
            reason = LIMITED
        if reason is None:
            return self._stumbled(symbol, f"yfinance 오류 {kind}")
        self._odd.clear()
        if reason == NO_PRICE:
            return PriceUnknown(reason)
        return self._rest(RATE_LIMIT_REST if reason == LIMITED else REST, reason)

    def _stumbled(self, symbol: str, reason: str) -> PriceUnknown:
        self._odd.add(symbol)
        if len(self._odd) >= ODDITIES:
            self._rest(REST, reason)
            self._library = None  # begin afresh: the trouble may lie in a cookie, the session or the cache
        return PriceUnknown(reason)

    def _missing(self, kind: str) -> PricesUnreachable:
        if not self._said_missing:
            logger.warning("yfinance를 쓸 수 없어 예비 시세 없이 갑니다 (%s)", kind)
            self._said_missing = True
        return self._rest(RATE_LIMIT_REST, "yfinance 사용 불가")

    def _rest(self, seconds: float, reason: str) -> PricesUnreachable:
        self._rests_until = self._clock.monotonic() + seconds
        self._reason = reason
        return PricesUnreachable(reason)


@dataclass(frozen=True)
class Chart:
    """The part of Yahoo's answer that makes a quote."""

    currency: object
    price: object
    at: datetime | None  # of the price, in the exchange's time
    closes: list[tuple[datetime, object]]  # oldest first; each bar stands at midnight of its day, exchange's time


def read_chart(symbol: str, chart: Chart) -> Quote:
    """The quote in a chart; raises PriceUnknown where there is none."""
    if not chart.closes:
        raise PriceUnknown(NO_PRICE)
    if chart.currency != "USD":
        raise PriceUnknown("달러 시세 아님")
    last_bar, last_close = chart.closes[-1]
    at = chart.at or last_bar
    price = _price(chart.price)
    if price is None and at.date() <= last_bar.date():  # else that close is an older day's
        price, at = _price(last_close), at if at.date() == last_bar.date() else last_bar
    if price is None:
        raise PriceUnknown(NO_PRICE)
    earlier = [close for day, close in chart.closes if day.date() < at.date()]
    return Quote(symbol, price, _price(earlier[-1]) if earlier else None, SOURCE, None, at)


def _price(value: object) -> Decimal | None:
    """Yahoo sends floats with binary noise (147.02999877929688); four decimals hold every price there is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return parse_price(round(value, 4))


class _Library:
    """yfinance, imported and made quiet, on a session and cookies of our own."""

    def __init__(self, session: Any, cache_dir: Path) -> None:
        import yfinance

        # yfinance asks for its own deprecation warnings to be shown; this has to come after the import.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="^yfinance")
        for noisy in ("yfinance", "peewee"):
            logging.getLogger(noisy).setLevel(logging.CRITICAL + 1)
        yfinance.config.debug.hide_exceptions = False  # else an outage looks like an unknown symbol
        yfinance.config.network.retries = 0  # it would sleep between them
        _move_cache(yfinance, cache_dir)
        self._yfinance = yfinance
        self._session = session
        self._data = _sparing_data(session)

    @property
    def refused(self) -> bool:
        """Whether Yahoo refused the last question; a session that is not ours never knows."""
        return getattr(self._session, "status", 0) in REFUSALS

    def chart(self, symbol: str) -> Chart:
        """Five days of daily bars and what stands beside them."""
        self._session.status = 0
        ticker = self._yfinance.Ticker(_spelling(symbol), session=self._session)
        # Both spare requests, and do nothing if a later yfinance names them otherwise: it asks Yahoo for the time zone
        # of each new symbol, and all tickers of a process share the cookies of whoever came first.
        ticker._tz = "America/New_York"
        ticker._data = self._data
        frame = ticker.history(period="5d", auto_adjust=False, keepna=True)
        about = ticker.history_metadata
        return Chart(
            currency=about.get("currency"),
            price=about.get("regularMarketPrice"),
            at=_time_of(about.get("regularMarketTime"), frame.index.tz),
            closes=[(day.to_pydatetime(), float(close)) for day, close in frame["Close"].items()],
        )


def _spelling(symbol: str) -> str:
    """BRK.B (and KIS's BRK/B) is BRK-B at Yahoo."""
    return symbol.upper().replace(".", "-").replace("/", "-")


def _time_of(stamp: Any, zone: Any) -> datetime | None:
    """yfinance turns whole seconds into a time and leaves everything else as it came."""
    if stamp is None:
        return None
    seconds = stamp.timestamp() if isinstance(stamp, datetime) else float(stamp)
    return datetime.fromtimestamp(seconds, UTC).astimezone(zone)


def _move_cache(yfinance: Any, cache_dir: Path) -> None:
    """Keep yfinance's files together. Without a folder to write to it goes on without them."""
    try:
        cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        logger.debug("%s: %s", cache_dir, type(exc).__name__)
    yfinance.set_tz_cache_location(str(cache_dir))
    for manager, cache in (("_TzCacheManager", "_tz_cache"), ("_CookieCacheManager", "_Cookie_cache")):
        if hasattr(getattr(yfinance.cache, manager, None), cache):  # one opened before keeps writing to its old folder
            setattr(getattr(yfinance.cache, manager), cache, None)


def _sparing_data(session: Any) -> Any:
    """yfinance's own way to ask, less the cookie and crumb that a chart does not need.

    They cost up to six more requests to hosts that may hang or be on an ad block list. Once Yahoo has refused a bare
    question, they are fetched as yfinance does it.
    """
    from yfinance.data import YfData

    class SparingData(YfData):  # type: ignore[misc] # yfinance has no types
        def _get_cookie_and_crumb(self, *args: Any, **kwargs: Any) -> tuple[str | None, str]:
            if getattr(session, "was_refused", False):
                crumb, strategy = super()._get_cookie_and_crumb(*args, **kwargs)
                return crumb, strategy
            return None, "csrf"  # after a refusal yfinance takes the other way, "basic", which is the shorter one

    # Past its metaclass, which hands out one object for the whole process, with the crumb of its former session.
    return type.__call__(SparingData, session)


def _curl_session(base_url: str | None, timeout: float) -> Any:
    """A session like a browser's that waits ``timeout`` at most, heeds no proxy settings and goes to ``base_url``."""
    from curl_cffi import CurlOpt
    from curl_cffi.requests import Response, Session

    class YahooSession(Session[Response]):
        status = 0  # of the last answer
        was_refused = False

        def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Response:
            asked = kwargs.get("timeout")
            kwargs["timeout"] = min(asked, timeout) if isinstance(asked, int | float) else timeout
            response = super().request(method, _redirected(url, base_url), *args, **kwargs)
            self.status = response.status_code
            self.was_refused = self.was_refused or self.status in REFUSALS
            return response

    # One handle for all threads, since there is one worker at a time: else each quote would connect anew.
    # trust_env alone does nothing in curl_cffi (its issue 674): libcurl reads the environment itself.
    return YahooSession(
        impersonate="chrome", use_thread_local_curl=False, trust_env=False, curl_options={CurlOpt.NOPROXY: "*"}
    )


def _redirected(url: str, base_url: str | None) -> str:
    if base_url is None:
        return url
    parts = urlsplit(url)
    return base_url.rstrip("/") + urlunsplit(("", "", parts.path or "/", parts.query, ""))
