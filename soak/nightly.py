"""``python -m soak.nightly [--minutes 60]``: fresh seeds for as long as it may take, the planted bugs, the real kills.

The first seed is the date, so that every night looks somewhere else. What breaks is kept and shrunk in ``failures/``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from clock import KST, SystemClock
from soak.command import tell_failures
from soak.hunt import hunt, table
from soak.mutants import MUTANTS
from soak.report import render
from soak.runner import Job, Summary, draw_plans, run_all

ROOT = Path(__file__).parents[1]
BATCH = 40  # seeds between two looks at the watch
HOUR = 3600.0  # seconds
SHARES = {"core": 0.6, "http": 0.15, "mutants": 0.2}  # of the time; the rest is for the kills


def main() -> int:
    """1 where an invariant broke, a planted bug was not caught, or a killed process did not come back right."""
    parser = argparse.ArgumentParser(prog="soak.nightly", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    minutes = parser.parse_args().minutes
    first = int(f"{SystemClock().now().astimezone(KST):%Y%m%d}") * 1000
    good = all(
        [
            _sweep("core", first, minutes * 60 * SHARES["core"]),
            _sweep("http", first + 500_000, minutes * 60 * SHARES["http"]),
            _mutants(first, minutes * 60 * SHARES["mutants"]),
            _kills(),
        ]
    )
    return 0 if good else 1


def _sweep(level: str, first: int, seconds: float) -> bool:
    """Fresh seeds of two days until the time is over."""
    whole, started = Summary(), time.perf_counter()
    while time.perf_counter() - started < seconds and not whole.failures:
        seeds = range(first + whole.runs, first + whole.runs + BATCH)
        whole.add(run_all([Job(plan, "http" if level == "http" else "core") for plan in draw_plans(seeds, 2, "all")]))
    print(render(whole, f"{level} · 고장 all · 씨앗 {first}부터"), flush=True)
    tell_failures(whole, None, shrinks=True)
    return not whole.failures


def _mutants(first: int, seconds: float) -> bool:
    """Every planted bug on as many fresh seeds as fit."""
    each = seconds / len(MUTANTS)
    seeds = range(first, first + max(10, int(each)))
    catches = [hunt(name, seeds, keep=False) for name in MUTANTS]
    print(table(catches), flush=True)
    return all(catch.caught for catch in catches)


def _kills() -> bool:
    """Real processes, killed at every point."""
    command = [sys.executable, "-m", "soak.processes"]
    return subprocess.run(command, cwd=ROOT, check=False, timeout=HOUR).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
