"""KIS from outside the daemon: how ``check`` asks without being one. Changes nothing, and issues a token only alone."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from account import Account
from clock import Clock
from config import Settings
from errors import KISError, PriceUnknown, RateLimited, Stopping, TokenRejected, TokenUnavailable, WrongKeys
from exchange_book import ExchangeBook
from files import Disk
from health.readiness import TokenView
from kis_broker import EXCHANGE_CODES, BrokerSet, access_for, token_issuer
from kis_quotes import parse_quote
from kis_trading import KISTrading
from kis_transport import KISTransport, new_session
from ledger import Ledger
from logs import Redactor
from quotes import Quote
from rate_limit import RateLimiter
from recovery import LIMIT_PAUSES
from token_file import Token, TokenFile, UnusableFile
from token_manager import USABLE, TokenManager, TokenState, judge

T = TypeVar("T")

SHARE = 0.2  # of the mode's call rate beside a daemon, which has the same key and the same limits


class SnapshotDisk(Disk):
    """Databases as copies in memory: whatever is done to them, the files stay as they are."""

    def connect(self, path: Path | str) -> sqlite3.Connection:
        """A copy of what the file holds; empty where there is none. Raises sqlite3.Error."""
        copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        if str(path) == ":memory:" or not Path(path).exists():
            return copy
        with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as source:
            source.backup(copy)
        return copy


class Visitor:
    """One transport of its own and the token as it lies in the file. ``say`` is told before a token is issued."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        stop: threading.Event,
        ledger: Ledger,
        redactor: Redactor,
        *,
        beside: bool,
        say: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._stop = stop
        self._ledger = ledger  # a snapshot
        self._redactor = redactor
        self._beside = beside
        self._say = say
        self._limiter = RateLimiter(settings.kis_calls_per_second * (SHARE if beside else 1), clock, stop)
        self._token: Token | None = None
        self._issued = False
        self.wrong_keys = False
        access = access_for(settings, self._bearer)
        self._brokers = BrokerSet(access, self._transport())
        self.account = Account(KISTrading(access, lambda: self._brokers.transport), self, clock)

    def close(self) -> None:
        """Close the connections."""
        self._brokers.close()

    # what may be asked

    def token(self) -> TokenView:
        """The token in the file; where there is none to use and no daemon runs, a new one. Raises KISError."""
        state = self._read_token()
        if state not in USABLE and not self._beside:
            self._say(f"쓸 수 있는 토큰이 없어 발급합니다 ({state.value})")
            self._issue(f"check: {state.value}")
            state = TokenState.VALID
        return TokenView(state, self._token.expires_at if self._token else None)

    def call(self, name: str, ask: Callable[[], T]) -> T:
        """The result of ``ask``, with patience for the call limits. A refused token is replaced once, when alone."""
        for pause in LIMIT_PAUSES:
            try:
                return self._ask(ask)
            except RateLimited:
                if self._clock.wait(self._stop, pause):
                    raise Stopping from None
        return self._ask(ask)

    def quote(self, symbol: str, book: ExchangeBook) -> Quote:
        """KIS's quote at the exchange that lists the symbol. Raises KISError, PriceUnknown."""
        known = book.exchange_of(symbol)
        for exchange in [known] if known else EXCHANGE_CODES:
            body = self.call(symbol, partial(self._brokers.fetch_price, exchange, symbol))
            try:
                return parse_quote(body, symbol, exchange, self._clock.now())
            except PriceUnknown:
                continue
        raise PriceUnknown(f"{symbol} 시세 없음")

    def server_offset(self) -> float | None:
        """Seconds by which KIS's clock is ahead; None where it has not said."""
        return self._brokers.transport.server_offset()

    # inside

    def _ask(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except WrongKeys:
            self.wrong_keys = True
            raise
        except TokenRejected as exc:
            if self._beside or self._issued:
                raise
            self._say(f"KIS가 토큰을 거부해 새로 발급합니다 ({exc.code})")
            self._issue(f"check: {exc.code}", refused=exc.mark)
        return ask()

    def _transport(self) -> KISTransport:
        return KISTransport(new_session, self._limiter, self._clock, self._stop, clean=self._redactor.clean)

    def _bearer(self) -> str:
        if self._token is None:
            raise TokenUnavailable("토큰 없음")
        return self._token.value

    def _file(self) -> TokenFile:
        return TokenFile(self._settings.token_file, self._settings.key_mark, self._settings.kis_mode)

    def _margin(self) -> timedelta:
        return timedelta(minutes=self._settings.token_renew_margin_minutes)

    def _read_token(self) -> TokenState:
        try:
            token = self._file().read()
        except (FileNotFoundError, UnusableFile):
            return TokenState.NONE
        self._redactor.add(token.value)
        if token.mark == self._ledger.fact(f"refused {self._settings.key_mark}"):
            return TokenState.REFUSED
        state = judge(token, self._clock.now(), self._margin())
        self._token = token if state in USABLE else None
        return state

    def _issue(self, cause: str, refused: str | None = None) -> None:
        """One issuance as the daemon would make it: recorded before it is asked for, 61 seconds after the last.

        Raises KISError.
        """
        self._issued = True
        with closing(Ledger(self._settings.database_file, self._settings.account_mark)) as ledger:
            tokens = TokenManager(
                self._file(),
                token_issuer(self._settings, self._transport),
                ledger,
                self._clock,
                key_mark=self._settings.key_mark,
                margin=self._margin(),
                on_token=self._redactor.add,
            )
            if refused is not None:
                tokens.refuse(refused)
            try:
                self._token = tokens.issue(cause)
            except WrongKeys:
                self.wrong_keys = True
                raise
            except KISError:
                self._token = None
                raise
