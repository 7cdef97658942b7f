"""From a refused token to the good quote: how much of it is ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.certificates import Certificates
from benchmarks.clocks import PushedClock
from benchmarks.daemons import daemon_at, settings_for, trusting
from benchmarks.kis import SYMBOL, PlainClient
from benchmarks.table import Figure, Section, duration, median
from benchmarks.workers import Worker, server
from scheduler import TradingScheduler

ROUNDS = 15
TARGET = 0.050  # seconds
SPACING = 62.0  # seconds between two issuances


def measure(folder: Path, certificates: Certificates) -> Section:
    """The daemon's own recovery, less what the same broker takes for the same answers over an open connection."""
    home, bundle, clock = folder / "recovery", certificates.bundle, PushedClock()
    home.mkdir()
    with server(folder / "recovery-server", certificates) as broker:
        plain = PlainClient(broker.hello, bundle, "R")
        with daemon_at(settings_for(home, broker.hello), trusting(bundle), clock) as daemon:
            pairs = [_round(daemon, plain, broker, clock) for _ in range(ROUNDS)]
    return Section("거부된 토큰에서 정상 시세까지의 복구 (TLS, 증권사는 별도 프로세스)", _figures(pairs))


def _round(daemon: TradingScheduler, plain: PlainClient, broker: Worker, clock: PushedClock) -> tuple[float, float]:
    """Seconds of one recovery, and of the broker's answers in it."""
    broker.ask(SPACING)
    clock.push(SPACING)
    plain.revoke_all()
    price, recoveries = [], daemon.api.recovery.count
    whole = _seconds(lambda: price.append(daemon.api.get_current_price(SYMBOL)))
    assert price[0], "no quote"
    assert daemon.api.recovery.count == recoveries + 1, "nothing was recovered"
    return whole, sum(_seconds(call) for call in (plain.quote, plain.issue, plain.quote))


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _figures(pairs: list[tuple[float, float]]) -> list[Figure]:
    whole = median([whole for whole, _ in pairs])
    answers = median([answers for _, answers in pairs])
    beyond = median([whole - answers for whole, answers in pairs])
    return [
        Figure("전체 (거부 → 재발급 → 시세)", duration(whole), count=ROUNDS),
        Figure("그중 증권사의 세 답 (열린 연결로 잰 값)", duration(answers), count=ROUNDS),
        Figure("증권사의 답을 뺀 복구", duration(beyond), "", "≤ 50 ms", beyond <= TARGET, ROUNDS),
    ]
