"""status.json: what the running daemon last did, for whoever looks from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from clock import KST
from files import Disk

VERSION = 2
_encode = json.JSONEncoder(ensure_ascii=False).encode
MOST_BYTES = 1024 * 1024  # a status.json that is larger is not ours


class UnreadableStatus(ValueError):
    """There is no status to read; the message is the Korean reason."""


@dataclass  # not frozen: a frozen one takes four times as long to make, and this happens each minute
class Work:
    """One kind of work: when it was last done well, what came of it, and how old it may be in seconds (None: any)."""

    at: str | None
    result: str
    limit_open: float | None  # while a session runs
    limit_closed: float | None


@dataclass
class Status:
    """One minute's picture. Instants are ISO texts in KST; None means that it has not happened yet."""

    version: int
    mode: str
    pid: int
    written_at: str
    started_at: str
    market_open: bool
    last_quote_at: str | None
    last_quote_symbol: str | None
    last_quote_source: str | None
    quotes: Mapping[str, int]
    token_checked_at: str | None
    token_state: str
    token_expires_at: str | None
    brokers_made_at: str
    recoveries: int
    balance_read_at: str | None = None
    strategy_pass_at: str | None = None
    why_nothing_bought: Mapping[str, str] | None = None  # symbol → reason; 전체: the pass as a whole
    why_nothing_sold: Mapping[str, str] | None = None
    session_opened_at: str | None = None  # of the running session
    session_closes_at: str | None = None
    next_open_at: str | None = None
    stopped_at: str | None = None  # the daemon has ended in good order
    sim_url: str | None = None  # where the embedded broker of this process listens
    work: Mapping[str, Work] = field(default_factory=dict)


def as_document(status: Status) -> dict[str, Any]:
    """As it stands in the file."""
    return {**vars(status), "work": {name: vars(work) for name, work in status.work.items()}}


def write_status(path: Path, document: Mapping[str, Any], disk: Disk) -> None:
    """Replace the file. Raises OSError."""
    disk.replace(path, _encode(document).encode(), durable=False)


def read_status(path: Path) -> dict[str, Any]:
    """What stands in the file, of whatever version. Raises UnreadableStatus."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(MOST_BYTES))
    except FileNotFoundError:
        raise UnreadableStatus(f"{path.name}이 없습니다") from None
    except OSError as exc:
        raise UnreadableStatus(f"{path.name}을 읽을 수 없습니다 ({exc.strerror})") from None
    except (ValueError, RecursionError):
        raise UnreadableStatus(f"{path.name}이 깨져 있습니다 (JSON이 아님)") from None
    if not isinstance(document, dict):
        raise UnreadableStatus(f"{path.name}이 깨져 있습니다 (JSON 객체가 아님)")
    return document


def iso(instant: datetime | None) -> str | None:
    """``2026-11-23T22:00:00+09:00``, in KST."""
    return None if instant is None else _iso(instant)


@lru_cache(maxsize=32)  # from one minute to the next few instants have moved
def _iso(instant: datetime) -> str:
    return instant.astimezone(KST).isoformat(timespec="seconds")
