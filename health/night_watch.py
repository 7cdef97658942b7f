"""What the owner should hear without asking: the market opens, the disk fills up, work is overdue, tonight is ready.

Each is said when it changes and not again before.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from alerts import Alert, alert
from health.probes import Result, ready_line, worst
from health.readiness import disk_now, inspect, world_of
from health.verdict import Level, judge

if TYPE_CHECKING:
    from scheduler import TradingScheduler

logger = logging.getLogger("night_watch")

READY_BEFORE = timedelta(minutes=30)
LEVELS = {Result.PASS: logging.INFO, Result.WARN: logging.WARNING, Result.FAIL: logging.ERROR}


class NightWatch:
    """Looks at a daemon with its own eyes; changes nothing in it."""

    def __init__(self, daemon: TradingScheduler) -> None:
        self._daemon = daemon
        self._open: bool | None = None
        self._disk = Result.PASS
        self._overdue: frozenset[str] = frozenset()  # as it was said
        self._overdue_before: frozenset[str] = frozenset()  # at the last look
        self._ready_for: datetime | None = None  # the opening that [READY] was said for

    def say_market(self) -> None:
        """The first time and at every opening and close."""
        now = self._daemon.clock.now()
        is_open = self._daemon.hours.is_open(now)
        if is_open == self._open:
            return
        change = "" if self._open is None else "열렸습니다, " if is_open else "닫혔습니다, "
        self._open = is_open
        logger.info("[시장] %s%s", change, self._daemon.hours.describe(now))

    def say_disk(self) -> None:
        """When the disk becomes too full, or is empty enough again."""
        probe = disk_now(self._daemon.settings.data_dir, self._daemon.disk)
        if probe.result is not self._disk:
            self._disk = probe.result
            low = probe.result is not Result.PASS
            logger.log(LEVELS[probe.result], "[DISK] %s", probe, extra=alert(Alert.DISK_LOW) if low else None)

    def say_overdue(self, status: Mapping[str, Any]) -> None:
        """When a kind of work stays away longer than it may, and when it is back; judged as the command ``status``
        does. Late at two looks in a row: the first after a suspend comes before the jobs that were missed."""
        verdict = judge(status, self._daemon.clock.now())
        late = frozenset(row.key for row in verdict.rows if row.level is not Level.GOOD)
        lasting = late & self._overdue_before
        self._overdue_before = late
        if lasting - self._overdue:
            text = " · ".join(verdict.reasons)
            logger.warning("[WORK] 일이 밀렸습니다: %s", text, extra=alert(Alert.NO_WORK, sorted(lasting)))
        elif self._overdue and not late:
            logger.info("[WORK] 밀린 일이 없습니다")
        self._overdue = (self._overdue | lasting) & late

    def say_readiness(self) -> None:
        """Half an hour before each open, once: does tonight have all it needs? Where it never closes, never."""
        now, hours = self._daemon.clock.now(), self._daemon.hours
        opening = hours.next_open(now)
        if hours.is_open(now) or opening - now > READY_BEFORE or opening == self._ready_for:
            return
        self._ready_for = opening
        found = list(inspect(world_of(self._daemon)))
        logger.log(LEVELS[worst(found)], "%s", ready_line(found, hours.describe(now)))
