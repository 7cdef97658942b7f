"""`schedule`'s table on our clock: a fixed grid from the start, deaf to steps of the wall clock, each job guarded.

`schedule` itself books a run from the end of the job before (a drift of the job's own time), reads the host's local
time (an hour of silence when it steps back), and never rebooks a job that raises.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property, wraps
from typing import Any

import schedule

from alerts import Alert, alert
from clock import Clock
from errors import Stopping

logger = logging.getLogger(__name__)

SAID_FAILURES = (3, 30, 300, 3000)  # failures of a job in a row that are worth a line of their own
_NEVER = float("inf")
_MOMENT = 1e-6  # seconds; what lies no further ahead is now, whatever the last digits of a sum say


class GridJob(schedule.Job):
    """A job that is due at anchor + n × interval, whenever the last run ended.

    Instants are monotonic seconds; `schedule`'s own ``next_run``, an instant of the wall clock, is not kept.
    """

    def __init__(self, interval: float, table: Timetable, anchor: float) -> None:
        super().__init__(interval, table)  # type: ignore[arg-type]  # fractions are welcome here
        self._table = table
        self._anchor = anchor
        self.due = anchor

    def run(self) -> Any:
        """Run it and book the next run; whoever watches the table sees that it has come to its end.

        `schedule`'s own `run` reads the host's clock three times for deadlines that no job here has.
        """
        assert self.job_func is not None
        result = self.job_func()
        self._schedule_next_run()
        self._table.finished += 1
        return result

    def _schedule_next_run(self) -> None:
        passed, period = max(self._table.now(), self.due) + _MOMENT - self._anchor, self._period
        self.due = self._anchor + (passed // period + 1) * period

    @cached_property
    def _period(self) -> float:
        assert self.unit is not None
        return timedelta(**{self.unit: self.interval}).total_seconds()


class Timetable(schedule.Scheduler):
    """The jobs and when they are due, counted in monotonic time from the moment it is made."""

    jobs: list[GridJob]  # type: ignore[assignment]  # none of another kind gets in

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.now = clock.monotonic
        self._start = self.now()
        self.finished = 0  # jobs so far

    def every(self, interval: float = 1) -> GridJob:
        """A job on the grid that begins with this table."""
        return GridJob(interval, self, self._start)

    def after(self, seconds: float, name: str, job: Callable[[], object]) -> None:
        """Run ``job`` once in ``seconds``; takes the place of what was booked under ``name``."""
        self.clear(name)

        def once() -> type[schedule.CancelJob]:
            job()
            return schedule.CancelJob

        GridJob(max(seconds, 0.001), self, self.now()).seconds.do(once).tag(name)

    def hurry(self, name: str) -> None:
        """Make the jobs tagged ``name`` due now; their grid stays."""
        for job in self.jobs:
            if name in job.tags:
                job.due = self.now()

    def seconds_until_next(self) -> float:
        """How long nothing is due."""
        return max(0.0, min((job.due for job in self.jobs), default=_NEVER) - self.now())

    def run_pending(self) -> None:
        """Run what is due, as `schedule` does it."""
        now = self.now() + _MOMENT
        for job in sorted((job for job in self.jobs if job.due <= now), key=lambda job: job.due):
            self._run_job(job)


def guarded(job: Callable[[], Any], note_failure: Callable[[str], None] = lambda name: None) -> Callable[[], None]:
    """Log what ``job`` raises with its traceback, so that the loop goes on and the job runs again next time.

    The third failure in a row, the thirtieth and so on have an error line of their own, which is an alert.
    """
    failures = 0

    @wraps(job)
    def run() -> None:
        nonlocal failures
        try:
            job()
            failures = 0
        except Stopping:
            logger.debug("%s: 종료 요청으로 중단", job.__name__)
        except Exception:
            failures += 1
            marked = alert(Alert.JOB_FAILING, job.__name__) if failures in SAID_FAILURES else None
            logger.exception("[JOB] %s 실패, 다음 차례에 다시 실행합니다", job.__name__)
            if marked:
                logger.error("[JOB] %s %d번 이어서 실패했습니다", job.__name__, failures, extra=marked)
            note_failure(job.__name__)

    return run
