"""Which exchange lists a symbol: what the owner wrote, else what KIS once answered, kept on disk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from clock import Clock
from ledger import Ledger, LedgerUnwritable

logger = logging.getLogger(__name__)

ASK_AGAIN = 600.0  # seconds before a symbol that no exchange knew is looked for once more
DOUBT = 1800.0  # seconds without a price, after which what was learnt may be wrong: companies change their exchange
DOUBT_PAUSE = 30.0  # seconds between two of them: where KIS has no price for anything, a scan must not take three times


class ExchangeBook:
    """Symbol → 나스닥, 뉴욕 or 아멕스. A blank quote never changes an entry (protocol §6.1); a price elsewhere does."""

    def __init__(self, configured: Callable[[], Mapping[str, str]], ledger: Ledger, clock: Clock) -> None:
        self._configured = configured
        self._ledger = ledger
        self._clock = clock
        self._learnt = ledger.exchanges()
        self._unknown_since: dict[str, float] = {}
        self._blank_since: dict[str, float] = {}
        self._doubted_at = float("-inf")

    def exchange_of(self, symbol: str) -> str | None:
        """The exchange, or None when it has to be asked for."""
        return self._configured().get(symbol) or self._learnt.get(symbol)

    def may_look_for(self, symbol: str) -> bool:
        """Whether it is time to ask the three exchanges for this symbol."""
        since = self._unknown_since.get(symbol)
        return since is None or self._clock.monotonic() - since >= ASK_AGAIN

    def learn(self, symbol: str, exchange: str) -> None:
        """KIS has a price for the symbol there: remember it."""
        before = self._learnt.get(symbol, exchange)
        if before != exchange:
            logger.warning("%s 거래소가 %s에서 %s(으)로 바뀌었습니다", symbol, before, exchange)
        self._learnt[symbol] = exchange
        self.confirm(symbol)
        try:
            self._ledger.remember_exchange(symbol, exchange)
        except LedgerUnwritable as exc:
            logger.warning("%s 거래소(%s) 저장 실패: %s", symbol, exchange, exc)

    def confirm(self, symbol: str) -> None:
        """The symbol has a price where we ask for it."""
        self._unknown_since.pop(symbol, None)
        self._blank_since.pop(symbol, None)

    def doubts(self, symbol: str) -> bool:
        """Note that there is no price at the known exchange; whether that has lasted so long that the others are to be
        asked. What the owner wrote is never doubted."""
        if symbol in self._configured():
            return False
        now = self._clock.monotonic()
        lasts = now - self._blank_since.setdefault(symbol, now) >= DOUBT
        if not lasts or not self.may_look_for(symbol) or now - self._doubted_at < DOUBT_PAUSE:
            return False
        self._doubted_at = now
        return True

    def not_found(self, symbol: str) -> None:
        """No exchange knows the symbol."""
        self._unknown_since[symbol] = self._clock.monotonic()
