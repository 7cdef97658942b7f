"""The life of an order intent, as pure functions: what an answer means, what KIS's lists prove, what may follow.

KIS has no client order id and no idempotency key, so an intent is sent once and everything after that is reading:
prepared → sent → open | refused | not sent | unknown, and unknown is settled by complete reads of KIS's order list,
never by sending again (design §5 "Orders").
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

from clock import NEW_YORK
from errors import KISRefusal
from kis_transport import Answer
from portfolio import OrderRow, Side, order_number


class State(Enum):
    """Where an intent stands."""

    PREPARED = "prepared"  # on disk; no byte has left
    SENT = "sent"  # a request may be on its way
    OPEN = "open"  # accepted and bound to KIS's number
    UNKNOWN = "unknown"  # no definite answer: the symbol is frozen and KIS's lists are read
    ABSENT = "absent"  # several complete reads do not show it: still watched, cash and symbol stay reserved
    AMBIGUOUS = "ambiguous"  # several orders could be it: a person must say
    REFUSED = "refused"
    NOT_SENT = "not sent"
    NOT_ACCEPTED = "not accepted"  # the day is over and complete reads never showed it
    DONE = "done"  # filled, partly filled and cancelled, cancelled, expired
    ADOPTED = "adopted"  # the owner took KIS's state as the truth instead


UNSETTLED = frozenset({State.SENT, State.UNKNOWN, State.ABSENT, State.AMBIGUOUS})
LIVE = UNSETTLED | {State.PREPARED, State.OPEN}

ENOUGH_LOOKS = 3  # complete reads without the order before it counts as absent
ENOUGH_SECONDS = 300.0  # over which those reads are spread
FINAL_LOOKS = 2  # complete reads that must agree before an order counts as ended
FINAL_SECONDS = 120.0  # between them: fills may be listed late
AFTER_HOURS = 5 * 3600.0  # seconds after the close in which a row that still shows open shares is believed
CLOCK_SLACK = 7.0  # seconds by which KIS's order time may lie before our sending it (whole seconds on both sides)


@dataclass(frozen=True)
class Intent:
    """One decision to buy or sell, and what became of it. Money in USD, instants in epoch seconds."""

    id: int
    session: str  # New York date, YYYY-MM-DD
    closes_at: float  # when that session ends
    symbol: str
    exchange: str
    side: Side
    quantity: int
    limit: str  # the exact text that is sent
    reason: str
    state: State
    created_at: float
    sent_at: float | None = None  # by KIS's clock
    known: frozenset[tuple[str, int]] = frozenset()  # date and number of what KIS listed before the sending
    number: int | None = None
    order_date: str = ""  # YYYYMMDD, KIS's, once it was seen on a list; numbers may return on other dates
    answer: str = ""
    filled: int = 0
    fill_price: Decimal = Decimal(0)
    looks: int = 0  # complete reads in a row that support the next verdict
    first_look_at: float | None = None
    cancels: int = 0
    cancel_at: float | None = None
    closed_at: float | None = None
    ending: str = ""
    krw_per_usd: Decimal | None = None
    was_unknown: bool = False  # for a while nobody knew whether KIS had it

    @property
    def live(self) -> bool:
        """Whether something may still happen to it."""
        return self.state in LIVE

    @property
    def seems_ended(self) -> bool:
        """The last read showed no open shares; one more must agree."""
        return self.ending == _ENDING

    @property
    def reserved(self) -> Decimal:
        """USD that this purchase may still cost beyond what is filled; an unknown one counts as if it were filled."""
        if self.side is Side.SELL or not self.live:
            return Decimal(0)
        return Decimal(self.limit) * (self.quantity - self.filled)

    @property
    def counts(self) -> bool:
        """Whether it counts against the day's caps: everything that KIS may have taken."""
        return self.state not in (State.PREPARED, State.REFUSED, State.NOT_SENT, State.NOT_ACCEPTED)

    @property
    def spent(self) -> Decimal:
        """USD that a purchase has cost and may still cost, without fees."""
        return self.fill_price * self.filled + self.reserved


# what an answer means

_REFUSALS = re.compile(
    r"EGW00(121|122|123|201|205|215|304|356)|EGW0200[467]|APBK\d{4}|APTR\d{4}|4\d{7}|90000000", re.ASCII
)


def after_answer(intent: Intent, answer: Answer, now: float) -> Intent:
    """The intent after KIS's success answer: accepted with an order number, else nobody knows (protocol §7.1)."""
    output = answer.body.get("output")
    number = order_number(output.get("ODNO")) if isinstance(output, dict) else None
    text = " ".join(str(answer.body.get(name) or "") for name in ("msg_cd", "msg1")).strip()
    if answer.status == 200 and str(answer.body.get("rt_cd")) == "0" and number is not None:
        return replace(intent, state=State.OPEN, number=number, answer=text)
    return after_silence(intent, f"주문번호 없는 응답 {text}".strip())


def after_refusal(intent: Intent, refusal: KISRefusal, now: float) -> Intent:
    """The intent after an error that KIS answered: refused only by a code that surely means not accepted (§5)."""
    if _REFUSALS.fullmatch(refusal.code):
        return replace(intent, state=State.REFUSED, answer=str(refusal), closed_at=now)
    return after_silence(intent, str(refusal))


def after_silence(intent: Intent, reason: str) -> Intent:
    """The intent after a lost answer."""
    return replace(intent, state=State.UNKNOWN, answer=reason, was_unknown=True)


def never_sent(intent: Intent, reason: str, now: float) -> Intent:
    """The intent when the connection could not be made, or a restart finds that nothing had left."""
    return replace(intent, state=State.NOT_SENT, answer=reason, closed_at=now)


# what KIS's list proves


def settle(intent: Intent, rows: Collection[OrderRow], others: Collection[Intent], now: float, over: bool) -> Intent:
    """The intent after a complete read of its day's orders.

    ``others`` are intents that may own some of the rows; ``over`` says that its session has closed.
    """
    if intent.state in (State.SENT, State.UNKNOWN, State.ABSENT):
        return _look_for(intent, rows, others, now, over)
    if intent.state is State.OPEN:
        return _follow(intent, rows, now, over)
    return intent


def late_fill(intent: Intent, rows: Collection[OrderRow]) -> Intent:
    """An intent that has ended, with a fill that was listed only afterwards."""
    for row in rows_of(intent, rows):
        intent = _with_fill(intent, row)
    return intent


def rows_of(intent: Intent, rows: Iterable[OrderRow]) -> list[OrderRow]:
    """The rows of a bound intent's own order; it may stand on two lists."""
    return [row for row in rows if intent.number is not None and _is_its_own(row, intent)]


def _is_its_own(row: OrderRow, intent: Intent) -> bool:
    if (row.number, row.symbol) != (intent.number, intent.symbol) or row.original is not None:
        return False
    if intent.order_date:
        return row.date == intent.order_date
    return (row.date, row.number) not in intent.known and _near(row.date, intent)


def _near(listed: str, intent: Intent) -> bool:
    """Whether KIS's date of an order may be this intent's, give or take a day."""
    if not re.fullmatch(r"\d{8}", listed):
        return True
    day = date(int(listed[:4]), int(listed[4:6]), int(listed[6:]))
    return any(abs((day - own).days) <= 1 for own in days_of(intent))


def days_of(intent: Intent) -> set[date]:
    """The New York dates under which KIS may list it: its session's, and KIS's own at the sending, for a wrong clock of
    ours takes another session for its own."""
    days = {date.fromisoformat(intent.session)}
    if intent.sent_at is not None:
        days.add(datetime.fromtimestamp(intent.sent_at, NEW_YORK).date())
    return days


def candidates(intent: Intent, rows: Iterable[OrderRow], others: Collection[Intent]) -> list[OrderRow]:
    """The rows that could be this intent: new orders of nobody else, equal in everything KIS tells for sure."""
    limit = Decimal(intent.limit)
    found = {
        (row.date, row.number): row  # an order may stand on two lists
        for row in rows
        if row.original is None
        and (row.date, row.number) not in intent.known
        and _near(row.date, intent)
        and (row.symbol, row.side, row.quantity) == (intent.symbol, intent.side, intent.quantity)
        and row.limit in (0, limit)
        and not any(other.number is not None and _is_its_own(row, other) for other in others)
    }
    return list(found.values())


def _fits_closely(row: OrderRow, intent: Intent) -> bool:
    """Whether time and channel, which clocks and names may blur, speak for it as well."""
    return _not_before(row, intent) and _may_be_a_programs(row)


def _not_before(row: OrderRow, intent: Intent) -> bool:
    """Whether KIS took the order no earlier than we sent ours; times of day, KST, across midnight."""
    if intent.sent_at is None or not re.fullmatch(r"\d{6}", row.time):
        return True
    taken = int(row.time[:2]) * 3600 + int(row.time[2:4]) * 60 + int(row.time[4:])
    sent = (intent.sent_at + 9 * 3600) % 86400
    later = (taken - sent + 43200) % 86400 - 43200
    return later >= -CLOCK_SLACK


def _may_be_a_programs(row: OrderRow) -> bool:
    channel = row.channel.replace(" ", "").upper()
    return not channel or "API" in channel


def _look_for(intent: Intent, rows: Collection[OrderRow], others: Collection[Intent], now: float, over: bool) -> Intent:
    found = candidates(intent, rows, others)
    sure = [row for row in found if _fits_closely(row, intent)]
    if len(sure) == 1:
        number, day = sure[0].number, sure[0].date
        bound = replace(intent, state=State.OPEN, number=number, order_date=day, looks=0, first_look_at=None, ending="")
        return _follow(bound, rows, now, over)
    if found:  # one that fits but for its time or channel may be ours as well: never say that it does not exist
        numbers = ", ".join(str(row.number) for row in found)
        return replace(intent, state=State.AMBIGUOUS, answer=f"후보 주문 {numbers}")
    return _not_found(intent, now, over)


_OVER, _ENDING, _MISSING = "장 마감 뒤 확인 중", "끝났는지 확인 중", "주문내역에 없어 확인 중"


def _not_found(intent: Intent, now: float, over: bool) -> Intent:
    looked = _looked(intent, now, _OVER if over else "")
    if over and _agreed(looked, now):
        return replace(looked, state=State.NOT_ACCEPTED, closed_at=now, ending="접수되지 않음")
    spread = now - (looked.first_look_at or now)
    if not over and looked.looks >= ENOUGH_LOOKS and spread >= ENOUGH_SECONDS:
        return replace(looked, state=State.ABSENT)
    return looked


def _looked(intent: Intent, now: float, verdict: str) -> Intent:
    """One more complete read that speaks for ``verdict``; a read for another one begins the count anew, and so does a
    clock that was put back: the verdict would else wait until it has made up for that."""
    if intent.ending == verdict and intent.first_look_at is not None and intent.first_look_at <= now:
        return replace(intent, looks=intent.looks + 1)
    return replace(intent, looks=1, first_look_at=now, ending=verdict)


def _agreed(intent: Intent, now: float) -> bool:
    return intent.looks >= FINAL_LOOKS and now - (intent.first_look_at or now) >= FINAL_SECONDS


def _follow(intent: Intent, rows: Collection[OrderRow], now: float, over: bool) -> Intent:
    own = rows_of(intent, rows)
    if not own:
        return _lost(intent, now, over)
    seen = replace(intent, order_date=own[0].date)
    for row in own:
        seen = _with_fill(seen, row)
    latest = max(own, key=lambda row: row.filled)
    if seen.filled >= seen.quantity:
        return replace(seen, state=State.DONE, closed_at=now, ending="체결")
    if latest.rejected and not seen.filled:
        return replace(seen, state=State.REFUSED, closed_at=now, answer=latest.rejected, ending="거부")
    if latest.open > 0 and now < intent.closes_at + AFTER_HOURS:
        return replace(seen, looks=0, first_look_at=None, ending="")
    return _ended(seen, now, over)


def _lost(intent: Intent, now: float, over: bool) -> Intent:
    """KIS gave a number, and no complete list shows it. At the end of the day that is for a person to judge."""
    looked = _looked(intent, now, _MISSING)
    if over and _agreed(looked, now) and now - (looked.first_look_at or now) >= ENOUGH_SECONDS:
        answer = f"접수된 주문번호 {intent.number}이(가) 주문내역에 없음"
        return replace(looked, state=State.AMBIGUOUS, answer=answer)
    return looked


def _with_fill(intent: Intent, row: OrderRow) -> Intent:
    """KIS's fill is cumulative and may be read late: the largest ever seen counts, nothing is added up."""
    if row.filled <= intent.filled:
        return intent
    price = row.fill_price if row.fill_price > 0 else Decimal(intent.limit)
    return replace(intent, filled=min(row.filled, intent.quantity), fill_price=price)


def _ended(intent: Intent, now: float, over: bool) -> Intent:
    """An end without a complete fill is believed when two complete reads agree: a fill may race a cancel."""
    looked = _looked(intent, now, _ENDING)
    if not _agreed(looked, now):
        return looked
    how = "취소" if intent.cancels or not over else "만료"
    ending = f"일부 체결 뒤 {how}" if intent.filled else how
    return replace(looked, state=State.DONE, closed_at=now, ending=ending)
