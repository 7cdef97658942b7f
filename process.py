"""What belongs to a process and not to trading: its lock, its log, its signals, and in `sim` its broker."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from alerts import Alert, alert
from clock import Clock
from config import Settings
from errors import SettingsError
from instance_lock import InstanceLock, lock_path
from logs import Redactor, configure_logging

logger = logging.getLogger("main")


def lock_file(settings: Settings) -> Path:
    """Where the lock of this account lies."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return lock_path(settings.kis_mode, settings.data_dir, settings.account_mark, home)


def take_lock(settings: Settings) -> InstanceLock:
    """One process an account. Raises AlreadyRunning; SettingsError where no file may be made."""
    lock = lock_file(settings)
    make_folders(settings)
    try:
        return InstanceLock(lock)
    except OSError as exc:
        raise SettingsError(f"잠금 파일 {lock} 을 만들 수 없습니다 ({exc.strerror}).") from exc


def make_folders(settings: Settings) -> None:
    """The folders of data and log. Raises SettingsError where they may not be made."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.log_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise SettingsError(
            f"DATA_DIR: {exc.filename} 에 쓸 수 없습니다 ({exc.strerror}). 쓸 수 있는 폴더로 바꾸세요."
        ) from exc


def start_logging(settings: Settings, clock: Clock, redactor: Redactor) -> None:
    """Log to the file and the console as the settings say; what nobody catches goes there too."""
    configure_logging(
        clock,
        redactor,
        level=settings.log_level,
        path=settings.log_path,
        max_bytes=settings.log_max_bytes,
        backups=settings.log_backup_count,
    )
    sys.excepthook = _log_fatal
    threading.excepthook = lambda args: logger.error(
        "스레드 %s 실패", args.thread, exc_info=(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
    )


def _log_fatal(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
    """What nobody expected ends the process with status 1, its traceback masked like every other line."""
    logger.critical("예상하지 못한 오류로 종료합니다", exc_info=(kind, exc, trace))


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_set(stop: threading.Event) -> Iterator[None]:
    """Ctrl+C, ``kill`` and a closed terminal end the wait; a job in hand is never cut.

    The handler itself does nothing: it runs in the main thread, and if that happens to be inside the event's own
    lock, setting the event there would wait for itself for ever. A thread at the other end of Python's wake-up
    socket sets it.
    """
    here, there = socket.socketpair()
    there.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    wakeup = signal.set_wakeup_fd(there.fileno(), warn_on_full_buffer=False)
    taker = threading.Thread(target=_take_signals, args=(here, stop), daemon=True, name="signals")
    taker.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        there.close()
        taker.join()
        here.close()


def _take_signals(here: socket.socket, stop: threading.Event) -> None:
    while here.recv(1):
        stop.set()
        logger.info("종료 신호를 받았습니다: 하던 일을 마치고 끝냅니다", extra=alert(Alert.STOPPED))


@contextmanager
def world(settings: Settings, clock: Clock) -> Iterator[Settings]:
    """In ``sim`` the embedded broker, on a port of its own; otherwise the world as it is."""
    if settings.kis_mode != "sim" or (settings.kis_base_url and settings.yahoo_base_url):
        yield settings
        return
    from simulator import Options, Simulator
    from simulator.server import serve

    options = Options(hours=settings.sim_hours)
    sim = Simulator(clock, profile="real", store=settings.sim_database_file, options=options)
    with serve(sim) as server:
        yield replace(
            settings,
            kis_base_url=settings.kis_base_url or server.url,
            yahoo_base_url=settings.yahoo_base_url or server.url,
        )


def greet(settings: Settings) -> None:
    """Say what this is and what to do next."""
    for warning in settings.warnings:
        logger.warning("%s", warning)
    started = alert(Alert.STARTED)
    if settings.kis_mode == "sim":
        logger.info("모의 시장(sim)입니다: 가상 자금으로 움직이며 실제 주문은 나가지 않습니다.", extra=started)
        logger.info("내 계좌로 쓰려면: cp .env.example .env 한 뒤 KIS_MODE와 키를 넣고 다시 시작하세요 (README 참고).")
        text = "지켜보기: 다른 터미널에서 python main.py status --watch, tail -F %s · 끝내기: Ctrl+C"
        logger.info(text, settings.log_path)
    elif settings.kis_mode == "paper":
        logger.info("모의투자(paper) 계좌 ****%s로 시작합니다.", settings.cano[-4:], extra=started)
    else:
        text = "실전(real) 계좌 ****%s로 시작합니다: 실제 돈이 움직입니다."
        logger.warning(text, settings.cano[-4:], extra=started)
