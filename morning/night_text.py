"""A night in words: the numbers as the owner reads them, the line of the message, the lines for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from books import Trade
from clock import KST
from kis_help import explain
from morning.night import Night, Result
from morning.night_ledger import JOB, Held, Trouble
from trades import display_width

_WEEKDAYS = "월화수목금토일"
_MOST = 3  # of a kind in a line for the terminal


def usd(amount: Decimal) -> str:
    """``$1,234.50``, ``-$3.10``."""
    return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"


def signed_usd(amount: Decimal) -> str:
    """``+$12.00``, ``-$3.10``, ``$0.00``."""
    return f"+{usd(amount)}" if amount > 0 else usd(amount)


def signed_krw(amount: Decimal) -> str:
    """``+36,000원``."""
    return f"{amount.quantize(Decimal(1), ROUND_HALF_UP):+,}원" if abs(amount) >= 1 else "0원"


def both(result: Result) -> str:
    """``+$12.00 (+17,640원)``; dollars alone where no rate is known."""
    return signed_usd(result.usd) + (f" ({signed_krw(result.krw)})" if result.krw is not None else "")


def percent(part: Decimal, whole: Decimal) -> str:
    """``+1.25%``; blank where the whole is nothing."""
    return f"{part / whole * 100:+.2f}%" if whole > 0 else ""


def duration(seconds: float) -> str:
    """``0.12초``, ``3분 5초``."""
    if seconds < 60:
        return f"{seconds:.2f}초" if seconds < 10 else f"{seconds:.0f}초"
    return f"{int(seconds) // 60}분 {int(seconds) % 60}초"


def day_words(day: date) -> str:
    """``11-24(화)``."""
    return f"{day:%m-%d}({_WEEKDAYS[day.weekday()]})"


def kst(instant: datetime | float) -> str:
    """``11-25(수) 23:30``, in Korea."""
    at = datetime.fromtimestamp(instant, KST) if isinstance(instant, float | int) else instant.astimezone(KST)
    return f"{day_words(at.date())} {at:%H:%M}"


def turnover(trades: Iterable[Trade]) -> Decimal:
    """USD that changed hands, without fees."""
    return sum((trade.fill.price * trade.fill.quantity for trade in trades), Decimal(0))


def gain(held: Held) -> Decimal | None:
    """What the shares would bring above their average price, USD, without fees."""
    return None if held.price is None else (held.price - held.average_price) * held.quantity


def next_session(night: Night) -> str:
    """``11-25(수) 23:30 KST``."""
    return f"{kst(night.next_open)} KST"


def needs_owner(trouble: Trouble) -> bool:
    """Whether something may be left to do: for a code that asks for it, one that nobody knows, a job that failed."""
    explanation = explain(trouble.code) if trouble.code else None
    return bool(trouble.code) if explanation is None else explanation.needs_owner


def problems(night: Night) -> list[str]:
    """What the owner should look at, in a few words each; empty for a good night."""
    found = []
    if night.unclear:
        found.append(f"결과를 모르는 주문 {len(night.unclear)}건")
    if night.issuances and night.issuances[-1] in night.failed_issuances:
        found.append("토큰 발급 실패")
    found += [f"{_name(trouble)} {trouble.count:,}회" for trouble in night.troubles if needs_owner(trouble)]
    return found


def _name(trouble: Trouble) -> str:
    return f"{trouble.kind} 작업 실패" if trouble.code == JOB else trouble.code


def coped_with(night: Night) -> str:
    """``넘긴 오류 14회``: errors that left nothing to do; blank without any."""
    count = sum(trouble.count for trouble in night.troubles if not needs_owner(trouble))
    return f"스스로 넘긴 오류 {count:,}회" if count else ""


def verdict(night: Night) -> str:
    """``문제 없음 (스스로 넘긴 오류 14회)``, or what to look at."""
    found, coped = problems(night), coped_with(night)
    return f"살펴볼 것: {', '.join(found)}" if found else "문제 없음" + (f" ({coped})" if coped else "")


def one_line(night: Night) -> str:
    """The message of the morning."""
    parts = [
        f"매수 {len(night.bought)}건 {usd(turnover(night.bought))}" if night.bought else "매수 없음",
        f"매도 {len(night.sold)}건 {usd(turnover(night.sold))}" if night.sold else "매도 없음",
        f"실현손익 {both(night.realised)}",
        f"보유 {len(night.held)}종목" if night.held else "보유 없음",
        f"복구 {len(night.recoveries)}회" if night.recoveries else "",
        verdict(night),
        f"다음 장 {next_session(night)}",
    ]
    return f"{day_words(night.session.date)} 밤: {' · '.join(part for part in parts if part)}"


def summary(night: Night, path: Path) -> str:
    """A few lines for a terminal of 80 columns, and where the report lies."""
    value = "알 수 없음 (KIS를 읽지 못함)" if night.closing_value is None else usd(night.closing_value)
    change = account_change(night)
    held = _some([f"{held.symbol} {held.quantity}주" for held in night.held], "종목")
    rows = [
        ("매수", _some([_trade(trade) for trade in night.bought], "건")),
        ("매도", _some([_trade(trade) for trade in night.sold], "건")),
        ("보유", held + ("" if night.held_by_kis or not night.held else " (장부 기준)")),
        ("실현손익", f"이 밤 {both(night.realised)} · 시작부터 {both(night.realised_since_start)}"),
        ("계좌", value + (f" (그날 {signed_usd(change)})" if change is not None else "")),
        ("복구", f"{len(night.recoveries)}회" if night.recoveries else "없음"),
        ("상태", verdict(night)),
        ("다음 장", next_session(night)),
        ("보고서", str(path)),
    ]
    title = f"=== {night.session.date:%Y}-{day_words(night.session.date)} 밤의 보고서 ==="
    return "\n".join([title, *(f"{name}{' ' * (10 - display_width(name))}{text}" for name, text in rows)])


def account_change(night: Night) -> Decimal | None:
    """What the account gained from when its day was first seen to the close, USD; None where one is unknown."""
    if night.closing_value is None or night.opening_value is None:
        return None
    return night.closing_value - night.opening_value


def _trade(trade: Trade) -> str:
    """A purchase with its price, a sale with what it earned."""
    fill = trade.fill
    return f"{fill.symbol} {fill.quantity}주 {usd(fill.price) if trade.profit is None else signed_usd(trade.profit)}"


def _some(items: Sequence[str], unit: str) -> str:
    """The first few, and how many more there are."""
    more = f" 외 {len(items) - _MOST}{unit}" if len(items) > _MOST else ""
    return ", ".join(items[:_MOST]) + more or "없음"
