"""The trader: gathers what a decision needs, asks the strategy, acts through the desk. Decides nothing itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from account import Account, OrderList
from alerts import Alert, alert
from books import Books, replay
from clock import Clock
from config import Settings
from errors import AutoStockError, KISError, PriceUnknown, Stopping
from intents import Intent, State
from kis_api import KISAPIClient
from kis_quotes import SOURCE
from ledger import Ledger, LedgerError, LedgerUnreadable
from logs import Repeats
from market_hours import MarketHours, Session, last_order_time
from morning.diary import Diary
from order_desk import OrderDesk, OrderNotPossible, Ticket
from portfolio import Cash, Position, Side, value_of
from quotes import Quote
from stocks import Watchlist, WatchlistFile
from strategy import FEE_MARGIN, WHOLE_PASS, BuyView, Holding, OrderWish, Plan, SellView, Strategy, format_limit

logger = logging.getLogger(__name__)

QUOTE_AGE = 60.0  # seconds; an older price opens and closes nothing
SAME_MOMENT = 10.0  # seconds in which what was read for a sale serves a purchase too
RETRY = 60.0  # seconds until a pass that could not read comes again
COOL_DOWN = 15 * 60.0  # seconds after a refusal in which the same is not sent again
FARTHEST_LIMIT = Decimal("0.03")  # of the price; whatever strategy asked for it
HALTED = "HALT 파일"
BUY, SELL, STOP_LOSS = "매수", "매도", "손절"  # the passes, as the log and the database name them


class Skip(AutoStockError):
    """This pass does nothing; the message is the Korean reason."""


class Protected(Skip):
    """A protection holds purchases back: the owner wants to know."""


class Nothing(Skip):
    """As it should be: there is nothing to do."""


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
        diary: Diary,
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
        self._diary = diary
        self._repeats = Repeats(clock)
        self._halt_file = settings.halt_file
        self._reasons: dict[str, Mapping[str, str]] = {}
        self._skipped: dict[str, str] = {}  # pass → reason, as it was said
        self._halted = False
        self._fallen_watch: dict[str, Decimal] | None = None  # averages of what may be sold; None: not read yet
        self._picture: Picture | None = None  # of this job: what a sale has read serves the purchase after it
        self._replayed: tuple[int, Books] | None = None  # as of so many changes
        self._spent_in_pass = Decimal(0)
        self._ran: dict[str, float] = {}  # monotonic time of the passes of this process
        self._not_before: dict[str, float] = {}
        self.last_pass_at: datetime | None = None
        self.last_pass = ""  # its name
        self.balance_read_at: datetime | None = None
        self.balance_wanted = False  # the last attempt to read it has not succeeded
        self.held = 0  # positions at that read

    @property
    def account(self) -> Account:
        """The account as KIS shows it."""
        return self._account

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
        session, self._picture = self._hours.session(self._clock.now()), None
        if session is None:
            return
        self._run_if_due(
            SELL, self._settings.sell_interval_minutes, lambda: self._sell(SELL, session, self._strategy.decide_sale)
        )
        self._run_if_due(BUY, self._settings.buy_interval_minutes, lambda: self._buy(session))

    def watch_losses(self) -> None:
        """With STOP_LOSS_PCT set: sell what has fallen that far, as part of the watch job."""
        session, self._picture = self._hours.session(self._clock.now()), None
        if self._settings.stop_loss_pct > 0 and session is not None and self._may_have_fallen():
            self._guard(STOP_LOSS, lambda: self._sell(STOP_LOSS, session, self._strategy.decide_stop_loss))

    def symbols_to_watch(self) -> tuple[str, ...]:
        """The watch list and what we hold; books that do not answer must not stop the quotes."""
        listed = self._stocks.current().symbols
        try:
            return (*listed, *self._books().quantities)
        except LedgerUnreadable as exc:
            self._say("장부", f"{exc}: 시세만 계속합니다")
            return listed

    def read_for_adoption(self) -> dict[str, Position]:
        """What KIS says, with everything settled that its lists can settle; cancels nothing. Raises KISError."""
        self._desk.look()
        return self._account.positions()

    def live_intents(self) -> list[Intent]:
        """Orders that something may still happen to."""
        return self._desk.live

    def distrust(self) -> str | None:
        """Why nothing may be opened just now, or None."""
        return self._desk.distrust()

    # when

    def _is_due(self, job: str, interval_minutes: float) -> bool:
        """By the disk at first, so that a restart neither skips nor repeats; then by time that never steps."""
        steady, interval = self._clock.monotonic(), interval_minutes * 60
        if steady < self._not_before.get(job, float("-inf")):
            return False
        if job in self._ran:
            return steady - self._ran[job] >= interval
        now = self._clock.now().timestamp()
        last = self._ledger.last_run(job)
        if last is not None and last > now:  # the clock was put back: nobody knows how long ago, so count from here
            self._ran[job] = steady
            return False
        return last is None or now - last >= interval

    def _run_if_due(self, job: str, interval_minutes: float, act: Callable[[], None]) -> None:
        """One pass. One that could not read what it needs has not run: it comes again in a minute."""
        try:
            if not self._is_due(job, interval_minutes):
                return
            self._not_before[job] = self._clock.monotonic() + RETRY
            if self._guard(job, act):
                self._note_run(job)
        except LedgerError as exc:
            self._say_skipped(job, str(exc))
        self._diary.note_reasons(job, self.why(job))
        self.last_pass_at, self.last_pass = self._clock.now(), job

    def _note_run(self, job: str) -> None:
        """The pass counts as run: before its first order leaves, or at its end. Raises LedgerUnwritable."""
        self._ledger.note_run(job, self._clock.now().timestamp())
        self._ran[job] = self._clock.monotonic()

    def _guard(self, job: str, act: Callable[[], None]) -> bool:
        """Whether the pass came to its end, be it with a reason to do nothing."""
        try:
            act()
        except Nothing as exc:
            self._say_skipped(job, str(exc), logging.INFO)
        except (Skip, OrderNotPossible) as exc:
            self._say_skipped(
                job, str(exc), marked=alert(Alert.PROTECTION, exc) if isinstance(exc, Protected) else None
            )
        except (KISError, LedgerError, PriceUnknown) as exc:
            self._say_skipped(job, str(exc))
            return False
        else:
            self._skipped.pop(job, None)
        return True

    # what a decision needs

    def _look(self, session: Session) -> Picture:
        """Complete reads of orders and positions; what they settle is settled first. Raises KISError."""
        if self._picture is not None and self._clock.monotonic() - self._picture.orders.at <= SAME_MOMENT:
            return self._picture
        self.balance_wanted = True
        orders = self._desk.look(session.date)
        assert orders is not None
        positions = self._account.positions()
        self.balance_wanted, self.balance_read_at, self.held = False, self._clock.now(), len(positions)
        self._picture = Picture(orders, positions, self._books())
        return self._picture

    def _books(self) -> Books:
        """What counts as ours, replayed when it has changed: in a year there are thousands of fills. Raises
        LedgerUnreadable."""
        changes = self._ledger.fill_changes
        if self._replayed is None or self._replayed[0] != changes:
            self._replayed = changes, replay(self._ledger.fills())
        return self._replayed[1]

    def _usable_quotes(self, symbols: Iterable[str]) -> dict[str, Quote]:
        """Quotes that may open or close a position: from KIS and at most a minute old."""
        quotes = self._api.get_quotes(symbols, max_age=QUOTE_AGE / 2, strategy=True)
        return {symbol: quote for symbol, quote in quotes.items() if quote and self._is_fresh(quote)}

    def _is_fresh(self, quote: Quote) -> bool:
        age = (self._clock.now() - quote.at).total_seconds()
        return quote.source == SOURCE and age <= QUOTE_AGE

    # buying

    def is_halted(self) -> bool:
        """Whether the owner's HALT file is there; said when that changes."""
        halted = self._halt_file.exists()
        if halted != self._halted:
            self._halted = halted
            state = "있는 동안 새로 사지 않습니다" if halted else "없어져 다시 삽니다"
            marked = alert(Alert.PROTECTION, f"HALT {halted}")
            logger.warning("[HALT] %s 파일이 %s", self._halt_file.name, state, extra=marked)
        return halted

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
        if self.is_halted():
            raise Skip(HALTED)
        if reason := self._desk.distrust():
            raise Protected(reason)
        if self._too_late(session):
            raise Skip("마감이 가까움")

    def _check_books(self, picture: Picture) -> None:
        """Fewer shares at KIS than the ledger holds: somebody else sold ours, or a read is wrong. Raises Skip."""
        for symbol, quantity in picture.books.quantities.items():
            held = picture.positions[symbol].quantity if symbol in picture.positions else 0
            if held < quantity:
                raise Protected(f"{symbol} 장부 {quantity}주, KIS {held}주: 직접 파셨다면 python main.py adopt")

    def _cash(self, watchlist: Watchlist, quotes: Mapping[str, Quote]) -> Cash:
        """What may be spent, less what unsettled purchases may still take. Raises KISError, PriceUnknown."""
        known = [quotes[symbol] for symbol in watchlist.watch_list if symbol in quotes]
        if not known:
            raise PriceUnknown("관심 종목의 KIS 시세가 없음")  # comes again in a minute: nothing was decided
        cash = self._account.first_cash(known)
        if cash.krw_per_usd is not None:
            self._ledger.set_fact("krw_per_usd", str(cash.krw_per_usd))
        return replace(cash, usd=max(Decimal(0), cash.usd - self._desk.unsettled_cost()))

    def _check_loss(self, session: Session, cash: Decimal, picture: Picture, quotes: Mapping[str, Quote]) -> None:
        """The day's loss against its opening value. Raises Skip."""
        limit, day = self._settings.daily_loss_limit_pct, session.date.isoformat()
        if self._ledger.fact(f"loss {day}"):
            raise Protected(f"오늘 손실 한도 {limit}%에 닿아 더 사지 않음")
        shares = value_of(picture.positions, quotes)
        if shares is None:
            logger.debug("시세를 모르는 종목이 있어 계좌 가치를 재지 않습니다")
            return
        worth = cash + self._desk.reserved() + shares
        self._ledger.note_opening_value(day, worth)
        opening = self._ledger.opening_value(day) or worth
        if limit > 0 and opening > 0 and (opening - worth) * 100 >= opening * limit:
            self._ledger.set_fact(f"loss {day}", str(worth))
            raise Protected(f"오늘 손실 한도 {limit}%: 시작 ${opening:,.2f}, 지금 ${worth:,.2f}")

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

    def _sell(self, job: str, session: Session, decide: Callable[[SellView], Plan]) -> None:
        if self._too_late(session):
            raise Skip("마감이 가까움")
        if self._settings.sell_scope == "own" and not self._desk.live and not self._books().quantities:
            raise Nothing("이 데몬이 산 주식이 없음")
        picture = self._look(session)
        holdings = self._in_scope(picture)
        self._fallen_watch = {holding.symbol: holding.average_price for holding in holdings}
        quotes = self._usable_quotes([holding.symbol for holding in holdings])
        plan = decide(SellView(quotes=quotes, holdings=holdings, busy=self._desk.busy()))
        self._act(job, session, plan, picture, quotes, None)

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
        if self._settings.sell_scope == "account" and self._fallen_watch is None:
            return True  # nothing is known of the account yet: read it
        averages = {**(self._fallen_watch or {}), **self._books().averages}
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
            if reason := self._unfit(wish, picture, quotes, cash) or self._barred(wish, session):
                self._note_reasons(job, {**self._reasons[job], wish.symbol: reason})
                continue
            self._note_run(job)
            self._picture = None
            intent = self._desk.place(self._ticket(wish, session, quotes[wish.symbol], cash), picture.orders)
            if intent.counts:
                self._spent_in_pass += _with_fees(wish) if wish.side is Side.BUY else 0
                sent += 1
        self._say_result(job, sent)

    def _unfit(self, wish: OrderWish, picture: Picture, quotes: Mapping[str, Quote], cash: Cash | None) -> str | None:
        """Why a wish must not be sent whatever strategy made it: nothing is sold that is not held and sellable,
        nothing bought beyond the cash, nothing without a fresh price of KIS."""
        quote = quotes.get(wish.symbol)
        if quote is None or not self._is_fresh(quote):
            return "KIS의 새 시세가 없음"
        if abs(wish.limit - quote.price) > quote.price * FARTHEST_LIMIT:
            return f"지정가 ${wish.limit}가 현재가에서 너무 멂"
        if wish.symbol in self._desk.busy():
            return "끝나지 않은 주문이 있음"
        if wish.side is Side.SELL:
            sellable = {holding.symbol: holding.sellable for holding in self._in_scope(picture)}
            return None if wish.quantity <= sellable.get(wish.symbol, 0) else "팔 수 있는 수량보다 많음"
        if self.is_halted():
            return HALTED
        left = (cash.usd if cash else Decimal(0)) - self._spent_in_pass
        return None if _with_fees(wish) <= left else "남은 현금보다 많음"

    def _ticket(self, wish: OrderWish, session: Session, quote: Quote, cash: Cash | None) -> Ticket:
        return Ticket(
            session=session.date,
            closes_at=session.ends.timestamp(),
            sent_by=min(self._last_order_time(session), quote.at + timedelta(seconds=QUOTE_AGE)).timestamp(),
            symbol=wish.symbol,
            exchange=quote.exchange or "나스닥",
            side=wish.side,
            quantity=wish.quantity,
            limit=format_limit(wish.limit),
            reason=wish.reason,
            krw_per_usd=self._rate(),
        )

    def _barred(self, wish: OrderWish, session: Session) -> str | None:
        """What today's orders say against it; counted from disk, so that a restart does not begin anew."""
        today = [i for i in self._ledger.intents(session=session.date.isoformat()) if i.side is wish.side]
        if self._was_refused(wish, today):
            return "조금 전 거부됨"
        return self._cap(wish, today) if wish.side is Side.BUY else None

    def _was_refused(self, wish: OrderWish, today: Iterable[Intent]) -> bool:
        """Whether the same was refused a moment ago: asking again at once would only be refused again."""
        since = self._clock.now().timestamp() - COOL_DOWN
        refused = (i for i in today if i.symbol == wish.symbol and i.state in (State.REFUSED, State.NOT_SENT))
        return any((intent.closed_at or 0) >= since for intent in refused)

    def _cap(self, wish: OrderWish, today: Iterable[Intent]) -> str | None:
        """The day's caps on purchases; nothing caps a sale."""
        counted = [intent for intent in today if intent.counts]
        most, usd = self._settings.max_buy_orders_per_day, self._settings.max_buy_usd_per_day
        if most and len(counted) >= most:
            return self._capped(f"하루 매수 {most}건 한도")
        if usd and sum((i.spent for i in counted), Decimal(0)) + wish.limit * wish.quantity > usd:
            return self._capped(f"하루 매수 ${usd} 한도")
        return None

    def _capped(self, cap: str) -> str:
        self._say("한도", f"[{BUY}] {cap}에 닿아 오늘은 더 사지 않습니다", alert(Alert.PROTECTION, cap))
        return cap

    def _rate(self) -> Decimal | None:
        """KIS's last exchange rate; every buy pass asks for it."""
        rate = self._ledger.fact("krw_per_usd")
        return Decimal(rate) if rate else None

    def _too_late(self, session: Session) -> bool:
        return self._clock.now() >= self._last_order_time(session)

    def _last_order_time(self, session: Session) -> datetime:
        return last_order_time(session, self._settings.order_timeout_minutes)

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

    def _say_skipped(
        self, job: str, reason: str, level: int = logging.WARNING, marked: Mapping[str, object] | None = None
    ) -> None:
        """Why a pass did nothing: once, until the reason changes or a pass does its work."""
        self._note_reasons(job, {WHOLE_PASS: reason})
        if self._skipped.get(job) != reason:
            self._skipped[job] = reason
            logger.log(level, "[%s] 건너뜀: %s", job, reason, extra=marked)

    def _say(self, key: str, text: str, marked: Mapping[str, object] | None = None) -> None:
        line = self._repeats.admit(key, text)
        if line:
            logger.warning("%s", line, extra=marked)


def _with_fees(wish: OrderWish) -> Decimal:
    return wish.limit * wish.quantity * (1 + FEE_MARGIN)


def _holding(position: Position, quantity: int, average: Decimal) -> Holding:
    return Holding(position.symbol, min(quantity, position.quantity), min(quantity, position.sellable), average)
