"""Which exchange lists a symbol: what the owner wrote, else what KIS once answered, kept on disk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from clock import Clock
from ledger import Ledger, LedgerUnwritable

logger = logging.getLogger(__name__)

ASK_AGAIN = 600.0  # seconds before a symbol that no exchange knew is looked for once more


class ExchangeBook:
    """Symbol → 나스닥, 뉴욕 or 아멕스. A blank quote never changes an entry (protocol §6.1)."""

    def __init__(self, configured: Callable[[], Mapping[str, str]], ledger: Ledger, clock: Clock) -> None:
        self._configured = configured
        self._ledger = ledger
        self._clock = clock
        self._learnt = ledger.exchanges()
        self._unknown_since: dict[str, float] = {}

    def exchange_of(self, symbol: str) -> str | None:
        """The exchange, or None when it has to be asked for."""
        return self._configured().get(symbol) or self._learnt.get(symbol)

    def may_look_for(self, symbol: str) -> bool:
        """Whether it is time to ask the three exchanges for this symbol."""
        since = self._unknown_since.get(symbol)
        return since is None or self._clock.monotonic() - since >= ASK_AGAIN

    def learn(self, symbol: str, exchange: str) -> None:
        """KIS has a price for the symbol there: remember it."""
        self._learnt[symbol] = exchange
        self._unknown_since.pop(symbol, None)
        try:
            self._ledger.remember_exchange(symbol, exchange)
        except LedgerUnwritable as exc:
            logger.warning("%s 거래소(%s) 저장 실패: %s", symbol, exchange, exc)

    def not_found(self, symbol: str) -> None:
        """No exchange knows the symbol."""
        self._unknown_since[symbol] = self._clock.monotonic()
