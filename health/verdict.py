"""Is the daemon working, not only alive: a pure judgement of what status.json says, at the instant of reading.

Whoever reads judges anew: a file that nobody writes any more says by itself that all is well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

WORK_NAMES = {
    "quote": "시세",
    "balance": "잔고",
    "token_check": "토큰 점검",
    "reinit": "재초기화",
    "pass": "매매",
    "order": "주문",
}
WRITTEN_LIMIT = 180.0  # seconds; the daemon writes every minute, a long scan may delay it
STALLED_AT = 2.0  # times its limit: no delay any more
_LONGEST = 1e9  # seconds
_YEARS = range(2000, 2200)  # what lies outside is no instant of ours, and may not be moved to another zone
FUTURE = 60.0  # seconds by which an instant may lie ahead before the clocks are doubted
RESTART = "다시 시작하세요: python main.py"


class Level(Enum):
    """How it goes."""

    GOOD = "정상"
    LATE = "지연"
    STALLED = "멈춤"


class Row(NamedTuple):
    """One kind of work as it stands now. Ages and limits in seconds; ``age`` is None where it never happened."""

    key: str
    name: str
    at: datetime | None
    age: float | None
    limit: float | None
    result: str
    level: Level


@dataclass(frozen=True)
class Verdict:
    """The worst of all rows, and why."""

    level: Level
    reasons: tuple[str, ...]
    rows: tuple[Row, ...]
    market_open: bool


def judge(document: Mapping[str, Any], now: datetime, *, alive: bool = True) -> Verdict:
    """What a status says at ``now`` (aware). ``alive`` is False when its process is known to be gone. Never raises:
    what an older version did not write, or is garbled, counts as not known."""
    market_open = _is_open(document, now)
    rows = tuple(_rows(document, now, market_open))
    reasons = [*_process_reasons(document, now, alive), *_work_reasons(rows)]
    level = max((level for level, _ in reasons), key=list(Level).index, default=Level.GOOD)
    return Verdict(level, tuple(text for _, text in reasons), rows, market_open)


def stalled(reason: str) -> Verdict:
    """The verdict where there is nothing to judge."""
    return Verdict(Level.STALLED, (reason,), (), False)


def span(seconds: float) -> str:
    """``12초``, ``5분``, ``3시간 5분``, ``2일 3시간``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}초"
    if whole < 3600:
        return f"{whole // 60}분"
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours < 48:
        return f"{hours}시간 {minutes}분" if minutes else f"{hours}시간"
    return f"{hours // 24}일 {hours % 24}시간"


def instant(value: object) -> datetime | None:
    """An ISO text with its zone, or None."""
    return _instant(value) if isinstance(value, str) else None


@lru_cache(maxsize=64)  # the daemon judges itself each minute, and few of its instants have moved since
def _instant(value: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.utcoffset() is not None and found.year in _YEARS else None


# inside


def _is_open(document: Mapping[str, Any], now: datetime) -> bool:
    """By the session's own instants: a flag that was written before the open would be old now."""
    opened, closes = instant(document.get("session_opened_at")), instant(document.get("session_closes_at"))
    if opened is None or closes is None:
        return document.get("market_open") is True
    return opened <= now < closes


def _process_reasons(document: Mapping[str, Any], now: datetime, alive: bool) -> Iterator[tuple[Level, str]]:
    written, stopped = instant(document.get("written_at")), instant(document.get("stopped_at"))
    if stopped is not None:
        yield Level.STALLED, f"{stopped:%m-%d %H:%M}에 끝났습니다. {RESTART}"
    elif not alive:
        yield Level.STALLED, f"데몬이 없습니다 (pid {document.get('pid')}). {RESTART}"
    elif written is None:
        yield Level.STALLED, "상태가 언제 쓰였는지 알 수 없습니다. 1분 뒤에도 그대로면 데몬을 다시 시작하세요"
    elif (age := (now - written).total_seconds()) > WRITTEN_LIMIT:
        yield _late(age, WRITTEN_LIMIT), f"{span(age)} 동안 상태를 쓰지 않았습니다. 로그를 보세요: tail trading.log"
    elif age < -FUTURE:
        yield Level.LATE, f"상태가 {span(-age)} 뒤의 시각으로 쓰였습니다. 이 컴퓨터의 시계를 확인하세요"


def _work_reasons(rows: tuple[Row, ...]) -> Iterator[tuple[Level, str]]:
    for row in rows:
        if row.level is not Level.GOOD:
            last = "아직 없음" if row.at is None else f"마지막 {row.at:%H:%M}"
            yield row.level, f"{row.name}: {last}, 한도 {span(row.limit or 0)}"


def _rows(document: Mapping[str, Any], now: datetime, market_open: bool) -> Iterator[Row]:
    work = document.get("work")
    opened = instant(document.get("session_opened_at")) if market_open else None
    begun = [at for at in (opened, instant(document.get("started_at"))) if at]
    waiting = (now - max(begun)).total_seconds() if begun else None
    for key, name in WORK_NAMES.items():
        entry = work.get(key) if isinstance(work, dict) else None
        yield _row(key, name, entry if isinstance(entry, dict) else {}, now, waiting, market_open)


def _row(key: str, name: str, entry: Mapping[str, Any], now: datetime, waiting: float | None, market_open: bool) -> Row:
    """``waiting``: for how many seconds the work has been wanted, if it was never done since."""
    at = instant(entry.get("at"))
    age = (now - at).total_seconds() if at else None
    limit = _seconds(entry.get("limit_open" if market_open else "limit_closed"))
    waited = min((seconds for seconds in (age, waiting) if seconds is not None), default=0.0)
    level = _late(waited, limit) if limit is not None and waited > limit else Level.GOOD
    result = entry.get("result")
    return Row(key, name, at, age, limit, result if isinstance(result, str) else "", level)


def _late(age: float, limit: float) -> Level:
    return Level.STALLED if age > limit * STALLED_AT else Level.LATE


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LONGEST:
        return None
    return float(value)
