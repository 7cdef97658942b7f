"""What tonight needs, one judgement each: pure functions from what was seen to PASS, WARN or FAIL with what to do."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from clock import KST, NEW_YORK
from errors import AutoStockError, KISRefusal, NoAnswer
from health.verdict import span
from intents import Intent, State
from kis_help import explain
from market_hours import MarketHours, Session
from portfolio import Cash, OrderRow, Position
from quotes import Quote, format_price

MEGABYTE = 1024 * 1024
DISK_WARN, DISK_FAIL = 1024 * MEGABYTE, 100 * MEGABYTE
SKEW_WARN, SKEW_FAIL = 3.0, 60.0  # seconds; the server tells whole seconds only
OLD_QUOTE = 20 * 60.0  # seconds, while a session runs
NOON = timedelta(hours=12)
MEND_CLOCK = "시계를 맞추세요: sudo timedatectl set-ntp true"


class Result(Enum):
    """How a probe ends."""

    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Probe:
    """One line of the check; Korean texts."""

    name: str
    result: Result
    text: str
    todo: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.text}{f' → {self.todo}' if self.todo else ''}"


def passed(name: str, text: str) -> Probe:
    """All is well."""
    return Probe(name, Result.PASS, text)


def warned(name: str, text: str, todo: str) -> Probe:
    """Tonight goes on; the owner should know."""
    return Probe(name, Result.WARN, text, todo)


def failed(name: str, text: str, todo: str) -> Probe:
    """Tonight will not go as it should."""
    return Probe(name, Result.FAIL, text, todo)


def trouble(name: str, exc: AutoStockError) -> Probe:
    """An error as a probe, in the words of KIS's table where it has a code."""
    said = explain(exc.code) if isinstance(exc, KISRefusal) else None
    if said is not None:
        return failed(name, f"{exc} ({said.meaning})", said.todo)
    if isinstance(exc, NoAnswer):
        return failed(name, str(exc), "인터넷 연결과 KIS 점검 공지를 확인하세요. 데몬은 저절로 다시 이어집니다")
    return failed(name, str(exc), "로그를 보세요: tail trading.log")


def unseen(name: str, why: str) -> Probe:
    """What could not be looked at, because something else is wrong that has its own line."""
    return warned(name, f"확인하지 못함 ({why})", "")


# the owner's machine


def settings_probe(mode: str, symbols: Collection[str], warnings: Collection[str]) -> Probe:
    """What is set, with what ``Settings.load`` warned of."""
    text = f"모드 {mode}, 종목 {len(symbols)}개"
    return warned("설정", f"{text}. {' '.join(warnings)}", ".env를 고치세요") if warnings else passed("설정", text)


def files_probe(env_mode: int | None, tracked: bool) -> Probe:
    """``env_mode``: the permissions of .env, None where there is none; ``tracked``: git knows it."""
    if env_mode is None:
        return passed("파일", ".env 없음 (기본값과 환경변수로 움직임)")
    if tracked:
        return warned(
            "파일", ".env가 git에 올라가 있음: 키가 새어 나갑니다", "git rm --cached .env 한 뒤 키를 새로 받으세요"
        )
    if env_mode & 0o077:
        return warned("파일", f".env를 다른 사용자가 읽을 수 있음 ({env_mode & 0o777:o})", "chmod 600 .env")
    return passed("파일", ".env 권한 600")


def disk_probe(free: int, writable: bool, folder: str) -> Probe:
    """Bytes left where the daemon writes."""
    text = f"{free / 1024 / MEGABYTE:,.1f} GB 남음"
    if not writable:
        return failed("디스크", f"{folder}에 쓸 수 없음", f"chmod u+rwx {folder}")
    if free < DISK_FAIL:
        return failed("디스크", text, "공간을 비우세요: 주문은 장부에 적히지 않으면 나가지 않습니다")
    if free < DISK_WARN:
        return warned("디스크", text, "공간을 비우세요")
    return passed("디스크", text)


def skew_probe(offset: float | None) -> Probe:
    """Seconds by which KIS's clock is ahead of ours; None where KIS has not said."""
    if offset is None:
        return unseen("시계", "KIS의 시각을 모름")
    text = f"KIS보다 {abs(offset):.0f}초 {'느림' if offset > 0 else '빠름'}" if abs(offset) >= 1 else "KIS와 같음"
    if abs(offset) > SKEW_FAIL:
        return failed("시계", text, MEND_CLOCK)
    if abs(offset) > SKEW_WARN:
        return warned("시계", text, MEND_CLOCK)
    return passed("시계", text)


# the night


def calendar_probe(hours: MarketHours, now: datetime) -> Probe:
    """When the market opens, and what is unusual about it."""
    session = hours.upcoming(now)
    notes = [hours.describe(now)]
    if not hours.is_open(now) and session.open - now >= timedelta(days=1):
        notes.insert(0, "오늘 밤은 쉼")
    if session.is_half_day:
        notes.append(f"반일장: {session.close.astimezone(KST):%H:%M} KST에 마감")
    if change := clock_change(session):
        notes.append(change)
    return passed("달력", ", ".join(notes))


def clock_change(session: Session) -> str | None:
    """What New York's clocks mean for the week of this session, if they changed on the Sunday before it."""
    monday = session.date - timedelta(days=session.date.weekday())
    noon = datetime.combine(monday, datetime.min.time(), NEW_YORK) + NOON
    before, after = (noon - timedelta(days=2)).dst(), noon.dst()
    if before == after:
        return None
    opens = f"{session.open.astimezone(KST):%H:%M} 개장"
    return f"이번 주부터 서머타임, {opens}" if after else f"이번 주부터 서머타임 끝, {opens}"


def token_probe(state: str, usable: bool, expires_at: datetime | None, session: Session, margin: timedelta) -> Probe:
    """The token against the coming session; a usable one that ends in it is renewed by the daemon."""
    if not usable or expires_at is None:
        return failed(
            "토큰",
            f"쓸 수 있는 토큰이 없음 ({state})",
            "데몬이 돌고 있으면 곧 발급합니다: grep TOKEN_CHECK trading.log",
        )
    text = f"{state}, {expires_at.astimezone(KST):%m-%d %H:%M}까지"
    if expires_at < session.close:
        text += f" (장이 끝나기 전: 데몬이 {(expires_at - margin).astimezone(KST):%H:%M}에 갱신)"
    return passed("토큰", text)


def quote_probe(quote: Quote, now: datetime, market_open: bool) -> Probe:
    """A quote of either source, with its age."""
    age = max(0.0, (now - quote.at).total_seconds())
    text = f"{quote.symbol} {format_price(quote.price)} ({quote.exchange or quote.source}, {span(age)} 전)"
    name = f"{quote.source} 시세"
    if market_open and age > OLD_QUOTE:
        return warned(name, text, "장중인데 오래된 값입니다. 잠시 뒤 다시: python main.py check")
    return passed(name, text)


# the account


def account_probe(positions: Mapping[str, Position], cash: Cash | None) -> Probe:
    """What is there to trade with."""
    held = ", ".join(f"{position.symbol} {position.quantity}주" for position in positions.values())
    money = "현금은 읽지 못함" if cash is None else f"쓸 수 있는 현금 ${cash.usd:,.2f}"
    return passed("계좌", f"{money}, 보유 {held or '없음'}")


def books_probe(fault: str | None, own: Mapping[str, int], positions: Mapping[str, Position]) -> Probe:
    """The ledger against KIS's holdings: fewer shares there than ours stop all buying."""
    if fault is not None:
        return failed("장부", f"사용 불가 ({fault}): 주문하지 않습니다", "python main.py adopt")
    held = {symbol: position.quantity for symbol, position in positions.items()}
    short = [
        f"{symbol} 장부 {count}주, KIS {held.get(symbol, 0)}주"
        for symbol, count in own.items()
        if held.get(symbol, 0) < count
    ]
    if short:
        return failed("장부", f"{'; '.join(short)}: 사지 않습니다", "직접 파셨다면: python main.py adopt")
    return passed("장부", f"KIS와 맞음 (데몬이 산 주식 {len(own)}종목)")


def orders_probe(live: Collection[Intent], rows: Collection[OrderRow], running: bool) -> Probe:
    """Orders that have not ended, ours by the ledger and all that KIS shows."""
    ambiguous = [intent for intent in live if intent.state is State.AMBIGUOUS]
    unknown = [intent for intent in live if intent.state not in (State.AMBIGUOUS, State.OPEN)]
    numbers = {intent.number for intent in live}
    foreign = [row for row in rows if row.open > 0 and row.original is None and row.number not in numbers]
    text = f"데몬의 미체결 {len(live) - len(ambiguous) - len(unknown)}건, 결과 불명 {len(unknown)}건"
    text += f", 직접 내신 미체결 {len(foreign)}건 (건드리지 않음)" if foreign else ""
    if ambiguous:
        return failed("주문", f"{text}, 가릴 수 없는 주문 {len(ambiguous)}건: 사지 않습니다", "python main.py adopt")
    if unknown:
        todo = (
            "없음: 데몬이 주문내역에서 확인하는 중입니다"
            if running
            else "데몬을 시작하면 이어서 확인합니다: python main.py"
        )
        return warned("주문", text, todo)
    return passed("주문", text)


def alerts_probe(mode: str, configured: bool, problem: str | None, tested: bool) -> Probe:
    """The alert channel; ``problem`` is what a test message ran into. Play money needs no alerts."""
    if not configured:
        text = "설정되지 않음: 멈춰도 알려 드릴 수 없음"
        return passed("알림", text) if mode == "sim" else warned("알림", text, ".env의 NOTIFY_URLS를 채우세요")
    if problem is not None:
        return failed("알림", f"보내지 못함 ({problem})", ".env의 NOTIFY_URLS를 확인하세요")
    return passed("알림", "시험 알림을 보냄" if tested else "설정됨 (python main.py check --notify 로 시험)")


# all together


def worst(probes: Collection[Probe]) -> Result:
    """The worst result of all."""
    return max((probe.result for probe in probes), key=list(Result).index, default=Result.PASS)


def ready_line(probes: Collection[Probe], opening: str) -> str:
    """One line for the log: how many, and every problem."""
    counts = {result: sum(probe.result is result for probe in probes) for result in Result}
    words = {Result.PASS: "통과", Result.WARN: "주의", Result.FAIL: "실패"}
    head = "준비 안 됨" if counts[Result.FAIL] else "준비됨"
    numbers = ", ".join(f"{words[result]} {count}" for result, count in counts.items())
    bad = [f"{words[probe.result]} {probe}" for probe in probes if probe.result is not Result.PASS]
    return re.sub(r"\s+", " ", " · ".join([f"[READY] {head} ({numbers}) {opening}", *bad]))
