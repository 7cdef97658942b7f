"""`python main.py demo`: two simulated days of the same daemon on a virtual clock, with a few bad nights put in.

Only the world is simulated: the clock, the broker under the HTTP session, and the hands that meddle. The daemon is
built by the same ``build`` and cannot tell.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from clock import KST, VirtualClock
from config import Settings
from logs import Redactor, configure_logging
from simulator import Fault, Options, Simulator
from simulator.inprocess import InProcessAdapter

if TYPE_CHECKING:
    from main import TradingScheduler

START = datetime(2026, 11, 23, 22, 0, tzinfo=KST)
DAYS = 2
HOST = "https://simulator.invalid"  # never looked up: the session leads into this process
LATENCY = 0.12  # seconds; what KIS takes to answer from Korea (protocol §11)
OUTAGE = timedelta(minutes=12)


def run_demo(build: Callable[..., TradingScheduler]) -> int:
    """Run it and print a summary; the exit status."""
    folder = _fresh_folder()
    settings = replace(Settings.load({}, None), data_dir=folder, kis_base_url=HOST, yahoo_base_url=HOST)
    clock, stop = VirtualClock(START), threading.Event()
    sim = Simulator(clock, profile="real", seed=1, options=Options(latency=LATENCY))
    redactor = Redactor([settings.kis_app_key, settings.kis_app_secret, settings.cano])
    configure_logging(
        clock,
        redactor,
        level=settings.log_level,
        path=settings.log_path,
        max_bytes=settings.log_max_bytes,
        backups=settings.log_backup_count,
    )
    session = partial(_session, sim)
    daemon = build(settings, clock, stop=stop, redactor=redactor, kis_session=session, yahoo_session=session)
    _book_trouble(clock, sim, settings.token_file, stop)
    with closing(daemon):
        daemon.run()
        summary = _summary(daemon, sim, folder)
    print(summary)
    return 0


def _session(sim: Simulator) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", InProcessAdapter(sim))
    return session


def _fresh_folder() -> Path:
    """``demo/`` in the current folder, emptied; a temporary folder where that is not allowed."""
    folder = Path("demo").absolute()
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="autostock-demo-"))
    return folder


def _book_trouble(clock: VirtualClock, sim: Simulator, token_file: Path, stop: threading.Event) -> None:
    """The nights' events, in the order in which they come."""

    def at(hours: float, action: Callable[[], object]) -> None:
        clock.at(START + timedelta(hours=hours), lambda: (action(), None)[1])

    at(1.25, lambda: token_file.unlink())
    at(4.5, lambda: sim.faults.add(Fault("refused", "kis", until=clock.now() + OUTAGE)))
    at(9.75, lambda: sim.revoke_tokens("EGW00121"))
    at(28.6, lambda: sim.faults.add(Fault("html502", "quote", until=clock.now() + OUTAGE)))
    at(40.3, lambda: sim.revoke_tokens("EGW00123"))
    at(DAYS * 24 + 1 / 60, stop.set)


def _summary(daemon: TradingScheduler, sim: Simulator, folder: Path) -> str:
    recovery, counts = daemon.api.recovery, daemon.api.counts
    issued = [record for record in daemon.ledger.issuances(daemon.settings.key_mark) if record.outcome == "issued"]
    rows = [
        ("가동", f"{DAYS}일 (가상 시계, {START:%Y-%m-%d %H:%M} KST부터)"),
        ("시세", f"KIS {counts['KIS']:,}회 · yfinance {counts['yfinance']:,}회 · 실패 {counts['없음']:,}회"),
        ("토큰 발급", f"{len(issued)}회 ({' / '.join(record.cause for record in reversed(issued))})"),
        ("자동 복구", f"{recovery.count}회"),
        *(("", f"{_when(done.at)} {done.name}: {done.seconds:.2f}초") for done in recovery.done),
        ("주기적 재초기화", f"{daemon.periodic_reinits}회 (6시간마다)"),
        ("KIS 요청", f"{sim.count('kis'):,}회"),
        ("로그", f"{folder / 'trading.log'}"),
    ]
    lines = [f"{_padded(name, 16)} {value}" for name, value in rows]
    hint = "이어서: 위 로그를 grep TOKEN_CHECK, grep AUTO_RECOVER 로 살펴보세요. 실제 실행은 python main.py"
    return "\n".join(["", "=== AutoStock 데모 요약 ===", *lines, "", hint])


def _when(epoch: float) -> str:
    return f"{datetime.fromtimestamp(epoch, KST):%m-%d %H:%M}"


def _padded(text: str, width: int) -> str:
    """Hangul is two columns wide on a terminal."""
    return text + " " * max(0, width - sum(2 if ord(char) > 0x1100 else 1 for char in text))
