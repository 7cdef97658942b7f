"""status.json: what the running daemon last did, for whoever looks from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from files import Disk

VERSION = 1


@dataclass(frozen=True)
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


def write_status(path: Path, status: Status, disk: Disk) -> None:
    """Replace the file. Raises OSError."""
    disk.replace(path, json.dumps(vars(status), ensure_ascii=False, indent=2).encode(), durable=False)


def iso(instant: datetime | None) -> str | None:
    """``2026-11-23T22:00:00+09:00``."""
    return None if instant is None else instant.isoformat(timespec="seconds")
