"""One run: the real daemon on a virtual clock, the world around it, and everything that must stay true.

The daemon is made by ``main.build`` like in life; only what the seams let in is ours: the clock, the HTTP sessions, the
second source, the disk and the places where it may die. Nothing in it knows.
"""

from __future__ import annotations

import contextlib
import hashlib
import resource
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Literal, NoReturn

import requests

from clock import VirtualClock
from config import Settings
from errors import SettingsError
from logs import Redactor
from main import build
from scheduler import TradingScheduler
from simulator import Fault, Options, Simulator
from simulator.direct import DirectSession
from simulator.hours import Session, previous
from simulator.inprocess import InProcessAdapter
from simulator.listings import find_listing
from simulator.true_clock import TrueClock
from soak import acts
from soak.books import BooksChecker
from soak.border import Border
from soak.disk import SoakDisk
from soak.drawing import HEALING, calendar, sessions_of, special_dates
from soak.ears import Canaries, listening
from soak.final import check_closed, check_healed
from soak.loud import Loudness
from soak.oracle import Journal, Oracle
from soak.outcomes import Broken, Crash, Violation
from soak.owner import WATCH, Owner
from soak.pace import Pace
from soak.plan import Plan
from soak.quotes_check import watch_quotes
from soak.second import ChartPrices
from soak.tally import Tally

HOST = "https://simulator.invalid"  # never looked up
Level = Literal["core", "http"]
PAPER_KEYS = ("soak-made-up-key-".ljust(36, "k"), "soak-made-up-secret-".ljust(180, "s"), "40718293-01")
DAY = 86_400.0  # seconds
LAST_LOOK = 8.0  # seconds before the close at which everything open has been cancelled
LONG_ENOUGH = 70 * 60.0  # seconds of healing; less where the machine has slept through a part of it
MARK = 180.0  # seconds before the close at which everything must have healed


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    plan: Plan
    level: Level
    violation: Violation | None
    tally: Tally
    digest: str  # of all events, log lines and the database


class World:
    """Everything of one run."""

    zero = Decimal(0)

    def __init__(self, plan: Plan, level: Level, folder: Path, on_day: Callable[[], None] = lambda: None) -> None:
        self.plan, self.level, self._on_day = plan, level, on_day
        self.clock = VirtualClock(plan.begins)
        self.true = TrueClock(self.clock)
        self.sim = Simulator(self.true, _profile(plan), seed=plan.seed, options=Options(**plan.options))
        self.symbols = ("NVDA", *WATCH)
        self.settings = _settings(plan, folder)
        self.tally = Tally()
        self.disk = SoakDisk(self._disk_full)
        self.oracle = Oracle(self.sim)
        self.journal = Journal(self.settings.database_file)
        self.border = Border(self)
        self.canaries = Canaries()
        self.armed: list[acts.Arming] = []
        self.sources: dict[str, str | None] = {}  # of the last quotes
        self.twin, self.races = "", False  # what the owner and the exchange do at the next order or cancellation
        self.laid: list[tuple[str, Fault, float]] = []  # since the last healing, and when
        self.loudness = Loudness(self)
        self.owner = Owner(self)
        self.before_restart: list[Callable[[], None]] = []
        self.stop = threading.Event()
        self.daemon: TradingScheduler  # made before anything asks, and its pace with it
        self.pace: Pace
        self.suspended_at = self.stepped_at = self.restarted_at = self.died_at = float("-inf")
        self.healed_at = self.halted_at = self.day_off_at = float("-inf")
        self.misled: list[float] = []  # starts (true epoch) that count by the times of another clock
        self._books = BooksChecker(self)
        self._checked_commits = -1
        self._sessions = sessions_of(plan)
        self._rng = Random(f"{plan.seed}:restarts")
        self._hash = hashlib.sha256()
        self._ended = False
        for secret in (self.settings.kis_app_key, self.settings.kis_app_secret):
            self.canaries.add(secret)

    # the run

    def run(self) -> Result:
        """From the first instant to the last, or to the first violation."""
        self.owner.write_stocks()
        self._book_events()
        redactor = Redactor([self.settings.kis_app_key, self.settings.kis_app_secret, self.settings.cano])
        violation = None
        try:
            with listening(self, self.clock, redactor):
                while not self._ended:
                    self._live(redactor)
        except Broken as broken:
            violation = broken.violation
        self._finish()
        leaked = self._hash_database()
        if leaked and violation is None:
            violation = Violation("A17", "a secret stands in the database", self.clock.monotonic())
        return Result(self.plan, self.level, violation, self.tally, self._hash.hexdigest()[:16])

    def _live(self, redactor: Redactor) -> None:
        """One life of the process, to its end or its death."""
        self.stop = threading.Event()
        try:
            self._wake(redactor)
            if self.owner.adopts:
                self.owner.adopt()
            else:
                self.daemon.run()
            self.daemon.close()
        except Crash as crash:
            self.died_at = self.clock.monotonic()
            self.border.tokens.process_died()
            self.note_event(f"crash {crash}")
            self.tally.kills["커밋"] += str(crash).endswith("commit")
            self.tally.sometimes["kill 커밋"] += str(crash).endswith("commit")
        except SettingsError as exc:
            self.owner.mends_settings(str(exc))
        self._bury()

    def _disk_full(self, name: str) -> None:
        """A file has taken no write: the owner must be told."""
        kinds = {self.settings.database_file.name: "ledger_full", self.settings.token_file.name: "token_disk_full"}
        self.loudness.strike(kinds.get(name, "status_disk_full"))

    def _wake(self, redactor: Redactor) -> None:
        sessions: dict[str, Any] = {"kis_session": self._session, "yahoo_session": self._requests_session}
        if self.level == "core":
            sessions = {
                "kis_session": lambda: DirectSession(self._adapter(), self.border.handle),
                "second_source": ChartPrices(self.border.handle, self.clock.advance),
            }
        self.daemon = build(
            self.settings,
            self.clock,
            stop=self.stop,
            redactor=redactor,
            disk=self.disk,
            point=self.point,
            **sessions,
        )
        self.restarted_at = self.clock.monotonic()
        if self.restarted_at - self.stepped_at < DAY:  # the times on its disk are by another clock
            self.misled = [*self.misled[-20:], self.true.now().timestamp()]
        watch_quotes(self)
        self.pace = Pace(self)

    def _bury(self) -> None:
        """What is left of the process is nothing but its files."""
        self.tally.restarts += 1
        self.disk.bury()
        if self._ended:
            return
        self.clock.advance(self._rng.choice((2.0, 5.0, 30.0, 90.0)))
        for action in self.before_restart:
            action()
        self.before_restart.clear()

    def _adapter(self) -> InProcessAdapter:
        return InProcessAdapter(self.sim, self.border.handle)

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", self._adapter())
        return session

    _requests_session = _session

    def _finish(self) -> None:
        self.tally.causes.update(self.journal.causes())
        self.journal.close()
        self.sim.close()
        self.tally.days += self.clock.monotonic() / DAY
        files = list(self.settings.data_dir.rglob("*"))
        self.tally.log_bytes += sum(f.stat().st_size for f in files if f.name.startswith("trading.log"))
        self.tally.disk_bytes = sum(f.stat().st_size for f in files if f.is_file())
        self.tally.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def _hash_database(self) -> bool:
        """Make the database part of the run's identity; whether a secret stands in it."""
        leaked = False
        database = contextlib.closing(sqlite3.connect(self.settings.database_file))
        with contextlib.suppress(sqlite3.Error), database as db:  # garbage, where a plan wants it so
            for line in db.iterdump():
                leaked = leaked or self.is_secret(line)
                self._hash.update(line.encode())
        return leaked

    # the timetable of the world

    def _book_events(self) -> None:
        self._book(self.plan.days * DAY, self._end)
        for day in range(1, self.plan.days + 1):
            self._book(day * DAY - 1, self._on_day)
        start = self.plan.begins.timestamp()
        for session in self._sessions:
            self._book(session.closes - HEALING - start, self._heal)
            self._book(session.closes - MARK - start, lambda session=session: self._mark(session))  # type: ignore[misc]
            self._book(session.closes - LAST_LOOK - start, lambda session=session: self._close(session))  # type: ignore[misc]
        for event in self.plan.events:
            self._book(event.at, lambda event=event: acts.perform(self, event))  # type: ignore[misc]
        self.tally.sometimes.update(special_dates(self.plan))

    def _book(self, at: float, action: Callable[[], None]) -> None:
        self.clock.at(self.plan.begins + timedelta(seconds=at), action)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Book something that the world does later, by true time."""
        self.clock.at(self.clock.now() + timedelta(seconds=seconds), action)

    def _end(self) -> None:
        self._ended = True
        self.stop.set()

    def _heal(self) -> None:
        self._count_faults()
        self.healed_at = self.clock.monotonic()
        acts.heal(self)
        self.check_books()
        for later in (0.0, 600.0, 1200.0):
            self.owner.mends_after(later)

    def _mark(self, session: Session) -> None:
        """Everything must have healed by now, unless the machine has slept through the healing."""
        late = self.true.now().timestamp() - (session.closes - MARK)
        healing = self.clock.monotonic() - self.healed_at
        if late < MARK and healing >= LONG_ENOUGH and not self.stop.is_set():
            check_healed(self)
        self.loudness.forget()

    def _close(self, session: Session) -> None:
        """Nothing of ours is left open; unless the machine has slept through that minute."""
        late = self.true.now().timestamp() - session.closes
        if late < 0 and self.suspended_at < self.healed_at and not self.stop.is_set():
            check_closed(self)

    # what the daemon passes

    def point(self, name: str) -> None:
        """A labelled place in the daemon's code. Raises Crash where it is to die."""
        if name == "loop":
            self.pace.turn()
        for arming in self.armed:
            if arming.point != name:
                continue
            if arming.passes:
                arming.passes -= 1
                continue
            self.armed.remove(arming)
            self.tally.kills[name] += 1
            self.tally.sometimes[f"kill {name}"] += 1
            raise Crash(name)

    # what is asked of the world

    def session(self) -> Session:
        """The session that opened last, by the broker's calendar and true time."""
        return self.session_at(self.true.now().timestamp())

    def session_at(self, at: float) -> Session:
        """The session that opened last before an instant, in epoch seconds, be it in the run or not."""
        session = calendar().current(at)
        return session if at >= session.opens else previous(calendar(), session)

    def price(self, symbol: str) -> Decimal:
        """The market's price now, USD."""
        listing = find_listing(symbol)
        assert listing is not None
        return self.sim.market.price(listing, self.true.now().timestamp())

    @property
    def database_trouble(self) -> bool:
        """Whether what the daemon knows may not be in its database."""
        name = self.settings.database_file.name
        return name in self.disk.full or self.disk.refused[name] > 0 or self.daemon.ledger.fault is not None

    def forgot_spacing(self, since: float) -> bool:
        """Whether the daemon cannot know when it last asked: it died since, and its clock or its disk was wrong."""
        return self.restarted_at > since and (
            self.stepped_at > since - 7200 or self.database_trouble or self.owner.adopts
        )

    def suspend(self, seconds: float) -> None:
        """The machine sleeps."""
        self.clock.advance(seconds)
        self.suspended_at = self.clock.monotonic()

    def is_secret(self, text: str) -> bool:
        """Whether a key, a token or the account stands in a text (A17)."""
        return self.canaries.in_text(text) or self.settings.cano in text

    def check_books(self) -> None:
        """Hold the journal against the broker, if anything was written since the last time."""
        if self._checked_commits != self.disk.commits:
            self._checked_commits = self.disk.commits
            self._books.check()

    def broken(self, invariant: str, text: str) -> NoReturn:
        """An invariant does not hold: the run ends here."""
        raise Broken(Violation(invariant, text, self.clock.monotonic()))

    @property
    def checks(self) -> Counter[str]:
        """How often what was checked."""
        return self.tally.checks

    # what is noted

    def note_event(self, text: str) -> None:
        """Part of the run's identity (A21)."""
        self._hash.update(f"{self.clock.monotonic():.6f} {text}\n".encode())

    def note_line(self, line: str) -> None:
        """A finished line of the log; where its folder lies is no part of the run."""
        self._hash.update(line.replace(str(self.settings.data_dir), "").encode() + b"\n")

    def _count_faults(self) -> None:
        for kind, fault, since in self.laid:
            self.loudness.fired(kind, fault, since)
            self.tally.faults[f"{kind} (호출)"] += fault.fired
            if fault.where == "order" and fault.fired:
                name = fault.code if fault.kind == "error" else fault.kind
                self.tally.order_faults[name] += fault.fired
                self.tally.sometimes[f"주문 중 {name}"] += fault.fired
            self.tally.sometimes["SYDB0050"] += fault.fired if fault.code == "SYDB0050" else 0
            self.tally.sometimes["발급 거절"] += fault.fired if fault.code == "EGW00133" else 0
            self.tally.sometimes["발급 답 유실"] += fault.fired if kind == "issue_lost" else 0
            self.tally.sometimes["목록 2쪽 실패"] += fault.fired if fault.page == 2 else 0
        self.laid.clear()


def _profile(plan: Plan) -> Literal["real", "paper"]:
    return "paper" if plan.profile == "paper" else "real"


def _settings(plan: Plan, folder: Path) -> Settings:
    key, secret, account = PAPER_KEYS
    paper = {"KIS_MODE": "paper", "KIS_APP_KEY": key, "KIS_APP_SECRET": secret, "KIS_ACCOUNT": account}
    base = Settings.load(paper if plan.profile == "paper" else {"KIS_MODE": "sim"}, None)
    decimals = {n: Decimal(v) for n, v in plan.settings.items() if n.endswith(("_usd_per_day", "_pct"))}
    return replace(
        base,
        **{
            "data_dir": folder,
            "stocks_file": folder / "stocks_config.json",
            "kis_base_url": HOST,
            "yahoo_base_url": HOST,
            "sim_hours": "nyse",
            "log_max_bytes": 256 * 1024,
            "log_backup_count": 2,
            **plan.settings,
            **decimals,
        },
    )


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for one run, in memory where there is such a place."""
    import tempfile

    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="autostock-soak-", dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def run_plan(plan: Plan, level: Level = "core", on_day: Callable[[], None] = lambda: None) -> Result:
    """Run a plan in a folder of its own. ``on_day`` is called at the end of each virtual day."""
    with scratch_folder() as folder:
        return World(plan, level, folder, on_day).run()
