"""`python main.py adopt`: KIS's state becomes the truth, after a broken database or an order nobody can tell apart.

Shows what it would do, asks, keeps the old file. Sends no order and cancels none.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from books import replay
from errors import KISError
from intents import Intent, State
from ledger import Ledger, LedgerUnwritable
from portfolio import Position

if TYPE_CHECKING:
    from scheduler import TradingScheduler


@dataclass(frozen=True)
class Change:
    """Shares to add to (+) or take from (-) what counts as ours."""

    symbol: str
    quantity: int
    price: Decimal  # USD, of added shares
    reason: str


@dataclass(frozen=True)
class Adoption:
    """What adopting KIS's state would change."""

    changes: tuple[Change, ...]
    closed: tuple[Intent, ...]


def plan_adoption(
    own: dict[str, int], live: Collection[Intent], positions: dict[str, Position], claimed: Collection[str]
) -> Adoption:
    """The changes that make the books agree with KIS. Pure.

    Ours are at most the shares KIS shows; of a ``claimed`` symbol all of them. Orders that are still unsettled after
    the last read are closed: whatever they brought counts as the owner's unless claimed.
    """
    changes = []
    for symbol in sorted({*own, *claimed}):
        held = positions[symbol].quantity if symbol in positions else 0
        counted = own.get(symbol, 0)
        target = held if symbol in claimed else min(counted, held)
        if target != counted:
            price = positions[symbol].average_price if symbol in positions else Decimal(0)
            reason = "--own" if target > counted else "KIS에 그만큼 없음"
            changes.append(Change(symbol, target - counted, price, reason))
    closed = [intent for intent in live if intent.state in (State.UNKNOWN, State.ABSENT, State.AMBIGUOUS)]
    return Adoption(tuple(changes), tuple(closed))


def describe(adoption: Adoption, positions: dict[str, Position], own: dict[str, int]) -> str:
    """What the owner is asked about."""
    lines = ["KIS의 보유 종목:"]
    for position in positions.values():
        mine = own.get(position.symbol, 0)
        lines.append(
            f"  {position.symbol} {position.quantity}주 (평균 ${position.average_price:.4f}, 데몬 몫 {mine}주)"
        )
    if not positions:
        lines.append("  없음")
    lines.append("바뀌는 것:")
    for change in adoption.changes:
        lines.append(f"  {change.symbol}: 데몬 몫 {change.quantity:+d}주 ({change.reason})")
    for intent in adoption.closed:
        order = f"{intent.side.value} {intent.symbol} {intent.quantity}주 ${intent.limit}"
        lines.append(f"  결과를 모르는 주문을 닫음: {order} ({intent.session}, {intent.state.value})")
    if not (adoption.changes or adoption.closed):
        lines.append("  없음: 장부와 KIS가 이미 맞습니다")
    return "\n".join(lines)


def apply_adoption(ledger: Ledger, adoption: Adoption, now: float) -> None:
    """Write it down. Raises LedgerUnwritable."""
    for change in adoption.changes:
        ledger.correct(now, change.symbol, change.quantity, change.price, f"adopt: {change.reason}")
    for intent in adoption.closed:
        ledger.save_intent(replace(intent, state=State.ADOPTED, closed_at=now, ending="adopt"), now)


def set_aside(path: Path, now: datetime) -> Path:
    """Move a database that cannot be used out of the way, with what SQLite keeps beside it. Raises OSError."""
    kept = path.with_name(f"{path.name}.broken-{now:%Y%m%d-%H%M%S}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            shutil.move(part, kept.with_name(kept.name + suffix))
    return kept


def keep_copy(path: Path, now: datetime) -> Path:
    """A copy of a database that is in use. Raises sqlite3.Error, OSError."""
    kept = path.with_name(f"{path.name}.before-adopt-{now:%Y%m%d-%H%M%S}")
    source, target = sqlite3.connect(path), sqlite3.connect(kept)
    try:
        source.backup(target)
    finally:
        target.close()
        source.close()
    kept.chmod(0o600)
    return kept


def own_shares(ledger: Ledger) -> dict[str, int]:
    """What counts as ours by the books."""
    return dict(replay(ledger.fills()).quantities)


def run_adopt(daemon: TradingScheduler, *, own: str, sure: bool) -> int:
    """The command: read KIS, show, ask, write. The exit status."""
    settings = daemon.settings
    claimed = frozenset(symbol.strip().upper() for symbol in own.split(",") if symbol.strip())
    try:
        daemon.check_and_refresh_token()
        listed = daemon.trader.read_for_adoption()
    except KISError as exc:
        print(f"KIS를 읽지 못해 아무것도 바꾸지 않았습니다: {exc}")
        return 1
    broken = daemon.ledger.fault is not None
    shares = own_shares(daemon.ledger)
    adoption = plan_adoption(shares, daemon.trader.live_intents(), listed, claimed)
    print(describe(adoption, listed, shares))
    if not (broken or adoption.changes or adoption.closed):
        return 0
    if broken:
        print(f"{settings.database_file.name} 사용 불가 ({daemon.ledger.fault}): 옆으로 옮기고 새로 만듭니다.")
        print("데몬이 산 주식이 있었다면 --own 종목,종목 으로 알려 주세요. 나머지는 직접 사신 것으로 봅니다.")
    if not sure and not _confirmed():
        print("아무것도 바꾸지 않았습니다.")
        return 0
    try:
        kept = _write(daemon, adoption, broken)
    except (LedgerUnwritable, sqlite3.Error, OSError) as exc:
        print(f"다 쓰지 못했습니다 ({exc}). 디스크에 자리를 만든 뒤 adopt를 다시 실행하세요.")
        return 1
    print(f"받아들였습니다. 옛 장부: {kept}")
    return 0


def _confirmed() -> bool:
    try:
        answer = input("이대로 받아들일까요? [y/N] ")
    except (EOFError, KeyboardInterrupt):
        return False
    return answer.strip().lower() in ("y", "yes", "ㅛ", "예", "네")


def _write(daemon: TradingScheduler, adoption: Adoption, broken: bool) -> Path:
    path, now = daemon.settings.database_file, daemon.clock.now()
    if not broken:
        kept = keep_copy(path, now)
        apply_adoption(daemon.ledger, adoption, now.timestamp())
        return kept
    kept = set_aside(path, now)
    with closing(Ledger(path, daemon.settings.account_mark)) as ledger:
        apply_adoption(ledger, adoption, now.timestamp())
    return kept
