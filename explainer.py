"""KIS's codes explained in the log: each once, and again only after six hours."""

from __future__ import annotations

import logging

from clock import Clock
from errors import AutoStockError, KISRefusal, TokenRejected
from kis_help import explain

logger = logging.getLogger(__name__)

AGAIN = 6 * 3600.0  # seconds
MOST = 200  # codes; they come from outside


class Explainer:
    """Remembers what it has explained."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}

    def say(self, exc: AutoStockError) -> None:
        """What KIS's code means, what the daemon does about it and what is left to do; nothing for other errors.

        A refused token is not explained: the recovery says line by line what it does.
        """
        if not isinstance(exc, KISRefusal) or isinstance(exc, TokenRejected) or self._is_known(exc.code):
            return
        said = explain(exc.code)
        if said is not None:
            level = logging.WARNING if said.needs_owner else logging.INFO
            logger.log(level, "[KIS] %s: %s", exc.code, said)

    def _is_known(self, code: str) -> bool:
        now = self._clock.monotonic()
        if now - self._said.get(code, float("-inf")) < AGAIN:
            return True
        if len(self._said) >= MOST:
            self._said.clear()
        self._said[code] = now
        return False
