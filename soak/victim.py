"""What stands in for ``python main.py`` when the process is to die: the same command, with a death at a chosen place.

``AUTOSTOCK_DIE_AT=after_send:2`` is SIGKILL at the second passing of that crash point; a commit of the database is
two more points, ``before_commit`` and ``after_commit``. Without it the process lives. ``AUTOSTOCK_CLOCK`` is the fast
time that it shares with the broker. Both come in through the seams of ``main.build``: the daemon cannot tell.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import main as daemon
from clock import KST, SystemClock
from config import Settings
from files import Disk
from scheduler import TradingScheduler

DIE_AT, CLOCK = "AUTOSTOCK_DIE_AT", "AUTOSTOCK_CLOCK"
LIFETIME = 60  # real seconds; no victim outlives this, whatever became of who started it

Point = Callable[[str], None]


class FastClock(SystemClock):
    """Real time that runs ``rate`` times as fast; all clocks made from one text show the same, in any process.

    Waits become as much shorter. Bounds of calls do not: what is on the wire takes real time.
    """

    def __init__(self, rate: float, begun: float, start: datetime) -> None:
        self._rate = rate
        self._begun = begun  # real steady seconds at which it showed ``start``
        self._start = start

    @classmethod
    def starting(cls, rate: float, start: datetime) -> FastClock:
        """A clock that shows ``start`` now."""
        return cls(rate, SystemClock().monotonic(), start)

    @classmethod
    def from_text(cls, text: str) -> FastClock:
        """The clock that ``text`` was made from."""
        rate, begun, start = text.split(" ")
        return cls(float(rate), float(begun), datetime.fromisoformat(start))

    def text(self) -> str:
        """All that another process needs to show the same time."""
        return f"{self._rate} {self._begun} {self._start.isoformat()}"

    def now(self) -> datetime:
        """Fast wall time, aware, in KST."""
        return (self._start + timedelta(seconds=self.monotonic())).astimezone(KST)

    def monotonic(self) -> float:
        """Fast seconds since the start; never steps back."""
        return (super().monotonic() - self._begun) * self._rate

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Let fast ``seconds`` pass, or return early when ``stop`` is set; True if it is set."""
        return super().wait(stop, seconds / self._rate)

    def push(self, seconds: float) -> None:
        """Let fast ``seconds`` have passed. Only clocks made from the text afterwards follow."""
        self._begun -= seconds / self._rate


class Death:
    """SIGKILL at the n-th passing of a point; ``place`` is ``name:n``, or empty for a long life."""

    def __init__(self, place: str) -> None:
        self._name, _, times = place.partition(":")
        self._left = int(times or 1)

    def point(self, name: str) -> None:
        """A point is passed, perhaps for the last time. No exception, no handler, no buffer gets a turn then."""
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class _Connection(sqlite3.Connection):
    """Tells of each COMMIT, once before and once after it."""

    point: Point

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql != "COMMIT":
            return super().execute(sql, parameters)
        self.point("before_commit")
        cursor = super().execute(sql)
        self.point("after_commit")
        return cursor

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        """A transaction in one text: its end becomes a step of its own."""
        steps, commit, rest = sql_script.rpartition("COMMIT;")
        if not commit or rest:
            raise ValueError("a script that does not end with its commit")
        cursor = super().executescript(steps)
        self.execute("COMMIT")
        return cursor


class CountedDisk(Disk):
    """The real disk; ``point`` is told of each commit."""

    def __init__(self, point: Point) -> None:
        self._point = point

    def connect(self, path: Path | str) -> sqlite3.Connection:
        """Open a database without transactions of Python's own. Raises sqlite3.Error."""
        options: dict[str, Any] = {"timeout": 5.0, "isolation_level": None, "check_same_thread": False}
        connection = sqlite3.connect(path, factory=_Connection, **options)
        connection.point = self._point
        return connection


def main() -> int:
    """``main.py run`` in this world; the exit status, if it comes to one."""
    signal.alarm(LIFETIME)
    death = Death(os.environ.get(DIE_AT, ""))
    seams = {
        "clock": FastClock.from_text(os.environ[CLOCK]),
        "disk": CountedDisk(death.point),
        "point": death.point,
    }
    build = daemon.build

    def build_with_seams(settings: Settings, **parts: Any) -> TradingScheduler:
        return build(settings, **{**parts, **seams})

    daemon.build = build_with_seams  # type: ignore[assignment]  # main() gives every part by name
    return daemon.main(["run"])


if __name__ == "__main__":
    sys.exit(main())
