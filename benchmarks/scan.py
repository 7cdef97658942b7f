"""A scan of many symbols against the floor that the call limit sets: the time until the last request may leave."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from string import ascii_uppercase

from benchmarks.certificates import Certificates
from benchmarks.daemons import HOST, daemon_at, inside, settings_for, trusting
from benchmarks.table import Figure, Section, duration, median
from benchmarks.workers import server
from clock import KST, VirtualClock
from kis_broker import BATCH_SIZE
from scheduler import TradingScheduler
from simulator import Options, Simulator
from simulator.listings import find_listing

SIZES = (16, 100, 1000)  # symbols
ROUNDS = 3
REAL, PAPER = 15.0, 0.8  # calls a second: the defaults of KIS_CALLS_PER_SECOND
LATENCY = 0.05  # virtual seconds before each answer
TARGET = 1.05  # times the floor
SETTLING = 1.5  # seconds in which the limiter forgets the calls before the scan
START = datetime(2026, 11, 23, 22, 0, tzinfo=KST)
NAMES = {"NAS": "나스닥", "NYS": "뉴욕", "AMS": "아멕스"}


def measure(folder: Path, certificates: Certificates) -> list[Section]:
    """Both accounts: the real one in real time over TLS, the paper one on a virtual clock."""
    symbols = _symbols(SIZES[-1])
    for name in ("real", "paper"):
        (folder / name).mkdir(parents=True)
    with _real(folder / "real", certificates, symbols) as (daemon, seconds):
        real = [_figure(daemon, symbols[:size], seconds, REAL, BATCH_SIZE, ROUNDS) for size in SIZES]
    with _paper(folder / "paper", symbols) as (daemon, seconds):
        paper = [_figure(daemon, symbols[:size], seconds, PAPER, 1, 1) for size in SIZES]
    return [
        Section(f"시세 조회, real: 초당 {REAL:g}건, 한 요청에 {BATCH_SIZE}종목 (실제 시간, TLS)", real),
        Section(f"시세 조회, paper: 초당 {PAPER:g}건, 한 요청에 1종목 (가상 시계: 1,000종목은 21분)", paper),
    ]


Stopwatch = Callable[[Callable[[], object]], float]


@contextmanager
def _real(folder: Path, certificates: Certificates, symbols: list[str]) -> Iterator[tuple[TradingScheduler, Stopwatch]]:
    with server(folder / "server", certificates, limits=True) as broker:
        settings = settings_for(
            folder, broker.hello, kis_calls_per_second=REAL, stocks_file=_watchlist(folder, symbols)
        )
        with daemon_at(settings, trusting(certificates.bundle)) as daemon:
            yield daemon, _real_seconds


def _real_seconds(call: Callable[[], object]) -> float:
    time.sleep(SETTLING)
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


@contextmanager
def _paper(folder: Path, symbols: list[str]) -> Iterator[tuple[TradingScheduler, Stopwatch]]:
    clock = VirtualClock(START)
    sim = Simulator(clock, "paper", options=Options(latency=LATENCY))
    settings = settings_for(
        folder, HOST, kis_mode="paper", kis_calls_per_second=PAPER, stocks_file=_watchlist(folder, symbols)
    )

    def seconds(call: Callable[[], object]) -> float:
        clock.advance(SETTLING)
        started = clock.monotonic()
        call()
        return clock.monotonic() - started

    with daemon_at(settings, lambda: inside(sim), clock) as daemon:
        yield daemon, seconds
    sim.close()


def _figure(
    daemon: TradingScheduler, symbols: list[str], seconds: Stopwatch, rate: float, batch: int, rounds: int
) -> Figure:
    taken = median([seconds(lambda: _scan(daemon, symbols)) for _ in range(rounds)])
    requests = -(-len(symbols) // batch)
    burst = max(1, int(rate))
    floor = (requests - 1) // burst * burst / rate  # when the limit lets the last request go
    name = f"{len(symbols):,}종목 ({requests:,} 요청, 한도의 바닥 {duration(floor) if floor else '0 s'})"
    if not floor:
        return Figure(name, duration(taken), count=rounds)
    return Figure(name, duration(taken), f"바닥의 {taken / floor:.3f}배", "≤ 1.05배", taken <= floor * TARGET, rounds)


def _scan(daemon: TradingScheduler, symbols: list[str]) -> None:
    quotes = daemon.api.get_quotes(symbols, fresh=True)
    assert all(quote and quote.source == "KIS" for quote in quotes.values()), "a symbol has no quote of KIS"


def _symbols(count: int) -> list[str]:
    """Made-up tickers, all of them listed at the embedded broker."""
    names = (a + b + c for a in ascii_uppercase for b in ascii_uppercase for c in ascii_uppercase)
    return [name for name, _ in zip((name for name in names if find_listing(name)), range(count), strict=False)]


def _watchlist(folder: Path, symbols: list[str]) -> Path:
    """A file that names every symbol's exchange, as the daemon's own book would after the first scan."""
    path = folder / "stocks.json"
    exchanges = {symbol: NAMES[listing.exchange] for symbol in symbols if (listing := find_listing(symbol))}
    path.write_text(json.dumps({"filter_stocks": {}, "watch_list": symbols, "exchanges": exchanges}), "utf-8")
    return path
