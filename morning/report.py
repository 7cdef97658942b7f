"""`python main.py report`: the morning report of a night once more, from what the database remembers."""

from __future__ import annotations

import sys
import webbrowser
from contextlib import closing
from datetime import date, timedelta

from clock import NEW_YORK, Clock
from config import Settings
from errors import AutoStockError
from files import Disk
from ledger import Ledger, LedgerError
from market_hours import MarketHours, Session
from morning.night import finished_session, has_records, read_night
from morning.night_text import summary
from morning.reporter import save_report


class NoReport(AutoStockError):
    """There is no report to make; the message says in Korean why and what to type."""


def show_report(settings: Settings, clock: Clock, *, day: str | None, show: bool) -> int:
    """The command: make the page, print a summary and where it lies. The exit status. Raises SettingsError."""
    try:
        text, address = make_report(settings, clock, day)
    except (NoReport, LedgerError) as exc:
        print(exc, file=sys.stderr)
        return 1
    except OSError as exc:
        print(f"{settings.report_dir} 에 쓸 수 없습니다 ({exc.strerror}).", file=sys.stderr)
        return 1
    print(text)
    if show and not webbrowser.open(address):
        print("브라우저를 열지 못했습니다. 위의 파일을 직접 여세요.")
    return 0


def make_report(settings: Settings, clock: Clock, day: str | None) -> tuple[str, str]:
    """The page of ``day`` (New York, YYYY-MM-DD) or of the last finished session: its summary and its address.

    Asks KIS nothing and takes no lock. Raises NoReport, LedgerUnreadable, OSError; SettingsError for a database of
    another account.
    """
    hours = MarketHours.for_settings(settings)
    session = _session(hours, clock, day)
    if not settings.database_file.exists():
        raise NoReport(f"{settings.database_file} 이 없습니다. 먼저 데몬을 하룻밤 돌리세요: python main.py")
    with closing(Ledger(settings.database_file, settings.account_mark, read_only=True)) as ledger:
        if ledger.fault:
            raise NoReport(
                f"{settings.database_file.name} 사용 불가: {ledger.fault}\n"
                "옛 버전의 장부라면 데몬을 한 번 시작하면 새로워집니다: python main.py"
            )
        night = read_night(ledger, hours, session)
    if not has_records(night):
        raise NoReport(
            f"{session.date} 밤의 기록이 없습니다: 데몬이 돌지 않은 날입니다. 다른 날은 --date YYYY-MM-DD 로."
        )
    path = save_report(settings.report_dir, night, Disk())
    return summary(night, path), path.absolute().as_uri()


def _session(hours: MarketHours, clock: Clock, day: str | None) -> Session:
    """The finished session of that date, else the last one. Raises NoReport."""
    now = clock.now()
    if day is None:
        return _last_finished(hours, clock)
    try:
        session = finished_session(hours, date.fromisoformat(day), now)
    except ValueError:
        raise NoReport(f"{day}: 날짜를 2026-11-24처럼 YYYY-MM-DD로 쓰세요 (뉴욕 날짜).") from None
    except (LookupError, OverflowError):
        session = None
    if session is None:
        last = _last_finished(hours, clock).date
        raise NoReport(f"{day}: 그날 끝난 장이 없습니다 (휴장이거나 아직 마감 전). 마지막으로 끝난 장은 {last} 입니다.")
    return session


def _last_finished(hours: MarketHours, clock: Clock) -> Session:
    now = clock.now()
    day = now.astimezone(NEW_YORK).date()
    while (session := finished_session(hours, day, now)) is None:
        day -= timedelta(days=1)
    return session
