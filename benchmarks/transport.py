"""A KIS quote over TLS: through us, through mojito2 as it is, and through a bare pooled session."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.callers import KINDS
from benchmarks.certificates import Certificates
from benchmarks.table import Figure, Section, duration, median, times
from benchmarks.workers import Worker, server

BURST = 5
TARGET = 10.0  # times faster than mojito2, where the network takes no time


@dataclass(frozen=True)
class Setting:
    """How far away the broker is, how often each way is asked, and what may come of it."""

    latency: float  # seconds that the broker takes for each answer
    rounds: int
    ceiling: float  # times the floor


SETTINGS = (Setting(0.0, 40, 1.5), Setting(0.05, 6, 1.15))


def measure(folder: Path, certificates: Certificates) -> list[Section]:
    """The three in turns, a few quotes at a time, against the same server; near and far."""
    folder.mkdir()
    return [_measure(folder / f"{setting.latency:g}", certificates, setting) for setting in SETTINGS]


def _measure(folder: Path, certificates: Certificates, setting: Setting) -> Section:
    folder.mkdir()
    with ExitStack() as stack:
        url = stack.enter_context(server(folder / "server", certificates, latency=setting.latency)).hello
        callers = {kind: stack.enter_context(_caller(kind, folder, url, certificates.bundle)) for kind in KINDS}
        seconds = _in_turns(callers, setting.rounds)
    title = f"KIS 시세 한 건, 지연 {setting.latency * 1000:.0f} ms (TLS, 증권사와 세 방법 모두 별도 프로세스, 번갈아)"
    return Section(title, _figures(seconds, setting))


def _caller(kind: str, folder: Path, url: str, bundle: Path) -> Worker:
    env = {"REQUESTS_CA_BUNDLE": str(bundle)} if kind == "stock" else {}
    return Worker("benchmarks.callers", kind, url, str(bundle), folder=folder / kind, env=env)


def _in_turns(callers: dict[str, Worker], rounds: int) -> dict[str, float]:
    for caller in callers.values():
        caller.ask(BURST)  # to warm up
    seconds: dict[str, list[float]] = {kind: [] for kind in callers}
    for _ in range(rounds):
        for kind, caller in callers.items():
            seconds[kind] += caller.ask(BURST)
    return {kind: median(values) for kind, values in seconds.items()}


def _figures(seconds: dict[str, float], setting: Setting) -> list[Figure]:
    floor, ours, stock = seconds["pooled"], seconds["ours"], seconds["stock"]
    ratio, faster, count = ours / floor, stock / ours, setting.rounds * BURST
    near = setting.latency == 0
    return [
        Figure("requests.Session 하나를 계속 쓸 때 (바닥)", duration(floor), count=count),
        Figure(
            "우리 (BrokerSet.fetch_price)",
            duration(ours),
            f"바닥의 {times(ratio)}",
            f"≤ {setting.ceiling:g}배",
            ratio <= setting.ceiling,
            count,
        ),
        Figure(
            f"고치지 않은 mojito2 {version('mojito2')}",
            duration(stock),
            f"우리의 {times(faster)}",
            "≥ 10배" if near else "",
            faster >= TARGET if near else None,
            count,
        ),
    ]
