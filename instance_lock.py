"""One process per account: a lock that the kernel drops when the process dies, whatever way it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from errors import AlreadyRunning


class InstanceLock:
    """Holds the lock file open. The file is never removed: a second process could then lock a new one."""

    def __init__(self, path: Path) -> None:
        """Take the lock. Raises AlreadyRunning, naming the process that holds it, or OSError."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._handle, 20).decode(errors="replace").strip() or "?"
            os.close(self._handle)
            raise AlreadyRunning(holder) from None
        os.ftruncate(self._handle, 0)
        os.write(self._handle, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._handle)


def holder(path: Path) -> str | None:
    """Who holds the lock, or None. Looks without keeping it and makes no file. Raises OSError."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(handle, 20).decode(errors="replace").strip() or "?"
    finally:
        os.close(handle)
    return None


def lock_path(mode: str, data_dir: Path, account_mark: str, environment_home: Path) -> Path:
    """Where the lock lies: by account in the user's state folder, so that two folders cannot trade one account.

    The embedded broker of ``sim`` belongs to its folder, and so does its lock.
    """
    if mode == "sim":
        return data_dir / "autostock-sim.lock"
    return environment_home / "autostock" / f"{account_mark}.lock"
