"""The simulated market: prices as a pure function of (seed, symbol, instant).

Nothing ticks. A price is worked out when somebody asks, so a thousand symbols that nobody asks for cost nothing, and
how often or in which order they are asked changes nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache

from simulator.hours import Hours, Session, previous
from simulator.listings import Listing, find_listing

TICK_SECONDS = 5  # the price changes at most so often
_PERIODS = [3.0**power for power in range(5, -8, -1)]  # 243 days down to about half a minute
_SCALES = [(number, 1 / period, math.sqrt(period)) for number, period in enumerate(_PERIODS)]
_CALIBRATION = 0.9  # makes a day's change have the standard deviation that was asked for
_BETA = 0.7  # share of a symbol's movement that is the whole market's
_OWN = math.sqrt(1 - _BETA**2)
_MASK = (1 << 64) - 1
_LOOKS = 8  # at each session, for its high and low
_WON = 1380.0  # for a dollar, about


@dataclass(frozen=True)
class Bar:
    """One session of one symbol, prices in USD."""

    date: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int


class Walk:
    """A random path that never leaves its bounds: noise of thirteen wave lengths, one upon the other.

    Between lattice points the noise is straight, on them it is a hash of (seed, wave length, index); so the value at
    any coordinate costs the same, in whatever order it is asked, and a path over years stays plausible.
    """

    def __init__(self, name: str) -> None:
        self._seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
        # One (index, left, rise) for each wave length; replaced whole, so that threads cannot see half of one.
        self._lattice = [(-1, 0.0, 0.0)] * len(_SCALES)

    def value(self, coordinate: float) -> float:
        """The deviation at ``coordinate`` (in days), in units of one day's typical change."""
        total, lattice = 0.0, self._lattice
        for number, scale, amplitude in _SCALES:
            position = coordinate * scale
            index = int(position)
            known, left, rise = lattice[number]
            if known != index:
                left = self._noise(number, index)
                rise = self._noise(number, index + 1) - left
                lattice[number] = (index, left, rise)
            total += amplitude * (left + rise * (position - index))
        return total * _CALIBRATION

    def _noise(self, number: int, index: int) -> float:
        """Uniform in [-1, 1): the mixing steps of splitmix64."""
        mixed = (self._seed + number * 0x632BE59BD9B4E019 + index * 0x9E3779B97F4A7C15) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 52) - 1.0


@dataclass(frozen=True)
class _Pin:
    """A price set by hand, from an instant on; ``price`` None lets go again."""

    since: float
    price: Decimal | None
    base: Decimal | None


class Market:
    """Prices, previous closes and daily bars of everything listed. Instants are epoch seconds, prices USD."""

    def __init__(self, seed: int, hours: Hours) -> None:
        self.hours = hours
        self._seed = seed
        self._whole = Walk(f"{seed}:the whole market")
        self._whole_last = (-1.0, 0.0)
        self._walked_last: dict[str, tuple[Session, float, Decimal]] = {}  # by symbol
        self._won = Walk(f"{seed}:won per dollar")
        self._walks: dict[str, Walk] = {}
        self._pins: dict[str, list[_Pin]] = {}
        self._bar = lru_cache(maxsize=4096)(self._finished_bar)
        self._close = lru_cache(maxsize=4096)(self._finished_close)
        self._look = lru_cache(maxsize=4096)(self._look_at)
        self._range = lru_cache(maxsize=4096)(self._range_until)
        self._day_volume = lru_cache(maxsize=4096)(self._volume_of_day)
        self._day_rate = lru_cache(maxsize=64)(self._rate_of_day)

    def price(self, listing: Listing, at: float) -> Decimal:
        """The last trade: four decimals, possibly parts of a cent; after the close the last one of the session."""
        pin = self._pinned(listing, at)
        if pin is not None and pin.price is not None:
            return pin.price
        session = self.hours.current(at)
        if at < session.opens:  # nothing has traded yet today
            return self.close(listing, previous(self.hours, session))
        return self._walked(listing, session, at)

    def previous_close(self, listing: Listing, at: float) -> Decimal:
        """The close of the session before the one this instant belongs to."""
        pin = self._pinned(listing, at)
        if pin is not None and pin.base is not None:
            return pin.base
        return self.close(listing, previous(self.hours, self.hours.current(at)))

    def close(self, listing: Listing, session: Session) -> Decimal:
        """The last price of a finished session."""
        return self._close(listing, session)

    def pin(self, symbol: str, at: float, price: Decimal | None, base: Decimal | None = None) -> None:
        """Hold a symbol at ``price`` (and its previous close at ``base``) from an instant on; None lets it go."""
        listing = find_listing(symbol)
        if listing is None:
            raise ValueError(f"{symbol} is not listed")
        if any(value is not None and not (value.is_finite() and value > 0) for value in (price, base)):
            raise ValueError(f"{price} or {base} is no price")
        self._bar.cache_clear()
        self._close.cache_clear()
        self._look.cache_clear()
        self._range.cache_clear()
        self._pins.setdefault(listing.symbol, []).append(_Pin(at, _exact(price), _exact(base)))

    def bar(self, listing: Listing, session: Session, at: float) -> Bar:
        """The day's bar; unfinished while the session runs."""
        if at >= session.closes:
            return self._bar(listing, session)
        return self._make_bar(listing, session, at)

    def volume(self, listing: Listing, session: Session, at: float) -> int:
        """Shares traded in the session until this instant."""
        return int(self._day_volume(listing.symbol, session.date) * _fraction(session, at))

    def _volume_of_day(self, symbol: str, day: date) -> int:
        spread = hashlib.blake2b(f"{self._seed}:{symbol}:{day}".encode(), digest_size=4).digest()
        return 300_000 + int.from_bytes(spread, "big") % 40_000_000

    def won_per_dollar(self, at: float) -> Decimal:
        """The exchange rate of a trading day, two decimals."""
        return self._day_rate(self.hours.current(at).date)

    def _rate_of_day(self, day: date) -> Decimal:
        change = 0.005 * self._won.value(float(day.toordinal()))
        return Decimal(f"{_WON * math.exp(change):.2f}")

    def first_at_or_below(self, listing: Listing, limit: Decimal, start: float, end: float) -> float | None:
        """The first tick in [start, end] at which the price is ``limit`` or less."""
        return next((tick for tick in _ticks(start, end) if self.price(listing, tick) <= limit), None)

    def first_at_or_above(self, listing: Listing, limit: Decimal, start: float, end: float) -> float | None:
        """The first tick in [start, end] at which the price is ``limit`` or more."""
        return next((tick for tick in _ticks(start, end) if self.price(listing, tick) >= limit), None)

    def _walked(self, listing: Listing, session: Session, at: float) -> Decimal:
        """The price without any pin, at an instant of this session; the last one is kept, as one request wants it
        several times."""
        tick = at - at % TICK_SECONDS
        last = self._walked_last.get(listing.symbol)
        if last is None or last[0] is not session or last[1] != tick:
            last = self._walked_last[listing.symbol] = session, tick, self._price_at(listing, session, tick)
        return last[2]

    def _price_at(self, listing: Listing, session: Session, tick: float) -> Decimal:
        share = self.hours.share_of_day * _fraction(session, tick)
        coordinate = session.date.toordinal() + share
        own = self._walk(listing).value(coordinate) * _OWN
        log_change = listing.daily_move * (own + _BETA * self._whole_value(coordinate))
        return Decimal(f"{max(listing.start * math.exp(log_change), 0.0001):.4f}")

    def _walk(self, listing: Listing) -> Walk:
        walk = self._walks.get(listing.symbol)
        if walk is None:
            walk = self._walks[listing.symbol] = Walk(f"{self._seed}:{listing.symbol}")
        return walk

    def _whole_value(self, coordinate: float) -> float:
        """The market's own walk, kept for the symbols that are asked at the same instant."""
        last = self._whole_last
        if last[0] != coordinate:
            last = self._whole_last = (coordinate, self._whole.value(coordinate))
        return last[1]

    def _pinned(self, listing: Listing, at: float) -> _Pin | None:
        pins = self._pins.get(listing.symbol)
        if pins is None:
            return None
        return next((pin for pin in reversed(pins) if pin.since <= at), None)

    def _finished_close(self, listing: Listing, session: Session) -> Decimal:
        return self._seen(listing, session, session.closes)

    def _finished_bar(self, listing: Listing, session: Session) -> Bar:
        return self._make_bar(listing, session, session.closes)

    def _make_bar(self, listing: Listing, session: Session, at: float) -> Bar:
        """High and low from a few looks at the session, as one market centre sees only a part of the trades."""
        end = min(max(at, session.opens), session.closes)
        passed = int(_fraction(session, end) * _LOOKS)
        first, high, low = self._range(listing, session, passed)
        last = self._seen(listing, session, end)
        volume = self.volume(listing, session, end)
        return Bar(session.date, first, max(high, last), min(low, last), last, volume)

    def _range_until(self, listing: Listing, session: Session, step: int) -> tuple[Decimal, Decimal, Decimal]:
        """Open, high and low of the looks up to this one."""
        prices = [self._look(listing, session, number) for number in range(step + 1)]
        return prices[0], max(prices), min(prices)

    def _look_at(self, listing: Listing, session: Session, step: int) -> Decimal:
        return self._seen(listing, session, session.opens + (session.closes - session.opens) * step / _LOOKS)

    def _seen(self, listing: Listing, session: Session, at: float) -> Decimal:
        pin = self._pinned(listing, at)
        return pin.price if pin is not None and pin.price is not None else self._walked(listing, session, at)


def _exact(price: Decimal | None) -> Decimal | None:
    return None if price is None else price.quantize(Decimal("0.0001"))


def _fraction(session: Session, at: float) -> float:
    """How much of the session is over at this instant, 0 to 1."""
    return min(max((at - session.opens) / (session.closes - session.opens), 0.0), 1.0)


def _ticks(start: float, end: float) -> Iterator[float]:
    """``start`` itself, then every instant at which the price may change."""
    tick = start
    while tick <= end:
        yield tick
        tick = tick - tick % TICK_SECONDS + TICK_SECONDS
