"""The morning report: what is kept for it, what is worked out of it, the page, the daemon's morning, the command."""

import re
import sqlite3
import webbrowser
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from conftest import START
from test_orders import only, shop  # noqa: F401 - a fixture

from clock import KST, VirtualClock
from errors import KISRefusal, NoAnswer
from files import Disk
from intents import Intent, State
from ledger import OUTCOME_ISSUED, Fill, Issuance, Ledger, LedgerUnwritable
from ledger_schema import MIGRATIONS, SCHEMA_VERSION
from market_hours import AlwaysOpen, MarketHours, NyseCalendar
from morning.diary import MOST_KINDS, Diary, without_numbers
from morning.equity_curve import equity_curve, nice_ticks
from morning.night import Point, Records, finished_session, has_records, night_of
from morning.night_ledger import Closing, Held, NightLedger, Reason, Trouble
from morning.night_text import duration, one_line, signed_krw, signed_usd, summary, verdict
from morning.report import show_report
from morning.report_html import render
from morning.reporter import is_due
from portfolio import Side
from recovery import Recovered
from simulator import Fault, Options
from trades import display_width

NYSE = MarketHours(NyseCalendar())
MONDAY = date(2026, 11, 23)
CLOSE = datetime(2026, 11, 24, 6, 0, tzinfo=KST)
SESSION = finished_session(NYSE, MONDAY, CLOSE)
LATE = CLOSE - timedelta(minutes=50)
NEXT_OPEN = CLOSE + timedelta(hours=17.5)


@pytest.fixture
def ledger(tmp_path):
    with closing(Ledger(tmp_path / "autostock-sim.db", "mark")) as ledger:
        yield ledger


# the database


def test_a_database_of_the_version_before_keeps_what_it_has_and_learns_the_nights(tmp_path):
    path = tmp_path / "autostock-sim.db"
    with closing(sqlite3.connect(path)) as old:
        for step in MIGRATIONS[:2]:
            old.executescript(step)
        old.execute("INSERT INTO days VALUES ('2026-11-23', '100000')")
        old.execute("PRAGMA user_version = 2")
        old.commit()
    with closing(Ledger(path, "mark")) as ledger:
        assert ledger.fault is None
        assert NightLedger(ledger).opening_values() == {"2026-11-23": Decimal(100000)}
        assert NightLedger(ledger).closings() == []


def test_what_is_opened_for_reading_is_left_as_it_is(ledger):
    NightLedger(ledger).note_seen("2026-11-23", 1.0)
    with closing(Ledger(ledger.path, "mark", read_only=True)) as reader:
        assert reader.fault is None
        assert NightLedger(reader).unreported() == ["2026-11-23"]  # beside the writer, out of its WAL
        with pytest.raises(LedgerUnwritable):
            NightLedger(reader).note_seen("2026-11-24", 1.0)
        NightLedger(ledger).note_seen("2026-11-25", 2.0)
        assert len(NightLedger(reader).unreported()) == 2


def test_an_older_database_is_not_touched_by_a_reader(tmp_path):
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as old:
        old.execute(f"PRAGMA user_version = {SCHEMA_VERSION - 1}")
    before = path.read_bytes()
    with closing(Ledger(path, "mark", read_only=True)) as reader:
        assert "schema" in reader.fault
    assert path.read_bytes() == before


def test_the_figures_of_a_close_come_back_exactly(ledger):
    nights = NightLedger(ledger)
    held = (Held("SOUN", 100, Decimal("9.1234"), Decimal("9.5")), Held("IONQ", 3, Decimal(40), None))
    closing_figures = Closing("2026-11-23", Decimal("100123.4567"), Decimal("1391.58"), held)
    nights.note_seen("2026-11-20", 1.0)
    nights.note_seen("2026-11-23", 2.0)
    nights.note_reported(closing_figures, 3.0)
    nights.note_unreported_before("2026-11-23", 3.0)
    assert nights.closings() == [Closing("2026-11-20", None, None, None), closing_figures]
    assert nights.unreported() == []


# the diary


@pytest.fixture
def diary(ledger):
    clock = VirtualClock(START + timedelta(hours=2))
    return Diary(NightLedger(ledger), NYSE, clock)


def test_reasons_that_differ_in_numbers_only_are_one_row(diary, ledger):
    for percent in ("+0.12%", "-1.5%", "+1,234.5%"):
        diary.note_reasons("매도", {"SOUN": f"평균 단가 $9.10 대비 {percent}, 기준에 닿지 않음"})
    diary.note_reasons("매도", {"SOUN": "조금 전 거부됨"})
    diary.flush()
    diary.note_reasons("매도", {"SOUN": "조금 전 거부됨"})
    diary.flush()
    rows = {reason.text: reason.count for reason in NightLedger(ledger).reasons("2026-11-23")}
    assert rows == {"평균 단가 $9.10 대비 +1,234.5%, 기준에 닿지 않음": 3, "조금 전 거부됨": 2}


def test_errors_fold_by_code_and_silences_by_text(diary, ledger):
    diary.note_trouble(KISRefusal("EGW00123", "기간이 만료된 token 입니다."))
    diary.note_trouble(KISRefusal("EGW00123", "other words"))
    diary.note_trouble(NoAnswer("HTTP 502, JSON 아님", 502))
    diary.note_trouble(NoAnswer("HTTP 503, JSON 아님", 503))
    diary.note_failure("watch")
    diary.flush()
    found = {(trouble.code, trouble.count) for trouble in NightLedger(ledger).troubles("2026-11-23")}
    assert found == {("EGW00123", 2), ("", 2), ("JOB", 1)}


def test_what_happens_after_the_close_belongs_to_the_next_night(ledger):
    clock = VirtualClock(CLOSE)
    diary = Diary(NightLedger(ledger), NYSE, clock)
    diary.note_trouble(NoAnswer("연결 거부"))
    diary.flush()
    assert NightLedger(ledger).troubles("2026-11-24")
    assert NightLedger(ledger).unreported() == []  # no session runs: this is no night yet


def test_a_night_of_outages_writes_few_rows_and_keeps_little(diary, ledger):
    for number in range(3 * MOST_KINDS):
        diary.note_trouble(NoAnswer(f"연결 거부 {number}"))
        diary.note_trouble(NoAnswer("".join(chr(ord("a") + int(digit)) for digit in str(number))))
    assert len(diary._troubles) == MOST_KINDS
    written = ledger._db.total_changes
    diary.flush()
    diary.flush()
    assert ledger._db.total_changes - written == MOST_KINDS + 1


def test_a_database_that_takes_nothing_is_said_once_and_nothing_is_lost(diary, ledger, log):
    diary.flush()
    ledger._db.execute("PRAGMA query_only = ON")
    for _ in range(4):
        diary.note_reasons("매수", {"전체": "HALT 파일"})
        diary.flush()
    diary.note_recovery(Recovered(1.0, "AAPL", 0.5))
    diary.flush()
    assert len(log("아침 보고서의 기록을 쓰지 못함")) == 1
    ledger._db.execute("PRAGMA query_only = OFF")
    diary.flush()
    nights = NightLedger(ledger)
    assert [reason.count for reason in nights.reasons("2026-11-23")] == [4]
    assert nights.recoveries(0.0, 2.0) == [Recovered(1.0, "AAPL", 0.5)]
    assert nights.recoveries(1.5, 2.0) == []


def test_a_clock_that_is_far_off_breaks_no_call(ledger):
    diary = Diary(NightLedger(ledger), NYSE, VirtualClock(datetime(1900, 1, 1, tzinfo=KST)))
    diary.note_trouble(NoAnswer("연결 거부"))
    diary.note_reasons("매수", {"전체": "HALT 파일"})


def test_the_text_without_numbers():
    assert without_numbers("NVDA $1,234.50 (전일 -0.5%) 2위") == without_numbers("NVDA $9 (전일 +12.25%) 13위")
    assert without_numbers("SOUN 5% 오름") != without_numbers("IONQ 5% 오름")


# the night, worked out


def intent(id_, side=Side.BUY, session="2026-11-23", **changes):
    made = Intent(
        id=id_,
        session=session,
        closes_at=CLOSE.timestamp(),
        symbol="SOUN",
        exchange="나스닥",
        side=side,
        quantity=100,
        limit="9.00",
        reason="",
        state=State.DONE,
        created_at=CLOSE.timestamp() - 3600,
        number=id_,
        filled=100,
        fill_price=Decimal(9),
    )
    return replace(made, **changes)


def fill(number, side, price, quantity=100, rate="1400", symbol="SOUN"):
    krw = Decimal(rate) if rate else None
    return Fill(CLOSE.timestamp() - 1800, symbol, side, quantity, Decimal(price), krw, number)


NOTHING = Records([], [], [Closing("2026-11-23", None, None, None)], {}, [], [], [], [], None)
BUSY = Records(
    intents=[
        intent(1, session="2026-11-20"),
        intent(2, Side.SELL, session="2026-11-20"),
        intent(3),
        intent(4, Side.SELL),
        intent(5, state=State.NOT_ACCEPTED, filled=0, was_unknown=True, number=None),
        intent(6, session="2026-11-24"),
    ],
    fills=[
        fill(1, Side.BUY, "8", 200),
        fill(2, Side.SELL, "9", 100),
        fill(3, Side.BUY, "9", 100),
        fill(4, Side.SELL, "10", 150, rate="1500"),
        fill(6, Side.BUY, "7", 999),
    ],
    closings=[
        Closing("2026-11-20", Decimal(100_050), Decimal(1400), ()),
        Closing("2026-11-23", Decimal(100_300), Decimal(1500), (Held("SOUN", 60, Decimal("8.5"), Decimal("10")),)),
        Closing("2026-11-24", Decimal(1), Decimal(1), ()),
    ],
    opening_values={"2026-11-20": Decimal(100_000), "2026-11-23": Decimal(100_100)},
    reasons=[Reason("매수", "전체", "", "<b>이유</b>", 7, 0.0), Reason("매수", "IONQ", "", "떨어지지 않음", 3, 0.0)],
    troubles=[
        Trouble("EGW00123", "", "기간이 만료된 token 입니다. <script>", 2, 0.0),
        Trouble("", "x", "연결 거부", 9, 0.0),
    ],
    recoveries=[Recovered(CLOSE.timestamp() - 60, "AAPL", 75.0)],
    issuances=[Issuance(CLOSE.timestamp() - 60, "복구: AAPL, KIS가 거부함", OUTCOME_ISSUED, "mark")],
    krw_per_usd=Decimal(1300),
)


def night(records=BUSY, session=SESSION):
    return night_of(records, session, NEXT_OPEN)


def test_a_night_counts_its_own_orders_and_the_profit_since_the_start():
    made = night()
    assert [(trade.fill.intent, trade.fill.quantity) for trade in made.bought] == [(3, 100)]
    assert [trade.fill.intent for trade in made.sold] == [4]
    assert [order.id for order in made.orders] == [5]
    # 150 sold at 10; they cost (100 × 8 + 100 × 9) / 200 = 8.50 each and 0.25 % of it, and the sale 0.25206 % of 1,500
    assert made.realised.usd == pytest.approx(
        Decimal("1500") - Decimal("3.78") - Decimal("8.52125") * 150, abs=Decimal("0.02")
    )
    first = Decimal(900) - Decimal("2.27") - Decimal("8.02") * 100
    assert made.realised_since_start.usd == pytest.approx(made.realised.usd + first, abs=Decimal("0.02"))
    assert made.realised.krw == made.realised.usd * 1500
    later = made.realised_since_start.usd - made.realised.usd
    assert made.realised_since_start.krw == made.realised.krw + later * 1400


def test_the_curve_begins_with_the_first_opening_and_ends_with_this_night():
    assert night().curve == (
        Point(None, Decimal(100_000)),
        Point(date(2026, 11, 20), Decimal(100_050)),
        Point(MONDAY, Decimal(100_300)),
    )


def test_what_kis_did_not_tell_comes_from_the_books_and_is_said_so():
    unread = [Closing("2026-11-23", None, None, None)]
    made = night(replace(BUSY, closings=unread))
    assert not made.held_by_kis
    assert [(held.symbol, held.quantity, held.price) for held in made.held] == [("SOUN", 50, None)]
    assert made.krw_per_usd == 1300
    assert "장부에 있는 것만" in render(made)
    assert "알 수 없음" in render(made)


def test_a_correction_by_the_owner_is_no_trade():
    correction = Fill(CLOSE.timestamp() - 60, "IONQ", Side.BUY, 5, Decimal(40), None, None)
    made = night(replace(BUSY, fills=[*BUSY.fills, correction]))
    assert made.trades == night().trades
    assert made.own == {"SOUN": 50, "IONQ": 5}


def test_a_night_with_nothing_is_a_calm_one():
    made = night(NOTHING)
    assert made.is_quiet
    assert one_line(made) == (
        "11-23(월) 밤: 매수 없음 · 매도 없음 · 실현손익 $0.00 (0원) · 보유 없음 · 문제 없음 · "
        "다음 장 11-24(화) 23:30 KST"
    )
    page = render(made)
    assert "조용한 밤이었습니다" in page
    assert "두 번째 밤부터" in page


def test_only_what_asks_for_the_owner_is_a_problem():
    assert verdict(night()) == "문제 없음 (스스로 넘긴 오류 11회)"
    keys = replace(BUSY, troubles=[Trouble("EGW00103", "", "유효하지 않은 AppKey입니다.", 3, 0.0)])
    assert verdict(night(keys)) == "살펴볼 것: EGW00103 3회"
    job = replace(BUSY, troubles=[Trouble("JOB", "watch", "watch 실패", 2, 0.0)])
    assert verdict(night(job)) == "살펴볼 것: watch 작업 실패 2회"
    unclear = replace(BUSY, intents=[intent(9, state=State.AMBIGUOUS, filled=0)], fills=[])
    assert "결과를 모르는 주문 1건" in verdict(night(unclear))
    refused = replace(BUSY, issuances=[Issuance(1.0, "점검", "EGW00103", None)])
    assert "토큰 발급 실패" in verdict(night(refused))


def test_a_message_and_a_summary_say_everything_in_short(tmp_path):
    line = one_line(night())
    assert "\n" not in line
    for part in ("매수 1건 $900.00", "매도 1건 $1,500.00", "보유 1종목", "복구 1회", "다음 장 11-24(화) 23:30 KST"):
        assert part in line
    text = summary(night(), tmp_path / "report.html")
    assert str(tmp_path / "report.html") in text
    assert "SOUN 100주 $9.00" in text
    many = replace(night(), held=tuple(Held(f"ABC{n}", 1000, Decimal(9), None) for n in range(9)))
    lines = summary(many, tmp_path / "report.html").splitlines()
    assert "외 6종목" in "".join(lines)
    assert all(display_width(line) <= 80 for line in lines if "report.html" not in line)
    assert "(그날 +$200.00)" in text


def test_words_for_amounts_and_times():
    assert [signed_usd(Decimal(x)) for x in ("0", "1234.5", "-3.1")] == ["$0.00", "+$1,234.50", "-$3.10"]
    assert [signed_krw(Decimal(x)) for x in ("0.4", "36000.5", "-1234.4")] == ["0원", "+36,001원", "-1,234원"]
    assert [duration(x) for x in (0.123, 42.4, 75.0)] == ["0.12초", "42초", "1분 15초"]


# the curve and the page


@pytest.mark.parametrize(
    ("low", "high"), [("0", "0"), ("100000", "100000"), ("99998.12", "101234.9"), ("-5", "3"), ("0.001", "0.0042")]
)
def test_ticks_are_few_round_and_enclose_the_values(low, high):
    ticks = nice_ticks(Decimal(low), Decimal(high))
    assert ticks[0] <= Decimal(low) <= Decimal(high) <= ticks[-1]
    assert 2 <= len(ticks) <= 6
    assert len({later - earlier for earlier, later in pairwise(ticks)}) == 1


def test_a_curve_needs_two_points_and_stays_inside_its_box():
    assert equity_curve([Point(None, Decimal(1))]) == ""
    days = [
        Point(MONDAY + timedelta(days=number), Decimal(100_000 + (-1) ** number * 37 * number)) for number in range(250)
    ]
    drawing = equity_curve(days)
    spots = re.search(r'class="line" points="([^"]+)"', drawing)[1].split()
    assert len(spots) == 250
    for x, y in (map(float, spot.split(",")) for spot in spots):
        assert 0 <= x <= 360
        assert 0 <= y <= 190
    assert drawing.count("<text") <= 9
    assert "11-23" in drawing


class Page(HTMLParser):
    """Checks that every tag is closed in order, and keeps the text."""

    EMPTY = frozenset({"meta", "br"})

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.attributes = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("records", [BUSY, NOTHING])
def test_a_page_is_whole_alone_and_for_a_phone(records):
    text = render(night(records))
    page = Page(text)
    assert not page.open
    assert "script" not in [tag for tag, _ in page.attributes]
    assert "<script" not in text
    assert not re.search(r"https?://|src=|@import|url\(", text)
    assert '<meta name="viewport"' in text
    assert "prefers-color-scheme:dark" in text
    assert '<html lang="ko">' in text


def test_everything_from_outside_is_escaped_and_explained():
    text = render(night())
    assert "&lt;b&gt;이유&lt;/b&gt;" in text
    assert "token 입니다. &lt;script&gt;" in text
    words = "".join(Page(text).text)
    for part in ("토큰의 24시간이 끝남", "AAPL", "1분 15초", "복구: AAPL, KIS가 거부함", "발급됨", "60 (50)"):
        assert part in words
    assert "접수되지 않은 것으로 확인" in words
    assert words.count("7번") == 1


# the daemon's morning


@pytest.mark.parametrize(
    ("minutes", "settled", "due"), [(2.9, True, False), (3, True, True), (3, False, False), (10, False, True)]
)
def test_a_report_waits_for_orders_but_not_for_ever(minutes, settled, due):
    assert is_due(SESSION, CLOSE + timedelta(minutes=minutes), settled=settled) is due


def test_finished_sessions_in_every_calendar():
    def finished(hours, day, now):
        session = finished_session(hours, date.fromisoformat(day), datetime.fromisoformat(now + "+09:00"))
        return session and session.date.isoformat()

    assert finished(NYSE, "2026-11-27", "2026-11-28T03:00") == "2026-11-27"  # a half day
    assert finished(NYSE, "2026-11-27", "2026-11-28T02:59") is None
    assert finished(NYSE, "2026-11-26", "2026-12-01T00:00") is None  # Thanksgiving
    always = MarketHours(AlwaysOpen())
    assert finished(always, "2026-11-22", "2026-11-23T06:00") == "2026-11-22"
    assert finished(always, "2026-11-22", "2026-11-23T05:59") is None


@pytest.fixture
def nightly(shop):  # noqa: F811
    """A house in NYSE's hours that buys SOUN in the last hour of the session."""

    def make(**changes):
        options = Options(fill_delay=(0, 0), hours="nyse")
        return shop(only("SOUN"), options, sim_hours="nyse", clock=VirtualClock(LATE), **changes)

    return make


def run_until(house, when):
    house.stop.clear()
    house.clock.at(when, house.stop.set)
    house.daemon.run()


def reports(house):
    return sorted(path.name for path in house.settings.report_dir.glob("*.html"))


def test_the_daemon_reports_a_few_minutes_after_the_close_and_once(nightly, log):
    house = nightly()
    run_until(house, CLOSE + timedelta(minutes=2))
    assert not log("[REPORT]")
    run_until(house.restart(), CLOSE + timedelta(minutes=30))
    run_until(house.restart(), CLOSE + timedelta(hours=2))
    (line,) = log("[REPORT]")
    assert "매수 1건 $900.00" in line
    assert "다음 장 11-24(화) 23:30 KST (report/2026-11-23.html)" in line
    assert reports(house) == ["2026-11-23.html"]
    page = (house.settings.report_dir / "2026-11-23.html").read_text("utf-8")
    truth = house.sim.account()
    assert f"${truth.cash + 900:,.2f}" in page  # cash and 100 shares at the pinned 9 dollars
    assert (house.settings.report_dir / "2026-11-23.html").stat().st_mode & 0o077 == 0


def off_at_the_close(nightly, hours):
    """A house that ended ten minutes before the close and came back so many hours later."""
    house = nightly()
    run_until(house, CLOSE - timedelta(minutes=10))
    house.restart()
    house.clock.advance(hours * 3600)
    run_until(house, CLOSE + timedelta(hours=hours, minutes=5))
    return house


def test_a_daemon_that_was_off_at_the_close_reports_when_it_comes_back(nightly, log):
    off_at_the_close(nightly, hours=2)
    assert len(log("[REPORT] 11-23(월) 밤")) == 1


def test_of_a_close_long_ago_only_the_books_know(nightly, log):
    house = off_at_the_close(nightly, hours=13)
    assert "보유 1종목" in log("[REPORT] 11-23(월) 밤")[0]
    assert "장부에 있는 것만" in (house.settings.report_dir / "2026-11-23.html").read_text("utf-8")


def test_an_order_that_is_not_settled_at_the_close_is_waited_for(nightly, log):
    house = nightly()
    house.clock.at(LATE + timedelta(seconds=20), lambda: house.sim.faults.add(Fault("refused", "kis")))
    house.clock.at(CLOSE + timedelta(minutes=5), house.sim.faults.clear)
    run_until(house, CLOSE + timedelta(minutes=5))
    assert not log("[REPORT] 11-23")
    run_until(house.restart(), CLOSE + timedelta(minutes=11))
    (line,) = log("[REPORT] 11-23")
    assert "매수 1건" in line


def test_a_first_start_reports_no_night_that_it_did_not_see(nightly, log):
    house = nightly()
    house.clock.advance(3600)  # past the close
    run_until(house, CLOSE + timedelta(minutes=30))
    assert not log("[REPORT]")


def test_the_always_open_market_has_its_day_end_at_four_in_new_york(make_house, log):
    house = make_house(clock=VirtualClock(LATE), inside=True)
    run_until(house, CLOSE + timedelta(minutes=15))
    assert len(log("[REPORT]")) == 1
    assert reports(house) == ["2026-11-23.html"]


def test_with_kis_dead_after_the_close_the_books_tell(nightly, log):
    house = nightly()
    house.clock.at(CLOSE - timedelta(minutes=30), lambda: house.sim.faults.add(Fault("refused", "kis")))
    run_until(house, CLOSE + timedelta(minutes=15))
    assert log("[REPORT] 마감 뒤의 계좌를 다 읽지 못함")
    (line,) = log("[REPORT] 11-23(월) 밤")
    assert "보유 1종목" in line
    assert "장부에 있는 것만" in (house.settings.report_dir / "2026-11-23.html").read_text("utf-8")


class FullDisk(Disk):
    """Takes no report."""

    def replace(self, path, content, *, mode=0o644, durable=True):
        if path.suffix == ".html":
            raise OSError(28, "No space left on device")
        return super().replace(path, content, mode=mode, durable=durable)


def test_a_page_that_cannot_be_written_still_leaves_the_message(nightly, log):
    house = nightly()
    house.daemon.reporter._disk = FullDisk()
    run_until(house, CLOSE + timedelta(minutes=15))
    (line,) = log("[REPORT]")
    assert line.endswith("(보고서 파일은 쓰지 못함: No space left on device)")
    assert not log("[JOB]")


def test_a_database_that_takes_nothing_stops_the_report_and_nothing_else(nightly, log):
    house = nightly()
    house.clock.at(CLOSE, lambda: house.daemon.ledger._db.execute("PRAGMA query_only = ON"))
    run_until(house, CLOSE + timedelta(minutes=9))
    assert len(log("[REPORT] 장부 때문에 보고서를 만들지 못함")) == 1
    assert not log("[JOB]")
    house.daemon.ledger._db.execute("PRAGMA query_only = OFF")
    run_until(house, CLOSE + timedelta(minutes=12))
    assert len(log("[REPORT] 11-23(월) 밤")) == 1


def test_a_whole_night_writes_few_rows(nightly):
    house = nightly()
    run_until(house, CLOSE + timedelta(minutes=15))
    ledger = house.daemon.ledger
    rows = sum(ledger.read(f"SELECT COUNT(*) FROM {table}")[0][0] for table in ("reasons", "troubles", "recoveries"))
    assert 0 < rows < 40
    assert ledger._db.total_changes < 400


# the command


def ask(house, day=None, show=False):
    return show_report(house.settings, house.clock, day=day, show=show)


def test_the_command_makes_the_last_nights_page_beside_a_running_daemon(nightly, capsys, monkeypatch):
    house = nightly()
    run_until(house, CLOSE + timedelta(minutes=30))
    path = house.settings.report_dir / "2026-11-23.html"
    by_the_daemon = path.read_text("utf-8")
    path.unlink()
    asked, opened = house.sim.count("kis"), []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)

    assert ask(house) == 0
    assert path.read_text("utf-8") == by_the_daemon
    text = capsys.readouterr().out
    assert "2026-11-23(월) 밤의 보고서" in text
    assert str(path) in text
    assert opened == []

    assert ask(house, "2026-11-23", show=True) == 0
    assert opened == [path.as_uri()]
    assert house.sim.count("kis") == asked


WRONG = {
    "yesterday": "YYYY-MM-DD",
    "2026-11-22": "끝난 장이 없습니다",  # a Sunday
    "2026-11-24": "끝난 장이 없습니다",  # not yet
    "1066-10-14": "끝난 장이 없습니다",
    "2026-11-19": "기록이 없습니다",
}


def test_a_wrong_date_is_told_with_what_to_type(nightly, capsys):
    house = nightly()
    run_until(house, CLOSE + timedelta(minutes=15))
    for day, words in WRONG.items():
        assert ask(house, day) == 1
        captured = capsys.readouterr()
        assert words in captured.err
        assert captured.out == ""
    assert reports(house) == ["2026-11-23.html"]


def test_without_a_database_the_command_says_what_to_do_and_makes_none(house, capsys):
    assert ask(house) == 1
    assert "python main.py" in capsys.readouterr().err
    assert not house.settings.database_file.exists()


def test_a_broken_database_is_named(house, capsys):
    house.settings.database_file.write_bytes(b"this is no database" * 100)
    assert ask(house) == 1
    assert "autostock-sim.db 사용 불가" in capsys.readouterr().err


def test_a_night_is_known_by_any_trace_of_it():
    assert not has_records(night(replace(NOTHING, closings=[])))
    assert has_records(night(replace(NOTHING, opening_values={"2026-11-23": Decimal(1)})))
    assert has_records(night(replace(NOTHING, issuances=BUSY.issuances)))
