"""From ``python main.py`` to the first quote in the log."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks import ROOT
from benchmarks.table import Figure, Section, duration, median
from benchmarks.workers import bare_environment, end

RUNS = 3
TARGET = 3.0  # seconds
PATIENCE = 10.0  # seconds
GLANCE = 0.002  # seconds between two looks at the log


def measure(folder: Path) -> Section:
    """The daemon as the owner starts it, each time in a fresh folder."""
    seconds = [_one(folder / f"start-{number}") for number in range(RUNS)]
    middle = median(seconds)
    name = "python main.py부터 첫 [OK] 줄까지"
    figure = Figure(name, duration(middle), "", "≤ 3 s", middle <= TARGET, RUNS)
    return Section("시작 (sim, 새 폴더, 실제 프로세스)", [figure])


def _one(folder: Path) -> float:
    folder.mkdir()
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "main.py")],
        cwd=folder,
        env=bare_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return _first_quote(folder / "trading.log", process, started + PATIENCE) - started
    finally:
        end(process, ask=process.terminate)


def _first_quote(log: Path, process: subprocess.Popen[bytes], give_up_at: float) -> float:
    while process.poll() is None and time.perf_counter() < give_up_at:
        if log.exists() and b"[OK]" in log.read_bytes():
            return time.perf_counter()
        time.sleep(GLANCE)
    raise RuntimeError(f"main.py: {PATIENCE:g}초 안에 시세가 없습니다 (종료 상태 {process.poll()})")
