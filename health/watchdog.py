"""A stuck process is seen: all stacks to the log after five minutes without a finished job, the end after ten more.

Only ``main.py run`` starts it; a virtual clock has no use for it. Three nets, one under the other: a thread that looks
at the loop; the same thread when the process was asked to end and does not; and for code that never lets Python run
again, a timer of ``faulthandler`` outside Python, which the thread sets back at every look.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alerts import Alert, alert
from clock import Clock
from health.verdict import span

if TYPE_CHECKING:
    from scheduler import TradingScheduler

logger = logging.getLogger("watchdog")

TICK = 5.0  # seconds between looks
MOST_PER_LOOK = 2 * TICK  # more than that between two looks was a suspend, and nobody's fault
ENDING = 60.0  # seconds in which a process that was asked to end must have done so
LAST_WORDS = 5.0  # seconds for an alert to leave before the end
STDERR = 2
EXIT_FAILED = 1


@dataclass(frozen=True)
class Patience:
    """Seconds without a finished job until the stacks are dumped, and from then until the end."""

    limit: float = 300.0
    grace: float = 600.0

    @property
    def backstop(self) -> float:
        """For the timer outside Python."""
        return self.limit + self.grace + ENDING


@dataclass(frozen=True)
class Stuck:
    """How long nothing has been finished, as far as it counts."""

    pulse: int = -1
    seconds: float = 0.0


def after_look(before: Stuck, pulse: int, elapsed: float, on_duty: bool) -> Stuck:
    """What one more look makes of it. Time outside a session and time asleep do not count."""
    if pulse != before.pulse or not on_duty:
        return Stuck(pulse)
    return Stuck(pulse, before.seconds + min(elapsed, MOST_PER_LOOK))


class Watchdog:
    """Looks at ``pulse``, the number of finished jobs. ``end`` ends the process and does not come back."""

    def __init__(
        self,
        clock: Clock,
        stop: threading.Event,
        pulse: Callable[[], int],
        on_duty: Callable[[], bool],
        *,
        end: Callable[[], None],
        rearm: Callable[[float], None] = lambda seconds: None,
        patience: Patience | None = None,
        ending: float = ENDING,
    ) -> None:
        self._clock = clock
        self._stop = stop
        self._pulse = pulse
        self._on_duty = on_duty
        self._end = end
        self._rearm = rearm
        self._patience = patience or Patience()
        self._ending = ending
        self._stuck = Stuck()
        self._dumped = False
        self._closed = threading.Event()

    def run(self) -> None:
        """Look until the process is asked to end, and then that it does."""
        before = self._clock.monotonic()
        while not self._clock.wait(self._stop, TICK):
            now = self._clock.monotonic()
            self.look(now - before)
            before = now
        self._rearm(self._patience.backstop)
        if not self._clock.wait(self._closed, self._ending):
            self._finish(f"종료 요청 뒤 {span(self._ending)} 동안 끝나지 않아")

    def look(self, elapsed: float) -> None:
        """One look, ``elapsed`` seconds after the one before."""
        self._rearm(self._patience.backstop)
        self._stuck = after_look(self._stuck, self._pulse(), elapsed, self._on_duty())
        if self._stuck.seconds >= self._patience.limit + self._patience.grace:
            self._finish(f"{span(self._stuck.seconds)} 동안 끝난 일이 없어")
        elif self._stuck.seconds >= self._patience.limit and not self._dumped:
            self._dumped = True
            text = "[WATCHDOG] %s 동안 끝난 일이 없습니다. %s 더 그대로면 프로세스를 끝냅니다"
            logger.error(text, span(self._stuck.seconds), span(self._patience.grace), extra=alert(Alert.NO_WORK))
            logger.error("[WATCHDOG] 스택:\n%s", stacks())
        elif self._dumped and self._stuck.seconds == 0:
            self._dumped = False
            logger.warning("[WATCHDOG] 다시 움직입니다")

    def close(self) -> None:
        """The process has left the loop by itself."""
        self._closed.set()

    def _finish(self, why: str) -> None:
        logger.critical("[WATCHDOG] %s 프로세스를 끝냅니다 (종료 상태 1)", why)
        logger.error("[WATCHDOG] 스택:\n%s", stacks())
        self._clock.wait(self._closed, LAST_WORDS)
        self._end()


def stacks() -> str:
    """Where every thread stands, by name."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"스레드 {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
        if ident != threading.get_ident()
    )


def rearm(seconds: float) -> None:
    """Unless this is called again within ``seconds``: all stacks to stderr and status 1, whoever holds Python."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)


@contextmanager
def watched(daemon: TradingScheduler, patience: Patience | None = None) -> Iterator[None]:
    """A watchdog beside a running daemon, in a thread of its own."""
    dog = Watchdog(
        daemon.clock,
        daemon.stop,
        lambda: daemon.table.finished + daemon.api.counts.total(),  # a long scan works while it lasts
        lambda: daemon.hours.is_open(daemon.clock.now()),
        end=lambda: os._exit(EXIT_FAILED),
        rearm=rearm,
        patience=patience,
    )

    def keep_watch() -> None:
        try:
            dog.run()
        finally:
            faulthandler.cancel_dump_traceback_later()  # a watchdog that has ended must not leave the timer behind

    thread = threading.Thread(target=keep_watch, daemon=True, name="watchdog")
    thread.start()
    try:
        yield
    finally:
        dog.close()
        faulthandler.cancel_dump_traceback_later()
