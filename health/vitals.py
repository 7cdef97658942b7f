"""What the daemon last did, put together for status.json, and how old each kind of work may be."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from clock import KST
from config import Settings
from health.status import VERSION, Status, Work, iso
from health.verdict import span
from intents import Intent, State
from ledger import LedgerError
from quotes import format_price
from strategy import WHOLE_PASS
from token_manager import TokenState
from trader import BUY, SELL

if TYPE_CHECKING:
    from scheduler import TradingScheduler

SLACK = 300.0  # seconds that a job may come late behind a long one
STATE_WORDS = {
    State.PREPARED: "보내기 전",
    State.SENT: "보냄",
    State.OPEN: "접수, 미체결",
    State.UNKNOWN: "결과 불명, 확인 중",
    State.ABSENT: "주문내역에 없음, 지켜봄",
    State.AMBIGUOUS: "가릴 수 없음 (python main.py adopt)",
    State.REFUSED: "거부",
    State.NOT_SENT: "보내지 못함",
    State.NOT_ACCEPTED: "접수되지 않음",
    State.DONE: "종료",
    State.ADOPTED: "adopt로 정리함",
}


@dataclass(frozen=True)
class Limits:
    """Seconds that each kind of work may be old. Without a session only the token needs care."""

    quote: float
    balance: float
    token_check: float
    reinit: float
    strategy_pass: float

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """From the intervals: three watch rounds and two minutes, two buy passes, one of everything else, and slack."""
        check = settings.token_check_minutes * 60
        return cls(
            quote=3 * settings.watch_interval_seconds + 120,
            balance=2 * settings.buy_interval_minutes * 60 + SLACK,
            token_check=check + SLACK,
            reinit=settings.broker_reinit_hours * 3600 + check + SLACK,
            strategy_pass=min(settings.sell_interval_minutes, settings.buy_interval_minutes) * 60 + SLACK,
        )


def status_of(daemon: TradingScheduler, *, stopped: bool = False) -> Status:
    """The picture of this minute. Asks KIS nothing."""
    now = daemon.clock.now()
    session = daemon.hours.session(now)
    state = daemon.tokens.state()
    work = _work(daemon, state)
    good, token, trader = daemon.api.last_good, daemon.tokens.token, daemon.trader
    return Status(
        version=VERSION,
        mode=daemon.settings.kis_mode,
        pid=os.getpid(),
        written_at=str(iso(now)),
        started_at=str(iso(daemon.started_at)),
        market_open=session is not None,
        last_quote_at=work["quote"].at,
        last_quote_symbol=good.symbol if good else None,
        last_quote_source=good.source if good else None,
        quotes=dict(daemon.api.counts),
        token_checked_at=work["token_check"].at,
        token_state=state.value,
        token_expires_at=iso(token.expires_at) if token else None,
        brokers_made_at=str(work["reinit"].at),
        recoveries=daemon.api.recovery.count,
        balance_read_at=work["balance"].at,
        strategy_pass_at=work["pass"].at,
        why_nothing_bought=dict(trader.why(BUY)),
        why_nothing_sold=dict(trader.why(SELL)),
        session_opened_at=iso(session.open) if session else None,
        session_closes_at=iso(session.close) if session else None,
        next_open_at=iso(daemon.hours.next_open(now)),
        stopped_at=iso(now) if stopped else None,
        sim_url=daemon.settings.kis_base_url if daemon.settings.kis_mode == "sim" else None,
        work=work,
    )


def _work(daemon: TradingScheduler, state: TokenState) -> dict[str, Work]:
    limits, trader = Limits.of(daemon.settings), daemon.trader
    balance_limit = limits.balance if trader.balance_wanted else None  # a halted night needs no balance
    return {
        "quote": Work(iso(daemon.api.last_good_at), _quote_words(daemon), limits.quote, None),
        "balance": Work(iso(trader.balance_read_at), _balance_words(daemon), balance_limit, None),
        "token_check": Work(
            iso(daemon.token_checked_at), _token_words(daemon, state), limits.token_check, limits.token_check
        ),
        "reinit": Work(iso(daemon.brokers_made_at), _reinit_words(daemon), limits.reinit, limits.reinit),
        "pass": Work(iso(trader.last_pass_at), _pass_words(daemon), limits.strategy_pass, None),
        "order": _order(daemon),
    }


def _quote_words(daemon: TradingScheduler) -> str:
    good = daemon.api.last_good
    return f"{good.symbol} {format_price(good.price)} ({good.source})" if good else ""


def _balance_words(daemon: TradingScheduler) -> str:
    if daemon.trader.balance_wanted:
        return "읽지 못함"
    return f"보유 {daemon.trader.held}종목" if daemon.trader.balance_read_at else ""


def _token_words(daemon: TradingScheduler, state: TokenState) -> str:
    return f"{state.value}, {span(daemon.tokens.remaining().total_seconds())} 남음"


def _reinit_words(daemon: TradingScheduler) -> str:
    return "실패, 다음 점검에 다시" if daemon.reinit_failed else "성공"


def _pass_words(daemon: TradingScheduler) -> str:
    job = daemon.trader.last_pass
    return f"{job}: {daemon.trader.why(job).get(WHOLE_PASS, '살펴봄')}" if job else ""


def _order(daemon: TradingScheduler) -> Work:
    """The last order of all, not only of this process. There is no age at which one is due."""
    try:
        last = daemon.ledger.last_intent()
    except LedgerError:
        return Work(None, "장부를 읽지 못함", None, None)
    if last is None:
        return Work(None, "", None, None)
    at = datetime.fromtimestamp(last.closed_at or last.sent_at or last.created_at, KST)
    return Work(iso(at), _order_words(last), None, None)


def _order_words(intent: Intent) -> str:
    state = intent.ending if intent.state is State.DONE else STATE_WORDS[intent.state]
    return (
        f"{intent.side.value} {intent.symbol} {intent.quantity}주 ${intent.limit}: {state or STATE_WORDS[intent.state]}"
    )
