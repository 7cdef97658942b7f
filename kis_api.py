"""KISAPIClient: quotes in our own words. Four steps: cache → KIS → yfinance → None."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from cachetools import TTLCache

from breaker import Breaker
from clock import Clock
from errors import BrokersNotMade, KISError, KISRefusal, NoAnswer, PriceUnknown, RateLimited, TokenUnavailable
from exchange_book import ExchangeBook
from kis_broker import BATCH_SIZE, EXCHANGE_CODES, BrokerSet
from kis_quotes import SOURCE, parse_quote, parse_quotes
from kis_transport import KISTransport
from logs import Repeats
from quotes import Quote, format_price
from recovery import Recovery, Witness
from token_manager import TokenManager

logger = logging.getLogger(__name__)

KIS_FAILURES = 2  # silences in a row before KIS is left alone
KIS_REST = 30.0  # seconds
BATCH_REST = 600.0  # seconds without multprice after KIS did not give it
CACHE_SIZE = 5000  # symbols


class PriceSource(Protocol):
    """The second source of quotes."""

    def quote(self, symbol: str) -> Quote:
        """A quote; raises PriceUnknown with a short reason."""
        ...


class KISAPIClient:
    """Quotes for everybody, from one cache; owns the brokers and the one recovery. Safe for several threads."""

    def __init__(
        self,
        make_brokers: Callable[[], BrokerSet],
        tokens: TokenManager,
        second_source: PriceSource,
        book: ExchangeBook,
        clock: Clock,
        stop: threading.Event,
        *,
        cache_seconds: float,
        batches: bool,
        witness: Witness,
    ) -> None:
        self._make_brokers = make_brokers
        self._tokens = tokens
        self.second_source = second_source
        self._book = book
        self._clock = clock
        self._repeats = Repeats(clock)
        self.recovery = Recovery(tokens, self.reinitialize_brokers, clock, stop, self._repeats, witness)
        self._brokers = make_brokers()
        self._cache: TTLCache[str, Quote] = TTLCache(CACHE_SIZE, cache_seconds, timer=clock.monotonic)
        self._cache_lock = threading.Lock()
        self._kis = Breaker(clock, KIS_FAILURES, KIS_REST)
        self._batch = Breaker(clock, 1, BATCH_REST)
        self._batches = batches
        self._sources: dict[str, tuple[str, int]] = {}  # symbol → source and recovery of its last good quote
        self.counts: Counter[str] = Counter()
        self.last_good: Quote | None = None
        self.last_good_at: datetime | None = None

    # quotes

    def get_current_price(self, symbol: str, retry_count: int = 0) -> float | None:
        """The price in USD that the first of cache, KIS and yfinance knows, or None.

        ``retry_count`` of 1 or more means that no recovery from a token error is left.
        """
        quote = self.get_quote(symbol, retry_count)
        return None if quote is None else float(quote.price)

    def get_previous_close(self, symbol: str) -> Decimal | None:
        """The previous close in USD, from the same request as the price."""
        quote = self.get_quote(symbol)
        return None if quote is None else quote.previous_close

    def get_quote(self, symbol: str, retry_count: int = 0) -> Quote | None:
        """The quote that the first of cache, KIS and yfinance knows, or None. Raises Stopping when the daemon ends."""
        if not self._token_was_mended(symbol, retry_count):
            with self._cache_lock:
                cached = self._cache.get(symbol)
            if cached is not None:
                return cached
        return self._ask_sources([symbol], retry_count)[symbol]

    def get_quotes(
        self, symbols: Iterable[str], *, fresh: bool = False, max_age: float | None = None, strategy: bool = False
    ) -> dict[str, Quote | None]:
        """A quote or None for each symbol, with as few requests as KIS allows.

        ``fresh`` passes over the cache, ``max_age`` over what is older than so many seconds in it; in a ``strategy``
        pass the log shows every quote that was looked at.
        """
        wanted = list(dict.fromkeys(symbols))
        quotes: dict[str, Quote | None] = dict.fromkeys(wanted)
        if wanted and not (self._token_was_mended(wanted[0], 0) or fresh):
            with self._cache_lock:
                quotes.update({symbol: self._cache.get(symbol) for symbol in wanted})
            quotes = {symbol: quote if self._is_young(quote, max_age) else None for symbol, quote in quotes.items()}
        missing = [symbol for symbol, quote in quotes.items() if quote is None]
        quotes.update(self._ask_sources(missing, 0))
        if strategy:
            for quote in filter(None, quotes.values()):
                _say_ok(logging.INFO, quote)
        return quotes

    def _is_young(self, quote: Quote | None, max_age: float | None) -> bool:
        if quote is None or max_age is None:
            return True
        return (self._clock.now() - quote.at).total_seconds() <= max_age

    def quote_from_kis(self, symbol: str) -> Quote:
        """KIS's own quote of this moment, past cache and second source. Raises KISError, PriceUnknown, Stopping."""
        exchange = self._book.exchange_of(symbol)
        return self._fetch(symbol, exchange, 0) if exchange else self._look_for(symbol, 0)

    # brokers

    @property
    def transport(self) -> KISTransport:
        """The road to KIS that is in use now."""
        return self._brokers.transport

    def reinitialize_brokers(self) -> None:
        """A new pool and three new brokers, swapped in when all are made; asks KIS nothing.

        Raises BrokersNotMade; the old ones stay then.
        """
        logger.info("[TOKEN_REFRESH] mojito2 브로커 재초기화 시작...")
        try:
            fresh = self._make_brokers()
        except (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as exc:
            raise BrokersNotMade(type(exc).__name__) from exc
        old, self._brokers = self._brokers, fresh
        old.close()
        self._batch.succeeded()
        self.recovery.brokers_know(self._tokens.mark)
        logger.info("[TOKEN_REFRESH] mojito2 브로커 재초기화 완료")

    def close(self) -> None:
        """Close the pool."""
        self._brokers.close()

    # the four steps

    def _token_was_mended(self, name: str, retry_count: int) -> bool:
        """Whether this call has found the token missing and done something about it: the cache is skipped then."""
        if retry_count >= 1:
            return False
        waiting = self.recovery.waiting
        try:
            return self.recovery.mend(name)
        except TokenUnavailable:
            return not waiting

    def _ask_sources(self, symbols: Sequence[str], retry_count: int) -> dict[str, Quote | None]:
        """KIS for all of them first, then the second source for what is missing; kept as it comes in."""
        from_kis: dict[str, Quote | str] = {}
        if self._batches and len(symbols) > 1:
            from_kis.update(self._ask_in_batches(symbols))
        for symbol in symbols:
            answer = from_kis.get(symbol) or self._ask_alone(symbol, retry_count)
            from_kis[symbol] = answer
            if isinstance(answer, Quote):
                self._book.confirm(symbol)
                self._note(symbol, answer)
        quotes: dict[str, Quote | None] = {}
        for symbol in symbols:
            answer = from_kis[symbol]
            if isinstance(answer, Quote):
                quotes[symbol] = answer
            else:
                quotes[symbol] = self._ask_second_source(symbol, answer)
                self._note(symbol, quotes[symbol])
        return quotes

    def _ask_in_batches(self, symbols: Sequence[str]) -> dict[str, Quote | str]:
        """What multprice tells; what it leaves blank, and everything while it is refused, is missing here."""
        pairs = [(exchange, symbol) for symbol in symbols if (exchange := self._book.exchange_of(symbol))]
        found: dict[str, Quote | str] = {}
        for start in range(0, len(pairs), BATCH_SIZE):
            if not (self._batch.allows() and self._kis.allows()):
                break
            some = pairs[start : start + BATCH_SIZE]
            found.update(self._ask_batch(some))
        return found

    def _ask_batch(self, pairs: Sequence[tuple[str, str]]) -> dict[str, Quote | str]:
        try:
            body = self._ask(pairs[0][1], lambda: self._brokers.fetch_prices(pairs))
            return dict(parse_quotes(body, pairs, self._clock.now()))
        except TokenUnavailable as exc:
            return {symbol: str(exc) for _, symbol in pairs}
        except (NoAnswer, KISRefusal) as exc:
            logger.debug("multprice: %s", exc)
            self._batch.failed()  # not on this account, or not just now: single quotes may do
        return {}

    def _ask_alone(self, symbol: str, retry_count: int) -> Quote | str:
        exchange = self._book.exchange_of(symbol)
        if exchange is None and not self._book.may_look_for(symbol):
            return "거래소를 찾지 못함"
        try:
            if exchange is None:
                return self._look_for(symbol, retry_count)
            return self._fetch_or_look(symbol, exchange, retry_count)
        except (KISError, PriceUnknown) as exc:
            return str(exc)

    def _fetch_or_look(self, symbol: str, exchange: str, retry_count: int) -> Quote:
        """From the known exchange; from wherever it is now, once it has had no price there for a good while."""
        try:
            return self._fetch(symbol, exchange, retry_count)
        except PriceUnknown as blank:
            if not self._book.doubts(symbol):
                raise
            try:
                return self._look_for(symbol, retry_count)
            except PriceUnknown:
                raise blank from None

    def _look_for(self, symbol: str, retry_count: int) -> Quote:
        """Ask the three exchanges once and remember the one that knows the symbol."""
        for exchange in EXCHANGE_CODES:
            try:
                quote = self._fetch(symbol, exchange, retry_count)
            except PriceUnknown:
                continue
            self._book.learn(symbol, exchange)
            return quote
        self._book.not_found(symbol)
        raise PriceUnknown("거래소를 찾지 못함")

    def _fetch(self, symbol: str, exchange: str, retry_count: int) -> Quote:
        if not self._kis.allows():
            raise NoAnswer("KIS 응답 없음, 잠시 제외")
        body = self._ask(symbol, lambda: self._brokers.fetch_price(exchange, symbol), retry_count)
        return parse_quote(body, symbol, exchange, self._clock.now())

    def _ask(self, name: str, call: Callable[[], dict[str, Any]], retry_count: int = 0) -> dict[str, Any]:
        try:
            body = self.recovery.call(name, call, retry_count)
        except (NoAnswer, RateLimited):
            self._kis.failed()
            raise
        except KISRefusal:
            self._kis.succeeded()
            raise
        self._kis.succeeded()
        return body

    def _ask_second_source(self, symbol: str, reason: str) -> Quote | None:
        self._say(logging.WARNING, symbol, f"[FALLBACK] {symbol} KIS 조회 실패 ({reason}), yfinance 대체")
        try:
            return self.second_source.quote(symbol)
        except PriceUnknown as exc:
            logger.debug("%s yfinance: %s", symbol, exc)
            self._say(logging.ERROR, symbol, f"[FAIL] {symbol} 현재가 조회 실패 (KIS, yfinance)")
            return None

    def _note(self, symbol: str, quote: Quote | None) -> None:
        """Cache and say what came. A missing price is never cached: it would outlive the outage."""
        self.counts[quote.source if quote else "없음"] += 1
        if quote is None:
            self._sources.pop(symbol, None)
            return
        with self._cache_lock:
            self._cache[symbol] = quote
        self.last_good, self.last_good_at = quote, self._clock.now()
        if quote.source == SOURCE:
            self._repeats.forget(symbol)
        origin = (quote.source, self.recovery.count)
        level = logging.DEBUG if self._sources.get(symbol) == origin else logging.INFO
        self._sources[symbol] = origin
        _say_ok(level, quote)

    def _say(self, level: int, symbol: str, text: str) -> None:
        line = self._repeats.admit(symbol, text)
        if line:
            logger.log(level, "%s", line)


def _say_ok(level: int, quote: Quote) -> None:
    where = quote.exchange if quote.source == SOURCE else quote.source
    logger.log(level, "[OK] %s 현재가: %s (%s)", quote.symbol, format_price(quote.price), where)
