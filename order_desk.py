"""The order desk: journal, send once, follow to the end. Nothing is ever sent twice (design §5 "Orders").

An intent is on disk before its first byte leaves, one order is in flight at a time, and an answer that got lost is
settled by reading KIS's lists, however long that takes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from account import Account, OrderList
from alerts import Alert, alert
from clock import Clock
from errors import AutoStockError, KISError, KISRefusal, NoAnswer, Stopping
from intents import (
    Intent,
    State,
    after_answer,
    after_refusal,
    after_silence,
    days_of,
    late_fill,
    never_sent,
    settle,
)
from kis_trading import KISTrading
from kis_transport import Answer
from ledger import Ledger, LedgerUnwritable
from portfolio import Side
from recovery import Recovery

logger = logging.getLogger(__name__)

LIST_AGE = 60.0  # seconds that a complete read of the orders may be old when an order is sent
MOST_CANCELS = 5
CANCEL_PAUSE = 60.0  # seconds before the second cancel, twice that before the third, …
STEP = 1.0  # seconds by which the wall clock leaves the steady one when somebody sets it
BEFORE_CLOSE = 60.0  # seconds before the close at which everything open is cancelled


class OrderNotPossible(AutoStockError):
    """No order may be sent now; the message is the Korean reason."""


@dataclass(frozen=True)
class Ticket:
    """An order to be sent: what the strategy wants, and the session it belongs to."""

    session: date  # New York
    closes_at: float  # epoch seconds
    sent_by: float  # epoch seconds; the session is nearly over then, or the price of the decision too old
    symbol: str
    exchange: str
    side: Side
    quantity: int
    limit: str  # USD, the exact text for KIS
    reason: str
    krw_per_usd: Decimal | None = None


Send = Callable[[Side, str, str, int, str], Answer]


class OrderDesk:
    """Owns every intent that something may still happen to."""

    def __init__(
        self,
        kis: KISTrading,
        account: Account,
        ledger: Ledger,
        recovery: Recovery,
        clock: Clock,
        *,
        timeout: float,
        server_offset: Callable[[], float] = lambda: 0.0,
        point: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._kis = kis
        self._account = account
        self._ledger = ledger
        self._recovery = recovery
        self._clock = clock
        self._timeout = timeout  # seconds
        self._server_offset = server_offset
        self._point = point
        self._in_flight = threading.Lock()
        self._clock_offset = self._offset()
        self._born: dict[int, float] = {}  # monotonic birth of intents of this process: deaf to steps of the clock
        self._live = {intent.id: intent for intent in ledger.intents(live=True)}
        self._unsaved: dict[int, Intent] = {}
        self._ended: dict[str, dict[int, Intent]] = {}  # by session: of those that were looked at last
        self._settled_once = not self._live
        self._recover_from_restart()

    # what stands

    @property
    def live(self) -> list[Intent]:
        """Intents that something may still happen to, oldest first."""
        return list(self._live.values())

    def busy(self) -> frozenset[str]:
        """Symbols with an open or unsettled order."""
        return frozenset(intent.symbol for intent in self._live.values())

    def reserved(self) -> Decimal:
        """USD that open and unsettled purchases may still cost."""
        return sum((intent.reserved for intent in self._live.values()), Decimal(0))

    def unsettled_cost(self) -> Decimal:
        """USD of purchases that KIS may or may not have: those it has for sure it has taken from the cash itself."""
        return sum((i.reserved for i in self._live.values() if i.state is not State.OPEN), Decimal(0))

    def distrust(self) -> str | None:
        """Why the books cannot be trusted to open a position, or None."""
        if self._ledger.fault:
            return f"데이터베이스 사용 불가 ({self._ledger.fault})"
        if self._unsaved:
            return "장부에 쓰지 못한 것이 있음"
        if any(intent.state is State.AMBIGUOUS for intent in self._live.values()):
            return "어느 주문인지 가릴 수 없는 주문이 있음 (python main.py adopt)"
        if not self._settled_once:
            return "지난 실행의 주문을 아직 KIS에서 확인하지 못함"
        return None

    # sending

    def place(self, ticket: Ticket, listed: OrderList) -> Intent:
        """Send one order, once, and return what is known of it.

        ``listed`` is a fresh complete read of KIS's orders. Raises OrderNotPossible when nothing may be sent,
        Stopping when the daemon ends before anything was.
        """
        with self._in_flight:
            self._check(ticket, listed)
            sent: list[Intent] = []
            try:
                self._recovery.call("주문", lambda: self._send_anew(ticket, listed, sent), patient=False)
            except LedgerUnwritable as exc:
                raise OrderNotPossible(str(exc)) from exc
            except KISError as exc:
                if not sent:
                    raise OrderNotPossible(str(exc)) from exc
            return sent[-1]

    def _check(self, ticket: Ticket, listed: OrderList) -> None:
        self._check_time(ticket)
        if ticket.symbol in self.busy():
            raise OrderNotPossible("끝나지 않은 주문이 있음")
        if self._clock.monotonic() - listed.at > LIST_AGE:
            raise OrderNotPossible("주문내역을 읽은 지 오래됨")
        if self._ledger.fault:
            raise OrderNotPossible("장부 없이는 주문하지 않음")
        if ticket.side is Side.BUY and (reason := self.distrust()):
            raise OrderNotPossible(reason)

    def _send_anew(self, ticket: Ticket, listed: OrderList, sent: list[Intent]) -> None:
        """One decision, one new intent; after a token that was refused or is gone the recovery may come here once more.

        Raises KISRefusal for a definite refusal, so that the recovery sees it; LedgerUnwritable before anything is
        sent; NoAnswer, TokenUnavailable or Stopping when the connection could not be opened; OrderNotPossible when it
        took too long.
        """
        self._point("before_journal")
        intent = self._prepare(ticket, listed)
        self._point("before_dial")
        sent.append(intent)
        try:
            with self._kis.order_line() as send:
                self._check_time(ticket)
                intent = self._mark_sent(intent)
                self._point("before_send")
                sent[-1], refusal = self._post(intent, send)
        except (KISError, LedgerUnwritable, OrderNotPossible, Stopping) as exc:
            sent[-1] = self._note(never_sent(intent, str(exc) or "종료 중", self._now()))
            raise
        if refusal is not None:
            raise refusal

    def _check_time(self, ticket: Ticket) -> None:
        """The machine may have slept since the decision. Raises OrderNotPossible."""
        if self._now() > ticket.sent_by:
            raise OrderNotPossible("판단한 뒤 너무 늦어짐 (절전?)")

    def _mark_sent(self, intent: Intent) -> Intent:
        """The last thing before the first byte. Raises LedgerUnwritable: then nothing is sent."""
        marked = replace(intent, state=State.SENT, sent_at=self._now() + self._server_offset())
        self._ledger.save_intent(marked, self._now())
        self._live[intent.id] = marked
        return marked

    def _post(self, intent: Intent, send: Send) -> tuple[Intent, KISRefusal | None]:
        """Send, and note what is known afterwards, with the refusal if it is a definite one. Raises nothing of KIS."""
        refusal = None
        try:
            answer = send(intent.side, intent.exchange, intent.symbol, intent.quantity, intent.limit)
        except KISRefusal as exc:
            result = after_refusal(intent, exc, self._now())
            refusal = exc if result.state is State.REFUSED else None
        except NoAnswer as exc:
            result = after_silence(intent, str(exc))
        else:
            result = after_answer(intent, answer, self._now())
        self._point("after_send")
        self._note(result)
        self._point("after_record")
        return result, refusal

    def _prepare(self, ticket: Ticket, listed: OrderList) -> Intent:
        now = self._clock.now().timestamp()
        intent = Intent(
            id=0,
            session=ticket.session.isoformat(),
            closes_at=ticket.closes_at,
            symbol=ticket.symbol,
            exchange=ticket.exchange,
            side=ticket.side,
            quantity=ticket.quantity,
            limit=ticket.limit,
            reason=ticket.reason,
            state=State.PREPARED,
            created_at=now,
            known=listed.keys(),
            krw_per_usd=ticket.krw_per_usd,
        )
        intent = self._ledger.add_intent(intent)
        self._live[intent.id] = intent
        self._born[intent.id] = self._clock.monotonic()
        return intent

    # following

    def follow(self) -> None:
        """Read KIS's orders, settle what can be settled, cancel what is too old.

        Raises KISError when the lists cannot be read: nothing changes then.
        """
        self.look()
        for intent in self.live:
            if self._must_cancel(intent):
                self._cancel(intent)

    def look(self, session: date | None = None) -> OrderList | None:
        """A complete read of the orders of ``session`` and of all that has not ended; what it proves is settled.

        None when there is nothing to ask about. An order that only a person can tell apart is not asked about.
        """
        self._follow_the_clock()
        days = [day for i in self._live.values() if i.state is not State.AMBIGUOUS for day in days_of(i)]
        days += [session] if session is not None else []
        listed = self._account.orders(min(days), max(days), self.busy()) if days else None
        if listed is not None:
            self._settle(listed, {day.isoformat() for day in days})
        self._save_again()
        self._settled_once = True
        return listed

    def _follow_the_clock(self) -> None:
        """After a step of the wall clock what was noted by it moves along: an order hidden for a minute must not look
        as if three reads had missed it over an hour."""
        begun = self._clock.monotonic()
        moved = self._offset() - self._clock_offset
        if abs(moved) <= STEP or self._clock.monotonic() - begun > STEP:  # asleep between two looks at the clocks
            return
        self._clock_offset += moved
        for intent in self.live:
            if intent.first_look_at is not None or intent.cancel_at is not None:
                looked, cancelled = (at and at + moved for at in (intent.first_look_at, intent.cancel_at))
                self._live[intent.id] = replace(intent, first_look_at=looked, cancel_at=cancelled)
                self._save(self._live[intent.id])

    def _offset(self) -> float:
        return self._now() - self._clock.monotonic()

    def _settle(self, listed: OrderList, sessions: Collection[str]) -> None:
        now = self._now()
        self._ended = {session: self._ended_in(session) for session in sessions}
        ended = [intent for session in self._ended.values() for intent in session.values()]
        for intent in self.live:
            others = [other for other in (*ended, *self._live.values()) if other.id != intent.id]
            after = settle(intent, listed.rows, others, now, self._is_over(intent))
            if after != intent:
                self._note(after)
        for intent in ended:
            after = late_fill(intent, listed.rows)
            if after != intent and intent.state is not State.ADOPTED:  # what adopt has settled, the owner has judged
                logger.warning("[ORDER] %s 끝난 뒤에 알려진 체결 %d주", _words(intent), after.filled - intent.filled)
                self._note(after)

    def _ended_in(self, session: str) -> dict[int, Intent]:
        """What has ended in a session, by number. Read from the disk once, because nobody else writes it."""
        if session in self._ended:
            return self._ended[session]
        written = {intent.id: intent for intent in self._ledger.intents(session=session)}
        known = {**written, **{intent.id: intent for intent in self._unsaved.values() if intent.session == session}}
        return {number: intent for number, intent in known.items() if not intent.live}

    def _is_over(self, intent: Intent) -> bool:
        """Whether its session has closed, by KIS's clock. Orders are sent a good while before a close: a clock that
        sees it come sooner is wrong about the session."""
        by_kis = self._now() + self._server_offset() >= intent.closes_at
        born = self._born.get(intent.id)
        return by_kis and (born is None or self._clock.monotonic() - born >= self._timeout)

    def _must_cancel(self, intent: Intent) -> bool:
        now = self._now()
        if intent.state is not State.OPEN or intent.seems_ended or self._is_over(intent):
            return False
        closing = now >= intent.closes_at - BEFORE_CLOSE
        if intent.cancels >= MOST_CANCELS and not closing:
            return False
        pause = 0.0 if closing else CANCEL_PAUSE * intent.cancels
        if intent.cancel_at is not None and 0 <= now - intent.cancel_at < pause:
            return False
        return self._age(intent) >= self._timeout or closing

    def _age(self, intent: Intent) -> float:
        born = self._born.get(intent.id)
        return self._now() - intent.created_at if born is None else self._clock.monotonic() - born

    def _cancel(self, intent: Intent) -> None:
        """Ask once; the answer proves nothing, the next read does."""
        assert intent.number is not None
        number, left = intent.number, intent.quantity - intent.filled
        self._note(replace(intent, cancels=intent.cancels + 1, cancel_at=self._now(), looks=0, first_look_at=None))
        logger.info("[ORDER] %s 취소 요청 (주문번호 %d, 미체결 %d주)", _words(intent), number, left)
        if intent.cancels + 1 == MOST_CANCELS:
            text = "[ORDER] %s 취소가 되지 않습니다 (%d번): 지켜보다가 마감 직전에 다시 취소합니다"
            logger.error(text, _words(intent), MOST_CANCELS, extra=alert(Alert.AMBIGUOUS_ORDER, intent.id))
        self._point("before_cancel")
        try:
            self._recovery.call(
                "취소", lambda: self._kis.cancel(intent.exchange, intent.symbol, number, left), patient=False
            )
        except KISError as exc:
            logger.warning("[ORDER] %s 취소 응답: %s (주문내역으로 확인합니다)", _words(intent), exc)
        self._point("after_cancel")

    # the restart and the records

    def _recover_from_restart(self) -> None:
        for intent in self.live:
            if intent.state is State.PREPARED:
                self._note(never_sent(intent, "보내기 전에 종료됨", self._now()))
            elif intent.state is State.SENT:
                self._note(after_silence(intent, "응답을 기록하기 전에 종료됨"))

    def _note(self, intent: Intent) -> Intent:
        """Keep what is known, on disk and here, and say what changed. A disk that fails stops all further orders."""
        before = self._live.get(intent.id)
        if intent.live:
            self._live[intent.id] = intent
        else:
            self._live.pop(intent.id, None)
            self._born.pop(intent.id, None)
            if intent.session in self._ended:
                self._ended[intent.session][intent.id] = intent
        self._save(intent)
        _say(before, intent)
        return intent

    def _save(self, intent: Intent) -> None:
        """On disk. What cannot be saved is tried again at each look; until then nothing new is ordered."""
        try:
            self._ledger.save_intent(intent, self._now())
        except LedgerUnwritable as exc:
            if not self._unsaved:
                text = "장부를 쓸 수 없습니다 (%s): 쓸 수 있을 때까지 새 주문을 내지 않습니다"
                logger.critical(text, exc, extra=alert(Alert.DATABASE))
            self._unsaved[intent.id] = intent
        else:
            self._unsaved.pop(intent.id, None)

    def _save_again(self) -> None:
        for intent in list(self._unsaved.values()):
            self._save(intent)

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _words(intent: Intent) -> str:
    return f"{intent.side.value} {intent.symbol} {intent.quantity}주 ${intent.limit}"


_LINES = {
    State.OPEN: (logging.INFO, "{order} 접수 (주문번호 {number}): {reason}"),
    State.DONE: (logging.INFO, "{order} 종료: {ending} ({filled}주 체결)"),
    State.REFUSED: (logging.WARNING, "{order} 거부: {answer}"),
    State.NOT_SENT: (logging.WARNING, "{order} 보내지 못함: {answer}"),
    State.NOT_ACCEPTED: (logging.INFO, "{order} 접수되지 않은 것으로 확인"),
    State.ABSENT: (logging.WARNING, "{order} 주문내역에 없음: 장이 끝날 때까지 지켜봅니다"),
    State.UNKNOWN: (
        logging.WARNING,
        "{order} 결과 불명 ({answer}): 다시 보내지 않고 KIS 주문내역으로 확인합니다. 그때까지 {symbol}은(는) 쉽니다",
    ),
    State.AMBIGUOUS: (
        logging.ERROR,
        "{order} 어느 주문인지 가릴 수 없음 ({answer}): 새로 사지 않습니다. python main.py adopt 로 정리하세요",
    ),
}

_ALERTS = {State.UNKNOWN: Alert.UNKNOWN_ORDER, State.AMBIGUOUS: Alert.AMBIGUOUS_ORDER}


def _say(before: Intent | None, after: Intent) -> None:
    """One line for each thing that happens to an order."""
    if before is not None and before.was_unknown and before.number is None and after.number is not None:
        logger.info("[ORDER] %s 주문내역에서 확인됨 (주문번호 %d)", _words(after), after.number)
    if before is not None and after.filled > before.filled:
        fill = f"{after.filled}/{after.quantity}주 @ ${after.fill_price:.4f}"
        marked = alert(Alert.ORDER_FILLED, f"{after.id} {after.filled}")
        logger.info("[ORDER] %s 체결 %s", _words(after), fill, extra=marked)
    if after.state in _LINES and (before is None or before.state is not after.state):
        level, line = _LINES[after.state]
        kind = _ALERTS.get(after.state)
        extra = alert(kind, after.id) if kind else None
        logger.log(level, "[ORDER] %s", line.format(order=_words(after), **vars(after)), extra=extra)
