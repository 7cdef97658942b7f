"""The morning report as one HTML page: no network, no scripts, readable on a phone. Pure; everything is escaped.

Gains are red and losses blue, as on Korean screens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from html import escape

from books import Trade
from clock import KST, NEW_YORK
from intents import Intent, State
from kis_help import NOTHING, Explanation, explain
from ledger import OUTCOME_ASKED, OUTCOME_ISSUED, Issuance
from morning.equity_curve import equity_curve
from morning.night import Night, Result
from morning.night_ledger import Held, Reason, Trouble
from morning.night_text import (
    account_change,
    day_words,
    duration,
    gain,
    kst,
    next_session,
    percent,
    problems,
    signed_krw,
    signed_usd,
    turnover,
    usd,
    verdict,
)
from morning.report_style import STYLE
from strategy import WHOLE_PASS
from token_manager import OUTCOME_SAME

_ENDINGS = {
    State.REFUSED: "거부됨",
    State.NOT_SENT: "보내지 못함",
    State.NOT_ACCEPTED: "접수되지 않은 것으로 확인",
    State.DONE: "체결 없이 끝남",
    State.ADOPTED: "adopt로 정리함",
    State.OPEN: "아직 열려 있음",
    State.UNKNOWN: "결과 불명, 확인하는 중",
    State.ABSENT: "주문내역에 없음, 지켜보는 중",
    State.AMBIGUOUS: "가릴 수 없음: python main.py adopt",
}
_SILENCE = Explanation(
    "KIS까지 닿지 않았거나 알아볼 수 없는 답이 옴",
    "시세는 yfinance로 잇고, 잔고는 다음 차례에 다시 읽음. 주문이었다면 다시 보내지 않고 주문내역에서 확인함",
    f"{NOTHING} (밤새 이어지면 인터넷을 확인)",
)
_OUTCOMES = {OUTCOME_ISSUED: "발급됨", OUTCOME_SAME: "같은 토큰이 다시 옴", OUTCOME_ASKED: "답을 보지 못함"}


def render(night: Night) -> str:
    """The page."""
    title = f"{night.session.date:%Y}-{day_words(night.session.date)} 밤"
    body = "".join((_head(night, title), _tiles(night), _curve(night), *_sections(night), _foot(night)))
    return (
        '<!doctype html>\n<html lang="ko"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>AutoStock {escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


# the top


def _head(night: Night, title: str) -> str:
    session = night.session
    hours = f"{kst(session.open)} ~ {kst(session.close)} KST"
    half = " · 조기 마감" if session.is_half_day else ""
    return (
        f'<header><p class="brand">AutoStock 아침 보고서</p><h1>{escape(title)}</h1>'
        f'<p class="muted">{escape(hours)}{half}</p>{_verdict(night)}</header>'
    )


def _verdict(night: Night) -> str:
    if problems(night):
        return f'<p class="verdict warn">{escape(verdict(night))}</p>'
    quiet = "조용한 밤이었습니다: 사고판 것도, 문제도 없습니다." if night.is_quiet else verdict(night)
    return f'<p class="verdict good">{escape(quiet)}</p>'


def _tiles(night: Night) -> str:
    change = account_change(night)
    value = "알 수 없음" if night.closing_value is None else usd(night.closing_value)
    rate = night.krw_per_usd
    in_krw = "" if night.closing_value is None or rate is None else f"{night.closing_value * rate:,.0f}원"
    rate_of_change = "" if change is None else percent(change, night.opening_value or Decimal(0))
    held = _held_gain(night.held)
    tiles = (
        _result_tile("이 밤의 실현손익", night.realised),
        _result_tile("시작부터 실현손익", night.realised_since_start),
        _tile("계좌 평가액", value, in_krw),
        _amount_tile("평가액 변화", change, f"{rate_of_change} 밤의 시작에서"),
        _amount_tile("보유 평가손익", held, "평균단가에서"),
        _tile("환율", "알 수 없음" if rate is None else f"{rate:,.2f}원", "KIS, 1달러"),
    )
    return f'<section class="tiles">{"".join(tiles)}</section>'


def _result_tile(name: str, result: Result) -> str:
    krw = "환율을 몰라 원화 없음" if result.krw is None else signed_krw(result.krw)
    return _tile(name, signed_usd(result.usd), krw, _tone(result.usd))


def _amount_tile(name: str, amount: Decimal | None, note: str) -> str:
    return _tile(name, "알 수 없음", "") if amount is None else _tile(name, signed_usd(amount), note, _tone(amount))


def _tile(name: str, value: str, note: str, tone: str = "") -> str:
    return (
        f'<div class="tile"><p class="name">{escape(name)}</p><p class="value {tone}">{escape(value)}</p>'
        f'<p class="muted">{escape(note)}</p></div>'
    )


def _held_gain(held: Sequence[Held]) -> Decimal | None:
    gains = [gain(each) for each in held]
    known = [each for each in gains if each is not None]
    return sum(known, Decimal(0)) if len(known) == len(gains) else None


def _curve(night: Night) -> str:
    drawing = equity_curve(night.curve)
    if not drawing:
        return _section("계좌 평가액", '<p class="muted">두 번째 밤부터 곡선을 그립니다.</p>')
    first, last = night.curve[0].value, night.curve[-1].value
    note = f"{usd(first)} → {usd(last)} ({percent(last - first, first)}) · USD, 입출금 포함"
    return _section("계좌 평가액", f'{drawing}<p class="muted">{escape(note)}</p>')


# the sections


def _sections(night: Night) -> Iterable[str]:
    yield _section("산 것", _bought(night))
    yield _section("판 것", _sold(night))
    yield _section("가진 것", _held(night))
    if night.orders:
        yield _section("눈여겨볼 주문", _orders(night.orders))
    yield _section("하지 않은 것과 이유", _reasons(night))
    yield _section("자동 복구", _recoveries(night))
    yield _section("토큰 발급", _issuances(night))
    yield _section("오류", _troubles(night.troubles))


def _section(name: str, content: str) -> str:
    return f"<section><h2>{escape(name)}</h2>{content}</section>"


def _bought(night: Night) -> str:
    rows = [(*_trade_cells(trade), _money(trade.fee)) for trade in night.bought]
    return _table(("시각", "종목", "수량", "가격", "금액", "수수료*"), rows, 2, _total(night.bought, 6), "없음")


def _sold(night: Night) -> str:
    rows = [(*_trade_cells(trade), _coloured(trade.profit)) for trade in night.sold]
    profit = sum((trade.profit for trade in night.sold if trade.profit is not None), Decimal(0))
    total = (*_total(night.sold, 5), _coloured(profit))
    return _table(("시각", "종목", "수량", "가격", "금액", "실현손익*"), rows, 2, total, "없음")


def _trade_cells(trade: Trade) -> tuple[str, ...]:
    fill = trade.fill
    at = f"{datetime.fromtimestamp(fill.at, KST):%H:%M}"
    return at, escape(fill.symbol), str(fill.quantity), _money(fill.price), _money(fill.price * fill.quantity)


def _total(trades: Sequence[Trade], cells: int) -> tuple[str, ...]:
    return ("합계", "", "", "", _money(turnover(trades)), *("" for _ in range(cells - 5)))


def _held(night: Night) -> str:
    rows = [_held_cells(held, night.own.get(held.symbol, 0)) for held in night.held]
    table = _table(("종목", "수량", "평균단가", "가격", "평가손익"), rows, 1, (), "없음")
    if not night.held_by_kis:
        table += '<p class="muted">KIS를 읽지 못해 데몬의 장부에 있는 것만 적었습니다.</p>'
    elif any(night.own.get(held.symbol, 0) != held.quantity for held in night.held):
        table += '<p class="muted">괄호 안은 그 가운데 데몬이 산 주식입니다.</p>'
    return table


def _held_cells(held: Held, own: int) -> tuple[str, ...]:
    count = f"{held.quantity}" if own == held.quantity else f"{held.quantity} ({own})"
    won = gain(held)
    rate = "" if won is None else f" <small>{percent(won, held.average_price * held.quantity)}</small>"
    price = "–" if held.price is None else _money(held.price)
    return escape(held.symbol), count, _money(held.average_price), price, _coloured(won) + rate


def _orders(intents: Sequence[Intent]) -> str:
    rows = [
        (
            f"{datetime.fromtimestamp(intent.created_at, KST):%H:%M}",
            escape(f"{intent.side.value} {intent.symbol} {intent.quantity}주 ${intent.limit}"),
            escape(_ending(intent)),
        )
        for intent in intents
    ]
    return _table(("시각", "주문", "끝"), rows, 3, (), "")


def _ending(intent: Intent) -> str:
    """What became of it, and that for a while nobody knew."""
    ending = f"{intent.filled}주 체결됨" if intent.filled else _ENDINGS.get(intent.state, intent.state.value)
    ending += f" ({intent.ending})" if intent.state is State.DONE and intent.ending and not intent.filled else ""
    confirmed = intent.was_unknown and intent.number is not None
    return ("응답이 사라져 주문내역에서 확인함, " if confirmed else "") + ending


def _reasons(night: Night) -> str:
    if not night.reasons:
        return '<p class="muted">남은 이유가 없습니다.</p>'
    jobs = dict.fromkeys(reason.job for reason in night.reasons)
    return "".join(_reasons_of(job, [reason for reason in night.reasons if reason.job == job]) for job in jobs)


def _reasons_of(job: str, reasons: Sequence[Reason]) -> str:
    whole = [reason for reason in reasons if reason.symbol == WHOLE_PASS]
    each = [reason for reason in reasons if reason.symbol != WHOLE_PASS]
    lines = "".join(f"<li>{escape(reason.text)} {_times(reason.count)}</li>" for reason in whole)
    content = f"<h3>{escape(job)}</h3>" + (f"<ul>{lines}</ul>" if lines else "")
    if not each:
        return content
    symbols = len({reason.symbol for reason in each})
    rows = [(escape(reason.symbol), f"{escape(reason.text)} {_times(reason.count)}") for reason in each]
    table = _table(("종목", "마지막으로 본 이유"), rows, 2, (), "")
    return f"{content}<details><summary>종목별로 보기 ({symbols}종목)</summary>{table}</details>"


def _recoveries(night: Night) -> str:
    rows = [(_clock(done.at), escape(done.name), escape(duration(done.seconds))) for done in night.recoveries]
    return _table(("시각", "알아챈 곳", "걸린 시간"), rows, 2, (), "없음: 토큰이 밤새 살아 있었습니다.")


def _issuances(night: Night) -> str:
    rows = [(_clock(attempt.at), escape(attempt.cause), escape(_outcome(attempt))) for attempt in night.issuances]
    return _table(("시각", "까닭", "결과"), rows, 3, (), "없음: 쓰던 토큰을 그대로 썼습니다.")


def _outcome(attempt: Issuance) -> str:
    return _OUTCOMES.get(attempt.outcome, f"실패: {attempt.outcome}")


def _troubles(troubles: Sequence[Trouble]) -> str:
    if not troubles:
        return '<p class="muted">없음</p>'
    return f'<ul class="troubles">{"".join(map(_trouble, troubles))}</ul>'


def _trouble(trouble: Trouble) -> str:
    name = f"<b>{escape(trouble.code)}</b> " if trouble.code else ""
    head = f"{name}{escape(trouble.text)} {_times(trouble.count)} <small>마지막 {_clock(trouble.last_at)}</small>"
    explanation = explain(trouble.code) if trouble.code else _SILENCE
    if explanation is None:
        return f"<li>{head}</li>"
    mark = ' class="todo"' if explanation.needs_owner else ""
    return (
        f"<li>{head}<dl><dt>뜻</dt><dd>{escape(explanation.meaning)}</dd><dt>데몬이 한 일</dt>"
        f"<dd>{escape(explanation.done)}</dd><dt>할 일</dt><dd{mark}>{escape(explanation.todo)}</dd></dl></li>"
    )


def _foot(night: Night) -> str:
    opens = night.next_open.astimezone(NEW_YORK)
    return (
        f'<section class="next"><h2>다음 장</h2><p class="value">{escape(next_session(night))}</p>'
        f'<p class="muted">뉴욕 {opens:%m-%d %H:%M}</p></section>'
        '<footer class="muted">* 수수료와 손익은 KIS의 일반 요율로 추정한 값입니다. '
        "시각은 한국 시각, 금액은 달러입니다.</footer>"
    )


# pieces


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], texts: int, total: Sequence[str], if_none: str) -> str:
    """A table whose first ``texts`` columns are words and the others numbers. The cells are escaped already."""
    if not rows:
        return f'<p class="muted">{escape(if_none)}</p>'
    head = _row("th", [escape(name) for name in names], texts)
    foot = f"<tfoot>{_row('td', total, texts)}</tfoot>" if total and len(rows) > 1 else ""
    body = "".join(_row("td", row, texts) for row in rows)
    return f'<div class="wide"><table><thead>{head}</thead><tbody>{body}</tbody>{foot}</table></div>'


def _row(tag: str, cells: Sequence[str], texts: int) -> str:
    columns = (f"<{tag}{'' if i < texts else ' class=number'}>{cell}</{tag}>" for i, cell in enumerate(cells))
    return f"<tr>{''.join(columns)}</tr>"


def _money(amount: Decimal) -> str:
    return escape(usd(amount))


def _coloured(amount: Decimal | None) -> str:
    return "–" if amount is None else f'<span class="{_tone(amount)}">{escape(signed_usd(amount))}</span>'


def _tone(amount: Decimal) -> str:
    return "up" if amount > 0 else "down" if amount < 0 else ""


def _times(count: int) -> str:
    return f'<span class="times">{count:,}번</span>'


def _clock(epoch: float) -> str:
    return f"{datetime.fromtimestamp(epoch, KST):%m-%d %H:%M}"
