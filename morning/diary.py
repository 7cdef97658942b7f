"""The diary of a night: what the morning report will tell besides orders. Few writes, and never in trading's way."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from clock import Clock
from errors import KISError, KISRefusal
from ledger import LedgerUnwritable
from market_hours import MarketHours
from morning.night_ledger import JOB, NightLedger, Reason, Trouble
from recovery import Recovered

logger = logging.getLogger("diary")

Counted = TypeVar("Counted", Reason, Trouble)
Key = TypeVar("Key")

MOST_KINDS = 500  # of reasons or troubles between two writes: texts from outside must not fill the memory
_NUMBERS = re.compile(r"[-+$]*\d[\d,.]*%?")


class Diary:
    """Counts in memory what repeats and writes it down every few minutes. A database that takes nothing is said once
    and costs the report some of its lines, nothing else. Safe for several threads."""

    def __init__(self, nights: NightLedger, hours: MarketHours, clock: Clock) -> None:
        self._nights = nights
        self._hours = hours
        self._clock = clock
        self._lock = threading.Lock()
        self._reasons: dict[tuple[str, str, str, str], Reason] = {}
        self._troubles: dict[tuple[str, str, str], Trouble] = {}
        self._recoveries: list[Recovered] = []
        self._seen: str | None = None
        self._said = False

    # what happens

    def note_reasons(self, job: str, reasons: Mapping[str, str]) -> None:
        """A pass did not buy or sell these, and why."""
        session, now = self._session(), self._now()
        with self._lock:
            for symbol, text in reasons.items():
                key = session, job, symbol, without_numbers(text)
                old = self._reasons.get(key)
                if old is not None or len(self._reasons) < MOST_KINDS:
                    self._reasons[key] = Reason(job, symbol, key[3], text, old.count + 1 if old else 1, now)

    def note_trouble(self, error: KISError) -> None:
        """A call to KIS failed."""
        if isinstance(error, KISRefusal):
            self._add_trouble(error.code, "", error.message)
        else:
            self._add_trouble("", without_numbers(str(error)), str(error))

    def note_failure(self, job: str) -> None:
        """A job of the timetable raised what nobody expected."""
        self._add_trouble(JOB, job, f"{job} 실패: 로그의 [JOB] 줄을 보세요")

    def note_recovery(self, done: Recovered) -> None:
        """A recovery worked."""
        with self._lock:
            self._recoveries.append(done)

    # onto the disk

    def flush(self) -> None:
        """Write down what came since the last time: nothing, or two or three short transactions."""
        try:
            self._note_seen()
            self._flush_recoveries()
            self._flush_counts()
        except LedgerUnwritable as exc:
            if not self._said:
                logger.warning("아침 보고서의 기록을 쓰지 못함 (%s): 매매는 그대로 계속합니다", exc)
            self._said = True
        else:
            self._said = False

    def _note_seen(self) -> None:
        session = self._hours.session(self._clock.now())
        if session is not None and self._seen != session.date.isoformat():
            self._nights.note_seen(session.date.isoformat(), self._now())
            self._seen = session.date.isoformat()

    def _flush_recoveries(self) -> None:
        while self._recoveries:
            self._nights.add_recovery(self._recoveries[0])
            del self._recoveries[0]

    def _flush_counts(self) -> None:
        with self._lock:
            reasons, self._reasons = self._reasons, {}
            troubles, self._troubles = self._troubles, {}
        if not (reasons or troubles):
            return
        try:
            self._nights.add(
                [(key[0], reason) for key, reason in reasons.items()],
                [(key[0], trouble) for key, trouble in troubles.items()],
            )
        except LedgerUnwritable:
            with self._lock:  # what came meanwhile is newer
                self._reasons = _merged(reasons, self._reasons)
                self._troubles = _merged(troubles, self._troubles)
            raise

    # inside

    def _add_trouble(self, code: str, kind: str, text: str) -> None:
        key = self._session(), code, kind
        with self._lock:
            old = self._troubles.get(key)
            if old is not None or len(self._troubles) < MOST_KINDS:
                self._troubles[key] = Trouble(code, kind, text, old.count + 1 if old else 1, self._now())

    def _session(self) -> str:
        """The night that will tell it: what happens by day belongs to the next session. Blank where a clock that is
        far off finds none: the diary is no reason for a call to fail."""
        try:
            return self._hours.upcoming(self._clock.now()).date.isoformat()
        except LookupError:
            return ""

    def _now(self) -> float:
        return self._clock.now().timestamp()


def without_numbers(text: str) -> str:
    """What makes two texts the same reason although prices and percentages move."""
    return _NUMBERS.sub("#", text)


def _merged(old: Mapping[Key, Counted], new: Mapping[Key, Counted]) -> dict[Key, Counted]:
    """Both counts; the newer text."""
    merged = dict(old)
    for key, item in new.items():
        before = merged.get(key)
        merged[key] = replace(item, count=item.count + before.count) if before else item
    return merged
