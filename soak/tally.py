"""What a run has seen: counters that add up over runs, so that «passed» is not the only thing that is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

ORDER_FAULTS = (
    *("refused", "dns", "unreachable", "hang", "drip", "reset", "closed", "half", "html502", "cut", "empty"),
    *("lost_answer", "EGW00123", "EGW00201"),
)
SOMETIMES = (
    *(f"주문 중 {name}" for name in ORDER_FAULTS),
    *(
        "불명 뒤 확인",
        "고장 둘이 겹친 불명",
        "부재 판정",
        "부재 뒤 나타남",
        "접수 안 됨 확정",
        "가릴 수 없음",
        "남의 주문",
        "adopt",
    ),
    *("체결 뒤 취소 거절", "취소로 끝남", "일부 체결 뒤 취소", "접수 뒤 거부", "목록 2쪽 실패", "SYDB0050"),
    *(f"kill {point}" for point in ("before_journal", "before_dial", "before_send", "after_send", "after_record")),
    *(f"kill {point}" for point in ("before_cancel", "after_cancel", "before_issue", "after_issue", "loop")),
    *("kill 커밋", "발급 거절", "발급 답 유실", "같은 토큰 재발급", "개장과 마감을 걸친 절전"),
    *(
        "주문 열린 채 시계 앞으로",
        "주문 열린 채 시계 뒤로",
        "서머타임 시작",
        "서머타임 끝",
        "반일장",
        "휴장",
        "해 넘김",
    ),
    *("주문할 때 디스크 가득", "장부 고장", "시세 KIS", "시세 yfinance", "시세 없음"),
)


@dataclass
class Tally:
    """Counts of everything, and the extremes."""

    calls: Counter[str] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    order_faults: Counter[str] = field(default_factory=Counter)
    issuances: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    quotes: Counter[str] = field(default_factory=Counter)
    sometimes: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    days: float = 0.0
    restarts: int = 0
    reinits: int = 0
    pages: int = 0  # of lists, beyond the first of each
    most_pages: int = 0  # of one list
    log_bytes: int = 0
    disk_bytes: int = 0
    oldest_quote: float = 0.0  # seconds
    longest_gap: float = 0.0  # seconds between two turns of the loop
    shortest_spacing: float = float("inf")  # seconds between two issuance attempts
    memory: float = 0.0  # MB

    def add(self, other: Tally) -> None:
        """Take in another run."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            elif each.name == "shortest_spacing":
                self.shortest_spacing = min(mine, theirs)
            elif each.name in ("oldest_quote", "longest_gap", "memory", "disk_bytes", "most_pages"):
                setattr(self, each.name, max(mine, theirs))
            else:
                setattr(self, each.name, mine + theirs)

    def unseen(self, expected: Iterable[str] = SOMETIMES) -> list[str]:
        """What should have happened sometimes and never did."""
        return [name for name in expected if not self.sometimes[name]]
