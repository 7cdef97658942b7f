"""Files that are swapped whole: a reader sees the old one or the new one, never half of either."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path


class Disk:
    """How state gets onto the disk; a simulation hands in one that fills up, breaks or dies at a chosen write."""

    def connect(self, path: Path | str) -> sqlite3.Connection:
        """Open a database without transactions of Python's own, the owner's alone. Raises sqlite3.Error, OSError."""
        if str(path) != ":memory:":
            Path(path).touch(mode=0o600)
        return sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)

    def replace(self, path: Path, content: bytes, *, mode: int = 0o600, durable: bool = True) -> os.stat_result:
        """``replace_file``."""
        return replace_file(path, content, mode=mode, durable=durable)

    def free_bytes(self, folder: Path) -> int:
        """Bytes that may still be written under ``folder``; 0 where nobody can say."""
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            return 0


def replace_file(path: Path, content: bytes, *, mode: int = 0o600, durable: bool = True) -> os.stat_result:
    """Write beside and swap in: a reader sees the old file or the new one. Raises OSError.

    What comes back is the new file's ``stat`` of before the swap.

    ``durable`` flushes to the disk before and after, for what must survive a power cut.
    """
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        status = fill(handle, content, mode, durable=durable)
        os.replace(beside, path)
    except OSError:
        Path(beside).unlink(missing_ok=True)
        raise
    if durable:
        _flush_folder(path.parent)
    return status


def fill(handle: int, content: bytes, mode: int, *, durable: bool) -> os.stat_result:
    """Write all of it and close; what the file is then."""
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fchmod(handle, mode)
        if durable:
            os.fsync(handle)
        return os.fstat(handle)
    finally:
        os.close(handle)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
