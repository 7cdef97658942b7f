"""The world for a test: the embedded broker on real HTTP, the daemon's own `build`, and a clock in the test's hand."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from clock import KST, SystemClock, VirtualClock
from config import Settings
from logs import Redactor
from main import build
from scheduler import TradingScheduler
from simulator import Options, Simulator
from simulator.inprocess import InProcessAdapter
from simulator.server import Server, serve
from simulator.true_clock import TrueClock

START = datetime(2026, 11, 23, 22, 0, tzinfo=KST)
SIXTEEN = [
    *("NVDA", "AMZN", "MSFT", "SOUN", "IONQ", "OKLO", "SMR", "SES"),
    *("SNOW", "PLTR", "RKLB", "TSLA", "AMD", "SOFI", "JOBY", "SOXL"),
]


class House:
    """A daemon and its broker. ``daemon`` is made on first use; after ``restart`` it is made anew on the same files."""

    def __init__(
        self, folder: Path, clock: Any, sim: Simulator, server: Server, *, inside: bool = False, **changes: Any
    ) -> None:
        self.clock, self.sim, self.server = clock, sim, server
        self.stop = threading.Event()
        stocks = folder / "stocks.json"
        if not stocks.exists():
            stocks.write_text(json.dumps({"filter_stocks": {}, "watch_list": SIXTEEN}), "utf-8")
        base = Settings.load({"KIS_MODE": "sim"}, None)
        self.settings = replace(
            base,
            **{
                "data_dir": folder,
                "stocks_file": stocks,
                "kis_base_url": server.url,
                "yahoo_base_url": server.url,
                **changes,
            },
        )
        self.inside = inside
        self.redactor = Redactor()
        self._daemon: TradingScheduler | None = None

    @property
    def daemon(self) -> TradingScheduler:
        if self._daemon is None:
            sessions = {"kis_session": self._session, "yahoo_session": self._session} if self.inside else {}
            self._daemon = build(self.settings, self.clock, stop=self.stop, redactor=self.redactor, **sessions)
        return self._daemon

    def _session(self) -> requests.Session:
        """Real `requests` without sockets: hangs and drips take virtual time."""
        session = requests.Session()
        session.mount("http://", InProcessAdapter(self.sim))
        session.mount("https://", InProcessAdapter(self.sim))
        return session

    @property
    def api(self) -> Any:
        return self.daemon.api

    @property
    def token_file(self) -> Path:
        return self.settings.token_file

    def started(self) -> House:
        """With a token, as after the first check, and 61 seconds later."""
        self.daemon.check_and_refresh_token()
        self.pass_seconds(61)
        return self

    def pass_seconds(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def restart(self, **changes: Any) -> House:
        self.close()
        self.settings = replace(self.settings, **changes)
        return self

    def close(self) -> None:
        if self._daemon is not None:
            self._daemon.close()
            self._daemon = None

    def issued(self) -> int:
        """How many tokens were asked for, whatever came of it."""
        return int(self.sim.count("token"))


class LivingClock(SystemClock):
    """Real time that a test can push forward; waits push instead of waiting, calls out are really bounded."""

    def __init__(self) -> None:
        self._pushed = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(super().now().timestamp() + self._pushed, KST)

    def monotonic(self) -> float:
        return super().monotonic() + self._pushed

    def advance(self, seconds: float) -> None:
        self._pushed += seconds

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.advance(max(0.0, seconds))
        return stop.is_set()


@pytest.fixture
def make_house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    houses: list[House] = []

    def make(
        clock: Any = None,
        options: Options | None = None,
        profile: Any = "real",
        steps_alone: bool = False,
        **changes: Any,
    ) -> House:
        """With ``steps_alone`` a step of the daemon's wall clock leaves the broker's alone."""
        clock = clock or VirtualClock(START)
        watch = TrueClock(clock) if steps_alone else clock
        sim = Simulator(watch, profile=profile, seed=7, options=options or Options())
        houses.append(House(tmp_path, clock, sim, serve(sim), **changes))
        return houses[-1]

    yield make
    for house in houses:
        house.stop.set()
        house.close()
        house.server.close()
        house.sim.close()


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    """On a virtual clock."""
    return make_house()


@pytest.fixture
def living_house(make_house: Callable[..., House]) -> House:
    """On real time, for what must really be cut off."""
    return make_house(LivingClock())


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """The messages so far that contain a text, DEBUG included where asked."""
    caplog.set_level(logging.DEBUG)

    def messages(part: str = "", level: int = logging.INFO) -> list[str]:
        return [r.getMessage() for r in caplog.records if r.levelno >= level and part in r.getMessage()]

    return messages
