"""``python -m soak.processes``: the real daemon as a process, killed with SIGKILL at each place where that would hurt.

The broker is served by this process on 127.0.0.1. The daemon dies at a labelled crash point, or just before or just
after a commit of its database, is started again on what it left behind, and is given time to heal. Then it must stop
in good order, and its books, the broker's books and the log must agree. Both processes share a clock that runs fast.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from books import replay
from clock import KST, SystemClock
from config import DEFAULTS, SIM_ACCOUNT, SIM_APP_KEY, SIM_APP_SECRET, Settings
from files import Disk
from intents import Intent, State
from ledger import Ledger
from simulator import Fault, Options, Request, Simulator
from simulator.books import Order
from simulator.server import serve
from soak.aftermath import Evidence, is_the_same, violations
from soak.kinds import POINTS
from soak.victim import CLOCK, DIE_AT, FastClock
from trader import BUY

SIDES = ("before_commit", "after_commit")
COMMITS = 13
RELAPSES = ("before_issue:1+before_issue:1", "after_send:1+before_commit:1", "after_send:1+after_commit:1")
RATE = 40.0  # fast seconds in a real one
START = datetime(2026, 11, 24, 5, 0, tzinfo=KST)  # 15:00 in New York
PAST_THE_CLOSE = 70 * 60.0  # fast seconds that lead from any moment of a cycle into the next session
PATIENCE = 25.0  # real seconds for whatever is waited for
LOOK_EVERY = 0.03  # real seconds
AT_ONCE = 3  # cycles side by side: most of a cycle is waiting
LIMIT = 600  # real seconds for all cycles together
VICTIM = (sys.executable, "-m", "soak.victim")
ROOT = Path(__file__).parents[1]
SIM = Settings.load({"KIS_MODE": "sim"}, None)  # what the daemon will find: names of files, marks of key and account
FALLEN = {"SOUN": ("9", "10"), "IONQ": ("38", "40"), "SOXL": ("29", "30")}  # USD: the price now, the close before
EXCHANGES = {"NVDA": "나스닥", "SOUN": "나스닥", "IONQ": "뉴욕", "SOXL": "아멕스"}


class NotInTime(Exception):
    """What was waited for did not come; the message says what."""


@dataclass(frozen=True)
class Outcome:
    """One cycle: where the daemon was killed, and what came of it."""

    place: str
    kills: int
    recovered: float | None  # real seconds from the new start until nothing was open
    accepted: int
    bound: int
    violations: list[str]


# the broker and the daemon


class Witness:
    """Looks over the broker's shoulder: which tokens were sent, and whether an order was on disk when it came."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self.tokens: set[str] = set()
        self.unjournalled: list[str] = []

    def look(self, name: str, request: Request) -> None:
        """A request has come; nothing was done for it yet."""
        bearer = request.headers.get("authorization", "")
        self.tokens |= {bearer.removeprefix("Bearer ")} - {""}
        if name == "order":
            self._look_at_order(json.loads(request.body))

    def _look_at_order(self, body: dict[str, str]) -> None:
        wanted = (body["PDNO"], int(body["ORD_QTY"]), body["OVRS_ORD_UNPR"], State.SENT)
        with reading(self._database) as ledger:
            known = [(i.symbol, i.quantity, i.limit, i.state) for i in (ledger.intents() if ledger else [])]
        if known.count(wanted) != 1:
            self.unjournalled.append(f"an order of {wanted[0]} came while the ledger knew {known.count(wanted)} of it")


class _ReadOnly(Disk):
    def connect(self, path: Path | str) -> sqlite3.Connection:
        """Open without the right to write."""
        uri = f"{Path(path).as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None, check_same_thread=False)


@contextmanager
def reading(database: Path) -> Iterator[Ledger | None]:
    """The daemon's ledger as it stands on the disk; None while there is none to read."""
    if not database.exists():
        yield None
        return
    with closing(Ledger(database, SIM.account_mark, _ReadOnly())) as ledger:
        yield None if ledger.fault else ledger


class Cycle:
    """One daemon's life, death and life after it, in ``folder``, against a broker of its own."""

    def __init__(self, place: str, folder: Path, url: str, sim: Simulator, command: Sequence[str]) -> None:
        self._folder, self._url, self._sim, self._command = folder, url, sim, command
        self._place = place
        self._clock: FastClock = sim.clock  # type: ignore[assignment]  # ours: see ``run_cycle``
        self._database = folder / SIM.database_file.name
        self._witness = Witness(self._database)
        sim.watch(self._witness.look)
        self._prepare()

    def _prepare(self) -> None:
        """A world in which three purchases are due at once; where a cancel is wanted, one of them is never filled."""
        stocks = {"filter_stocks": {"NVDA": True}, "watch_list": list(FALLEN), "exchanges": EXCHANGES}
        (self._folder / "stocks.json").write_text(json.dumps(stocks), "utf-8")
        for symbol, (price, base) in {**FALLEN, "NVDA": ("110", "100")}.items():
            self._sim.pin(symbol, price, base)
        if "cancel" in self._place:
            self._sim.faults.add(Fault("no_fill", "order", symbol="IONQ"))

    def run(self) -> Outcome:
        """Kill it, heal it, look at what is there."""
        kills, recovered, trouble = 0, None, []
        try:
            for place in self._place.split("+"):
                self._kill(place)
                kills += 1
            recovered = self._heal()
        except NotInTime as exc:
            trouble = [str(exc)]
        seen = self._evidence()
        bound = sum(any(i.number == order.number for i in seen.intents) for order in seen.orders)
        return Outcome(self._place, kills, recovered, len(seen.orders), bound, trouble + violations(seen))

    def _kill(self, place: str) -> None:
        with self._running({DIE_AT: place}) as process:
            _wait_for(lambda: process.poll() is not None, f"{place} was not reached")
            status = process.returncode
        if status != -signal.SIGKILL:
            raise NotInTime(f"{place} was not reached: it ended with {status}")

    def _heal(self) -> float:
        """Seconds until nothing was open that KIS knows of. What never came to KIS is settled after the close."""
        begun = SystemClock().monotonic()
        self._live_until(self._is_settled)
        took = SystemClock().monotonic() - begun
        if self._live():
            self._clock.push(PAST_THE_CLOSE)
            self._live_until(self._is_over)
        return took

    def _live_until(self, condition: Callable[[int], bool]) -> None:
        """Start it, and stop it when ``condition``, which is given its pid, holds."""
        with self._running({}) as process:
            _wait_for(lambda: process.poll() is not None or condition(process.pid), "it did not heal")
            if process.poll() is None:
                process.terminate()
            _wait_for(lambda: process.poll() is not None, "it did not stop")
        if process.returncode != 0:
            raise NotInTime(f"it ended with {process.returncode}")

    def _is_settled(self, pid: int) -> bool:
        """Whether no pass is due or under way, and nothing is open but what KIS was asked for and has never had."""
        quiet_since = self._quiet_since(pid)
        with reading(self._database) as ledger:
            ran = ledger.last_run(BUY) if ledger else None
            if ledger is None or ran is None or quiet_since is None or int(ran) > quiet_since:
                return False
            return all(intent.looks and not self._kis_has(intent) for intent in ledger.intents(live=True))

    def _is_over(self, pid: int) -> bool:
        return self._quiet_since(pid) is not None and not self._live()

    def _quiet_since(self, pid: int) -> float | None:
        """When this process last ended a pass, else when it began, to the second; None before its first status."""
        try:
            status = json.loads((self._folder / SIM.status_file.name).read_bytes())
        except FileNotFoundError:
            return None
        at = datetime.fromisoformat(status["strategy_pass_at"] or status["started_at"])
        return at.timestamp() if status["pid"] == pid else None

    def _live(self) -> list[Intent]:
        with reading(self._database) as ledger:
            return ledger.intents(live=True) if ledger else []

    def _kis_has(self, intent: Intent) -> bool:
        return any(is_the_same(intent, order) for order in self._orders())

    def _orders(self) -> list[Order]:
        if not self._sim.accepted:
            return []
        return [order for order in self._sim.account().orders.values() if order.kind == "new"]

    @contextmanager
    def _running(self, extra: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """The daemon as a process; gone when this ends, however it ends."""
        inherited = {n: v for n, v in os.environ.items() if n not in DEFAULTS and not n.startswith("KIS_")}
        wanted = {
            **{"PYTHONPATH": str(ROOT), "KIS_MODE": "sim", "SIM_HOURS": "always", "STOCKS_FILE": "stocks.json"},
            **{"KIS_BASE_URL": self._url, "YAHOO_BASE_URL": self._url, CLOCK: self._clock.text()},
            **{"ORDER_TIMEOUT_MINUTES": "1", "BUY_INTERVAL_MINUTES": "100000", "SELL_INTERVAL_MINUTES": "100000"},
        }
        with (self._folder / "console.txt").open("ab") as out:
            process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=inherited | wanted | extra,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def _evidence(self) -> Evidence:
        seen = Evidence(
            attempts=[issuance.at.timestamp() for issuance in self._sim.issuances],
            orders=self._orders(),
            posts=self._sim.count("order"),
            problems=self._sim.problems(),
            unjournalled=self._witness.unjournalled,
            secrets={SIM_APP_KEY, SIM_APP_SECRET, SIM_ACCOUNT[:8], *self._witness.tokens},
            files={p.name: p.read_bytes() for p in self._folder.iterdir() if p.is_file()},
        )
        seen.files.pop(SIM.token_file.name, None)
        if seen.orders:
            seen.held = {symbol: h.quantity for symbol, h in self._sim.account().holdings.items()}
        with reading(self._database) as ledger:
            if ledger is None:
                seen.problems.append("the ledger cannot be read")
                return seen
            seen.intents = ledger.intents()
            seen.owned = replay(ledger.fills()).quantities
            seen.issuances = ledger.issuances(SIM.key_mark)[::-1]
        return seen


def _wait_for(condition: Callable[[], bool], trouble: str) -> None:
    """Until ``condition`` holds. Raises NotInTime with ``trouble`` after some patience, or when all is to end."""
    clock = SystemClock()
    give_up_at = clock.monotonic() + PATIENCE
    while not condition():
        if clock.wait(_ending, LOOK_EVERY) or clock.monotonic() > give_up_at:
            raise NotInTime(trouble)


_ending = threading.Event()


def run_cycle(place: str, folder: Path, command: Sequence[str] = VICTIM) -> Outcome:
    """Kill the daemon at ``place`` (``point:n``) and see it heal; ``command`` starts what dies."""
    sim = Simulator(FastClock.starting(RATE, START), profile="real", options=Options(hours="always"))
    with closing(sim), serve(sim) as server:
        return Cycle(place, folder, server.url, sim, command).run()


# the command


def places(points: Iterable[str], commits: int) -> list[str]:
    """Every place to die at: the points, and both sides of each of the first commits. ValueError for no such place."""
    sides = [f"{side}:{number}" for number in range(1, commits + 1) for side in SIDES]
    return [*map(_complete, points), *sides]


def _complete(place: str) -> str:
    """``a`` is ``a:1``; deaths one after another are joined by ``+``."""
    deaths = []
    for death in place.split("+"):
        name, _, times = death.partition(":")
        if name not in (*POINTS, *SIDES) or int(times or 1) < 1:
            raise ValueError(f"no such place: {death} (there are {', '.join((*POINTS, *SIDES))})")
        deaths.append(f"{name}:{int(times or 1)}")
    return "+".join(deaths)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cycles and print what came of them; 1 if an invariant is broken."""
    wanted, as_json = _asked_for(argv)
    _bound()
    begun = SystemClock().monotonic()
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for outcome in pool.map(_run_somewhere, wanted):
            outcomes.append(outcome)
            if not as_json:
                _say(_row(outcome))
    took = SystemClock().monotonic() - begun
    _say(_as_json(outcomes, took) if as_json else _summary(outcomes, took))
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def _run_somewhere(place: str) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="autostock-kill-") as name:
        return run_cycle(place, Path(name))


def _row(outcome: Outcome) -> str:
    took = "-" if outcome.recovered is None else f"{outcome.recovered:.1f}초"
    figures = f"SIGKILL {outcome.kills} · 복구 {took:>6} · 접수 {outcome.accepted} · 장부 {outcome.bound}"
    return "\n    ".join([f"{outcome.place:29} {figures} · 위반 {len(outcome.violations)}", *outcome.violations])


def _summary(outcomes: Sequence[Outcome], took: float) -> str:
    broken = sum(bool(outcome.violations) for outcome in outcomes)
    cycles, kills = len(outcomes), sum(outcome.kills for outcome in outcomes)
    return f"{cycles}회, SIGKILL {kills}번, {took:.0f}초 ({cycles / took:.2f}회/초), 위반 {broken}회"


def _as_json(outcomes: Sequence[Outcome], took: float) -> str:
    return json.dumps({"seconds": round(took, 1), "cycles": [asdict(outcome) for outcome in outcomes]}, indent=2)


def _say(text: str) -> None:
    print(text, flush=True)


def _asked_for(argv: Sequence[str] | None) -> tuple[list[str], bool]:
    """The places, and whether JSON is wanted."""
    parser = argparse.ArgumentParser(prog="python -m soak.processes", description=__doc__)
    parser.add_argument("--points", default=",".join((*POINTS, *RELAPSES)), help="a[:n][+b[:n]…],…")
    parser.add_argument("--commits", type=int, default=COMMITS, metavar="K", help="die around each of the first K")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    chosen = parser.parse_args(argv)
    try:
        return places(filter(None, chosen.points.split(",")), chosen.commits), chosen.json
    except ValueError as exc:
        parser.error(str(exc))


def _bound() -> None:
    """However it ends, it ends soon, and no daemon is left running."""
    for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    signal.alarm(LIMIT)


def _leave(number: int, frame: object) -> NoReturn:
    _ending.set()
    sys.exit(f"중단합니다 ({signal.Signals(number).name})")


if __name__ == "__main__":
    sys.exit(main())
