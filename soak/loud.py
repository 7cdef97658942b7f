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
IN_BETWEEN = 15.0  # seconds
LINES = 5000  # warnings kept; a window between two healings has far fewer


@dataclass(frozen=True)
class Words:
    """A pattern for a line at WARNING or above, and after how many strikes it must be there."""

    pattern: str
    strikes: int = 1
    folded: float = 0.0  # seconds for which the same line is not said again
    survives: bool = False  # it is said by the next life where this one ended before it could


_ORDER = Words(r"\[ORDER\] .*(결과 불명|보내지 못함|거부|가릴 수 없음|응답을 기록하기 전)")
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
    **dict.fromkeys(("order_refused", "order_dns", "order_unreachable"), _ORDER),
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
        self._fired: list[tuple[str, int, float]] = []  # faults of the broker: kind, strikes, since when
        self._orders: list[float] = []  # when an answer to an order was not a good one
        self._heard: deque[tuple[float, str]] = deque(maxlen=LINES)

    def strike(self, kind: str) -> None:
        """Something has been done to the daemon that it must tell; the first of a kind in a life is enough."""
        if self._struck.get(kind, float("-inf")) <= self._world.restarted_at:
            self._struck[kind] = self._world.clock.monotonic()

    def undone(self, kind: str) -> None:
        """It is as before, and so soon that nobody can have seen it."""
        if self._world.clock.monotonic() - self._struck.get(kind, float("-inf")) < UNSEEN:
            del self._struck[kind]

    def fired(self, kind: str, fault: Fault, since: float) -> None:
        """A fault that has done all it will do; one that strikes by chance may have been mended by a retry."""
        if fault.chance == 1.0:
            self._fired.append((kind, fault.fired, since))

    def order_spoilt(self) -> None:
        """An order has left, and what came back says neither yes nor that it is on the books."""
        self._orders.append(self._world.clock.monotonic())

    def hear(self, text: str) -> None:
        """A line at WARNING or above."""
        self._heard.append((self._world.clock.monotonic(), text))

    def check(self) -> None:
        """Everything that has struck must have been said. Raises Broken."""
        for at in self._orders:
            died = 0 <= self._world.died_at - at < IN_BETWEEN  # on disk, and the words never came out
            if not died and not self._was_said(_ORDER.pattern, at):
                self._world.broken("F6", "an order had no good answer and nothing in the log says so")
        for kind, times, at in [*((kind, 1, at) for kind, at in self._struck.items()), *self._fired]:
            words = LOUD.get(kind)
            if words is None or times < words.strikes or (self._world.restarted_at >= at and not words.survives):
                continue
            self._world.tally.checks["F6"] += 1
            if not self._was_said(words.pattern, at - words.folded):
                self._world.broken("F6", f"«{kind}» struck {times} times and nothing in the log says so")

    def forget(self) -> None:
        """A new window begins."""
        self._struck.clear()
        self._fired.clear()
        self._orders.clear()
        self._heard.clear()

    def _was_said(self, pattern: str, since: float) -> bool:
        return any(at >= since and re.search(pattern, text) for at, text in self._heard)
