"""F6: what went wrong can be read in the log. For each kind of fault the words that must stand there once it struck.

A fault that a retry has mended says nothing, and rightly so; ``strikes`` is how many of them no retry can mend.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator import Fault

if TYPE_CHECKING:
    from soak.world import World

UNSEEN = 15.0  # seconds; the loop looks at the clocks every ten
FOLDED = 600.0  # seconds (design "Log lines")
LINES = 5000  # warnings kept; a window between two healings has far fewer


@dataclass(frozen=True)
class Words:
    """A pattern for a line at WARNING or above, and after how many strikes it must be there."""

    pattern: str
    strikes: int = 1
    folded: float = 0.0  # seconds for which the same line is not said again
    survives: bool = False  # it is said by the next life where this one ended before it could


_ORDER = Words(r"\[ORDER\] .*(결과 불명|보내지 못함|거부)", survives=True)
_QUOTE = Words(r"\[FALLBACK\]|\[FAIL\]", 10, folded=FOLDED)
_LIST = Words(r"주문내역을 읽지 못함|\] 건너뜀: (?!마감|HALT|하루)|취소 응답|\[REPORT\]", 10)
_KIS = Words(rf"{_QUOTE.pattern}|{_LIST.pattern}", 10, folded=FOLDED)
_TOKEN = Words(r"\[AUTO_RECOVER\]|\[TOKEN_CHECK\]|api_token\.json")
_ISSUE = Words(r"자동 복구 실패|토큰 재발급 실패", 2)  # one may have met another program of the owner
_DISK = Words(r"저장 실패|쓸 수 없|쓰지 못함|데이터베이스")
_CLOCK = Words(r"시계가")

LOUD: dict[str, Words] = {
    # our own acts
    "token_dies": _TOKEN,
    "token_stuck": _TOKEN,
    "file_garbage": _TOKEN,
    "file_foreign": _TOKEN,
    "suspend": Words(r"멈춰 있었습니다|시계가"),
    "clock_step": _CLOCK,
    "ledger_broken": Words(r"파일은 그대로 두고", survives=True),
    "ledger_full": _DISK,
    "token_disk_full": _DISK,
    "status_disk_full": _DISK,
    # the broker's faults
    **dict.fromkeys(("order_refused", "order_dns", "order_unreachable", "order_hang"), _ORDER),
    **dict.fromkeys(("order_reset", "order_lost", "order_closed", "order_half", "order_502", "order_empty"), _ORDER),
    **dict.fromkeys(("order_cut", "order_shape", "order_limit", "order_unlisted", "order_no_number"), _ORDER),
    **dict.fromkeys(("order_denied", "order_token"), _ORDER),
    **dict.fromkeys(("cancel_lost", "cancel_refused"), Words(r"취소 응답")),
    **dict.fromkeys(("quotes_down", "quotes_torn", "quotes_drip", "quotes_shape", "quotes_bad"), _QUOTE),
    **dict.fromkeys(("quotes_blank", "quotes_error"), _QUOTE),
    **dict.fromkeys(("lists_down", "lists_broken", "lists_change", "balance_down"), _LIST),
    **dict.fromkeys(("kis_down", "kis_flaky"), _KIS),
    **dict.fromkeys(("issue_limited", "issue_down", "issue_invalid", "issue_lost"), _ISSUE),
}


class Loudness:
    """What has struck since the last healing, and what the log has said since."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._struck: dict[str, float] = {}
        self._laid: list[tuple[str, Fault, float]] = []
        self._heard: deque[tuple[float, str]] = deque(maxlen=LINES)

    def strike(self, kind: str) -> None:
        """Something has been done to the daemon that it must tell; the first of a kind in a life is enough."""
        if self._struck.get(kind, float("-inf")) <= self._world.restarted_at:
            self._struck[kind] = self._world.clock.monotonic()

    def undone(self, kind: str) -> None:
        """It is as before, and so soon that nobody can have seen it."""
        if self._world.clock.monotonic() - self._struck.get(kind, float("-inf")) < UNSEEN:
            del self._struck[kind]

    def lay(self, kind: str, fault: Fault) -> None:
        """A fault waits for its calls."""
        self._laid.append((kind, fault, self._world.clock.monotonic()))

    def hear(self, text: str) -> None:
        """A line at WARNING or above."""
        self._heard.append((self._world.clock.monotonic(), text))

    def check(self) -> None:
        """Everything that has struck must have been said. Raises Broken."""
        certain = [(kind, fault.fired, at) for kind, fault, at in self._laid if fault.chance == 1.0]
        for kind, times, at in [*((kind, 1, at) for kind, at in self._struck.items()), *certain]:
            words = LOUD.get(kind)
            if words is None or times < words.strikes or (self._world.restarted_at >= at and not words.survives):
                continue
            self._world.tally.checks[f"F6 {kind}"] += 1
            if not self._was_said(words.pattern, at - words.folded):
                self._world.broken("F6", f"«{kind}» struck {times} times and nothing in the log says so")

    def forget(self) -> None:
        """A new window begins."""
        self._struck.clear()
        self._laid.clear()
        self._heard.clear()

    def _was_said(self, pattern: str, since: float) -> bool:
        return any(at >= since and re.search(pattern, text) for at, text in self._heard)
