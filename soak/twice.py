"""``python -m soak.twice``: the same seed is the same run, to the last byte of events, log and database (A21).

Each seed runs twice in one process, and once more in another with other hashes of strings and another time zone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

from soak.drawing import draw
from soak.plan import Plan
from soak.runner import Job, perform

ROOT = Path(__file__).parents[1]
HOUR = 3600.0  # seconds
ELSEWHERE = {"PYTHONHASHSEED": "1", "TZ": "Asia/Seoul"}


def digests_of(plan: Plan) -> tuple[str, str]:
    """What two runs in this process come to."""
    return perform(Job(plan)).digest, perform(Job(plan)).digest


def elsewhere(seed: int, seeds: int, days: int) -> list[str]:
    """What one run of each seed comes to in processes that are set up differently."""
    span = ["--seed", str(seed), "--seeds", str(seeds), "--days", str(days)]
    command = [sys.executable, "-m", "soak.twice", "--once", *span]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **ELSEWHERE}, stdout=subprocess.PIPE, check=True, timeout=HOUR
    )
    found: list[str] = json.loads(done.stdout)
    return found


def once(plan: Plan) -> str:
    """What one run comes to."""
    return perform(Job(plan)).digest


def main() -> int:
    """1 where two runs of one seed differ."""
    parser = argparse.ArgumentParser(prog="soak.twice", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--once", action="store_true", help="only print the digests, as JSON")
    arguments = parser.parse_args()
    plans = [draw(seed, arguments.days) for seed in range(arguments.seed, arguments.seed + arguments.seeds)]
    with multiprocessing.get_context("spawn").Pool(min(os.cpu_count() or 1, len(plans))) as pool:
        if arguments.once:
            print(json.dumps(pool.map(once, plans, chunksize=1)))
            return 0
        pairs = pool.map(digests_of, plans, chunksize=1)
    others = elsewhere(arguments.seed, arguments.seeds, arguments.days)
    runs = zip(plans, pairs, others, strict=True)
    differing = [plan.seed for plan, pair, other in runs if len({*pair, other}) > 1]
    print(f"결정론: {len(plans) - len(differing)}/{len(plans)} 같음", *(f"씨앗 {seed} 다름" for seed in differing))
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
