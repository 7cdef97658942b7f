"""The daemon's parts as ``main.build`` makes them, in a temporary folder, with nothing of it on the terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests

from clock import Clock, SystemClock
from config import Settings
from kis_transport import new_session
from logs import Redactor
from main import build
from process import start_logging
from scheduler import TradingScheduler
from simulator import Simulator
from simulator.inprocess import InProcessAdapter
from stocks import SHIPPED

HOST = "https://simulator.invalid"  # never looked up: the session leads into this process
UNLIMITED = 1e6  # calls a second


def settings_for(folder: Path, url: str, **changes: Any) -> Settings:
    """The settings of ``sim``, on the shipped watch list, with our own call limit out of the way."""
    return replace(
        Settings.load({"KIS_MODE": "sim"}, None),
        **{
            "data_dir": folder,
            "stocks_file": SHIPPED,
            "kis_base_url": url,
            "yahoo_base_url": url,
            "kis_calls_per_second": UNLIMITED,
            **changes,
        },
    )


@contextmanager
def daemon_at(
    settings: Settings, session: Callable[[], requests.Session], clock: Clock | None = None
) -> Iterator[TradingScheduler]:
    """A daemon that has its token."""
    with fresh_daemon(settings, session, clock or SystemClock()) as daemon:
        daemon.check_and_refresh_token()
        yield daemon


@contextmanager
def fresh_daemon(
    settings: Settings, session: Callable[[], requests.Session], clock: Clock
) -> Iterator[TradingScheduler]:
    """A daemon that has asked nobody yet; it writes its log as in life, and its terminal is nowhere."""
    redactor = Redactor([settings.kis_app_key, settings.kis_app_secret, settings.cano])
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        with redirect_stdout(nowhere):
            start_logging(settings, clock, redactor)
        daemon = build(settings, clock, redactor=redactor, kis_session=session, yahoo_session=session)
        with closing(daemon):
            yield daemon


def inside(sim: Simulator) -> requests.Session:
    """Real `requests` without sockets: the session leads into this process."""
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", InProcessAdapter(sim))
    return session


def trusting(bundle: Path) -> Callable[[], requests.Session]:
    """The daemon's own sessions, which trust the test authority as well."""

    def make() -> requests.Session:
        session = new_session()
        session.verify = str(bundle)
        return session

    return make
