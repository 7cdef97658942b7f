"""`python main.py check`: is everything there for tonight? Beside a daemon or alone; changes nothing but the token."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from clock import Clock
from config import Settings
from errors import SettingsError, Stopping
from exchange_book import ExchangeBook
from files import Disk
from health.probes import Probe, Result, worst
from health.readiness import SendTest, World, inspect
from health.status import UnreadableStatus, read_status
from health.terminal import GREEN, RED, WIDTH, YELLOW, coloured, knows_colours, padded, prepare, wrapped
from health.visitor import SnapshotDisk, Visitor
from instance_lock import holder
from ledger import Ledger
from logs import Redactor
from market_hours import MarketHours
from process import lock_file, make_folders, signals_set, world
from stocks import WatchlistFile
from yahoo import YahooPrices

COLOURS = {Result.PASS: GREEN, Result.WARN: YELLOW, Result.FAIL: RED}
NAME_WIDTH = 15
INDENT = len("PASS ") + NAME_WIDTH
OK, FAILED, WRONG_KEYS = 0, 1, 2  # exit statuses
ENDINGS = {
    Result.PASS: "오늘 밤 준비됐습니다.",
    Result.WARN: "준비됐습니다. 주의할 것을 읽어 두세요.",
    Result.FAIL: "아직 준비되지 않았습니다. FAIL의 → 를 따라 하세요.",
}


def run_check(
    settings: Settings,
    clock: Clock,
    *,
    env_file: Path,
    as_json: bool = False,
    send_test: SendTest | None = None,
) -> int:
    """The command; the exit status. ``send_test`` sends one test alert. Raises SettingsError."""
    prepare()
    os.umask(0o077)
    logging.getLogger().addHandler(logging.NullHandler())  # the log belongs to the daemon
    make_folders(settings)
    redactor, stop = Redactor([settings.kis_app_key, settings.kis_app_secret, settings.cano]), threading.Event()
    page = _Page(redactor, as_json=as_json)
    pid = _daemon(settings)
    with signals_set(stop), _place(settings, clock, pid) as (settings, unreachable):
        page.say(f"실행 중인 데몬(pid {pid}) 옆에서 확인합니다: 토큰을 발급하지 않습니다" if pid else "")
        visit = _Visit(settings, clock, stop, redactor, pid is not None, unreachable, env_file, send_test)
        try:
            return _inspect(visit, page)
        except Stopping:
            page.say("중단했습니다")
            return FAILED


@dataclass(frozen=True)
class _Visit:
    """One run of the command."""

    settings: Settings
    clock: Clock
    stop: threading.Event
    redactor: Redactor
    beside: bool
    unreachable: str | None
    env_file: Path
    send_test: SendTest | None


def _inspect(visit: _Visit, page: _Page) -> int:
    settings, clock, stop, disk = visit.settings, visit.clock, visit.stop, SnapshotDisk()
    with (
        closing(Ledger(settings.database_file, settings.account_mark, disk)) as ledger,
        closing(Visitor(settings, clock, stop, ledger, visit.redactor, beside=visit.beside, say=page.say)) as visitor,
        tempfile.TemporaryDirectory() as cache,
    ):
        yahoo = YahooPrices(clock, stop, settings.yahoo_base_url, Path(cache))
        for probe in inspect(_world(visit, ledger, disk, visitor, yahoo)):
            page.add(probe)
        page.end()
        if visitor.wrong_keys:
            return WRONG_KEYS
    return FAILED if worst(page.probes) is Result.FAIL else OK


def _world(visit: _Visit, ledger: Ledger, disk: Disk, visitor: Visitor, yahoo: YahooPrices) -> World:
    settings, clock = visit.settings, visit.clock
    stocks = WatchlistFile(settings.stocks_file).current()
    book = ExchangeBook(lambda: stocks.exchanges, ledger, clock)
    symbol = next((symbol for symbol in stocks.symbols if book.exchange_of(symbol)), stocks.symbols[0])
    return World(
        settings=settings,
        hours=MarketHours.for_settings(settings),
        now=clock.now,
        symbols=stocks.symbols,
        ledger=ledger,
        disk=disk,
        running=visit.beside,
        token=visitor.token,
        quote=lambda: visitor.quote(symbol, book),
        second_quote=lambda: yahoo.quote(symbol),
        positions=visitor.account.positions,
        cash=lambda quote: visitor.account.cash(quote.exchange or "나스닥", quote.symbol, quote.price),
        orders=visitor.account.orders,
        server_offset=visitor.server_offset,
        env_file=visit.env_file,
        send_test=visit.send_test,
        unreachable=visit.unreachable,
    )


def _daemon(settings: Settings) -> str | None:
    """The process that holds this account's lock. Raises SettingsError where nobody can say."""
    path = lock_file(settings)
    try:
        return holder(path)
    except OSError as exc:
        raise SettingsError(f"잠금 파일 {path} 을 읽을 수 없습니다 ({exc.strerror}).") from exc


# the embedded broker


@contextmanager
def _place(settings: Settings, clock: Clock, pid: str | None) -> Iterator[tuple[Settings, str | None]]:
    """The settings with the broker's address in them, and why KIS cannot be asked.

    In ``sim`` the broker lives in the daemon's process and its address in status.json; without a daemon it is started
    as ``run`` would.
    """
    if pid is None or settings.kis_mode != "sim" or (settings.kis_base_url and settings.yahoo_base_url):
        with world(settings, clock) as settings:
            yield settings, None
        return
    url = _embedded_broker(settings)
    unreachable = None if url else "내장 증권사의 주소를 status.json에서 알 수 없음: 1분 뒤에 다시"
    url = url or "http://127.0.0.1:9"
    yield (
        replace(settings, kis_base_url=settings.kis_base_url or url, yahoo_base_url=settings.yahoo_base_url or url),
        unreachable,
    )


def _embedded_broker(settings: Settings) -> str | None:
    """Where it listens, from status.json; a token is sent to this machine only, whatever stands in a file."""
    try:
        document = read_status(settings.status_file)
    except UnreadableStatus:
        return None
    url = document.get("sim_url")
    if document.get("stopped_at") or not isinstance(url, str):
        return None
    return url if urlsplit(url).hostname == "127.0.0.1" and url.startswith("http://") else None


# the page


class _Page:
    """Lines as they come, or one JSON document at the end."""

    def __init__(self, redactor: Redactor, *, as_json: bool) -> None:
        self.probes: list[Probe] = []
        self._clean: Callable[[str], str] = redactor.clean
        self._json = as_json
        self._colours = knows_colours(sys.stdout)

    def say(self, text: str) -> None:
        if text and not self._json:
            self._print(text)

    def add(self, probe: Probe) -> None:
        self.probes.append(probe)
        if self._json:
            return
        verdict = coloured(probe.result.value, COLOURS[probe.result], on=self._colours)
        room = WIDTH - INDENT
        first, *more = wrapped(probe.text, room)
        todo = list(wrapped(f"→ {probe.todo}", room, indent=2)) if probe.todo else []
        self._print(f"{verdict} {padded(probe.name, NAME_WIDTH)}{first}")
        for line in [*more, *todo]:
            self._print(" " * INDENT + line)

    def end(self) -> None:
        result = worst(self.probes)
        if self._json:
            probes = [{**vars(probe), "result": probe.result.value} for probe in self.probes]
            self._print(json.dumps({"result": result.value, "probes": probes}, ensure_ascii=False))
        else:
            self._print(f"\n{ENDINGS[result]}")

    def _print(self, text: str) -> None:
        print(self._clean(text), flush=True)
