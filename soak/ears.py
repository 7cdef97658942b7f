"""What the daemon says, heard line by line: hashed, searched for secrets, and counted."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clock import Clock
from logs import RUN, Complaint, KSTFormatter, LogFile, Redactor, Runs

if TYPE_CHECKING:
    from soak.world import World

REPEAT = 60.0  # seconds in which no warning is said twice (A18)
EACH_TIME = ("[AUTO_RECOVER]", "[ORDER]", "api_token.json", "시계가")  # one line for each thing that happens


class Canaries:
    """The secrets of this run, as runs of twelve characters."""

    def __init__(self) -> None:
        self._runs = Runs()

    def add(self, secret: str) -> None:
        """Look out for this one too."""
        self._runs.add([secret[i : i + RUN] for i in range(max(1, len(secret) - RUN + 1))])

    def in_text(self, text: str) -> bool:
        """Whether a secret, or a good part of one, stands in the text."""
        return bool(self._runs.starts_in(text))


class OnceFormatter(KSTFormatter):
    """Finishes each line once, for whoever wants it."""

    def format(self, record: logging.LogRecord) -> str:
        """The finished line."""
        line: str | None = record.__dict__.get("finished")
        if line is None:
            line = record.__dict__["finished"] = super().format(record)
        return line


class Ears(logging.Handler):
    """Hears every finished line."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._said: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        world, line = self._world, self.format(record)
        world.note_line(line)
        if world.is_secret(line):
            world.broken("A17", f"a secret stands in the log: {line[:60]}")
        if record.levelno < logging.WARNING:
            return
        text = record.getMessage()
        world.loudness.hear(text)
        if text.startswith("[JOB]"):
            trouble = record.exc_info[1] if record.exc_info else None
            world.broken("P20", f"{text} ({type(trouble).__name__}: {trouble})")
        world.tally.sometimes["주문할 때 디스크 가득"] += "장부를 쓸 수 없음" in text
        self._check_repeat(text)

    def _check_repeat(self, text: str) -> None:
        now, before = self._world.clock.monotonic(), self._said.get(text, float("-inf"))
        if now - before < REPEAT and before > self._world.restarted_at and not _each_time(text):
            self._world.broken("A18", f"said twice within a minute: {text}")
        if len(self._said) > 500:
            self._said.clear()
        self._said[text] = now


def _each_time(text: str) -> bool:
    """A refused token begins a recovery, and that block is always written whole."""
    return text.startswith(EACH_TIME) or "] 건너뜀: " in text or "좋았던 목록" in text or "rt_cd=EGW0012" in text


@contextmanager
def listening(world: World, clock: Clock, redactor: Redactor) -> Iterator[None]:
    """The daemon's log goes to a file as in life, and to our ears; afterwards logging is what it was before."""
    settings = world.settings
    size, backups = settings.log_max_bytes, settings.log_backup_count
    ours: list[logging.Handler] = [LogFile(settings.log_path, size, backups, Complaint(clock, "log")), Ears(world)]
    formatter = OnceFormatter(clock, redactor)
    for handler in ours:
        handler.setFormatter(formatter)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = ours
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        ours[0].close()
