"""sim.db: what the broker remembers across restarts. Documents by kind and id; no key, secret or token in clear."""

from __future__ import annotations

import json
import logging
import sqlite3
from pathlib import Path
from typing import Any

log = logging.getLogger("simulator")

VERSION = 1  # of the documents; raise it when their fields change
_NOT_THE_FILES_FAULT = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_FULL,
}
_SCHEMA = "CREATE TABLE IF NOT EXISTS documents (kind TEXT, id TEXT, body TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID"


class Store:
    """A small document store; ``path`` None keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._waiting: dict[tuple[str, str], str | None] = {}
        self._db = None if path is None else _open(path)

    def put(self, kind: str, key: str, body: dict[str, Any]) -> None:
        """Remember a document; it is on disk after the next ``commit``."""
        if self._db is not None:
            self._waiting[kind, key] = json.dumps(body, ensure_ascii=False)

    def drop(self, kind: str, key: str) -> None:
        """Forget a document with the next ``commit``."""
        if self._db is not None:
            self._waiting[kind, key] = None

    def commit(self) -> None:
        """Write all that was put, at once or not at all."""
        if self._db is None or not self._waiting:
            return
        kept = [(kind, key, body) for (kind, key), body in self._waiting.items() if body is not None]
        gone = [key for key, body in self._waiting.items() if body is None]
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", kept)
            self._db.executemany("DELETE FROM documents WHERE kind = ? AND id = ?", gone)
        self._waiting.clear()

    def all(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        """Every committed document of a kind, by id."""
        if self._db is None:
            return []
        rows = self._db.execute("SELECT id, body FROM documents WHERE kind = ? ORDER BY id", (kind,))
        return [(key, json.loads(body)) for key, body in rows]

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            self._db.close()
            self._db = None


def _open(path: Path) -> sqlite3.Connection:
    """The database at ``path``; one that cannot be read is put aside and a fresh one begun."""
    try:
        return _connect(path)
    except (sqlite3.DatabaseError, ValueError) as exc:
        if getattr(exc, "sqlite_errorcode", 0) & 0xFF in _NOT_THE_FILES_FAULT:
            raise
        aside = path.with_name(path.name + ".bad")
        path.replace(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        log.warning("[SIM] 내장 브로커 기록 %s 을(를) 읽을 수 없어 %s 로 옮기고 새로 시작합니다 (%s)", path, aside, exc)
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    # Handled under the simulator's own lock, so any thread may use it.
    database = sqlite3.connect(path, check_same_thread=False, timeout=5)
    try:
        _check_version(database)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")  # survives the death of the process
        database.execute(_SCHEMA)
        _check(database)
    except (sqlite3.DatabaseError, ValueError):
        database.close()
        raise
    return database


def _check_version(database: sqlite3.Connection) -> None:
    """A fresh file takes our version; documents of another one mean nothing to us."""
    [version] = database.execute("PRAGMA user_version").fetchone()
    [tables] = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and version != VERSION:
        raise sqlite3.DatabaseError(f"version {version}")
    if not tables:
        database.execute(f"PRAGMA user_version={VERSION}")


def _check(database: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError or ValueError if anything in the file cannot be read."""
    if database.execute("PRAGMA quick_check").fetchone() != ("ok",):
        raise sqlite3.DatabaseError("quick_check")
    for (body,) in database.execute("SELECT body FROM documents"):
        json.loads(body)
