"""The real daemon on a virtual clock in a process of its own: ``python -m benchmarks.resident``.

Asked a list of virtual hours, it runs from its start to the last of them and answers what it had used by each.
"""

from __future__ import annotations

import gc
import json
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.daemons import HOST, fresh_daemon, inside, settings_for
from benchmarks.workers import answer
from clock import KST, VirtualClock
from scheduler import TradingScheduler
from simulator import Options, Simulator

START = datetime(2026, 11, 21, 10, 0, tzinfo=KST)  # a Saturday: New York is closed until Monday, 23:30 KST
WATCHLIST = {
    "filter_stocks": {"NVDA": True},
    "watch_list": ["SOUN", "IONQ"],
    "exchanges": {"NVDA": "나스닥", "SOUN": "나스닥", "IONQ": "뉴욕"},
}
CALLS_PER_SECOND = 15.0
LATENCY = 0.12  # virtual seconds before each answer
KEEP_DAYS = 3  # of the broker's own ended orders


def main() -> None:
    """Answer one request."""
    folder = Path.cwd()
    (folder / "stocks.json").write_text(json.dumps(WATCHLIST), "utf-8")
    settings = settings_for(
        folder,
        HOST,
        sim_hours="nyse",
        stocks_file=folder / "stocks.json",
        kis_calls_per_second=CALLS_PER_SECOND,
    )
    clock = VirtualClock(START)
    sim = Simulator(clock, options=Options(hours="nyse", latency=LATENCY, keep_days=KEEP_DAYS))
    with fresh_daemon(settings, lambda: inside(sim), clock) as daemon:
        answer("ready", lambda hours: _run(daemon, clock, hours))
    sim.close()


def _run(daemon: TradingScheduler, clock: VirtualClock, hours: list[float]) -> list[dict[str, Any]]:
    readings: list[dict[str, Any]] = []
    for hour in hours:
        clock.at(START + timedelta(hours=hour), lambda: readings.append(_reading(daemon)))
    clock.at(START + timedelta(hours=hours[-1]), daemon.stop.set)
    daemon.run()
    return readings


def _reading(daemon: TradingScheduler) -> dict[str, Any]:
    """What the process has used so far: memory and log in bytes, processor time in seconds."""
    cpu = time.process_time()
    gc.collect()
    files = daemon.settings.log_path.parent.glob(daemon.settings.log_path.name + "*")
    return {"memory": _resident(), "cpu": cpu, "log": sum(file.stat().st_size for file in files)}


def _resident() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
