"""A KIS quote over TLS: through us, through mojito2 as it is, and through a bare pooled session."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from benchmarks.callers import KINDS
from benchmarks.certificates import Certificates
from benchmarks.table import Figure, Section, duration, median, times
from benchmarks.workers import Worker, server

ROUNDS, BURST = 40, 5
TARGET = 10.0  # times faster than mojito2


def measure(folder: Path, certificates: Certificates) -> Section:
    """The three in turns, a few quotes at a time, against the same server."""
    with ExitStack() as stack:
        url = stack.enter_context(server(folder / "transport-server", certificates)).hello
        callers = {kind: stack.enter_context(_caller(kind, folder, url, certificates.bundle)) for kind in KINDS}
        seconds = _in_turns(callers)
    return Section("KIS 시세 한 건 (TLS, 증권사와 세 방법 모두 별도 프로세스, 번갈아 측정)", _figures(seconds))


def _caller(kind: str, folder: Path, url: str, bundle: Path) -> Worker:
    env = {"REQUESTS_CA_BUNDLE": str(bundle)} if kind == "stock" else {}
    return Worker("benchmarks.callers", kind, url, str(bundle), folder=folder / kind, env=env)


def _in_turns(callers: dict[str, Worker]) -> dict[str, float]:
    for caller in callers.values():
        caller.ask(BURST)  # to warm up
    seconds: dict[str, list[float]] = {kind: [] for kind in callers}
    for _ in range(ROUNDS):
        for kind, caller in callers.items():
            seconds[kind] += caller.ask(BURST)
    return {kind: median(values) for kind, values in seconds.items()}


def _figures(seconds: dict[str, float]) -> list[Figure]:
    floor, ours, stock = seconds["pooled"], seconds["ours"], seconds["stock"]
    faster = stock / ours
    count = ROUNDS * BURST
    return [
        Figure("requests.Session 하나를 계속 쓸 때 (바닥)", duration(floor), count=count),
        Figure("우리 (BrokerSet.fetch_price)", duration(ours), f"바닥의 {times(ours / floor)}", count=count),
        Figure(
            f"고치지 않은 mojito2 {version('mojito2')}",
            duration(stock),
            f"우리의 {times(faster)}",
            "≥ 10배",
            faster >= TARGET,
            count,
        ),
    ]
