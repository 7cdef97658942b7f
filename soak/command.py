"""`python main.py soak`: the endurance run on virtual time, its progress, its block and its exit status."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from soak.kinds import KINDS
from soak.mutants import MUTANTS
from soak.plan import Plan, read_plan, to_json
from soak.report import as_dict, failure_block, render
from soak.runner import Job, Progress, Summary, draw_plans, run_all, shrink
from soak.tally import SOMETIMES
from soak.world import Result

EXIT_OK, EXIT_FAILED, EXIT_WRONG = 0, 1, 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="main.py soak", description="가상 시간으로 몇 달을 돌려 증명한다")
    parser.add_argument("--days", type=int, default=2, help="가상 일수 (기본 2)")
    parser.add_argument("--seed", type=int, default=0, help="첫 씨앗 (기본 0)")
    parser.add_argument("--seeds", type=int, default=1, help="씨앗을 몇 개나 (기본 1)")
    parser.add_argument("--faults", choices=("none", "night", "all"), default="all", help="고장의 종류 (기본 all)")
    parser.add_argument(
        "--level", choices=("core", "http"), default="core", help="http: 진짜 requests와 yfinance를 거침"
    )
    parser.add_argument("--start", metavar="날짜", help="시작하는 날 YYYY-MM-DD (기본: 씨앗이 고름)")
    parser.add_argument("--plan", type=Path, metavar="파일", help="고장 계획을 파일에서 읽어 그대로 다시 돌린다")
    parser.add_argument("--print-plan", action="store_true", help="돌리지 않고 계획을 보인다")
    parser.add_argument("--keep-going", action="store_true", help="위반이 있어도 끝까지")
    parser.add_argument("--no-shrink", action="store_true", help="실패한 계획을 줄이지 않는다")
    parser.add_argument("--all-sometimes", action="store_true", help="가끔 일어나야 할 일이 하나라도 없으면 실패")
    parser.add_argument("--mutant", choices=tuple(MUTANTS), help="일부러 심은 버그 (시뮬레이터의 눈을 시험)")
    parser.add_argument("--json", action="store_true", help="결과를 JSON으로")
    return parser


def run_soak(options: list[str]) -> int:
    """The exit status: 1 for a broken invariant, 2 for options or a plan that cannot be read."""
    arguments = _parser().parse_args(options)
    try:
        plans = _plans(arguments)
    except (OSError, ValueError) as exc:
        print(f"계획을 읽을 수 없습니다: {exc}", file=sys.stderr)
        return EXIT_WRONG
    if arguments.print_plan:
        print("\n".join(map(to_json, plans)))
        return EXIT_OK
    jobs = [Job(plan, arguments.level, arguments.mutant) for plan in plans]
    with tqdm(total=sum(p.days for p in plans), unit="일", disable=None, file=sys.stderr) as bar:
        summary = run_all(jobs, progress=_progress(bar), stop_at_failure=not arguments.keep_going)
    title = f"{arguments.level} · 고장 {arguments.faults}"
    print(json.dumps(as_dict(summary), ensure_ascii=False) if arguments.json else render(summary, title))
    tell_failures(summary, arguments.mutant, shrinks=not (arguments.no_shrink or arguments.plan))
    unseen = summary.tally.unseen() if arguments.all_sometimes else []
    if unseen:
        print(f"{len(SOMETIMES)}가지 가운데 한 번도 일어나지 않은 것: {', '.join(unseen)}", file=sys.stderr)
    return EXIT_FAILED if summary.failures or unseen else EXIT_OK


def _plans(arguments: argparse.Namespace) -> list[Plan]:
    """Raises OSError, ValueError."""
    if arguments.plan:
        plan = read_plan(arguments.plan)
        unknown = sorted({event.kind for event in plan.events} - set(KINDS))
        if unknown:
            raise ValueError(f"모르는 사건: {', '.join(unknown)}")
        return [plan]
    if arguments.days < 1 or arguments.seeds < 1:
        raise ValueError("--days와 --seeds는 1 이상이어야 합니다")
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    return draw_plans(seeds, arguments.days, arguments.faults, arguments.start)


def _progress(bar: tqdm[NoReturn]) -> Progress:
    def show(days: int, failures: int) -> None:
        bar.n = days
        bar.set_postfix({"위반": failures}, refresh=False)
        bar.refresh()

    return show


def tell_failures(summary: Summary, mutant: str | None, *, shrinks: bool) -> None:
    """Keep the plan of each failure in ``failures/``, and where wanted the smallest one that breaks the same."""
    for failure in summary.failures:
        print(_told(failure, mutant, shrinks=shrinks), file=sys.stderr)


def _told(failure: Result, mutant: str | None, *, shrinks: bool) -> str:
    folder = Path("failures")
    folder.mkdir(exist_ok=True)
    path = folder / f"{failure.plan.seed}.json"
    path.write_text(to_json(failure.plan), "utf-8")
    if not shrinks:
        return failure_block(failure, _commit(), path, None)
    plan, runs = shrink(failure, mutant)
    path = folder / f"{failure.plan.seed}.min.json"
    path.write_text(to_json(plan), "utf-8")
    return failure_block(failure, _commit(), path, (len(failure.plan.events), len(plan.events), runs))


def _commit() -> str:
    """Which commit this is; a dash outside of a checkout."""
    here = Path(__file__).parent
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "–"
    return asked.stdout.strip()
