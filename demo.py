"""`python main.py demo`: two simulated nights of the same daemon on a virtual clock, with trouble put in.

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
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from books import replay
from clock import KST, VirtualClock
from config import Settings
from intents import Intent
from ledger import Ledger
from logs import Redactor
from morning.report import make_report
from portfolio import Side
from process import start_logging
from simulator import Fault, Options, Simulator
from simulator.inprocess import InProcessAdapter
from stocks import SHIPPED
from trades import display_width

if TYPE_CHECKING:
    from scheduler import TradingScheduler

START = datetime(2026, 11, 23, 22, 0, tzinfo=KST)
DAYS = 2
SEED = 6  # a market in which the gate opens and holdings rise in both nights
HOST = "https://simulator.invalid"  # never looked up: the session leads into this process
LATENCY = 0.12  # seconds; what KIS takes to answer from Korea (protocol §11)
MARKER = ".autostock-demo"  # only a folder with this file in it is ever deleted
OUTAGE = timedelta(minutes=12)
HINT = "이어서: 위 로그를 grep TOKEN_CHECK, grep AUTO_RECOVER 로 살펴보세요. 실제 실행은 python main.py"


def run_demo(build: Callable[..., TradingScheduler]) -> int:
    """Run it and print a summary; the exit status."""
    folder = _fresh_folder()
    settings = replace(
        Settings.load({}, None),
        data_dir=folder,
        stocks_file=SHIPPED,
        kis_base_url=HOST,
        yahoo_base_url=HOST,
        sim_hours="nyse",
    )
    clock, stop = VirtualClock(START), threading.Event()
    sim = Simulator(clock, profile="real", seed=SEED, options=Options(latency=LATENCY, hours="nyse"))
    redactor = Redactor([settings.kis_app_key, settings.kis_app_secret, settings.cano])
    start_logging(settings, clock, redactor)
    session = partial(_session, sim)
    daemon = build(settings, clock, stop=stop, redactor=redactor, kis_session=session, yahoo_session=session)
    _book_trouble(clock, sim, settings.token_file, stop)
    with closing(daemon):
        daemon.run()
        summary = _summary(daemon, sim, folder)
    report, address = make_report(daemon.settings, clock, None)
    print(summary, report, "", f"{HINT}\n브라우저로: {address}", sep="\n")
    return 0


def _session(sim: Simulator) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", InProcessAdapter(sim))
    return session


def _fresh_folder() -> Path:
    """``demo/`` in the current folder, emptied if it is ours; a temporary folder where it is not, or not allowed."""
    folder = Path("demo").absolute()
    try:
        if (folder / MARKER).exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        (folder / MARKER).write_text("python main.py demo 가 만들고 다음 실행에 지우는 폴더입니다.\n", "utf-8")
    except OSError:
        return Path(tempfile.mkdtemp(prefix="autostock-demo-"))
    return folder


def _book_trouble(clock: VirtualClock, sim: Simulator, token_file: Path, stop: threading.Event) -> None:
    """The nights' events, in the order in which they come."""

    def at(hours: float, action: Callable[[], object]) -> None:
        clock.at(START + timedelta(hours=hours), lambda: (action(), None)[1])

    at(2.25, lambda: token_file.unlink())
    at(3.4, lambda: sim.faults.add(Fault("lost_answer", "order", times=1)))
    at(5.3, lambda: sim.faults.add(Fault("refused", "kis", until=clock.now() + OUTAGE)))
    at(26.4, lambda: sim.faults.add(Fault("no_fill", "order", times=1)))
    at(28.6, lambda: sim.faults.add(Fault("html502", "quote", until=clock.now() + OUTAGE)))
    at(30.0, lambda: sim.revoke_tokens("EGW00123"))
    at(DAYS * 24 + 1 / 60, stop.set)


def _summary(daemon: TradingScheduler, sim: Simulator, folder: Path) -> str:
    recovery, counts = daemon.api.recovery, daemon.api.counts
    issued = [record for record in daemon.ledger.issuances(daemon.settings.key_mark) if record.outcome == "issued"]
    rows = [
        ("가동", f"이틀 밤 (가상 시계, {START:%Y-%m-%d %H:%M} KST부터)"),
        ("시세", f"KIS {counts['KIS']:,}회 · yfinance {counts['yfinance']:,}회 · 실패 {counts['없음']:,}회"),
        ("토큰 발급", f"{len(issued)}회"),
        *(("", f"{_when(record.at)} {record.cause}") for record in reversed(issued)),
        ("자동 복구", f"{recovery.count}회"),
        *(("", f"{_when(done.at)} {done.name}: {done.seconds:.2f}초") for done in recovery.done),
        ("주기적 재초기화", f"{daemon.periodic_reinits}회 (6시간마다)"),
        ("주문", _orders(daemon.ledger.intents())),
        ("실현손익", _profit(daemon.ledger)),
        ("KIS 요청", f"{sim.count('kis'):,}회"),
        ("로그", f"{folder / 'trading.log'}"),
    ]
    lines = [f"{_padded(name, 16)} {value}" for name, value in rows]
    return "\n".join(["", "=== AutoStock 데모 요약 ===", *lines, ""])


def _orders(intents: list[Intent]) -> str:
    bought = [intent for intent in intents if intent.side is Side.BUY and intent.filled]
    sold = [intent for intent in intents if intent.side is Side.SELL and intent.filled]
    lost = sum(intent.was_unknown for intent in intents)
    cancelled = sum(intent.cancels > 0 for intent in intents)
    return f"매수 {len(bought)}건 · 매도 {len(sold)}건 · 응답 유실 뒤 확인 {lost}건 · 미체결 취소 {cancelled}건"


def _profit(ledger: Ledger) -> str:
    trades = replay(ledger.fills()).trades
    return f"${sum((trade.profit or Decimal(0) for trade in trades), Decimal(0)):,.2f} (수수료 추정치를 뺀 값)"


def _when(epoch: float) -> str:
    return f"{datetime.fromtimestamp(epoch, KST):%m-%d %H:%M}"


def _padded(text: str, width: int) -> str:
    return text + " " * max(0, width - display_width(text))
