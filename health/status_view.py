"""`python main.py status`: what the running daemon last did, and whether it is working. Reads status.json only."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from clock import KST, Clock
from config import Settings
from health.status import UnreadableStatus, read_status
from health.terminal import (
    CLEAR,
    GREEN,
    RED,
    WIDTH,
    YELLOW,
    coloured,
    knows_colours,
    padded,
    plain,
    prepare,
    screen_lines,
    shortened,
    wrapped,
)
from health.verdict import Level, Row, Verdict, instant, judge, span, stalled
from process import signals_set
from strategy import WHOLE_PASS

REFRESH = 2.0  # seconds
COLOURS = {Level.GOOD: GREEN, Level.LATE: YELLOW, Level.STALLED: RED}
CODES = {Level.GOOD: "ok", Level.LATE: "late", Level.STALLED: "stalled"}
REASONS = {"why_nothing_bought": "왜 사지 않았나", "why_nothing_sold": "왜 팔지 않았나"}
COLUMNS = (("일", 10), ("마지막", 13), ("지난 시간", 12), ("한도", 12), ("", 5))


def show_status(settings: Settings, clock: Clock, *, watch: bool, as_json: bool) -> int:
    """The command: 0 while the daemon works, be it late; 1 when it is stalled or not running."""
    prepare()
    stop = threading.Event()
    if not watch:
        return _show_once(settings, clock, as_json=as_json)
    with signals_set(stop):
        while True:
            code = _show_once(settings, clock, as_json=as_json, watch=True)
            if clock.wait(stop, REFRESH):
                return code


def _show_once(settings: Settings, clock: Clock, *, as_json: bool, watch: bool = False) -> int:
    document, verdict = look(settings, clock.now())
    if as_json:
        print(json.dumps(as_document(document, verdict), ensure_ascii=False), flush=True)
    else:
        text = "\n".join(render(document, verdict, clock.now(), colours=knows_colours(sys.stdout)))
        print(_on_a_screen(text) if watch and sys.stdout.isatty() else text, flush=True)
    return 1 if verdict.level is Level.STALLED else 0


def look(settings: Settings, now: datetime) -> tuple[dict[str, Any], Verdict]:
    """What status.json says at ``now``, judged."""
    try:
        document = read_status(settings.status_file)
    except UnreadableStatus as exc:
        return {}, stalled(f"{exc}. 시작하기: python main.py")
    return document, judge(document, now, alive=is_alive(document.get("pid")))


def is_alive(pid: object) -> bool:
    """Whether a process of this number is there; a number that cannot be read is given the benefit of the doubt."""
    if not isinstance(pid, int) or pid <= 1:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def as_document(document: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    """The verdict for a machine."""
    return {
        "verdict": verdict.level.value,
        "code": CODES[verdict.level],
        "reasons": list(verdict.reasons),
        "market_open": verdict.market_open,
        "work": {
            row.key: {
                "verdict": row.level.value,
                "at": row.at.isoformat(timespec="seconds") if row.at else None,
                "age_seconds": row.age,
                "limit_seconds": row.limit,
                "result": row.result,
            }
            for row in verdict.rows
        },
        **{key: _reasons(document, key) for key in REASONS},
        "status": dict(document),
    }


def render(document: Mapping[str, Any], verdict: Verdict, now: datetime, *, colours: bool) -> Iterator[str]:
    """The table, in lines of at most 80 columns."""
    yield f"AutoStock {coloured(verdict.level.value, COLOURS[verdict.level], on=colours)}{_facts(document, now)}"
    for reason in verdict.reasons:
        yield from wrapped(f"! {reason}", WIDTH, indent=2)
    if not verdict.rows:
        return
    if not isinstance(document.get("work"), dict):
        yield "(옛 판의 status.json입니다. 데몬을 다시 시작하면 모두 보입니다)"
    yield ""
    yield "".join(padded(heading, width) for heading, width in COLUMNS) + "결과"
    for row in verdict.rows:
        yield _line(row, now, colours)
    for key, title in REASONS.items():
        yield from _why(title, _reasons(document, key))


def _facts(document: Mapping[str, Any], now: datetime) -> str:
    """Mode, process, uptime and market, as far as the document knows them."""
    parts = [plain(document["mode"])] if isinstance(document.get("mode"), str) else []
    if isinstance(document.get("pid"), int):
        parts.append(f"pid {document['pid']}")
    if started := instant(document.get("started_at")):
        parts.append(f"가동 {span(max(0.0, (now - started).total_seconds()))}")
    if closes := instant(document.get("session_closes_at")):
        parts.append(f"시장 열림 (마감 {closes.astimezone(KST):%H:%M})")
    elif opens := instant(document.get("next_open_at")):
        parts.append(f"시장 닫힘 (개장 {_when(opens, now)})")
    return shortened("".join(f" · {part}" for part in parts), WIDTH - 14)


def _line(row: Row, now: datetime, colours: bool) -> str:
    name, last, age, limit, verdict = (width for _, width in COLUMNS)
    cells = (
        padded(row.name, name),
        padded(_when(row.at, now, seconds=True) if row.at else "아직 없음", last),
        padded(span(max(0.0, row.age)) if row.age is not None else "", age),
        padded(span(row.limit) if row.limit is not None else "-", limit),
        coloured(padded(row.level.value, verdict), COLOURS[row.level], on=colours),
    )
    rest = WIDTH - sum(width for _, width in COLUMNS)
    return ("".join(cells) + shortened(plain(row.result), rest)).rstrip()


def _why(title: str, reasons: Mapping[str, str]) -> Iterator[str]:
    """Symbols with the same reason share a line."""
    if not reasons:
        return
    yield ""
    yield f"{title} (지난 차례)"
    grouped: dict[str, list[str]] = {}
    for symbol, reason in reasons.items():
        grouped.setdefault(reason, []).append(symbol)
    for reason, symbols in sorted(grouped.items(), key=lambda group: WHOLE_PASS not in group[1]):
        yield from ("  " + line for line in wrapped(f"{' '.join(symbols)}: {reason}", WIDTH - 2, indent=2))


def _reasons(document: Mapping[str, Any], key: str) -> dict[str, str]:
    """Symbol → reason; a file may hold anything."""
    found = document.get(key)
    if not isinstance(found, dict):
        return {}
    return {plain(str(symbol)): plain(str(reason)) for symbol, reason in found.items()}


def _when(at: datetime, now: datetime, *, seconds: bool = False) -> str:
    there, here = at.astimezone(KST), now.astimezone(KST)
    if there.date() != here.date():
        return f"{there:%m-%d %H:%M}"
    return f"{there:%H:%M:%S}" if seconds else f"{there:%H:%M}"


def _on_a_screen(text: str) -> str:
    """As much as the terminal holds, in the place of what was there."""
    lines, room = text.splitlines(), screen_lines() - 1
    if len(lines) > room > 2:
        lines = [*lines[: room - 1], f"(외 {len(lines) - room + 1}줄: python main.py status)"]
    return CLEAR + "\n".join(lines)
