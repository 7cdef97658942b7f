"""What is printed at the end: the evidence of a run, and the one block of a failure. Pure."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from soak.runner import Summary
from soak.tally import SOMETIMES, Tally
from soak.world import Result

MEGA = 1024 * 1024
NEVER = float("inf")


def render(summary: Summary, title: str) -> str:
    """The block of a whole command."""
    tally = summary.tally
    pace = tally.days / summary.seconds if summary.seconds else 0.0
    rows = [
        (
            "가상 시간",
            f"{tally.days:,.1f}일 ({summary.runs}회) · {summary.seconds:.0f}초 · 초당 {pace:.2f}일 · {title}",
        ),
        ("KIS·Yahoo 호출", f"{sum(tally.calls.values()):,}회 ({_most(tally.calls, 6)})"),
        ("주문", f"보냄 {tally.orders['보냄']:,} · {_most(_without(tally.orders, '보냄'), 9)}"),
        ("결과 불명", _unknowns(tally)),
        ("주문 중 고장", _most(tally.order_faults, 14) or "없음"),
        ("고장", f"{_events(tally.faults):,}건, {_kinds(tally.faults)}종"),
        ("죽음", f"{sum(tally.kills.values()):,}회 ({_most(tally.kills, 12)}) · 시작 {tally.restarts:,}회"),
        ("토큰 발급", _issuances(tally)),
        ("시세", f"{_most(tally.quotes, 4)} · 내준 것 가운데 가장 오래된 것 {tally.oldest_quote:.0f}초"),
        ("재초기화", f"{tally.reinits:,}회"),
        ("루프", f"가장 긴 공백 {tally.longest_gap:.0f}초"),
        ("메모리·디스크", f"최대 {tally.memory:.0f} MB · 폴더 최대 {tally.disk_bytes / MEGA:.1f} MB"),
        ("로그", f"끝에 남은 것 {tally.log_bytes / MEGA:.1f} MB"),
        ("검사", _most(tally.checks, 5)),
        ("가끔 일어나야 할 일", _sometimes(tally)),
        ("위반", str(len(summary.failures))),
    ]
    return "\n".join(f"{name}: {value}" for name, value in rows)


def as_dict(summary: Summary) -> dict[str, Any]:
    """The same for programs."""
    tally = {
        name: (dict(value) if isinstance(value, Counter) else None if value == NEVER else value)
        for name, value in vars(summary.tally).items()
    }
    failures = [
        {"seed": f.plan.seed, "invariant": f.violation.invariant, "text": f.violation.text, "at": f.violation.at}
        for f in summary.failures
        if f.violation is not None
    ]
    pace = summary.tally.days / summary.seconds if summary.seconds else None
    return {
        "runs": summary.runs,
        "seconds": round(summary.seconds, 1),
        "days_per_second": pace,
        "violations": failures,
        "unseen": summary.tally.unseen(),
        "digests": summary.digests,
        **tally,
    }


def failure_block(result: Result, commit: str, path: Path, shrunk: tuple[int, int, int] | None) -> str:
    """What was broken, how small the plan became (events before, after, runs), and how to see it again."""
    assert result.violation is not None
    at = result.plan.begins + timedelta(seconds=result.violation.at)
    plan, when = result.plan, f"{at:%Y-%m-%dT%H:%M:%S%z}"
    lines = [
        f"FAIL seed={plan.seed} days={plan.days} commit={commit} hash={result.digest} at={when}",
        f"  {result.violation.invariant} {result.violation.text}",
    ]
    if shrunk:
        before, after, runs = shrunk
        lines.append(f"  사건 {before}개를 {runs}번 돌려 {after}개로 줄임: {path}")
    lines.append(f"다시 보기: python main.py soak --plan {path} --level {result.level}")
    return "\n".join(lines)


def _most(counts: Counter[str], most: int) -> str:
    return " · ".join(f"{name} {count:,}" for name, count in counts.most_common(most) if count)


def _without(counts: Counter[str], name: str) -> Counter[str]:
    return Counter({key: count for key, count in counts.items() if key != name})


def _unknowns(tally: Tally) -> str:
    names = ("불명 뒤 확인", "부재 판정", "부재 뒤 나타남", "접수 안 됨 확정", "가릴 수 없음")
    told = " · ".join(f"{name} {tally.sometimes[name]:,}" for name in names)
    return f"{tally.orders['unknown']:,}건 → {told}"


def _events(faults: Counter[str]) -> int:
    return sum(count for name, count in faults.items() if not name.endswith("(호출)"))


def _kinds(faults: Counter[str]) -> int:
    return sum(not name.endswith("(호출)") for name in faults)


def _issuances(tally: Tally) -> str:
    apart = "–" if tally.shortest_spacing == NEVER else f"{tally.shortest_spacing:.1f}초"
    causes = _most(tally.causes, 8)
    return f"{_most(tally.issuances, 5)} · 가장 짧은 간격 {apart}" + (f" · 이유: {causes}" if causes else "")


def _sometimes(tally: Tally) -> str:
    unseen = tally.unseen()
    rarest = min((count, name) for name, count in tally.sometimes.items()) if tally.sometimes else (0, "–")
    seen = len(SOMETIMES) - len(unseen)
    missing = f" · 못 본 것: {', '.join(unseen)}" if unseen else f" · 가장 드문 것: {rarest[1]} {rarest[0]}회"
    return f"{seen}/{len(SOMETIMES)}{missing}"
