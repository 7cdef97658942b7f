"""Yahoo without yfinance: the second source for long virtual runs, asked and read as the daemon reads its charts."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from clock import NEW_YORK
from errors import PricesUnreachable, PriceUnknown
from quotes import Quote
from simulator import Request, Response
from yahoo import Chart, read_chart


class ChartPrices:
    """``kis_api.PriceSource`` over the simulator's chart end point."""

    def __init__(self, handle: Callable[[Request], Response], spend: Callable[[float], None]) -> None:
        self._handle = handle
        self._spend = spend

    def quote(self, symbol: str) -> Quote:
        """Yahoo's price. Raises PriceUnknown, PricesUnreachable."""
        name = symbol.replace(".", "-")
        request = Request("GET", f"/v8/finance/chart/{name}", {"range": "5d", "interval": "1d"})
        answer = self._handle(request)
        self._spend(3.0 if answer.wire in ("hang", "drip", "stall", "unreachable") else answer.delay)
        if answer.wire is not None or answer.status in (401, 403, 429):
            raise PricesUnreachable("연결 실패")
        try:
            return read_chart(symbol, _chart(json.loads(answer.body)))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError):
            raise PriceUnknown("시세 없음") from None


def _chart(body: dict[str, object]) -> Chart:
    result = body["chart"]["result"][0]  # type: ignore[index]
    meta, closes = result["meta"], result["indicators"]["quote"][0]["close"]
    bars = [(_instant(at), close) for at, close in zip(result["timestamp"], closes, strict=True)]
    return Chart(meta["currency"], meta["regularMarketPrice"], _instant(meta["regularMarketTime"]), bars)


def _instant(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, NEW_YORK)
