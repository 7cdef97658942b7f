"""The one recovery from a token error, for every call to KIS: re-issue, re-make the brokers, ask once more."""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from alerts import Alert, alert
from clock import Clock
from errors import (
    BrokersNotMade,
    KISError,
    KISRefusal,
    NoAnswer,
    RateLimited,
    Stopping,
    TokenRejected,
    TokenUnavailable,
)
from explainer import Explainer
from logs import Repeats
from token_manager import USABLE, TokenManager

logger = logging.getLogger(__name__)

T = TypeVar("T")

LIMIT_PAUSES = (0.5, 1.0, 2.0)  # seconds before a read refused by a call limit is tried again
LIMIT_DEADLINE = 8.0  # seconds for all tries together
KEPT = 100


@dataclass(frozen=True)
class Recovered:
    """A recovery that worked, for the status and the reports."""

    at: float  # epoch seconds
    name: str
    seconds: float


class Witness(Protocol):
    """Is told what the morning report will tell; never raises."""

    def note_trouble(self, error: KISError) -> None:
        """A call to KIS failed."""
        ...

    def note_recovery(self, done: Recovered) -> None:
        """A recovery worked."""
        ...


class Recovery:
    """Calls KIS under a token, and mends the token once when KIS names it as the trouble. Safe for threads."""

    def __init__(
        self,
        tokens: TokenManager,
        reinitialize: Callable[[], None],
        clock: Clock,
        stop: threading.Event,
        repeats: Repeats,
        witness: Witness,
    ) -> None:
        self._tokens = tokens
        self._reinitialize = reinitialize
        self._clock = clock
        self._stop = stop
        self._repeats = repeats
        self._witness = witness
        self._lock = threading.Lock()
        self._known_mark = tokens.mark  # the token the brokers were last made for
        self._said_waiting = False
        self.explainer = Explainer(clock)
        self.done: deque[Recovered] = deque(maxlen=KEPT)
        self.count = 0

    @property
    def waiting(self) -> bool:
        """A recovery has failed and waits for its next try; not any more once there is a token, whoever brought it."""
        return self._said_waiting and self._tokens.state() not in USABLE

    def call(self, name: str, ask: Callable[[], T], retry_count: int = 0, *, patient: bool = True) -> T:
        """The result of ``ask``; after a token error one recovery and one more ``ask``.

        ``name`` is the symbol or the kind of call, for the log. ``retry_count`` of 1 or more means that there is no
        recovery left. What a call limit refuses is asked again after a pause, unless ``patient`` is False, as for an
        order. Raises KISError or Stopping.
        """
        pauses = LIMIT_PAUSES if patient else ()
        if retry_count == 0:
            self.mend(name)
        try:
            return self._patiently(name, ask, pauses)
        except (TokenRejected, TokenUnavailable) as exc:  # the latter when another thread has found out in between
            if retry_count >= 1:
                raise
            self._recover(name, exc.mark if isinstance(exc, TokenRejected) else None)
        try:
            return self._patiently(name, ask, pauses)
        except TokenRejected as exc:
            self._give_up(exc.mark)
            raise

    def mend(self, name: str) -> bool:
        """Get a usable token where there is none. True when something was tried or said for it in this call.

        Raises TokenUnavailable when there is still none afterwards.
        """
        if self._tokens.state() in USABLE:
            self._said_waiting = False  # the token check or another program has brought one
            return False
        return self._recover(name, None)

    def brokers_know(self, mark: str) -> None:
        """The brokers stand on this token now."""
        self._known_mark = mark

    @property
    def known_mark(self) -> str:
        """The token the brokers were last made for."""
        return self._known_mark

    # inside

    def _patiently(self, name: str, ask: Callable[[], T], limit_pauses: Iterable[float]) -> T:
        """Ask, and say what KIS refuses. A call limit is waited out: such a request was not processed."""
        give_up_at = self._clock.monotonic() + LIMIT_DEADLINE
        pauses = iter(limit_pauses)
        while True:
            try:
                answer = ask()
            except NoAnswer as exc:
                self._witness.note_trouble(exc)
                raise
            except KISRefusal as exc:
                self._witness.note_trouble(exc)
                self._say(f"{name} KIS", f"{name} KIS API 오류: rt_cd={exc.code}, msg={exc.message}", exc)
                self.explainer.say(exc)
                pause = next(pauses, None)
                too_late = pause is None or self._clock.monotonic() + pause > give_up_at
                if not isinstance(exc, RateLimited) or pause is None or too_late:
                    raise
            else:
                self._repeats.forget(f"{name} KIS")
                return answer
            if self._clock.wait(self._stop, pause):
                raise Stopping

    def _recover(self, name: str, refused: str | None) -> bool:
        with self._lock:
            if self._mended_meanwhile(refused):
                return False
            if refused:
                self._tokens.refuse(refused)
                self._tokens.reread()
            elif self._said_waiting and self._tokens.wait_seconds() > 0:
                raise TokenUnavailable(self._tokens.state().value, self._tokens.wait_seconds())
            started = self._clock.monotonic()
            logger.warning("[AUTO_RECOVER] %s 토큰 오류 감지, 자동 복구 시도...", name)
            try:
                self._mend_token(name)
                logger.info("[AUTO_RECOVER] mojito2 브로커 재초기화...")
                self._reinitialize()
            except (KISError, BrokersNotMade) as exc:
                self._said_waiting = True
                logger.error("[AUTO_RECOVER] ❌ 자동 복구 실패: %s", exc, extra=alert(Alert.RECOVERY_FAILED))
                self.explainer.say(exc)
                raise TokenUnavailable("자동 복구 실패", self._tokens.wait_seconds()) from exc
            self._note_success(name, started)
            return True

    def _mended_meanwhile(self, refused: str | None) -> bool:
        """Whether another thread's recovery has already brought what this one needs."""
        if self._tokens.state() not in USABLE:
            return False
        return refused is None or (self._tokens.mark != refused and self._tokens.mark == self._known_mark)

    def _mend_token(self, name: str) -> None:
        """A usable token, from the file or from KIS. Raises KISError."""
        if self._tokens.state() in USABLE:
            logger.info("[AUTO_RECOVER] 파일의 새 토큰 사용")
            return
        wait = self._tokens.wait_seconds()
        if wait > 0:
            raise TokenUnavailable(f"발급 간격 미경과 ({math.ceil(wait)}초 후 재시도)", wait)
        logger.info("[AUTO_RECOVER] TokenManager 토큰 재발급...")
        self._tokens.issue(f"복구: {name}, {self._tokens.state().value}")
        logger.info("[AUTO_RECOVER] 토큰 재발급 성공")

    def _note_success(self, name: str, started: float) -> None:
        logger.info("[AUTO_RECOVER] ✅ 자동 복구 성공, 재시도...")
        self._said_waiting = False
        self.count += 1
        took = self._clock.monotonic() - started
        self.done.append(Recovered(self._clock.now().timestamp(), name, took))
        self._witness.note_recovery(self.done[-1])

    def _give_up(self, mark: str) -> None:
        """KIS refuses what it has just issued: another issuance would not help."""
        with self._lock:
            if mark == self._tokens.mark and self._tokens.state() in USABLE:
                self._tokens.refuse(mark)
                self._tokens.hold_off()
                self._said_waiting = True
                text = "[AUTO_RECOVER] ❌ 자동 복구 실패: 새 토큰도 거부됨 (1시간 후 재시도)"
                logger.error(text, extra=alert(Alert.TOKEN_REFUSED))

    def _say(self, name: str, text: str, refusal: KISRefusal) -> None:
        """Folded, unless it begins a recovery: that block is written whole."""
        line = text if isinstance(refusal, TokenRejected) else self._repeats.admit(name, text)
        if line:
            logger.warning("%s", line)
