"""The one access token: judge it, issue it, keep it.

KIS sends the owner a KakaoTalk message for every issuance and locks out who asks too often, so a token is asked for
only when there is none, its last ten minutes have begun, it is not ours, its file was deleted, or KIS refused it;
and attempts, answered or not, stand at least 61 seconds apart, also across restarts (design §5, protocol §3.1).
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum

from clock import Clock
from errors import KISError, KISRefusal, TokenUnavailable
from kis_broker import IssuedToken
from ledger import OUTCOME_ASKED, OUTCOME_ISSUED, Issuance, Ledger, LedgerUnwritable
from token_file import Signature, Token, TokenFile, UnusableFile

logger = logging.getLogger(__name__)

SPACING = 61.0  # seconds between attempts; KIS allows one a minute (EGW00133)
LONG_SPACING = 300.0  # after three failures in a row
PATIENCE = 3  # failures in a row before the long spacing
HOLD_OFF = 3600.0  # seconds without an issuance after one that did not help
UNKNOWN_LIFETIME = timedelta(hours=1)  # where KIS's answer names no instant that can be believed
OUTCOME_SAME = "same token"


class TokenState(Enum):
    """What the held token is good for."""

    VALID = "유효"
    ENDING = "만료 임박"  # usable; its last ten minutes have begun
    EXPIRED = "만료됨"
    REFUSED = "KIS가 거부함"
    FILE_MISSING = "토큰 파일 없음"
    NONE = "토큰 없음"


USABLE = (TokenState.VALID, TokenState.ENDING)


def seconds_to_wait(history: Sequence[Issuance], now: float) -> float:
    """How long the next attempt must wait, from the attempts so far (newest first), all instants on one scale."""
    if not history:
        return 0.0
    failures = 0
    for attempt in history:
        if attempt.outcome == OUTCOME_ISSUED:
            break
        failures += 1
    spacing = SPACING if failures <= PATIENCE else LONG_SPACING
    return max(0.0, min(spacing, history[0].at + spacing - now))


class TokenManager:
    """Owns the token. ``ask_kis`` makes one request to tokenP and raises a KISError when it fails; ``get_in_line``
    waits until the call limit lets it."""

    def __init__(
        self,
        file: TokenFile,
        ask_kis: Callable[[], IssuedToken],
        ledger: Ledger,
        clock: Clock,
        *,
        key_mark: str,
        margin: timedelta,
        on_token: Callable[[str], None] = lambda value: None,
        get_in_line: Callable[[], None] = lambda: None,
        point: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._file = file
        self._ask_kis = ask_kis
        self._ledger = ledger
        self._clock = clock
        self._key_mark = key_mark
        self._margin = margin
        self._on_token = on_token
        self._get_in_line = get_in_line
        self._point = point
        self._lock = threading.RLock()
        self._token: Token | None = None
        self._signature: Signature | None = None  # of the file as we know it; None: there is none to miss
        self._history = [replace(attempt, at=self._steady(attempt.at)) for attempt in ledger.issuances(key_mark)]
        if ledger.fault:  # nobody knows when the last attempt was: a restart loop must not storm KIS
            self._history = [Issuance(clock.monotonic(), "기록 없음", OUTCOME_ISSUED, None)]
        self._refused = {self._ledger.fact(f"refused {key_mark}") or ""}
        held = float(self._ledger.fact(f"hold {key_mark}") or 0.0) - clock.now().timestamp()
        self._hold_until = clock.monotonic() + min(HOLD_OFF, held)
        self.unsaved = False
        file.sweep()
        self._load()

    # what there is

    @property
    def token(self) -> Token | None:
        """The held token, whatever it is good for."""
        return self._token

    @property
    def mark(self) -> str:
        """The held token's fingerprint; empty without one."""
        return self._token.mark if self._token else ""

    def state(self) -> TokenState:
        """Judge the token. Costs one ``stat``; reads the file only when somebody else has changed it."""
        signature = self._file.signature()
        if signature is not None and signature != self._signature:
            self.reread()
        token = self._token
        if token is None:
            return TokenState.NONE
        if signature is None and self._signature is not None:
            return TokenState.FILE_MISSING
        return self._judge(token)

    def bearer(self) -> str:
        """The token to send. Raises TokenUnavailable when KIS must not be asked."""
        state = self.state()
        if state not in USABLE or self._token is None:
            raise TokenUnavailable(state.value, self.wait_seconds())
        return self._token.value

    def remaining(self) -> timedelta:
        """How long the held token has to live; never negative."""
        if self._token is None:
            return timedelta(0)
        return max(timedelta(0), self._token.expires_at - self._clock.now())

    def until_renewal(self) -> timedelta:
        """How long until the last ten minutes begin; never negative."""
        return max(timedelta(0), self.remaining() - self._margin)

    def wait_seconds(self) -> float:
        """Seconds until an issuance may be tried."""
        now = self._clock.monotonic()
        return max(seconds_to_wait(self._history, now), self._hold_until - now, 0.0)

    # what changes it

    def issue(self, cause: str) -> Token:
        """Ask KIS for a token and keep it.

        Raises TokenUnavailable while an attempt must wait, or when KIS gives back the token it has refused;
        KISError when KIS refuses or cannot be reached.
        """
        with self._lock:
            wait = self.wait_seconds()
            if wait > 0:
                raise TokenUnavailable(f"발급 간격 미경과 ({math.ceil(wait)}초 후 재시도)", wait)
            self._get_in_line()  # the call limit may take a moment, and the 61 seconds count from the request itself
            number = self._begin(cause)
            self._point("before_issue")
            try:
                issued = self._ask_kis()
            except KISError as exc:
                self._end(number, exc.code if isinstance(exc, KISRefusal) else str(exc))
                raise
            self._point("after_issue")
            return self._accept(number, issued)

    def reread(self) -> None:
        """Read the file again, whatever its signature says; another program may have put a newer token there."""
        with self._lock:
            self._load()

    def refuse(self, mark: str) -> None:
        """KIS refused this token: never send it again."""
        with self._lock:
            self._refused.add(mark)
            self._remember("refused", mark)

    def hold_off(self) -> None:
        """An issuance did not help: no other for an hour."""
        with self._lock:
            self._hold_until = self._clock.monotonic() + HOLD_OFF
            self._remember("hold", str(self._clock.now().timestamp() + HOLD_OFF))

    def save(self) -> None:
        """Put the held token on disk. A folder that takes nothing is said once; the token is used from memory."""
        if self._token is None:
            return
        try:
            self._signature = self._file.write(self._token)
        except OSError as exc:
            if not self.unsaved:
                text = "%s 저장 실패 (%s): 토큰은 메모리에서 계속 사용합니다"
                logger.error(text, self._file.path.name, exc.strerror)
            self.unsaved = True
            self._signature = self._file.signature()
        else:
            self.unsaved = False

    # inside

    def _load(self) -> None:
        signature = self._file.signature()
        try:
            token = self._file.read()
        except FileNotFoundError:
            return
        except UnusableFile as exc:
            self._keep_ours(signature, str(exc))
            return
        self._on_token(token.value)
        verdict = self._judge(token)
        if verdict not in USABLE and self._token and self._judge(self._token) in USABLE:
            self._keep_ours(signature, verdict.value)
            return
        self._signature = signature
        self._token = token

    def _keep_ours(self, signature: Signature | None, reason: str) -> None:
        """The file holds nothing to use: say so, and put a good token of ours back."""
        self._signature = signature
        logger.warning("%s 사용 불가: %s", self._file.path.name, reason)
        if self._token and self._judge(self._token) in USABLE:
            self.save()

    def _judge(self, token: Token) -> TokenState:
        if token.mark in self._refused:
            return TokenState.REFUSED
        return judge(token, self._clock.now(), self._margin)

    def _steady(self, epoch: float) -> float:
        """An instant on disk in monotonic seconds, deaf to later steps of the clock; one to come counts as now."""
        return self._clock.monotonic() - max(0.0, self._clock.now().timestamp() - epoch)

    def _begin(self, cause: str) -> int | None:
        """Put the attempt on disk before it is made. A database that takes nothing does not stop the token."""
        self._history.insert(0, Issuance(self._clock.monotonic(), cause, OUTCOME_ASKED, None))
        del self._history[20:]
        try:
            return self._ledger.begin_issuance(self._key_mark, self._clock.now().timestamp(), cause)
        except LedgerUnwritable as exc:
            logger.warning("토큰 발급 기록 저장 실패: %s", exc)
            return None

    def _end(self, number: int | None, outcome: str, mark: str | None = None) -> None:
        """An attempt counts from its end: by then it surely has left."""
        self._history[0] = replace(self._history[0], at=self._clock.monotonic(), outcome=outcome, token_mark=mark)
        if number is None:
            return
        try:
            self._ledger.end_issuance(number, self._clock.now().timestamp(), outcome, mark)
        except LedgerUnwritable as exc:
            logger.warning("토큰 발급 기록 저장 실패: %s", exc)

    def _accept(self, number: int | None, issued: IssuedToken) -> Token:
        now = self._clock.now()
        token = Token(issued.value, self._believable_expiry(issued.expires_at, now), now)
        self._on_token(token.value)
        if token.mark in self._refused:
            self._end(number, OUTCOME_SAME, token.mark)
            self.hold_off()
            raise TokenUnavailable("거부된 토큰이 다시 발급됨, 1시간 후 재시도", self.wait_seconds())
        futile = self._token is not None and token.mark == self.mark and token.expires_at <= self._token.expires_at
        self._end(number, OUTCOME_SAME if futile else OUTCOME_ISSUED, token.mark)
        self._token = token
        self.save()
        return token

    def _believable_expiry(self, expires_at: datetime | None, now: datetime) -> datetime:
        """KIS's instant, unless it is missing or says that a token handed out this second is dead already."""
        if expires_at is None:
            return now + UNKNOWN_LIFETIME
        if expires_at > now:
            return expires_at
        logger.warning(
            "새 토큰의 만료 시각(%s)이 이미 지났습니다: 이 컴퓨터의 시계를 확인하세요", f"{expires_at:%F %R}"
        )
        return now + UNKNOWN_LIFETIME

    def _remember(self, name: str, value: str) -> None:
        try:
            self._ledger.set_fact(f"{name} {self._key_mark}", value)
        except LedgerUnwritable as exc:
            logger.warning("토큰 상태(%s) 저장 실패: %s", "거부됨" if name == "refused" else "발급 보류", exc)


def judge(token: Token, now: datetime, margin: timedelta) -> TokenState:
    """What the clock says of a token."""
    if now >= token.expires_at:
        return TokenState.EXPIRED
    if now >= token.expires_at - margin:
        return TokenState.ENDING
    return TokenState.VALID
