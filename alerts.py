"""What is worth waking the owner for: marks on log records, and the handler that carries marked lines away."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum

from clock import Clock
from logs import Redactor

SAME_AGAIN = 3600.0  # seconds in which the same alert is not sent again
MOST_KEYS = 500


class Alert(Enum):
    """The kinds of alerts; the value stands before the line."""

    STARTED = "▶️ 시작"
    STOPPED = "⏹️ 종료"
    RECOVERY_FAILED = "🔑 복구 실패"
    TOKEN_REFUSED = "🔑 토큰 거부"
    UNKNOWN_ORDER = "❓ 결과 불명"
    AMBIGUOUS_ORDER = "❗ 확인 필요"
    ORDER_FILLED = "✅ 체결"
    PROTECTION = "🛑 보호 장치"
    JOB_FAILING = "⚠️ 반복 실패"
    DATABASE = "❗ 장부"
    NO_WORK = "⚠️ 멈춤"
    DISK_LOW = "⚠️ 디스크"
    REPORT = "🌅 아침 보고서"


def alert(kind: Alert, key: object = "") -> dict[str, object]:
    """For ``logger.info(…, extra=alert(Alert.X))``. The same kind and key is sent at most once an hour."""
    return {"alert": kind, "alert_key": str(key)}


class AlertHandler(logging.Handler):
    """Hands the text of marked records on, secrets masked; never waits, and asks nobody anything."""

    def __init__(self, send: Callable[[str], None], redactor: Redactor, clock: Clock) -> None:
        super().__init__()
        self._send = send
        self._redactor = redactor
        self._clock = clock
        self._throttle = Throttle(clock)
        self.stopping_since: float | None = None  # monotonic seconds

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a marked record on, unless the same was sent a while ago."""
        kind: object = getattr(record, "alert", None)
        if not isinstance(kind, Alert):
            return
        if kind is Alert.STOPPED and self.stopping_since is None:
            self.stopping_since = self._clock.monotonic()
        held_back = self._throttle.admit(kind, str(getattr(record, "alert_key", "")))
        if held_back is not None:
            more = f" (같은 알림 {held_back}번을 보내지 않았음)" if held_back else ""
            self._send(f"{kind.value} · {self._redactor.clean(record.getMessage())}{more}")


class Throttle:
    """Lets the same alert through once an hour. Safe for threads; forgets the oldest of very many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sent: OrderedDict[tuple[Alert, str], tuple[float, int]] = OrderedDict()

    def admit(self, kind: Alert, key: str) -> int | None:
        """How many of these were held back since the last one that went out, or None: hold this one back too."""
        now = self._clock.monotonic()
        with self._lock:
            since, held_back = self._sent.get((kind, key), (float("-inf"), 0))
            if now - since < SAME_AGAIN:
                self._sent[kind, key] = (since, held_back + 1)
                return None
            self._sent[kind, key] = (now, 0)
            self._sent.move_to_end((kind, key))
            while len(self._sent) > MOST_KEYS:
                self._sent.popitem(last=False)
            return held_back
