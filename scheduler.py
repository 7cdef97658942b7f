"""The timetable and the loop: what is due when, from the first token check to the last status. Decides no trade."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import timetable
from alarms.working import is_working
from alerts import Alert, alert
from clock import KST, Clock
from config import Settings
from errors import BrokersNotMade, KISError, SettingsError, Stopping, TokenUnavailable, WrongKeys
from files import Disk
from health.night_watch import NightWatch
from health.status import as_document, write_status
from health.vitals import status_of
from kis_api import KISAPIClient
from ledger import Ledger
from logs import Repeats
from market_hours import MarketHours
from morning.diary import Diary
from morning.reporter import Reporter
from quotes import format_price
from stocks import WatchlistFile
from timetable import Timetable, guarded
from token_manager import TokenManager, TokenState
from trader import Trader

logger = logging.getLogger("main")  # the life of the process has one name in the log

TICK = 10.0  # seconds; the longest wait, so that a suspend or a step of the clock is seen soon
JUMP = 10.0  # seconds by which the wall clock may leave the steady one in a turn
STALL = 60.0  # seconds that a turn may last longer than it was meant to before it counts as a suspend
STATUS_LINE_MINUTES = 5
DIARY_MINUTES = 5
FOLLOW_SECONDS = 30  # between reads of KIS's orders while one of ours has not ended
TRADE_SECONDS = 10  # between looks whether a pass is due
GRID_TOLERANCE = 1.0  # seconds; a check and a re-init due at the same instant are one event
DISK_MINUTES = 10
TOKEN_CHECK = "토큰 점검"


class TradingScheduler:
    """The timetable and the loop. Makes no decision about money; owns no state but what is due when."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        stop: threading.Event,
        *,
        tokens: TokenManager,
        api: KISAPIClient,
        ledger: Ledger,
        hours: MarketHours,
        stocks: WatchlistFile,
        trader: Trader,
        diary: Diary,
        reporter: Reporter,
        disk: Disk,
        point: Callable[[str], None],
        pulse: Callable[[], None],
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.stop = stop
        self.tokens = tokens
        self.api = api
        self.ledger = ledger
        self.hours = hours
        self.stocks = stocks
        self.trader = trader
        self.diary = diary
        self.reporter = reporter
        self.disk = disk
        self._point = point
        self._pulse = pulse
        self.env_file: Path | None = None  # whose permissions the readiness probes look at
        self.night = NightWatch(self)
        self.table = Timetable(clock)
        self.started_at = clock.now()
        self._repeats = Repeats(clock)
        self._status_file = settings.status_file
        self._started = clock.monotonic()
        self._reinit_period = settings.broker_reinit_hours * 3600
        self._next_reinit = self._started + self._reinit_period
        self.reinit_failed = False
        self.periodic_reinits = 0
        self.brokers_made_at = clock.now()
        self.token_checked_at = clock.now()
        self._token_was_checked = False
        self._clock_offset = self._offset()

    # the loop

    def run(self) -> None:
        """Run due jobs until ``stop`` is set. Raises SettingsError when KIS refuses the keys at the start."""
        try:
            self.start()
        except Stopping:
            return
        while True:
            planned = min(self.table.seconds_until_next(), TICK)
            before = self.clock.monotonic()
            if self.clock.wait(self.stop, planned):
                break
            self._notice_jump(self.clock.monotonic() - before - planned)
            self.table.run_pending()
            self._point("loop")

    def start(self) -> None:
        """What must not wait for its turn in the timetable: the token and a first look at the prices."""
        self.night.say_market()
        try:
            self.check_and_refresh_token()
        except WrongKeys as exc:
            raise SettingsError(f"KIS_APP_KEY, KIS_APP_SECRET: KIS가 키를 거부했습니다 ({exc.code}).") from exc
        guarded(self.trader.follow_orders)()
        guarded(self.watch)()
        guarded(self.trader.trade_if_due)()
        self._fill_timetable()
        guarded(self.write_status)()
        logger.info("시작했습니다. 이제 바뀐 것과 5분마다의 상태만 씁니다. 살펴보기: python main.py status")

    def close(self) -> None:
        """Leave in good order."""
        guarded(self._write_last_status)()
        guarded(self.diary.flush)()
        self.api.close()
        self.ledger.close()
        logger.info("종료합니다 (가동 %s)", _hours_minutes(self._uptime()), extra=alert(Alert.STOPPED))

    def _fill_timetable(self) -> None:
        every, settings = self.table.every, self.settings
        guarded = partial(timetable.guarded, note_failure=self.diary.note_failure)  # noted for the report as well
        every(settings.token_check_minutes).minutes.do(guarded(self.check_and_refresh_token)).tag(TOKEN_CHECK)
        every(settings.broker_reinit_hours).hours.do(guarded(self.reinitialize_on_the_grid))
        every(settings.watch_interval_seconds).seconds.do(guarded(self.watch_in_session))
        every(FOLLOW_SECONDS).seconds.do(guarded(self.trader.follow_orders))
        every(TRADE_SECONDS).seconds.do(guarded(self.trader.trade_if_due))
        every(STATUS_LINE_MINUTES).minutes.do(guarded(self.log_status))
        every(1).minutes.do(guarded(self.write_status))
        every(1).minutes.do(guarded(self.pulse_if_working))
        every(1).minutes.do(guarded(self.reporter.report_if_due))
        every(DIARY_MINUTES).minutes.do(guarded(self.diary.flush))
        every(1).minutes.do(guarded(self.night.say_market))
        every(1).minutes.do(guarded(self.night.say_readiness))
        every(DISK_MINUTES).minutes.do(guarded(self.night.say_disk))

    def _notice_jump(self, overdue: float) -> None:
        """A suspend or a step of the wall clock: what was known of the token may be wrong, so look at once."""
        moved = self._offset() - self._clock_offset
        self._clock_offset += moved
        if abs(moved) > JUMP:
            logger.warning("시계가 %+.0f초 움직였습니다: 토큰을 바로 점검합니다", moved)
        elif overdue > STALL:
            logger.warning("%.0f초 동안 멈춰 있었습니다 (절전?): 토큰을 바로 점검합니다", overdue)
        else:
            return
        self.table.hurry(TOKEN_CHECK)

    def _offset(self) -> float:
        return self.clock.now().timestamp() - self.clock.monotonic()

    def _uptime(self) -> timedelta:
        return timedelta(seconds=self.clock.monotonic() - self._started)

    # the token and the brokers

    def check_and_refresh_token(self) -> None:
        """See that token and brokers are good for the time until the next check; say what was seen."""
        first, self._token_was_checked = not self._token_was_checked, True
        self.token_checked_at = self.clock.now()
        try:
            unchanged = self._review_token(first)
        except KISError as exc:
            unchanged = False
            self._say_renewal_failed(str(exc))
            self.api.recovery.explainer.say(exc)
            if first and isinstance(exc, WrongKeys):
                raise
        if self._reinit_due():
            self._reinitialize_periodically()
        elif unchanged:
            hours = (self._next_reinit - self.clock.monotonic()) / 3600
            logger.info("[TOKEN_CHECK] 토큰 유효, 브로커 정상 (다음 재초기화: %.1f시간 후)", hours)
        self._book_next_look()

    def _review_token(self, first: bool) -> bool:
        """Bring the token into order. True when the brokers already stand on it. Raises KISError."""
        state = self.tokens.state()
        if self.tokens.unsaved:
            self.tokens.save()
        if state is TokenState.NONE or (first and state is not TokenState.VALID):
            token = self.tokens.issue(f"점검: {state.value}")
            logger.info(
                "[TOKEN_CHECK] 새 토큰 발급 (만료: %s KST)", f"{token.expires_at.astimezone(KST):%Y-%m-%d %H:%M}"
            )
            self.api.recovery.brokers_know(token.mark)
            return True
        if state is TokenState.ENDING and self.tokens.wait_seconds() > 0:
            logger.debug("토큰 갱신은 %.0f초 뒤에", self.tokens.wait_seconds())
        elif state in (TokenState.ENDING, TokenState.EXPIRED):
            self._renew(state)
        elif state is not TokenState.VALID and not self._recovered():
            return False
        if self.tokens.mark != self.api.recovery.known_mark and not first:
            self._follow_new_token()
            return False
        self.api.recovery.brokers_know(self.tokens.mark)
        logger.info("[TOKEN_CHECK] 기존 토큰 사용 (남은시간: %s)", _hours_minutes(self.tokens.remaining()))
        return True

    def _renew(self, state: TokenState) -> None:
        before = self.tokens.mark
        self.tokens.issue(f"점검: {state.value}")
        if self.tokens.mark == before:
            raise TokenUnavailable("같은 토큰이 다시 발급됨")

    def _recovered(self) -> bool:
        """The file is gone or KIS has refused the token. The recovery says itself how it went."""
        try:
            self.api.recovery.mend(TOKEN_CHECK)
        except TokenUnavailable:
            return False
        return True

    def _follow_new_token(self) -> None:
        """The token has changed, here or by another program through the file: new brokers on it."""
        logger.warning("[TOKEN_CHECK] 토큰 변경 감지 (자동 재발급됨)")
        logger.info("[TOKEN_CHECK] 브로커 재초기화 시작...")
        try:
            self.api.reinitialize_brokers()
        except BrokersNotMade as exc:
            logger.error("[TOKEN_CHECK] ❌ 브로커 재초기화 실패: %s", exc)
            return
        self.brokers_made_at = self.clock.now()
        logger.info("[TOKEN_CHECK] ✅ 브로커 재초기화 성공")

    def _say_renewal_failed(self, reason: str) -> None:
        line = self._repeats.admit("토큰", f"[TOKEN_CHECK] ❌ 토큰 재발급 실패: {reason}")
        if line:
            logger.error("%s", line, extra=alert(Alert.TOKEN_REFUSED))

    def reinitialize_on_the_grid(self) -> None:
        """The periodic re-init, unless the check of the same instant has done it or will try it again."""
        if self._reinit_due() and not self.reinit_failed:
            self._reinitialize_periodically()

    def _reinit_due(self) -> bool:
        return self.clock.monotonic() >= self._next_reinit - GRID_TOLERANCE

    def _reinitialize_periodically(self) -> None:
        logger.info("[TOKEN_CHECK] 주기적 브로커 재초기화 (24시간 토큰 만료 대비)")
        try:
            self.api.reinitialize_brokers()
        except BrokersNotMade as exc:
            self.reinit_failed = True
            logger.error("[TOKEN_CHECK] ❌ 주기적 재초기화 실패: %s", exc)
            return
        self.reinit_failed = False
        self.periodic_reinits += 1
        self.brokers_made_at = self.clock.now()
        while self._reinit_due():
            self._next_reinit += self._reinit_period
        logger.info("[TOKEN_CHECK] ✅ 주기적 재초기화 성공")

    def _book_next_look(self) -> None:
        """One more check when the last ten minutes begin; while a renewal is owed, when it may be tried again."""
        state = self.tokens.state()
        owed = state is not TokenState.VALID
        seconds = self.tokens.wait_seconds() if owed else self.tokens.until_renewal().total_seconds()
        self.table.after(max(seconds + 0.05, 1.0), "갱신", guarded(self.check_and_refresh_token))

    # quotes

    def watch_in_session(self) -> None:
        """The watch job: fresh quotes for every symbol while the market is open."""
        if self.hours.is_open(self.clock.now()):
            self.watch()

    def watch(self) -> None:
        """Ask the sources for every symbol and fill the cache that everyone else reads."""
        self.api.get_quotes(self.trader.symbols_to_watch(), fresh=True)
        self.trader.is_halted()
        self.trader.watch_losses()
        if self.api.recovery.waiting:
            self.table.after(self.tokens.wait_seconds() + 0.05, "복구", guarded(self.watch_in_session))

    # what the owner sees

    def log_status(self) -> None:
        """One line every five minutes: silence would not tell a healthy night from a dead one."""
        good, at = self.api.last_good, self.api.last_good_at
        seen = "아직 없음"
        if good and at:
            age = (self.clock.now() - at).total_seconds()
            seen = f"{good.symbol} {format_price(good.price)} ({good.source}, {age:.0f}초 전)"
        logger.info(
            "[STATUS] 가동 %s · 시장 %s · 마지막 시세 %s · 토큰 %s, %s 남음",
            _hours_minutes(self._uptime()),
            "열림" if self.hours.is_open(self.clock.now()) else "닫힘",
            seen,
            self.tokens.state().value,
            _hours_minutes(self.tokens.remaining()),
        )

    def pulse_if_working(self) -> None:
        """Tell the world of a minute of work; silence will tell of the others."""
        now, settings = self.clock.now(), self.settings
        session = self.hours.session(now)
        if is_working(
            now,
            session.open if session else None,
            self.api.last_good_at,
            timedelta(seconds=settings.watch_interval_seconds),
            self.token_checked_at,
            timedelta(minutes=settings.token_check_minutes),
        ):
            self._pulse()

    def write_status(self, *, stopped: bool = False) -> None:
        """status.json, for whoever looks from outside."""
        status = as_document(status_of(self, stopped=stopped))
        self.night.say_overdue(status)
        try:
            write_status(self._status_file, status, self.disk)
        except OSError as exc:
            line = self._repeats.admit("상태", f"{self._status_file.name} 저장 실패 ({exc.strerror})")
            if line:
                logger.warning("%s", line)

    def _write_last_status(self) -> None:
        self.write_status(stopped=True)


def _hours_minutes(span: timedelta) -> str:
    minutes = int(span.total_seconds()) // 60
    return f"{minutes // 60}시간 {minutes % 60}분"
