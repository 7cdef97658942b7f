"""A strategy that decides often: so that a simulated night has orders enough for something to happen to them."""

from __future__ import annotations

from decimal import Decimal

from portfolio import Side
from quotes import Quote
from strategy import BuyView, Holding, OrderWish, Plan, Rules, SellView, limit_price

MOST = 2  # wishes in a pass
SHARES = 12


class Eager:
    """Buys the first symbols that are neither held nor busy, sells the first holding that can be sold."""

    def __init__(self, rules: Rules) -> None:
        self._stop_loss = rules.stop_loss_pct

    def decide_buys(self, view: BuyView) -> Plan:
        """Up to two purchases of a few shares."""
        free = [s for s in view.watch if s not in view.held | view.busy and s in view.quotes]
        wishes = [_wish(Side.BUY, view.quotes[s], _affordable(view.quotes[s].price, view.cash)) for s in free[:MOST]]
        return Plan(tuple(wish for wish in wishes if wish is not None), {})

    def decide_sale(self, view: SellView) -> Plan:
        """One sale of all that can be sold of one symbol."""
        return _first_sale(view, [h for h in view.holdings if h.sellable > 0])

    def decide_stop_loss(self, view: SellView) -> Plan:
        """What has fallen below its average."""
        floor = 1 - Decimal(self._stop_loss) / 100
        fallen = [h for h in view.holdings if h.sellable > 0 and _has_fallen(h, view, floor)]
        return _first_sale(view, fallen)


def _affordable(price: Decimal, cash: Decimal) -> int:
    return min(SHARES, int(cash / 4 / price))


def _has_fallen(holding: Holding, view: SellView, floor: Decimal) -> bool:
    quote = view.quotes.get(holding.symbol)
    return quote is not None and quote.price < holding.average_price * floor


def _first_sale(view: SellView, holdings: list[Holding]) -> Plan:
    for holding in holdings:
        if holding.symbol in view.quotes and holding.symbol not in view.busy:
            wish = _wish(Side.SELL, view.quotes[holding.symbol], holding.sellable)
            return Plan((wish,), {}) if wish else Plan((), {})
    return Plan((), {})


def _wish(side: Side, quote: Quote, quantity: int) -> OrderWish | None:
    if quantity < 1:
        return None
    return OrderWish(side, quote.symbol, quantity, limit_price(quote.price, side), "소크 시험")
