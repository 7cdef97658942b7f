"""Every quote that the daemon hands out is true: A5, seen from outside of its four steps."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from quotes import PRICE_LIMIT, Quote
from simulator.listings import find_listing

if TYPE_CHECKING:
    from soak.world import World

OLDEST = 60.0 + 12.0  # seconds: the cache's minute and the answer's own way
SPOILT = Decimal("3.5")  # the number that «wrong_types» puts where KIS has a text: false, but a price (H20)
YAHOO_OFF = Decimal("0.01")  # how far Yahoo's price may be from the market's


def watch_quotes(world: World) -> None:
    """Look at what ``get_quotes`` and ``get_quote`` give back."""
    api = world.daemon.api
    many, one = api.get_quotes, api.get_quote

    def get_quotes(symbols: Iterable[str], **how: Any) -> dict[str, Quote | None]:
        quotes = many(symbols, **how)
        for symbol, quote in quotes.items():
            _check(world, symbol, quote)
        return quotes

    def get_quote(symbol: str, retry_count: int = 0) -> Quote | None:
        quote = one(symbol, retry_count)
        _check(world, symbol, quote)
        return quote

    api.get_quotes, api.get_quote = get_quotes, get_quote  # type: ignore[method-assign]


def _check(world: World, symbol: str, quote: Quote | None) -> None:
    world.tally.quotes[quote.source if quote else "없음"] += 1
    world.sources[symbol] = quote.source if quote else None
    world.tally.sometimes[f"시세 {quote.source if quote else '없음'}"] += 1
    if quote is None:
        return
    if not 0 < quote.price < PRICE_LIMIT:
        world.broken("A5", f"{symbol} costs {quote.price}")
    (_check_kis if quote.source == "KIS" else _check_yahoo)(world, symbol, quote)


def _check_kis(world: World, symbol: str, quote: Quote) -> None:
    """A price that KIS really gave, not longer ago than the cache allows."""
    seen = world.border.priced.get(symbol)
    listing = find_listing(symbol)
    assert listing is not None
    now = world.clock.monotonic()
    for steady, at in reversed(seen or ()):
        if world.sim.market.price(listing, at) == quote.price:
            if now - world.suspended_at > OLDEST:  # else it may have been asleep in the middle of a scan
                _check_age(world, quote, now - steady)
            return
    if quote.price == SPOILT:
        return
    world.broken("A5", f"KIS never said that {symbol} costs {quote.price}")


def _check_age(world: World, quote: Quote, age: float) -> None:
    world.tally.oldest_quote = max(world.tally.oldest_quote, age)
    if age > OLDEST:
        world.broken("A5", f"{quote.symbol} {quote.price} is {age:.0f} s old")


def _check_yahoo(world: World, symbol: str, quote: Quote) -> None:
    if quote.at is None or quote.at.utcoffset() is None:
        world.broken("A5", f"{symbol}: a price of Yahoo without its time")
    listing = find_listing(symbol)
    assert listing is not None
    then, now = (world.sim.market.price(listing, at) for at in (quote.at.timestamp(), world.true.now().timestamp()))
    if min(abs(quote.price - truth) / truth for truth in (then, now)) > YAHOO_OFF:
        world.broken("A5", f"{symbol} costs {quote.price} by Yahoo, {then} then and {now} now by the market")
