"""``python -m soak.hunt``: which seeds catch which planted bug; and, where asked, the smallest plan of each, to keep.

The simulator is proved too: one that never fails may be blind.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from soak.mutants import MUTANTS
from soak.plan import to_json
from soak.runner import Job, draw_plans, results_of, shrink
from soak.world import Result

KEPT = Path(__file__).parents[1] / "tests" / "mutants"


@dataclass(frozen=True)
class Catch:
    """What became of one planted bug."""

    name: str
    seeds: int  # tried
    first: int | None
    caught: int
    invariants: tuple[str, ...]  # by how often they caught it


def hunt(name: str, seeds: range, *, keep: bool) -> Catch:
    """Try every seed on one bug."""
    caught: list[Result] = []
    for result in results_of([Job(plan, mutant=name) for plan in draw_plans(seeds, 2, "all")]):
        if result.violation is not None:
            caught.append(result)
    names = [result.violation.invariant for result in caught if result.violation]
    order = tuple(sorted(set(names), key=names.count, reverse=True))
    if keep and caught:
        typical = [result for result in caught if result.violation and result.violation.invariant == order[0]]
        _keep(name, min(typical, key=lambda result: len(result.plan.events)))
    return Catch(name, len(seeds), caught[0].plan.seed if caught else None, len(caught), order)


def _keep(name: str, result: Result) -> None:
    """The smallest plan that shows the bug, in place of the one before."""
    assert result.violation is not None
    plan, _ = shrink(result, name)
    KEPT.mkdir(parents=True, exist_ok=True)
    for old in KEPT.glob(f"{name}-*.json"):
        old.unlink()
    (KEPT / f"{name}-{result.violation.invariant}.json").write_text(to_json(plan), "utf-8")


def table(catches: list[Catch]) -> str:
    """For the README."""
    lines = ["| 심은 버그 | 처음 잡은 씨앗 | 잡은 씨앗 | 잡은 불변식 |", "|---|---|---|---|"]
    for catch in catches:
        first = "–" if catch.first is None else str(catch.first)
        caught = f"{catch.caught}/{catch.seeds}"
        lines.append(
            f"| {catch.name} {MUTANTS[catch.name].title} | {first} | {caught} | {', '.join(catch.invariants)} |"
        )
    return "\n".join(lines)


def main() -> int:
    """1 where a bug was caught by no seed."""
    parser = argparse.ArgumentParser(prog="soak.hunt", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="M01,M02")
    parser.add_argument("--keep", action="store_true", help="keep the smallest plan of each in tests/mutants")
    arguments = parser.parse_args()
    started, catches = time.perf_counter(), []
    for name in arguments.only.split(",") if arguments.only else MUTANTS:
        seeds = range(arguments.seed, arguments.seed + arguments.seeds)
        catches.append(hunt(name, seeds, keep=arguments.keep))
        print(f"{catches[-1]} ({time.perf_counter() - started:.0f} s)", file=sys.stderr, flush=True)
    print(table(catches))
    return 0 if all(catch.caught for catch in catches) else 1


if __name__ == "__main__":
    sys.exit(main())
