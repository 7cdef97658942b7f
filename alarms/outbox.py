"""One thread for everything that is told to the world: it may be slow, dead or refused, the loop never waits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from timetable import guarded

MOST = 50  # things that wait; of more, the oldest is dropped


class Outbox:
    """A bounded queue and the thread that empties it. What is put in must end by itself."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._closing = False
        self._dropped = 0
        threading.Thread(target=self._serve, daemon=True, name="outbox").start()

    def put(self, errand: Callable[[], object]) -> None:
        """Have it done soon, or never where too much is waiting already. Returns at once."""
        with self._changed:
            if len(self._waiting) == MOST:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(errand)
            self._changed.notify_all()

    def take_dropped(self) -> int:
        """How many were dropped since this was last asked."""
        with self._changed:
            dropped, self._dropped = self._dropped, 0
            return dropped

    def close(self, seconds: float) -> None:
        """Wait until everything is done, at most so long; the thread ends with the last of it."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not (self._waiting or self._busy), max(0.0, seconds))

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                errand, self._busy = self._waiting.popleft(), True
            guarded(errand)()
            with self._changed:
                self._busy = False
                self._changed.notify_all()
