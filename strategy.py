"""What to buy and what to sell: pure functions over plain data, every decision with its reason in Korean.

A strategy sees one pass as a value (``BuyView``, ``SellView``) and answers with a ``Plan``; it asks nobody and changes
nothing. Whoever calls it gathers the view, guards the order (caps, HALT, market hours) and sends it. An owner's own
strategy (setting ``STRATEGY``) is a class with the three methods of ``Strategy`` that is made with the ``Rules``.

Numbers that are compared are Fractions made of Decimals: exact, whatever the precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from portfolio import Side
from quotes import PRICE_LIMIT, Quote, format_price

if TYPE_CHECKING:
    from config import Settings

WHOLE_PASS = "전체"  # the key in Plan.reasons of what concerns no single symbol

MOST_SYMBOLS = 3  # bought in one pass
MOST_SHARES = 100  # bought in one order
CASH_PARTS = 3  # of the cash at the start of a pass; one order takes at most one of them
LEAST_CASH = Decimal(100)  # USD; nothing is bought with less
FEE_MARGIN = Decimal("0.003")  # of every buy kept aside; KIS charges 0.25 % and does not show it in the order

_CENT, _HUNDREDTH_OF_A_CENT = Decimal("0.01"), Decimal("0.0001")  # KIS's ticks from $1 up, and below (protocol §7.3)
_WIDE = Context(prec=60)  # an owner's code may have changed the current one


@dataclass(frozen=True)
class OrderWish:
    """An order that somebody would like to send. Raises ValueError for one that KIS could never take as it is."""

    side: Side
    symbol: str
    quantity: int
    limit: Decimal  # USD, on KIS's tick grid, as ``limit_price`` makes it
    reason: str  # Korean, for the owner

    def __post_init__(self) -> None:
        _require_whole("quantity", self.quantity)
        if self.quantity < 1:
            raise ValueError(f"quantity of {self.symbol} must be at least 1: {self.quantity}")
        format_limit(self.limit)


@dataclass(frozen=True)
class Holding:
    """Shares of one symbol that may be sold, as far as they are in scope (``SELL_SCOPE``)."""

    symbol: str
    quantity: int
    sellable: int  # not bound by an open order, and already delivered
    average_price: Decimal  # USD

    def __post_init__(self) -> None:
        _require_whole("quantity", self.quantity)
        _require_whole("sellable", self.sellable)


@dataclass(frozen=True)
class BuyView:
    """What a buy pass may look at."""

    quotes: Mapping[str, Quote]  # only such as may open a position: KIS's, at most 60 s old; a missing one is unknown
    filters: tuple[str, ...]  # filter stocks that are switched on
    watch: tuple[str, ...]
    held: frozenset[str]  # everything held, whoever bought it
    busy: frozenset[str]  # with an open or unknown order
    last_sales: Mapping[str, Decimal]  # price of the last sale
    cash: Decimal  # USD that may be spent, read at the start of the pass

    def __post_init__(self) -> None:
        if not (isinstance(self.cash, Decimal) and self.cash.is_finite()):
            raise ValueError(f"cash must be a finite Decimal: {self.cash!r}")


@dataclass(frozen=True)
class SellView:
    """What a sell pass, or the stop-loss of the watch job, may look at."""

    quotes: Mapping[str, Quote]  # as in BuyView
    holdings: tuple[Holding, ...]  # each symbol once
    busy: frozenset[str]

    def __post_init__(self) -> None:
        symbols = [holding.symbol for holding in self.holdings]
        if len(set(symbols)) < len(symbols):
            raise ValueError(f"a symbol is held twice: {sorted(symbols)}")


@dataclass(frozen=True)
class Plan:
    """What to do in this pass, in this order, and why the rest is left alone.

    A symbol without a wish has its reason under its name or, where nothing at all is decided, only under WHOLE_PASS.
    A plan of ours without wishes always has the reason under WHOLE_PASS.
    """

    wishes: tuple[OrderWish, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The owner's settings and the fixed numbers that decisions follow. Percents are percents: 5 is 5 %."""

    profit_threshold_pct: Decimal
    min_profit_pct: Decimal
    stop_loss_pct: Decimal  # without a sign; 0: no stop-loss
    check_previous_sell_price: bool
    most_symbols: int = MOST_SYMBOLS
    most_shares: int = MOST_SHARES
    cash_parts: int = CASH_PARTS
    least_cash: Decimal = LEAST_CASH
    fee_margin: Decimal = FEE_MARGIN

    @classmethod
    def from_settings(cls, settings: Settings) -> Rules:
        """The rules that these settings make."""
        return cls(
            profit_threshold_pct=settings.profit_threshold_pct,
            min_profit_pct=settings.min_profit_pct,
            stop_loss_pct=settings.stop_loss_pct,
            check_previous_sell_price=settings.check_previous_sell_price,
        )


class Strategy(Protocol):
    """What the daemon asks. The methods decide from the view alone; ask no network and no clock in them."""

    def decide_buys(self, view: BuyView) -> Plan:
        """What to buy, every BUY_INTERVAL_MINUTES."""
        ...

    def decide_sale(self, view: SellView) -> Plan:
        """What to sell, every SELL_INTERVAL_MINUTES."""
        ...

    def decide_stop_loss(self, view: SellView) -> Plan:
        """What to sell before anything else, in the watch job."""
        ...


# The built-in strategy


class DipStrategy:
    """Buy what fell most while the filter stocks rise; sell the one holding that gained most."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    def decide_buys(self, view: BuyView) -> Plan:
        """Up to three of the watch list that fell most from their previous close, if the gate is open.

        What may not be bought (held, busy, not below its last sale, price unknown) is left out before the three are
        taken. One of the three that does not fit the cash is not replaced by the fourth.
        """
        obstacle = _closed_gate(view) or self._too_little_cash(view.cash)
        if obstacle:
            return _plan([], {}, obstacle)
        dips, reasons = self._dips(view)
        most = self.rules.most_symbols
        wishes = self._buys(dips[:most], view.cash, reasons)
        for rank, dip in enumerate(dips[most:], most + 1):
            reasons[dip.symbol] = f"전일 종가 대비 {_percent(dip.change)}, 후보 중 하락률 {rank}위 ({most}위까지만 삼)"
        some = "떨어진 종목은 있으나 지금 현금으로는 한 주도 살 수 없음"
        none = f"관심 종목 {len(set(view.watch))}개 가운데 살 수 있게 떨어진 것이 없음"
        return _plan(wishes, reasons, some if dips else none)

    def decide_sale(self, view: SellView) -> Plan:
        """All sellable shares of the best holding, if it gained enough.

        What may not be sold (busy, nothing sellable, price unknown) is left out before the best is looked for.
        """
        positions, reasons = _positions(view)
        positions.sort(key=lambda position: (-position.change, position.symbol))
        rules, best = self.rules, positions[0] if positions else None
        bars = (rules.profit_threshold_pct, rules.min_profit_pct)
        reached = next((bar for bar in bars if best and best.change >= Fraction(bar)), None)
        if best is None or reached is None:
            reasons |= {position.symbol: self._too_little_gain(position) for position in positions}
            return _plan([], reasons, self._nothing_gained(positions))
        for position in positions[1:]:
            reasons[position.symbol] = self._waits_for(best, position)
        return _plan([_sale(best, f"{best.gain}, 기준 {_plain(reached)}% 이상")], reasons)

    def decide_stop_loss(self, view: SellView) -> Plan:
        """All sellable shares of every holding that fell too far, the worst first."""
        stop = self.rules.stop_loss_pct
        if stop <= 0:
            return _plan([], {}, "STOP_LOSS_PCT가 0이라 손절하지 않음")
        positions, reasons = _positions(view)
        positions.sort(key=lambda position: (position.change, position.symbol))
        fallen = [position for position in positions if position.change <= -Fraction(stop)]
        for position in positions[len(fallen) :]:
            reasons[position.symbol] = f"{position.gain}, 손절 기준 -{_plain(stop)}%에 닿지 않음"
        wishes = [_sale(position, f"손절: {position.gain}, 기준 -{_plain(stop)}%") for position in fallen]
        return _plan(wishes, reasons, f"손절 기준 -{_plain(stop)}%에 닿아 팔 수 있는 종목이 없음")

    def _too_little_cash(self, cash: Decimal) -> str | None:
        if cash >= self.rules.least_cash:
            return None
        return f"쓸 수 있는 현금 {_usd(cash)}: {_usd(self.rules.least_cash)}보다 적어 사지 않음"

    def _dips(self, view: BuyView) -> tuple[list[_Dip], dict[str, str]]:
        """What may be bought, the deepest first, and why the rest may not."""
        dips: list[_Dip] = []
        reasons: dict[str, str] = {}
        for symbol in dict.fromkeys(view.watch):
            found = self._dip(symbol, view)
            if isinstance(found, _Dip):
                dips.append(found)
            else:
                reasons[symbol] = found
        return sorted(dips, key=lambda dip: (dip.change, dip.symbol)), reasons

    def _dip(self, symbol: str, view: BuyView) -> _Dip | str:
        """The dip that may be bought, or why there is none."""
        if symbol in view.held:
            return "이미 보유 중"
        if symbol in view.busy:
            return "체결이나 확인을 기다리는 주문이 있음"
        price, previous_close = _prices(view.quotes.get(symbol))
        if price is None:
            return "주문에 쓸 현재가를 모름"
        if previous_close is None:
            return "전일 종가를 모름"
        dip = _Dip(symbol, previous_close, _change_pct(price, previous_close), limit_price(price, Side.BUY))
        if dip.change >= 0:
            return f"전일 종가 대비 {_percent(dip.change)}, 떨어지지 않음"
        return self._dearer_than_sold(dip, view.last_sales) or dip

    def _dearer_than_sold(self, dip: _Dip, last_sales: Mapping[str, Decimal]) -> str | None:
        """Why this is not bought back; what counts is the limit, the most that may be paid."""
        if not self.rules.check_previous_sell_price or dip.symbol not in last_sales:
            return None
        last_sale = _known(last_sales[dip.symbol])
        if last_sale is None:
            return "지난 매도가를 읽을 수 없음"
        if dip.limit < last_sale:
            return None
        return f"지난 매도가 {format_price(last_sale)}보다 싸지 않음 (지금 {format_price(dip.limit)})"

    def _buys(self, dips: Sequence[_Dip], cash: Decimal, reasons: dict[str, str]) -> list[OrderWish]:
        """A wish for each that fits the cash; why not goes into ``reasons``."""
        part, left = Fraction(cash) / self.rules.cash_parts, Fraction(cash)
        with_fee = 1 + Fraction(self.rules.fee_margin)
        wishes = []
        for rank, dip in enumerate(dips, 1):
            limit, room = Fraction(dip.limit), min(part, left / with_fee)
            quantity = min(room // limit, self.rules.most_shares)
            if quantity < 1:
                reasons[dip.symbol] = f"한 주 {format_price(dip.limit)}: 이 주문에 쓸 수 있는 {_usd(room)}보다 비쌈"
                continue
            reason = (
                f"전일 종가 {format_price(dip.previous_close)} 대비 {_percent(dip.change)}, 후보 중 하락률 {rank}위"
            )
            wishes.append(OrderWish(Side.BUY, dip.symbol, quantity, dip.limit, reason))
            left -= quantity * limit * with_fee
        return wishes

    def _nothing_gained(self, positions: Sequence[_Position]) -> str:
        if not positions:
            return "지금 팔 수 있는 종목이 없음"
        return f"최소 기준 {_plain(self.rules.min_profit_pct)}%만큼 오른 종목이 없음"

    def _too_little_gain(self, position: _Position) -> str:
        return f"{position.gain}, 최소 기준 {_plain(self.rules.min_profit_pct)}%에 닿지 않음"

    def _waits_for(self, best: _Position, position: _Position) -> str:
        if position.change < Fraction(self.rules.min_profit_pct):
            return self._too_little_gain(position)
        return f"{position.gain}, 한 번에 한 종목만 팔아 {best.symbol} 먼저"


@dataclass(frozen=True)
class _Dip:
    """A symbol of the watch list and how far it stands from its previous close."""

    symbol: str
    previous_close: Decimal
    change: Fraction  # percent
    limit: Decimal


@dataclass(frozen=True)
class _Position:
    """A holding that may be sold now, and how it stands."""

    holding: Holding
    price: Decimal
    change: Fraction  # percent

    @property
    def symbol(self) -> str:
        return self.holding.symbol

    @property
    def gain(self) -> str:
        return f"평균 단가 {format_price(self.holding.average_price)} 대비 {_percent(self.change)}"


def _closed_gate(view: BuyView) -> str | None:
    """Why nothing at all is bought: every filter stock with a known price must be above its previous close."""
    if not view.filters:
        return "켜 둔 필터 종목(filter_stocks)이 없음"
    known = {symbol: _prices(view.quotes.get(symbol)) for symbol in dict.fromkeys(view.filters)}
    troubles = {symbol: _not_above(*prices) for symbol, prices in known.items() if prices[0] is not None}
    if not troubles:
        return f"필터 종목({', '.join(known)})의 현재가를 하나도 모름"
    told = [f"{symbol} {trouble}" for symbol, trouble in troubles.items() if trouble]
    return f"필터 종목이 모두 오르지는 않음: {', '.join(told)}" if told else None


def _not_above(price: Decimal | None, previous_close: Decimal | None) -> str | None:
    if price is None or previous_close is None:
        return "전일 종가를 모름"
    if price > previous_close:
        return None
    return f"{format_price(price)} (전일 종가 {format_price(previous_close)})"


def _positions(view: SellView) -> tuple[list[_Position], dict[str, str]]:
    """What may be sold now, and why the rest may not."""
    positions: list[_Position] = []
    reasons: dict[str, str] = {}
    for holding in view.holdings:
        found = _position(holding, view)
        if isinstance(found, _Position):
            positions.append(found)
        else:
            reasons[holding.symbol] = found
    return positions, reasons


def _position(holding: Holding, view: SellView) -> _Position | str:
    """The position that may be sold, or why it may not."""
    if holding.symbol in view.busy:
        return "체결이나 확인을 기다리는 주문이 있음"
    if min(holding.sellable, holding.quantity) < 1:
        return f"보유 {holding.quantity}주 가운데 팔 수 있는 주식이 없음"
    average_price = _known(holding.average_price)
    if average_price is None:
        return "평균 단가를 몰라 판단하지 않음"
    price, _ = _prices(view.quotes.get(holding.symbol))
    if price is None:
        return "주문에 쓸 현재가를 모름"
    return _Position(holding, price, _change_pct(price, average_price))


def _sale(position: _Position, reason: str) -> OrderWish:
    """Everything sellable, but never more than is held."""
    quantity = min(position.holding.sellable, position.holding.quantity)
    return OrderWish(Side.SELL, position.symbol, quantity, limit_price(position.price, Side.SELL), reason)


def _plan(wishes: Sequence[OrderWish], reasons: Mapping[str, str], if_none: str = "") -> Plan:
    """The plan; ``if_none`` says why there is no wish, where there is none."""
    whole = {} if wishes else {WHOLE_PASS: if_none}
    return Plan(tuple(wishes), MappingProxyType({**whole, **reasons}))


# Prices of orders


def limit_price(price: Decimal, side: Side) -> Decimal:
    """The price as KIS takes it: cents from $1 up, four decimals below; a buy rounded up, a sell down.

    Never more than a tick away from ``price``, and never 0. Raises ValueError for what is no price.
    """
    if _known(price) is None:
        raise ValueError(f"not a price: {price!r}")
    tick = _tick(price)
    rounding = ROUND_CEILING if side is Side.BUY else ROUND_FLOOR
    limit = max(price.quantize(tick, rounding, _WIDE), tick)
    return limit.quantize(_tick(limit), context=_WIDE)  # a buy may have come up to $1.0000


def format_limit(limit: Decimal) -> str:
    """The limit as it goes over the wire: ``145.00``, ``0.1234``. Raises ValueError for one off the tick grid."""
    if _known(limit) is None or limit.quantize(_tick(limit), context=_WIDE) != limit:
        raise ValueError(f"not a limit price: {limit!r}")
    return format(limit, ".2f" if limit >= 1 else ".4f")


def _tick(price: Decimal) -> Decimal:
    return _CENT if price >= 1 else _HUNDREDTH_OF_A_CENT


# Numbers and words


def _prices(quote: Quote | None) -> tuple[Decimal | None, Decimal | None]:
    """Price and previous close, each None where it is unknown."""
    return (None, None) if quote is None else (_known(quote.price), _known(quote.previous_close))


def _known(price: Decimal | None) -> Decimal | None:
    """The price, or None for what cannot be one: zero, negative, NaN, infinite, a float, absurdly high."""
    usable = isinstance(price, Decimal) and price.is_finite() and 0 < price <= PRICE_LIMIT
    return price if usable else None


def _require_whole(name: str, number: int) -> None:
    if type(number) is not int:  # bool and numpy's integers would go over the wire as something else
        raise ValueError(f"{name} must be an int: {number!r}")


def _change_pct(price: Decimal, base: Decimal) -> Fraction:
    return (Fraction(price) / Fraction(base) - 1) * 100


def _percent(change: Fraction) -> str:
    """``+4.99%``: cut, not rounded, so that what missed a bar never looks as if it had reached it."""
    sign = "+" if change > 0 else "-" if change < 0 else ""
    whole, hundredths = divmod(int(abs(change) * 100), 100)
    return f"{sign}{whole}.{hundredths:02}%"


def _usd(amount: Decimal | Fraction) -> str:
    """``$1,234.56``, cut to cents."""
    dollars, cents = divmod(int(abs(Fraction(amount)) * 100), 100)
    return f"{'-' if amount < 0 else ''}${dollars:,}.{cents:02}"


def _plain(number: Decimal) -> str:
    """``5``, ``1.5``: without the zeros at the end."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
