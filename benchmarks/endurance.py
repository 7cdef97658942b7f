"""What the daemon uses while it runs for weeks: memory, processor, log. Virtual time, no trouble, NYSE's hours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.table import Figure, Section, duration
from benchmarks.workers import Worker

DAY = 24.0  # hours
STARTED = 0.05  # hours after the start
IDLE = (1.0, 25.0)  # Saturday morning to Sunday morning in Seoul: New York is closed
NIGHT = (60.0, 69.0)  # Monday 22:00 to Tuesday 07:00 in Seoul: one whole session
WARM = 7 * DAY  # by then every cache and queue is full
MONTH, YEAR = 30 * DAY, 365 * DAY
PATIENCE = 1500.0  # seconds
GROWTH_LIMIT, LOG_LIMIT = 5e6, 200e3  # bytes


def measure(folder: Path, *, long: bool) -> Section:
    """One run of a month, or with ``long`` of a year; all figures are of the same process."""
    hours = [STARTED, *IDLE, *NIGHT, WARM, MONTH, *([YEAR] if long else [])]
    with Worker("benchmarks.resident", folder=folder / "resident") as worker:
        used = dict(zip(hours, worker.ask(hours, PATIENCE), strict=True))
    title = "오래 켜 둘 때 (가상 시계, 실제 루프와 내장 증권사가 한 프로세스, 관심 종목 3개, 장애 없음)"
    return Section(title, [*_memory(used), *_consumption(used)])


def _memory(used: dict[float, Any]) -> list[Figure]:
    memory = {hour: reading["memory"] for hour, reading in used.items()}
    figures = [
        Figure("상주 메모리: 시작 직후", _megabytes(memory[STARTED])),
        Figure("상주 메모리: 한 달 뒤 (7일째부터)", _megabytes(memory[MONTH]), _growth(memory[MONTH] - memory[WARM])),
    ]
    if YEAR not in memory:
        return [*figures, Figure("상주 메모리: 1년 뒤 (--long)", "재지 않음")]
    grown = memory[YEAR] - memory[WARM]
    return [
        *figures,
        Figure(
            "상주 메모리: 1년 뒤 (7일째부터)", _megabytes(memory[YEAR]), _growth(grown), "< +5 MB", grown < GROWTH_LIMIT
        ),
    ]


def _consumption(used: dict[float, Any]) -> list[Figure]:
    idle = (used[IDLE[1]]["cpu"] - used[IDLE[0]]["cpu"]) / (IDLE[1] - IDLE[0])
    night = used[NIGHT[1]]["log"] - used[NIGHT[0]]["log"]
    return [
        Figure("CPU: 장이 닫힌 한 시간 (가상 하루의 평균)", duration(idle)),
        Figure("로그: 조용한 하룻밤 (22–07시, INFO)", f"{night / 1e3:.0f} kB", "", "< 200 kB", night < LOG_LIMIT),
    ]


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


def _growth(size: float) -> str:
    return f"{size / 1e6:+.1f} MB"
