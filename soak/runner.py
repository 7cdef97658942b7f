"""Runs many plans on all cores, each in a process of its own share, and gathers what they saw."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from multiprocessing.pool import IMapIterator
from typing import Any

from soak.drawing import calendar, draw
from soak.mutants import planted
from soak.plan import Plan
from soak.shrink import Shrinker
from soak.tally import Tally
from soak.world import Level, Result, run_plan

Progress = Callable[[int, int], None]  # virtual days over, violations so far
MOST_RUNS = 300  # of a worker, before a fresh one takes its place: to start one takes three seconds


@dataclass(frozen=True)
class Job:
    """A plan to run, at a level, with a planted bug or without."""

    plan: Plan
    level: Level = "core"
    mutant: str | None = None


@dataclass
class Summary:
    """All runs together."""

    seconds: float = 0.0
    runs: int = 0
    tally: Tally = field(default_factory=Tally)
    failures: list[Result] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)

    def take(self, result: Result) -> None:
        """One more run."""
        self.runs += 1
        self.tally.add(result.tally)
        self.digests.append(result.digest)
        if result.violation is not None:
            self.failures.append(result)

    def add(self, other: Summary) -> None:
        """Another batch of runs."""
        self.seconds += other.seconds
        self.runs += other.runs
        self.tally.add(other.tally)
        self.failures += other.failures
        self.digests += other.digests


def perform(job: Job) -> Result:
    """Run one job here."""
    with planted(job.mutant):
        return run_plan(job.plan, job.level)


def draw_plans(seeds: Iterable[int], days: int, faults: str, start: str | None = None) -> list[Plan]:
    """A plan for each seed; every tenth run of two days becomes one of eight, so that weekends turn over as well."""
    return [draw(seed, 8 if days == 2 and seed % 10 == 9 else days, faults, start) for seed in seeds]


def run_all(
    jobs: Sequence[Job], *, progress: Progress = lambda days, failures: None, stop_at_failure: bool = True
) -> Summary:
    """Every job, on as many cores as there are; ends early at the first violation if that is wanted."""
    summary, started = Summary(), time.perf_counter()
    longest_first = sorted(jobs, key=lambda job: -job.plan.days)  # so that no core waits for another at the end
    for result in results_of(longest_first, lambda days: progress(days, len(summary.failures))):
        summary.take(result)
        summary.seconds = time.perf_counter() - started
        if summary.failures and stop_at_failure:
            break
    return summary


def results_of(jobs: Sequence[Job], progress: Callable[[int], None] = lambda days: None) -> Iterator[Result]:
    """What each job came to, in their order, as soon as it is known; meanwhile the virtual days that are over."""
    cores = min(os.cpu_count() or 1, len(jobs))
    context = multiprocessing.get_context("spawn")
    days = context.Value("i", 0)
    with context.Pool(cores, _settle, (days,), maxtasksperchild=MOST_RUNS) as pool:
        results = pool.imap(_perform_counted, jobs)
        for _ in jobs:
            yield _awaited(results, lambda: progress(days.value))


def _awaited(results: IMapIterator[Result], meanwhile: Callable[[], None]) -> Result:
    """The next result, however long it takes."""
    while True:
        meanwhile()
        try:
            return results.next(timeout=1.0)
        except multiprocessing.TimeoutError:
            continue


def _perform_counted(job: Job) -> Result:
    """In a worker: count each virtual day that is over."""
    with planted(job.mutant):
        return run_plan(job.plan, job.level, _count_day)


_days_over: Any = None  # of a worker: the counter that all of them share


def _count_day() -> None:
    with _days_over.get_lock():
        _days_over.value += 1


def _settle(days: Any) -> None:
    """Load what every run needs, once, and keep the garbage collector from going through it again and again."""
    calendar().recent(date(2026, 11, 23), 1)  # any date will do
    gc.collect()
    gc.freeze()
    global _days_over
    _days_over = days


def shrink(result: Result, mutant: str | None = None) -> tuple[Plan, int]:
    """The smallest plan that breaks the same invariant, and how many runs it took to find it."""
    assert result.violation is not None
    wanted = result.violation.invariant

    def breaks(plan: Plan) -> bool:
        violation = perform(Job(plan, result.level, mutant)).violation
        return violation is not None and violation.invariant == wanted

    shrinker = Shrinker(breaks)
    return shrinker.shrink(result.plan, result.violation.at), shrinker.runs
