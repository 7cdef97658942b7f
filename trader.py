"""The trader: gathers what a decision needs, asks the strategy, acts through the desk. Decides nothing itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from account import Account, OrderList
from books import Books, replay
from clock import Clock
from config import Settings
from errors import AutoStockError, KISError, Stopping
from intents import Intent
from kis_api import KISAPIClient
from kis_quotes import SOURCE
from ledger import Ledger, LedgerError, LedgerUnreadable
from logs import Repeats
from market_hours import MarketHours, Session, last_order_time
from order_desk import OrderDesk, OrderNotPossible, Ticket
from portfolio import Cash, Position, Side
from quotes import Quote
from stocks import Watchlist, WatchlistFile
from strategy import WHOLE_PASS, BuyView, Holding, OrderWish, Plan, SellView, Strategy, format_limit

logger = logging.getLogger(__name__)

QUOTE_AGE = 60.0  # seconds; an older price opens and closes nothing
BUY, SELL = "매수", "매도"  # the passes, as the log and the database name them


class Skip(AutoStockError):
    """This pass does nothing; the message is the Korean reason."""


@dataclass(frozen=True)
class Picture:
    """The account as complete reads of this pass showed it."""

    orders: OrderList
    positions: Mapping[str, Position]
    books: Books


class Trader:
    """The passes of a session. A pass that cannot read what it needs does nothing and says why."""

    def __init__(
        self,
        settings: Settings,
        api: KISAPIClient,
        account: Account,
        desk: OrderDesk,
        ledger: Ledger,
        strategy: Strategy,
        hours: MarketHours,
        stocks: WatchlistFile,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._settings = settings
        self._api = api
        self._account = account
        self._desk = desk
        self._ledger = ledger
        self._strategy = strategy
        self._hours = hours
        self._stocks = stocks
        self._clock = clock
        self._stop = stop
        self._repeats = Repeats(clock)
        self._reasons: dict[str, Mapping[str, str]] = {}
        self._halted = False
        self._fallen_watch: dict[str, Decimal] = {}
        self._spent_in_pass = Decimal(0)
        self.last_pass_at: datetime | None = None
        self.balance_read_at: datetime | None = None

    # the jobs

    def follow_orders(self) -> None:
        """Settle and cancel what is open or unknown; at the start this comes before anything is bought."""
        try:
            self._desk.follow()
        except (KISError, LedgerError) as exc:
            self._say("주문내역", f"[ORDER] 주문내역을 읽지 못함 ({exc}): 끝나지 않은 주문을 그대로 둡니다")
        else:
            self._repeats.forget("주문내역")

    def trade_if_due(self) -> None:
        """The passes whose time has come, sales first. Last runs are on disk: a restart neither skips nor repeats."""
        session = self._hours.session(self._clock.now())
        if session is None:
            return
        self._run_if_due(
            SELL, self._settings.sell_interval_minutes, lambda: self._sell(session, self._strategy.decide_sale)
        )
        self._run_if_due(BUY, self._settings.buy_interval_minutes, lambda: self._buy(session))

    def watch_losses(self) -> None:
        """With STOP_LOSS_PCT set: sell what has fallen that far, as part of the watch job."""
        session = self._hours.session(self._clock.now())
        if self._settings.stop_loss_pct > 0 and session is not None and self._may_have_fallen():
            self._guard(SELL, lambda: self._sell(session, self._strategy.decide_stop_loss))

    def own_symbols(self) -> tuple[str, ...]:
        """Symbols of which shares count as ours: quoted with the watch list. None while the books do not answer."""
        try:
            return tuple(replay(self._ledger.fills()).quantities)
        except LedgerUnreadable as exc:
            self._say("장부", f"장부를 읽지 못함 ({exc}): 시세만 계속합니다")
            return ()

    def read_for_adoption(self) -> dict[str, Position]:
        """What KIS says, with everything settled that its lists can settle. Raises KISError."""
        self._desk.follow()
        return self._account.positions()

    def live_intents(self) -> list[Intent]:
        """Orders that something may still happen to."""
        return self._desk.live

    # when

    def _is_due(self, job: str, interval_minutes: float) -> bool:
        now = self._clock.now().timestamp()
        last = self._ledger.last_run(job)
        if last is not None and last > now:  # the clock was put back: count from here rather than wait twice
            self._ledger.note_run(job, now)
            return False
        return last is None or now - last >= interval_minutes * 60

    def _run_if_due(self, job: str, interval_minutes: float, act: Callable[[], None]) -> None:
        """One pass. Its time is on disk before it begins, so that a crash in it is not a second pass."""
        try:
            if not self._is_due(job, interval_minutes):
                return
            self._ledger.note_run(job, self._clock.now().timestamp())
        except LedgerError as exc:
            self._say(job, f"[{job}] 장부를 쓸 수 없어 건너뜁니다 ({exc})")
            return
        self._guard(job, act)
        self.last_pass_at = self._clock.now()

    def _guard(self, job: str, act: Callable[[], None]) -> None:
        try:
            act()
        except (KISError, LedgerError, Skip, OrderNotPossible) as exc:
            self._note_reasons(job, {WHOLE_PASS: str(exc)})
            self._say(job, f"[{job}] 건너뜀: {exc}")
        else:
            self._repeats.forget(job)

    # what a decision needs

    def _look(self, session: Session) -> Picture:
        """Complete reads of orders and positions; what they settle is settled first. Raises KISError."""
        days = [session.date, *(date.fromisoformat(intent.session) for intent in self._desk.live)]
        orders = self._account.orders(min(days), max(days))
        self._desk.settle(orders)
        positions = self._account.positions()
        self.balance_read_at = self._clock.now()
        return Picture(orders, positions, replay(self._ledger.fills()))

    def _usable_quotes(self, symbols: Iterable[str]) -> dict[str, Quote]:
        """Quotes that may open or close a position: from KIS and at most a minute old."""
        now = self._clock.now()
        quotes = self._api.get_quotes(symbols, strategy=True)
        return {
            symbol: quote
            for symbol, quote in quotes.items()
            if quote and quote.source == SOURCE and (now - quote.at).total_seconds() <= QUOTE_AGE
        }

    # buying

    def _buy(self, session: Session) -> None:
        self._check_protections(session)
        watchlist = self._stocks.current()
        picture = self._look(session)
        self._check_books(picture)
        quotes = self._usable_quotes([*watchlist.symbols, *picture.positions])
        cash = self._cash(watchlist, quotes)
        self._check_loss(session, cash.usd, picture, quotes)
        plan = self._strategy.decide_buys(self._buy_view(watchlist, picture, quotes, cash.usd))
        self._act(BUY, session, plan, picture, quotes, cash)

    def _check_protections(self, session: Session) -> None:
        """What stops buying before anything is asked. Raises Skip."""
        halted = self._settings.halt_file.exists()
        if halted != self._halted:
            self._halted = halted
            state = "있는 동안 새로 사지 않습니다" if halted else "없어져 다시 삽니다"
            logger.warning("[HALT] %s 파일이 %s", self._settings.halt_file.name, state)
        if halted:
            raise Skip("HALT 파일")
        if reason := self._desk.distrust():
            raise Skip(reason)
        if self._too_late(session):
            raise Skip("마감이 가까움")

    def _check_books(self, picture: Picture) -> None:
        """Fewer shares at KIS than the ledger holds: somebody else sold ours, or a read is wrong. Raises Skip."""
        for symbol, quantity in picture.books.quantities.items():
            held = picture.positions[symbol].quantity if symbol in picture.positions else 0
            if held < quantity:
                raise Skip(f"{symbol} 장부 {quantity}주, KIS {held}주: 직접 파셨다면 python main.py adopt")

    def _cash(self, watchlist: Watchlist, quotes: Mapping[str, Quote]) -> Cash:
        """What may be spent, less what unsettled purchases may still take. Raises KISError, Skip."""
        known = [quotes[symbol] for symbol in watchlist.watch_list if symbol in quotes]
        if not known:
            raise Skip("관심 종목의 KIS 시세가 없음")
        cash = self._account.cash(known[0].exchange or "나스닥", known[0].symbol, known[0].price)
        return replace(cash, usd=max(Decimal(0), cash.usd - self._desk.unsettled_cost()))

    def _check_loss(self, session: Session, cash: Decimal, picture: Picture, quotes: Mapping[str, Quote]) -> None:
        """The day's loss against its opening value. Raises Skip."""
        worth = cash + self._desk.reserved()
        for symbol, position in picture.positions.items():
            price = quotes[symbol].price if symbol in quotes else position.average_price
            worth += price * position.quantity
        self._ledger.note_opening_value(session.date.isoformat(), worth)
        opening = self._ledger.opening_value(session.date.isoformat()) or worth
        limit = self._settings.daily_loss_limit_pct
        if limit > 0 and opening > 0 and (opening - worth) * 100 >= opening * limit:
            raise Skip(f"오늘 손실 한도 {limit}%: 시작 ${opening:,.2f}, 지금 ${worth:,.2f}")

    def _buy_view(self, watchlist: Watchlist, picture: Picture, quotes: Mapping[str, Quote], cash: Decimal) -> BuyView:
        return BuyView(
            quotes=quotes,
            filters=watchlist.filter_stocks,
            watch=watchlist.watch_list,
            held=frozenset(picture.positions),
            busy=self._busy(picture),
            last_sales=picture.books.last_sales,
            cash=cash,
        )

    def _busy(self, picture: Picture) -> frozenset[str]:
        """Symbols with an order that has not ended, ours or the owner's own."""
        foreign = {row.symbol for row in picture.orders.rows if row.open > 0 and row.original is None}
        return self._desk.busy() | foreign

    # selling

    def _sell(self, session: Session, decide: Callable[[SellView], Plan]) -> None:
        if self._too_late(session):
            raise Skip("마감이 가까움")
        if self._settings.sell_scope == "own" and not self._desk.live and not self.own_symbols():
            self._note_reasons(SELL, {WHOLE_PASS: "이 데몬이 산 주식이 없음"})
            return
        picture = self._look(session)
        holdings = self._in_scope(picture)
        self._fallen_watch = {holding.symbol: holding.average_price for holding in holdings}
        quotes = self._usable_quotes([holding.symbol for holding in holdings])
        plan = decide(SellView(quotes=quotes, holdings=holdings, busy=self._desk.busy()))
        self._act(SELL, session, plan, picture, quotes, None)

    def _in_scope(self, picture: Picture) -> tuple[Holding, ...]:
        """What may be sold: only shares that this daemon bought, or with SELL_SCOPE=account everything held."""
        if self._settings.sell_scope == "account":
            return tuple(_holding(p, p.quantity, p.average_price) for p in picture.positions.values())
        return tuple(
            _holding(picture.positions[symbol], quantity, picture.books.averages[symbol])
            for symbol, quantity in picture.books.quantities.items()
            if symbol in picture.positions
        )

    def _may_have_fallen(self) -> bool:
        """Whether the cached quotes give reason to read the account: the watch job is not to cost a request each."""
        averages = self._fallen_watch or replay(self._ledger.fills()).averages
        limit = 1 - self._settings.stop_loss_pct / 100
        quotes = self._api.get_quotes(averages)
        return any(quote and quote.price <= averages[symbol] * limit for symbol, quote in quotes.items())

    # acting

    def _act(
        self,
        job: str,
        session: Session,
        plan: Plan,
        picture: Picture,
        quotes: Mapping[str, Quote],
        cash: Cash | None,
    ) -> None:
        self._note_reasons(job, plan.reasons)
        self._spent_in_pass = Decimal(0)
        sent = 0
        for wish in plan.wishes:
            if self._stop.is_set():
                raise Stopping
            if reason := self._unfit(wish, picture, quotes, cash) or self._cap(wish, session):
                self._note_reasons(job, {**self._reasons[job], wish.symbol: reason})
                continue
            self._desk.place(self._ticket(wish, session, quotes[wish.symbol], cash), picture.orders)
            self._spent_in_pass += wish.limit * wish.quantity if wish.side is Side.BUY else 0
            sent += 1
        self._say_result(job, sent)

    def _unfit(self, wish: OrderWish, picture: Picture, quotes: Mapping[str, Quote], cash: Cash | None) -> str | None:
        """Why a wish must not be sent whatever strategy made it: nothing is sold that is not held and sellable,
        nothing bought beyond the cash, nothing without a fresh price of KIS."""
        if wish.symbol not in quotes:
            return "KIS의 새 시세가 없음"
        if wish.symbol in self._desk.busy():
            return "끝나지 않은 주문이 있음"
        if wish.side is Side.SELL:
            sellable = {holding.symbol: holding.sellable for holding in self._in_scope(picture)}
            return None if wish.quantity <= sellable.get(wish.symbol, 0) else "팔 수 있는 수량보다 많음"
        left = (cash.usd if cash else Decimal(0)) - self._spent_in_pass
        return None if wish.limit * wish.quantity <= left else "남은 현금보다 많음"

    def _ticket(self, wish: OrderWish, session: Session, quote: Quote, cash: Cash | None) -> Ticket:
        return Ticket(
            session=session.date,
            closes_at=session.close.timestamp(),
            symbol=wish.symbol,
            exchange=quote.exchange or "나스닥",
            side=wish.side,
            quantity=wish.quantity,
            limit=format_limit(wish.limit),
            reason=wish.reason,
            krw_per_usd=cash.krw_per_usd if cash else self._last_rate(),
        )

    def _cap(self, wish: OrderWish, session: Session) -> str | None:
        """The day's caps, counted from disk so that a restart does not begin anew. Never stops a sale."""
        if wish.side is Side.SELL:
            return None
        today = [i for i in self._ledger.intents(session=session.date.isoformat()) if i.side is Side.BUY]
        counted = [intent for intent in today if intent.counts]
        most, usd = self._settings.max_buy_orders_per_day, self._settings.max_buy_usd_per_day
        if most and len(counted) >= most:
            return f"하루 매수 {most}건 한도"
        if usd and sum((i.spent for i in counted), Decimal(0)) + wish.limit * wish.quantity > usd:
            return f"하루 매수 ${usd} 한도"
        return None

    def _last_rate(self) -> Decimal | None:
        return next((fill.krw_per_usd for fill in reversed(self._ledger.fills()) if fill.krw_per_usd), None)

    def _too_late(self, session: Session) -> bool:
        return self._clock.now() >= last_order_time(session, self._settings.order_timeout_minutes)

    # what is said

    def why(self, job: str) -> Mapping[str, str]:
        """Why the last pass did not buy or sell, by symbol; ``전체`` for the pass as a whole."""
        return self._reasons.get(job, {})

    def _note_reasons(self, job: str, reasons: Mapping[str, str]) -> None:
        self._reasons[job] = dict(reasons)

    def _say_result(self, job: str, sent: int) -> None:
        reasons = self._reasons[job]
        text = " · ".join(why if symbol == WHOLE_PASS else f"{symbol} {why}" for symbol, why in reasons.items())
        logger.info("[%s] 주문 %d건%s", job, sent, f" ({text})" if text else "")

    def _say(self, key: str, text: str) -> None:
        line = self._repeats.admit(key, text)
        if line:
            logger.warning("%s", line)


def _holding(position: Position, quantity: int, average: Decimal) -> Holding:
    return Holding(position.symbol, min(quantity, position.quantity), min(quantity, position.sellable), average)
