"""Market hours: NYSE's calendar against the library and against dates known by heart, on hosts in any zone."""

from __future__ import annotations

import os
import subprocess
import sys
import time as host_time
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import exchange_calendars
import pytest

from clock import KST, NEW_YORK
from config import Settings
from market_hours import AlwaysOpen, MarketHours, NyseCalendar, Session, last_order_time

ROOT = Path(__file__).resolve().parents[1]
ZONES = ["UTC", "Asia/Seoul", "America/New_York", "Pacific/Apia", "Europe/London"]
SECOND = timedelta(seconds=1)


def kst(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=KST)


def new_york(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=NEW_YORK)


@pytest.fixture(scope="module")
def nyse() -> MarketHours:
    return MarketHours(NyseCalendar())


@pytest.fixture(scope="module")
def always() -> MarketHours:
    return MarketHours(AlwaysOpen())


@pytest.fixture(params=ZONES)
def _host_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    host_time.tzset()
    yield
    monkeypatch.undo()
    host_time.tzset()


# NYSE


def test_C08_C10_every_session_of_five_years_is_the_librarys(nyse: MarketHours) -> None:
    library = exchange_calendars.get_calendar("XNYS", start="2023-12-01", end="2029-02-01")
    expected = [
        (day.date(), library.session_open(day).timestamp(), library.session_close(day).timestamp())
        for day in library.sessions_in_range("2024-01-01", "2028-12-31")
    ]

    walked = []
    at = new_york("2024-01-01 00:00")
    for _ in expected:
        session = nyse.upcoming(at)
        walked.append((session.date, session.open.timestamp(), session.close.timestamp()))
        at = session.close

    assert len(walked) == 1255
    assert walked == expected


def test_the_half_days_are_the_librarys_early_closes(nyse: MarketHours) -> None:
    library = exchange_calendars.get_calendar("XNYS", start="2023-12-01", end="2029-02-01")
    early = [day.date() for day in library.early_closes if 2024 <= day.year <= 2028]
    noons = [new_york("2024-01-01 12:00") + timedelta(days=n) for n in range(5 * 366)]

    ours = [session.date for noon in noons if (session := nyse.session(noon)) and session.is_half_day]

    assert [day for day in ours if day.year <= 2028] == early


@pytest.mark.usefixtures("_host_zone")
@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        ("2026-03-06", "2026-03-06 23:30", "2026-03-07 06:00"),  # winter
        ("2026-03-09", "2026-03-09 22:30", "2026-03-10 05:00"),  # the clocks went forward on 03-08
        ("2026-10-30", "2026-10-30 22:30", "2026-10-31 05:00"),
        ("2026-11-02", "2026-11-02 23:30", "2026-11-03 06:00"),  # back on 11-01
        ("2026-11-27", "2026-11-27 23:30", "2026-11-28 03:00"),  # the day after Thanksgiving
        ("2026-12-24", "2026-12-24 23:30", "2026-12-25 03:00"),
        ("2027-03-12", "2027-03-12 23:30", "2027-03-13 06:00"),
        ("2027-03-15", "2027-03-15 22:30", "2027-03-16 05:00"),  # forward on 03-14
        ("2027-11-05", "2027-11-05 22:30", "2027-11-06 05:00"),
        ("2027-11-08", "2027-11-08 23:30", "2027-11-09 06:00"),  # back on 11-07
        ("2027-11-26", "2027-11-26 23:30", "2027-11-27 03:00"),
        ("2028-02-29", "2028-02-29 23:30", "2028-03-01 06:00"),  # leap day
    ],
)
def test_C05_C06_C07_C11_C13_a_known_day_opens_and_closes_in_korean_time_on_any_host(
    day: str, opens: str, closes: str
) -> None:
    hours = MarketHours(NyseCalendar())
    morning = new_york(f"{day} 08:00")

    assert hours.next_open(morning) == kst(opens)
    assert hours.next_close(morning) == kst(closes)
    assert hours.trading_date(kst(opens)) == date.fromisoformat(day)


@pytest.mark.parametrize(
    "day",
    [
        "2025-01-09",  # a day of mourning
        "2025-07-04",
        "2026-04-03",  # Good Friday
        "2026-07-03",  # 07-04 is a Saturday
        "2026-11-26",  # Thanksgiving
        "2026-12-25",
        "2027-01-01",
        "2027-06-18",  # 06-19 is a Saturday
        "2027-07-05",  # 07-04 is a Sunday
        "2027-12-24",  # 12-25 is a Saturday
        "2026-11-28",
        "2026-11-29",
    ],
)
def test_C08_a_holiday_or_a_weekend_has_no_session(nyse: MarketHours, day: str) -> None:
    noon = new_york(f"{day} 12:00")

    assert not nyse.is_open(noon)
    assert nyse.session(noon) is None


@pytest.mark.parametrize("day", ["2026-07-02", "2026-11-25", "2027-12-31"])
def test_the_day_before_a_holiday_is_an_ordinary_one(nyse: MarketHours, day: str) -> None:
    session = nyse.session(new_york(f"{day} 15:59"))

    assert session is not None
    assert not session.is_half_day


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("09:29:59", False),
        ("09:30:00", True),
        ("12:59:59", True),
        ("13:00:00", False),
        ("15:59:59", False),
    ],
)
def test_C07_a_half_day_trades_from_its_opening_up_to_but_not_at_its_close(
    nyse: MarketHours, at: str, is_open: bool
) -> None:
    assert nyse.is_open(datetime.fromisoformat(f"2026-11-27T{at}").replace(tzinfo=NEW_YORK)) is is_open


def test_a_session_is_given_in_utc_and_knows_that_it_is_half_a_day(nyse: MarketHours) -> None:
    assert nyse.session(kst("2026-11-28 00:00")) == Session(
        date(2026, 11, 27),
        datetime(2026, 11, 27, 14, 30, tzinfo=UTC),
        datetime(2026, 11, 27, 18, 0, tzinfo=UTC),
        is_half_day=True,
    )


def test_while_a_session_runs_the_next_open_is_that_of_the_following_one(nyse: MarketHours) -> None:
    running = new_york("2026-11-25 10:00")

    assert nyse.next_open(running) == new_york("2026-11-27 09:30")
    assert nyse.next_close(running) == new_york("2026-11-25 16:00")


def test_at_the_very_opening_the_session_runs_and_at_the_very_close_the_next_one_is_meant(nyse: MarketHours) -> None:
    opens, closes = new_york("2026-11-25 09:30"), new_york("2026-11-25 16:00")

    assert nyse.next_open(opens - SECOND) == opens
    assert nyse.next_open(opens) == new_york("2026-11-27 09:30")
    assert nyse.next_close(closes - SECOND) == closes
    assert nyse.next_close(closes) == new_york("2026-11-27 13:00")


@pytest.mark.parametrize(
    ("now", "day"),
    [
        ("2026-11-24 23:29", "2026-11-23"),  # before the opening: still the day before
        ("2026-11-24 23:30", "2026-11-24"),
        ("2026-11-25 00:00", "2026-11-24"),  # midnight in Seoul changes nothing
        ("2026-11-25 06:00", "2026-11-24"),  # the close neither: what is settled now belongs to this day
        ("2026-11-25 14:00", "2026-11-24"),  # nor midnight in New York
        ("2026-11-27 12:00", "2026-11-25"),  # Thanksgiving
        ("2026-11-30 12:00", "2026-11-27"),  # the weekend
    ],
)
def test_C12_the_trading_date_is_that_of_the_session_that_opened_last(nyse: MarketHours, now: str, day: str) -> None:
    assert nyse.trading_date(kst(now)) == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("closes", "timeout", "last"),
    [("2026-11-27 13:00", 20, "2026-11-27 12:39"), ("2026-11-25 16:00", 20, "2026-11-25 15:39")],
)
def test_C07_the_last_order_leaves_time_to_be_cancelled(
    nyse: MarketHours, closes: str, timeout: int, last: str
) -> None:
    session = nyse.session(new_york(closes) - SECOND)

    assert session is not None
    assert last_order_time(session, timeout) == new_york(last)
    assert last_order_time(session, 0.5) == session.close - timedelta(seconds=90)


def test_C06_the_repeated_hour_of_autumn_is_told_apart(nyse: MarketHours) -> None:
    first = datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK, fold=0)
    second = datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK, fold=1)

    assert nyse.next_open(first) - first.astimezone(UTC) == timedelta(hours=33)
    assert nyse.next_open(second) - second.astimezone(UTC) == timedelta(hours=32)


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("1970-01-01 09:00", "1970-01-02 23:30"),  # a machine that booted without a clock
        ("2000-01-01 09:00", "2000-01-03 23:30"),
        ("2029-12-31 09:00", "2029-12-31 23:30"),
        ("2035-07-04 12:00", "2035-07-05 22:30"),  # years after the library's data end its rules still know holidays
        ("2099-12-25 12:00", "2099-12-28 23:30"),
    ],
)
def test_C10_a_date_outside_the_table_gets_a_table_of_its_own(nyse: MarketHours, now: str, opens: str) -> None:
    assert nyse.next_open(kst(now)) == kst(opens)


def test_C11_the_year_can_be_walked_through_its_end_without_loading_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    calendar, loaded = NyseCalendar(), []
    load = calendar._load
    monkeypatch.setattr(calendar, "_load", lambda year: (loaded.append(year), load(year)))
    hours = MarketHours(calendar)

    for days in range(2 * 366):
        hours.is_open(kst("2026-11-23 22:00") + timedelta(days=days))

    assert loaded == [2026]


def test_a_year_beyond_all_rules_is_refused_at_once(nyse: MarketHours) -> None:
    with pytest.raises(LookupError):
        nyse.next_open(datetime(2300, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "question",
    ["is_open", "session", "latest", "upcoming", "next_open", "next_close", "trading_date", "describe"],
)
def test_a_naive_instant_is_refused(always: MarketHours, question: str) -> None:
    with pytest.raises(ValueError, match="aware"):
        getattr(always, question)(datetime(2026, 11, 23, 22, 0))  # noqa: DTZ001


@pytest.mark.parametrize("zone", [UTC, KST, NEW_YORK])
def test_the_zone_of_the_question_does_not_matter(nyse: MarketHours, zone: object) -> None:
    now = kst("2026-11-24 23:45").astimezone(zone)  # type: ignore[arg-type]

    assert nyse.is_open(now)
    assert nyse.trading_date(now) == date(2026, 11, 24)
    assert nyse.describe(now) == "마감 06:00 KST (뉴욕 16:00)"


def test_the_heavy_library_is_imported_only_for_nyse() -> None:
    script = """
import sys
from datetime import datetime, UTC
import market_hours, config
now = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
hours = market_hours.MarketHours.for_settings(config.Settings.load({}, None))
assert hours.is_open(now)
market_hours.MarketHours(market_hours.NyseCalendar())
assert not {"pandas", "exchange_calendars"} & sys.modules.keys()
assert market_hours.MarketHours(market_hours.NyseCalendar()).is_open(now)
"""
    environment = {"TZ": "Pacific/Apia", "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, check=True, timeout=60)


# sim


@pytest.mark.parametrize("now", ["2026-11-24 12:00", "2026-11-28 16:00", "2026-11-26 10:00", "2027-03-14 02:30"])
def test_the_embedded_market_is_always_open(always: MarketHours, now: str) -> None:
    assert always.is_open(new_york(now))


def test_its_day_ends_at_four_in_new_york_and_the_next_one_begins(always: MarketHours) -> None:
    rollover = new_york("2026-11-27 16:00")

    assert always.trading_date(rollover - SECOND) == date(2026, 11, 27)
    assert always.trading_date(rollover) == date(2026, 11, 28)
    assert always.next_close(rollover - SECOND) == rollover
    assert always.next_open(rollover - SECOND) == rollover
    assert always.next_open(rollover) == new_york("2026-11-28 16:00")


def test_its_days_follow_each_other_without_a_gap_over_both_clock_changes(always: MarketHours) -> None:
    at = new_york("2026-10-30 12:00")
    lengths = []
    for _ in range(140):
        session = always.upcoming(at)
        assert always.upcoming(session.close).open == session.close
        lengths.append((session.close - session.open) // timedelta(hours=1))
        at = session.close

    assert sorted(lengths) == [23, *[24] * 138, 25]


# the owner's hours


@pytest.mark.parametrize(
    ("at", "is_open"), [("09:59", False), ("10:00", True), ("14:59", True), ("15:00", False), ("15:30", False)]
)
@pytest.mark.parametrize("calendar", [NyseCalendar, AlwaysOpen])
def test_the_owners_hours_narrow_the_session(calendar: type, at: str, is_open: bool) -> None:
    hours = MarketHours(calendar(), time(10), time(15))

    assert hours.is_open(new_york(f"2026-11-25 {at}")) is is_open


def test_narrow_hours_move_the_opening_the_close_and_the_last_order() -> None:
    hours = MarketHours(NyseCalendar(), time(10), time(15))
    morning = new_york("2026-11-25 09:45")

    assert hours.next_open(morning) == new_york("2026-11-25 10:00")
    assert hours.next_close(morning) == new_york("2026-11-25 15:00")
    assert last_order_time(hours.upcoming(morning), 20) == new_york("2026-11-25 14:39")


def test_hours_never_widen_the_session() -> None:
    hours = MarketHours(NyseCalendar(), time(4), time(20))

    assert hours.next_open(new_york("2026-11-27 05:00")) == new_york("2026-11-27 09:30")
    assert hours.next_close(new_york("2026-11-27 05:00")) == new_york("2026-11-27 13:00")


def test_a_half_day_that_ends_before_the_owner_begins_is_no_session() -> None:
    hours = MarketHours(NyseCalendar(), start=time(13, 30))

    assert hours.next_open(new_york("2026-11-27 09:00")) == new_york("2026-11-30 13:30")
    assert hours.trading_date(new_york("2026-11-28 09:00")) == date(2026, 11, 25)


@pytest.mark.parametrize(
    ("env", "saturday_is_open"),
    [({}, True), ({"SIM_HOURS": "nyse"}, False)],
)
def test_the_settings_choose_the_calendar(env: dict[str, str], saturday_is_open: bool) -> None:
    hours = MarketHours.for_settings(Settings.load(env, None))

    assert hours.is_open(new_york("2026-11-28 12:00")) is saturday_is_open


def test_outside_sim_the_calendar_is_nyses_whatever_the_sim_hours_say() -> None:
    keys = {"KIS_APP_KEY": "k" * 36, "KIS_APP_SECRET": "s" * 180, "KIS_ACCOUNT": "12345678-01"}
    settings = Settings.load({"KIS_MODE": "paper", "SIM_HOURS": "always"} | keys, None)

    assert not MarketHours.for_settings(settings).is_open(new_york("2026-11-28 12:00"))


def test_the_settings_narrow_the_session() -> None:
    settings = Settings.load({"SIM_HOURS": "nyse", "TRADING_START_TIME": "10:15"}, None)

    assert MarketHours.for_settings(settings).next_open(new_york("2026-11-25 08:00")) == new_york("2026-11-25 10:15")


# for the log


@pytest.mark.parametrize(
    ("now", "text"),
    [
        ("2026-11-23 22:00", "개장 23:30 KST (뉴욕 09:30)"),
        ("2026-11-24 00:00", "마감 06:00 KST (뉴욕 16:00)"),
        ("2026-11-28 01:00", "마감 03:00 KST (뉴욕 13:00) 조기 마감"),
        ("2026-11-28 12:00", "개장 11-30(월) 23:30 KST (뉴욕 09:30)"),
        ("2027-03-13 12:00", "개장 03-15(월) 22:30 KST (뉴욕 09:30)"),
    ],
)
def test_the_log_tells_korean_time_and_new_yorks(nyse: MarketHours, now: str, text: str) -> None:
    assert nyse.describe(kst(now)) == text


def test_the_log_says_that_the_embedded_market_never_closes(always: MarketHours) -> None:
    assert always.describe(kst("2026-11-28 12:00")) == "쉬지 않고 열림 (거래일 11-28)"
