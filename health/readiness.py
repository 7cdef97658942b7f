"""Is everything there for tonight: asks, and lets ``probes`` judge. ``check`` and the daemon share every line of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from account import OrderList
from books import replay
from config import Settings
from errors import AutoStockError, KISError, NoAnswer, PriceUnknown, TokenUnavailable
from files import Disk
from health import probes
from health.probes import Probe
from ledger import Ledger, LedgerError
from market_hours import MarketHours
from portfolio import Cash, Position
from quotes import Quote
from token_manager import USABLE, TokenManager, TokenState

if TYPE_CHECKING:
    from scheduler import TradingScheduler

T = TypeVar("T")

GIT_SECONDS = 3.0

SendTest = Callable[[], str | None]  # sends one test alert; the Korean reason where it could not


@dataclass(frozen=True)
class TokenView:
    """The token as far as the probes need it."""

    state: TokenState
    expires_at: datetime | None

    @classmethod
    def of(cls, tokens: TokenManager) -> TokenView:
        """What a token manager holds."""
        return cls(tokens.state(), tokens.token.expires_at if tokens.token else None)


@dataclass(frozen=True)
class World:
    """What the probes may look at. The calls raise KISError, PriceUnknown or Stopping; none is made where
    ``unreachable`` says why KIS cannot be asked."""

    settings: Settings
    hours: MarketHours
    now: Callable[[], datetime]
    symbols: tuple[str, ...]
    ledger: Ledger
    disk: Disk
    running: bool  # a daemon runs, this one or beside
    token: Callable[[], TokenView]
    quote: Callable[[], Quote]
    second_quote: Callable[[], Quote]
    positions: Callable[[], Mapping[str, Position]]
    cash: Callable[[Quote], Cash]
    orders: Callable[[date, date], OrderList]  # from one New York date to another
    server_offset: Callable[[], float | None]
    env_file: Path | None  # None: not looked at
    send_test: SendTest | None  # None: no test is wanted
    unreachable: str | None = None


def inspect(world: World) -> Iterator[Probe]:
    """Every probe of tonight, in the order in which a person would ask. Raises Stopping only."""
    settings, now = world.settings, world.now()
    yield probes.settings_probe(settings.kis_mode, world.symbols, settings.warnings)
    if world.env_file is not None:
        yield probes.files_probe(_permissions(world.env_file), _is_tracked(world.env_file))
    yield disk_now(settings.data_dir, world.disk)
    yield probes.calendar_probe(world.hours, now)
    yield from _kis(world)
    yield _second(world)
    problem = world.send_test() if world.send_test and settings.notify_urls else None
    yield probes.alerts_probe(settings.kis_mode, bool(settings.notify_urls), problem, world.send_test is not None)


def disk_now(folder: Path, disk: Disk) -> Probe:
    """The disk that the daemon writes to."""
    return probes.disk_probe(disk.free_bytes(folder), os.access(folder, os.W_OK), str(folder))


# KIS

ACCOUNT_LINES = ("계좌", "장부", "주문")
LINES = ("KIS 시세", *ACCOUNT_LINES, "시계")  # what needs a token


def _kis(world: World) -> Iterator[Probe]:
    """The token and all that needs it. After a silence KIS is left alone: each question would wait as long again."""
    if world.unreachable is not None:
        yield from _unseen(("토큰", *LINES), world.unreachable)
        return
    view, trouble = _tried(world.token)
    yield _token(world, view) if view else probes.trouble("토큰", _known(trouble))
    if view is None or view.state not in USABLE:
        yield from _unseen(LINES, "토큰이 없음")
        return
    quote, trouble = _tried(world.quote)
    yield _quote(world, quote) if quote else probes.trouble("KIS 시세", _known(trouble))
    if isinstance(trouble, NoAnswer | TokenUnavailable):
        yield from _unseen(LINES[1:], "KIS 응답 없음")
        return
    yield from _account(world, quote)
    yield probes.skew_probe(world.server_offset())


def _token(world: World, view: TokenView) -> Probe:
    margin = timedelta(minutes=world.settings.token_renew_margin_minutes)
    session = world.hours.upcoming(world.now())
    return probes.token_probe(view.state.value, view.state in USABLE, view.expires_at, session, margin)


def _quote(world: World, quote: Quote) -> Probe:
    return probes.quote_probe(quote, world.now(), world.hours.is_open(world.now()))


def _account(world: World, quote: Quote | None) -> Iterator[Probe]:
    positions, trouble = _tried(world.positions)
    if positions is None:
        yield probes.trouble("계좌", _known(trouble))
        yield from _unseen(ACCOUNT_LINES[1:], "계좌를 읽지 못함")
        return
    cash, trouble = _tried(lambda: world.cash(quote)) if quote else (None, None)
    yield probes.trouble("계좌", trouble) if trouble else probes.account_probe(positions, cash)
    yield _asked("장부", lambda: _books(world, positions))
    yield _asked("주문", lambda: _orders(world))


def _books(world: World, positions: Mapping[str, Position]) -> Probe:
    return probes.books_probe(world.ledger.fault, replay(world.ledger.fills()).quantities, positions)


def _orders(world: World) -> Probe:
    live, today = world.ledger.intents(live=True), world.hours.trading_date(world.now())
    first = min([today, *(date.fromisoformat(intent.session) for intent in live)])
    return probes.orders_probe(live, world.orders(first, today).rows, world.running)


def _second(world: World) -> Probe:
    """The second source is only the second: the night goes on without it."""
    quote, trouble = _tried(world.second_quote)
    if quote is None:
        return probes.warned("yfinance 시세", str(trouble), "없음: KIS가 답하는 동안은 쓰이지 않습니다")
    return _quote(world, quote)


# asking


def _tried(ask: Callable[[], T]) -> tuple[T | None, AutoStockError | None]:
    """What came, or what went wrong."""
    try:
        return ask(), None
    except (KISError, PriceUnknown, LedgerError) as exc:
        return None, exc


def _asked(name: str, ask: Callable[[], Probe]) -> Probe:
    found, trouble = _tried(ask)
    return found or probes.trouble(name, _known(trouble))


def _known(trouble: AutoStockError | None) -> AutoStockError:
    assert trouble is not None
    return trouble


def _unseen(names: Iterable[str], why: str) -> Iterator[Probe]:
    return (probes.unseen(name, why) for name in names)


# the machine


def _permissions(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except OSError:
        return None


def _is_tracked(path: Path) -> bool:
    """Whether git has the file; without git it has not."""
    command = ["git", "-C", str(path.absolute().parent), "ls-files", "--error-unmatch", path.name]
    try:
        return subprocess.run(command, capture_output=True, timeout=GIT_SECONDS, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


# the daemon itself


def world_of(daemon: TradingScheduler) -> World:
    """A running daemon's own eyes: its token, its brokers, its account."""
    symbol = next(iter(daemon.trader.symbols_to_watch()), "NVDA")
    return World(
        settings=daemon.settings,
        hours=daemon.hours,
        now=daemon.clock.now,
        symbols=daemon.stocks.current().symbols,
        ledger=daemon.ledger,
        disk=daemon.disk,
        running=True,
        token=lambda: TokenView.of(daemon.tokens),
        quote=lambda: daemon.api.quote_from_kis(symbol),
        second_quote=lambda: daemon.api.second_source.quote(symbol),
        positions=daemon.trader.account.positions,
        cash=lambda quote: daemon.trader.account.cash(quote.exchange or "나스닥", quote.symbol, quote.price),
        orders=daemon.trader.account.orders,
        server_offset=daemon.api.transport.server_offset,
        env_file=daemon.env_file,
        send_test=None,
    )
