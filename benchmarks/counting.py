"""What needs no socket: a quote from the cache, and how many requests the watch list takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.daemons import HOST, daemon_at, inside, settings_for
from benchmarks.table import Figure, Section, duration, median
from clock import SystemClock
from scheduler import TradingScheduler
from simulator import Options, Simulator
from simulator.options import Profile

BATCHES, CALLS = 200, 500
TARGET = 20e-6  # seconds
REQUESTS: dict[Profile, int] = {"real": 2, "paper": 16}


def measure_cache(folder: Path) -> Section:
    """``get_current_price`` of a symbol quoted a moment ago; each repetition is the mean of many calls."""
    with _house(folder / "cache", "real") as (daemon, sim):
        seconds = _cached(daemon, sim)
    middle = median(seconds)
    figure = Figure("get_current_price, 캐시", duration(middle), "", "≤ 20 µs", middle <= TARGET, BATCHES)
    return Section(f"캐시된 현재가 ({CALLS}번씩 부른 평균)", [figure])


def measure_requests(folder: Path) -> Section:
    """The shipped watch list with its previous closes, from nothing, counted at the broker."""
    return Section(
        "관심 종목 16개의 현재가와 전일 종가에 드는 요청 (증권사가 센 값)",
        [_requests(folder, profile) for profile in REQUESTS],
    )


def _cached(daemon: TradingScheduler, sim: Simulator) -> list[float]:
    price = daemon.api.get_current_price
    price("NVDA")
    asked = sim.count("kis")
    seconds = [_batch(price) for _ in range(BATCHES)]
    assert sim.count("kis") == asked, "the quote did not come from the cache"
    return seconds


def _batch(price: Callable[[str], object]) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        price("NVDA")
    return (time.perf_counter() - started) / CALLS


def _requests(folder: Path, profile: Profile) -> Figure:
    with _house(folder / profile, profile) as (daemon, sim):
        before = sim.count("kis")
        symbols = daemon.stocks.current().symbols
        quotes = daemon.api.get_quotes(symbols)
        closes = [daemon.api.get_previous_close(symbol) for symbol in symbols]
        count = sim.count("kis") - before
    assert len(symbols) == 16
    assert all(quotes.values()), "a symbol has no quote"
    assert all(closes), "a symbol has no previous close"
    target = REQUESTS[profile]
    return Figure(f"{profile} 계좌", f"{count} 요청", "", f"{target} 요청", count == target, 1)


@contextmanager
def _house(folder: Path, profile: Profile) -> Iterator[tuple[TradingScheduler, Simulator]]:
    folder.mkdir()
    sim = Simulator(SystemClock(), profile, options=Options(rate_limit=False))
    mode = "paper" if profile == "paper" else "sim"  # sim is the real profile without keys
    with daemon_at(settings_for(folder, HOST, kis_mode=mode), lambda: inside(sim)) as daemon:
        yield daemon, sim
    sim.close()
