"""AutoStock: the life of the process. Settings → parts → timetable → loop → exit status."""

from __future__ import annotations

# isort: off
import preflight  # noqa: F401 - it comes before the imports that may fail

# isort: on
import argparse
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import requests

from account import Account
from adopt import run_adopt
from alarms.notify import Outside
from alarms.notify import send_test as send_test_alert
from alerts import Alert, alert
from clock import Clock, SystemClock
from config import Settings
from errors import AlreadyRunning, SettingsError
from exchange_book import ExchangeBook
from files import Disk
from health.check import run_check
from health.status_view import show_status
from health.terminal import hang_up
from health.watchdog import watched
from kis_api import KISAPIClient, PriceSource
from kis_broker import BrokerSet, access_for, token_issuer
from kis_trading import KISTrading
from kis_transport import KISTransport, ServerClock, new_session
from ledger import Ledger
from logs import Redactor
from market_hours import MarketHours
from morning.diary import Diary
from morning.night_ledger import NightLedger
from morning.report import show_report
from morning.reporter import Reporter
from order_desk import OrderDesk
from process import greet, signals_set, start_logging, take_lock, world
from rate_limit import RateLimiter
from scheduler import TradingScheduler
from stocks import WatchlistFile
from strategy import Rules
from strategy_loader import load_strategy
from token_file import TokenFile
from token_manager import TokenManager
from trader import Trader
from trades import show_trades
from yahoo import YahooPrices

logger = logging.getLogger("main")

ENV_FILE = Path(".env")
EXIT_OK, EXIT_FAILED, EXIT_SETTINGS, EXIT_RUNNING = 0, 1, 2, 3


# the parts


def build(
    settings: Settings,
    clock: Clock | None = None,
    *,
    stop: threading.Event | None = None,
    redactor: Redactor | None = None,
    kis_session: Callable[[], requests.Session] = new_session,
    yahoo_session: Callable[[], Any] | None = None,
    second_source: PriceSource | None = None,
    disk: Disk | None = None,
    point: Callable[[str], None] = lambda name: None,
    pulse: Callable[[], None] = lambda: None,
) -> TradingScheduler:
    """Make every part and hand it what it needs; the only place that knows them all.

    What is handed in here is all that a simulation may replace: time, the HTTP sessions, the second source, the disk.
    ``point`` is told the name of each place where a crash would hurt most, ``pulse`` is called after each working
    minute. Chance has no part in the daemon.
    Nothing is asked of anybody here. Raises SettingsError for a watch list or a database that cannot be used.
    """
    clock = clock or SystemClock()
    stop = stop or threading.Event()
    redactor = redactor or Redactor()
    disk = disk or Disk()
    stocks = WatchlistFile(settings.stocks_file)
    stocks.current()
    ledger = Ledger(settings.database_file, settings.account_mark, disk)
    if ledger.fault:
        text = "%s 사용 불가 (%s): 파일은 그대로 두고 기록 없이 계속합니다"
        logger.error(text, settings.database_file.name, ledger.fault, extra=alert(Alert.DATABASE))
    hours = MarketHours.for_settings(settings)
    nights = NightLedger(ledger)
    diary = Diary(nights, hours, clock)
    limiter = RateLimiter(settings.kis_calls_per_second, clock, stop)
    tokens = TokenManager(
        TokenFile(settings.token_file, settings.key_mark, settings.kis_mode, disk),
        token_issuer(settings, lambda: KISTransport(kis_session, limiter, clock, stop, clean=redactor.clean)),
        ledger,
        clock,
        key_mark=settings.key_mark,
        margin=timedelta(minutes=settings.token_renew_margin_minutes),
        on_token=redactor.add_token,
        get_in_line=limiter.acquire,
        point=point,
    )
    access, server = access_for(settings, tokens.bearer), ServerClock()
    api = KISAPIClient(
        lambda: BrokerSet(access, KISTransport(kis_session, limiter, clock, stop, server, redactor.clean)),
        tokens,
        second_source
        or YahooPrices(clock, stop, settings.yahoo_base_url, settings.data_dir / "yfinance-cache", yahoo_session),
        ExchangeBook(lambda: stocks.current().exchanges, ledger, clock),
        clock,
        stop,
        cache_seconds=settings.price_cache_seconds,
        batches=settings.kis_mode != "paper",  # multprice exists on real accounts only (protocol §6.4)
        witness=diary,
    )
    kis = KISTrading(access, lambda: api.transport)
    account = Account(kis, api.recovery, clock)
    desk = OrderDesk(
        kis,
        account,
        ledger,
        api.recovery,
        clock,
        timeout=settings.order_timeout_minutes * 60,
        server_offset=server.offset,
        point=point,
    )
    strategy = load_strategy(settings.strategy, Rules.from_settings(settings))
    trader = Trader(settings, api, account, desk, ledger, strategy, hours, stocks, clock, stop, diary)
    reporter = Reporter(settings.report_dir, api, account, desk, ledger, nights, diary, hours, stocks, clock, disk)
    return TradingScheduler(
        settings,
        clock,
        stop,
        tokens=tokens,
        api=api,
        ledger=ledger,
        hours=hours,
        stocks=stocks,
        trader=trader,
        diary=diary,
        reporter=reporter,
        disk=disk,
        point=point,
        pulse=pulse,
    )


# the commands


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 0 good, 1 failed, 2 settings or keys, 3 already running."""
    arguments = _parse(argv)
    try:
        return _run(arguments)
    except SettingsError as exc:
        for problem in exc.problems:
            print(f"설정 오류: {problem}", file=sys.stderr)  # noqa: T201 - there may be no log yet
        return EXIT_SETTINGS
    except AlreadyRunning as exc:
        hint = f"살펴보기: python main.py status · 끝내기: kill {exc}"
        print(f"이 계좌로 이미 실행 중입니다 (pid {exc}). {hint}", file=sys.stderr)  # noqa: T201
        return EXIT_RUNNING
    except BrokenPipeError:
        hang_up()
        return EXIT_FAILED


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "demo":
        from demo import run_demo

        return run_demo(build)
    if arguments.command == "soak":
        from soak.command import run_soak

        return run_soak(arguments.rest)
    settings = Settings.load(os.environ, ENV_FILE)
    if arguments.command == "trades":
        return show_trades(settings, csv=arguments.csv)
    if arguments.command == "report":
        return show_report(settings, SystemClock(), day=arguments.date, show=arguments.open)
    if arguments.command == "check":
        send_test = partial(send_test_alert, settings.notify_urls, SystemClock()) if arguments.notify else None
        return run_check(settings, SystemClock(), env_file=ENV_FILE, as_json=arguments.json, send_test=send_test)
    if arguments.command == "status":
        return show_status(settings, SystemClock(), watch=arguments.watch, as_json=arguments.json)
    with process(settings, asks=arguments.command == "adopt") as (settings, parts):
        daemon = build(settings, **parts)
        if arguments.command == "adopt":
            with closing(daemon):
                return run_adopt(daemon, own=arguments.own, sure=arguments.yes)
        with watched(daemon), closing(daemon):
            daemon.env_file = ENV_FILE
            greet(settings)
            daemon.run()
    return EXIT_OK


@contextmanager
def process(settings: Settings, *, asks: bool) -> Iterator[tuple[Settings, dict[str, Any]]]:
    """The lock, the log, the signals and the world around a daemon, from first to last.

    A command that ``asks`` is simply ended by Ctrl+C. Raises SettingsError, AlreadyRunning.
    """
    os.umask(0o077)  # whatever is written here is the owner's alone
    clock, stop = SystemClock(), threading.Event()
    lock = take_lock(settings)
    try:
        redactor = Redactor([settings.kis_app_key, settings.kis_app_secret, settings.cano])
        start_logging(settings, clock, redactor)
        urls, ping_url = ((), None) if asks else (settings.notify_urls, settings.healthcheck_url)
        outside = Outside(urls, ping_url, clock, redactor)
        with outside, nullcontext() if asks else signals_set(stop), world(settings, clock) as settings:
            yield settings, {"clock": clock, "stop": stop, "redactor": redactor, "pulse": outside.pulse}
    finally:
        lock.release()


class _Parser(argparse.ArgumentParser):
    """Says in Korean what to type instead."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(EXIT_SETTINGS, f"알 수 없는 명령입니다: {message}\n쓸 수 있는 명령: python main.py --help\n")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="main.py", description="AutoStock: 미국 주식 무인 매매 데몬")
    commands = parser.add_subparsers(dest="command", title="명령")
    commands.add_parser("run", help="데몬을 실행한다 (명령을 쓰지 않으면 이것)")
    commands.add_parser("demo", help="가상 시계로 이틀 밤을 돌리고 보고서까지 보인다 (1분 이내)")
    check = commands.add_parser("check", help="오늘 밤 준비됐는지 하나씩 확인한다")
    check.add_argument("--notify", action="store_true", help="시험 알림을 한 번 보낸다")
    check.add_argument("--json", action="store_true", help="프로그램이 읽을 JSON으로")
    status = commands.add_parser("status", help="데몬이 일하고 있는지, 왜 사지 않았는지 보인다")
    status.add_argument("--watch", action="store_true", help="Ctrl+C까지 2초마다 다시 보인다")
    status.add_argument("--json", action="store_true", help="프로그램이 읽을 JSON으로")
    trades = commands.add_parser("trades", help="거래 내역을 보인다")
    trades.add_argument("--csv", action="store_true", help="엑셀에서 열리는 CSV로 (환율과 원화 포함)")
    report = commands.add_parser("report", help="아침 보고서를 만들어 보인다 (KIS에 묻지 않는다)")
    report.add_argument("--date", metavar="YYYY-MM-DD", help="뉴욕 날짜 (쓰지 않으면 마지막으로 끝난 장)")
    report.add_argument("--open", action="store_true", help="브라우저로 연다")
    adopt = commands.add_parser("adopt", help="KIS의 상태를 장부로 받아들인다 (보이고, 묻고, 옛 파일을 남긴다)")
    adopt.add_argument("--own", default="", metavar="종목,종목", help="KIS에 있는 주식 전부를 데몬의 것으로 볼 종목")
    adopt.add_argument("--yes", action="store_true", help="묻지 않는다")
    commands.add_parser("soak", help="가상 시간으로 몇 달을 돌려 증명한다 (고장과 불변식)", add_help=False)
    arguments, rest = parser.parse_known_args(argv)
    arguments.rest = rest
    if arguments.rest and arguments.command != "soak":  # whose options are its own: it is imported when it is wanted
        parser.error(f"모르는 인자: {' '.join(arguments.rest)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
