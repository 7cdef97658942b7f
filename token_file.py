"""api_token.json: the only copy of the access token. Written whole or not at all, readable by its owner only."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from clock import KST
from files import Disk
from kis_transport import token_mark


@dataclass(frozen=True)
class Token:
    """One access token and how long KIS says it lives."""

    value: str = field(repr=False)
    expires_at: datetime  # aware, KST
    created_at: datetime  # aware, KST

    @cached_property
    def mark(self) -> str:
        """A fingerprint that may be logged and stored."""
        return token_mark(self.value)


class UnusableFile(ValueError):
    """The file is there and holds no token of ours; the message is a short Korean reason."""


Signature = tuple[int, int, int]


class TokenFile:
    """The file, and a cheap way to see that somebody else has deleted or replaced it."""

    def __init__(self, path: Path, key_mark: str, mode: str, disk: Disk | None = None) -> None:
        self.path = path
        self._name = str(path)  # it is asked for at each call, and a Path takes its time
        self._key_mark = key_mark
        self._mode = mode
        self._disk = disk or Disk()

    def signature(self) -> Signature | None:
        """What changes when the file does; None when there is no file. Costs one ``stat``."""
        try:
            return _signature(os.stat(self._name))
        except OSError:
            return None

    def read(self) -> Token:
        """The token in the file.

        A file without marks of key and mode, as another program may write it, is judged by its expiry alone.
        Raises FileNotFoundError, or UnusableFile for everything that is no token of this key and mode.
        """
        try:
            document = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise UnusableFile(f"읽을 수 없음 ({exc.strerror})") from None
        except (ValueError, RecursionError):
            raise UnusableFile("JSON이 아님") from None
        if not isinstance(document, dict):
            raise UnusableFile("JSON 객체가 아님")
        self._close_to_others()
        return self._token(document)

    def write(self, token: Token) -> Signature:
        """Replace the file in one step; its signature, taken before anybody else can touch it.

        Raises OSError; the old file is then untouched.
        """
        document = {
            "access_token": token.value,
            "expires_at": token.expires_at.timestamp(),
            "expires_datetime": token.expires_at.astimezone(KST).isoformat(),
            "created_at": token.created_at.timestamp(),
            "app_key_mark": self._key_mark,
            "mode": self._mode,
        }
        status = self._disk.replace(self.path, json.dumps(document, indent=2).encode(), mode=0o600)
        return _signature(status)

    def sweep(self) -> None:
        """Remove what a kill in the middle of a write has left behind: it holds a token."""
        for left in self.path.parent.glob(f".{self.path.name}.*.tmp"):
            with suppress(OSError):
                left.unlink()

    def _token(self, document: dict[str, Any]) -> Token:
        if document.get("app_key_mark", self._key_mark) != self._key_mark:
            raise UnusableFile("다른 앱키의 토큰")
        if document.get("mode", self._mode) != self._mode:
            raise UnusableFile("다른 모드의 토큰")
        value = document.get("access_token")
        if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
            raise UnusableFile("access_token 없음")
        expires_at = _instant(document.get("expires_at"))
        if expires_at is None:
            raise UnusableFile("expires_at 없음")
        return Token(value, expires_at, _instant(document.get("created_at")) or expires_at)

    def _close_to_others(self) -> None:
        if self.path.stat().st_mode & 0o077:
            try:
                self.path.chmod(0o600)
            except OSError:
                raise UnusableFile("다른 사용자가 읽을 수 있음") from None


def _signature(status: os.stat_result) -> Signature:
    return (status.st_mtime_ns, status.st_ino, status.st_size)


def _instant(epoch: object) -> datetime | None:
    if isinstance(epoch, bool) or not isinstance(epoch, int | float):
        return None
    try:
        return datetime.fromtimestamp(epoch, KST)
    except (OverflowError, ValueError, OSError):
        return None
