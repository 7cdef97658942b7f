"""The daemon's disk, with a hand on it: it fills up, or the process dies at a chosen commit."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from files import Disk, fill
from soak.outcomes import Crash


class SoakDisk(Disk):
    """Real files and a real SQLite, apart from what is told to go wrong."""

    def __init__(self, note_refusal: Callable[[str], None]) -> None:
        self._note_refusal = note_refusal
        self.full: set[str] = set()  # names of files that take no write
        self.die_in: int | None = None  # commits until the process dies
        self.die_after = False  # after the commit instead of before it
        self.commits = 0
        self.refused: Counter[str] = Counter()  # writes, by the name of the file
        self._open: list[sqlite3.Connection] = []

    def connect(self, path: Path | str) -> sqlite3.Connection:
        """A connection whose COMMIT passes here."""
        disk, name = self, Path(path).name

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
                if sql != "COMMIT":
                    return super().execute(sql, *values)  # type: ignore[arg-type]
                dies = disk.begin_commit(name)
                cursor = super().execute(sql)
                if dies:
                    raise Crash("after a commit")
                return cursor

        db = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False, factory=Connection)
        self._open.append(db)
        return db

    def replace(self, path: Path, content: bytes, *, mode: int = 0o600, durable: bool = True) -> os.stat_result:
        """As in life, without the flush: the process dies here, never the machine.

        What need not last (status.json, each minute) is written in place: nobody reads it meanwhile.
        """
        if path.name in self.full:
            self._refuse(path.name)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if durable:
            return super().replace(path, content, mode=mode, durable=False)
        return _write_in_place(path, content, mode)

    def free_bytes(self, folder: Path) -> int:
        """Always enough, whatever the host has: a run must not depend on it."""
        return 100 * 1024**3

    def begin_commit(self, name: str) -> bool:
        """Refuse, die, or let it through; True when the process is to die right after it."""
        self.commits += 1
        if name in self.full:
            self._refuse(name)
            raise sqlite3.OperationalError("database or disk is full")
        if self.die_in is None:
            return False
        self.die_in -= 1
        if self.die_in > 0:
            return False
        self.die_in = None
        if not self.die_after:
            raise Crash("before a commit")
        return True

    def _refuse(self, name: str) -> None:
        self.refused[name] += 1
        self._note_refusal(name)

    def bury(self) -> None:
        """The process is dead: its files are closed and what was not committed is gone."""
        for db in self._open:
            db.close()
        self._open.clear()


def _write_in_place(path: Path, content: bytes, mode: int) -> os.stat_result:
    return fill(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), content, mode, durable=False)
