"""`python main.py trades`: what was bought and sold, for the owner and for 양도소득세."""

from __future__ import annotations

import csv
import io
import sys
import unicodedata
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from books import Trade, replay
from clock import KST, NEW_YORK
from config import Settings
from ledger import Ledger

HEADINGS = (
    *("한국시각", "뉴욕시각", "구분", "종목", "가격(USD)", "수량", "금액(USD)", "수수료(USD,추정)", "실현손익(USD)"),
    *("환율(KRW/USD)", "금액(KRW)", "실현손익(KRW)"),
)
BOM = "\ufeff"  # Excel takes a CSV without it for another encoding


@dataclass(frozen=True)
class Row:
    """One trade as text, in the order of the headings."""

    cells: tuple[str, ...]


def trade_rows(ledger: Ledger) -> list[Row]:
    """Every fill, oldest first; corrections by ``adopt`` are named as such."""
    return [_row(trade) for trade in replay(ledger.fills()).trades]


def as_csv(rows: Sequence[Row]) -> str:
    """The rows for a spreadsheet, with a byte order mark."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADINGS)
    writer.writerows(row.cells for row in rows)
    return BOM + text.getvalue()


def as_table(rows: Sequence[Row]) -> str:
    """The rows for a terminal of 80 columns: the most important cells only."""
    if not rows:
        return "아직 거래가 없습니다."
    lines = [_line(("한국시각", "구분", "종목", "수량", "가격", "수수료", "실현손익"))]
    for row in rows:
        kst, _, side, symbol, price, quantity, _, fee, profit, *_ = row.cells
        lines.append(_line((kst[:16], side, symbol, quantity, price, fee, profit)))
    return "\n".join([*lines, "", "금액은 USD, 수수료는 추정치입니다. 환율과 원화는: python main.py trades --csv"])


def _row(trade: Trade) -> Row:
    fill = trade.fill
    at = datetime.fromtimestamp(fill.at, KST)
    amount, rate = fill.price * fill.quantity, fill.krw_per_usd
    side = fill.side.value if fill.intent is not None else f"정정({fill.side.value})"
    return Row(
        (
            f"{at:%Y-%m-%d %H:%M:%S}",
            f"{at.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S}",
            side,
            fill.symbol,
            f"{fill.price:.4f}",
            str(fill.quantity),
            f"{amount:.2f}",
            f"{trade.fee:.2f}",
            "" if trade.profit is None else f"{trade.profit:.2f}",
            "" if rate is None else f"{rate:.2f}",
            _krw(amount, rate),
            _krw(trade.profit, rate),
        )
    )


def _krw(usd: Decimal | None, rate: Decimal | None) -> str:
    if usd is None or rate is None:
        return ""
    return str((usd * rate).quantize(Decimal(1), ROUND_HALF_UP))


def show_trades(settings: Settings, *, csv: bool) -> int:
    """The command; the exit status. Raises SettingsError."""
    if not settings.database_file.exists():
        print("아직 거래가 없습니다.")
        return 0
    with closing(Ledger(settings.database_file, settings.account_mark)) as ledger:
        if ledger.fault:
            print(f"{settings.database_file.name} 사용 불가: {ledger.fault}", file=sys.stderr)
            return 1
        rows = trade_rows(ledger)
    sys.stdout.write(as_csv(rows) if csv else as_table(rows) + "\n")
    return 0


_WIDTHS = (17, 11, 7, 6, 12, 9, 12)


def _line(cells: Sequence[str]) -> str:
    """Hangul is two columns wide on a terminal; numbers stand to the right."""
    parts = []
    for number, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=True)):
        space = " " * max(0, width - display_width(cell))
        parts.append(cell + space if number < 3 else space + cell)
    return "".join(parts).rstrip()


def display_width(text: str) -> int:
    """Columns on a terminal: Hangul and full-width signs take two, what Unicode calls ambiguous (…, ·) one."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
