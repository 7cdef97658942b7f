"""Whether the daemon keeps its pace: turns of the loop, jobs in their time, nothing that grows.

A12, A13, A17 (files), A18 (sizes), A19; and hourly A16, A22.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from intents import State
from scheduler import TICK
from soak.books import check_exposure
from soak.final import THREADS
from token_manager import USABLE

if TYPE_CHECKING:
    from soak.world import World

TURN = {  # seconds for a turn of the loop: calm, and with faults (A12)
    "real": (30.0, 95.0),
    "paper": (45.0, 150.0),  # at 0.8 calls a second, and at half of that after EGW00201
}
PAGE = {"real": 1.4, "paper": 2.5}  # seconds that each further page of a list takes: its slot and its way
CHECK_GAP, REINIT_GAP = 45 * 60.0, 9 * 3600.0  # seconds (A13)
FOLLOW_GAP = 45.0  # seconds between looks at an order that has not ended (A13)
GRID_SLACK = 60.0  # seconds by which a periodic re-init may be off (A13)
FEW = 3  # looks at the prices beyond the planned ones, at the ends of an hour (A13)
RETRY = 120.0  # seconds after the healing in which KIS is tried again
LATE = 1.5  # a job may be late by half of its period
HOUR = 3600.0
CACHED = 64  # quotes
STATE_BYTES, ORDER_BYTES = 5_000_000, 1_000  # the folder without its logs, and for each order sent (A18)
ASIDE = ".db."  # followed by why and when: a database that the owner's adopt has put aside, his to throw away
UNFINISHED = (State.SENT, State.UNKNOWN, State.OPEN, State.ABSENT)


class Pace:
    """Looks at one life of the process; made anew when it starts."""

    def __init__(self, world: World) -> None:
        self._world = world
        now = world.clock.monotonic()
        self._began_at = self._turned_at = self._checked_at = self._made_at = self._hour_at = self._unfollowed_since = (
            now
        )
        self._watched_at = float("-inf")
        self._watches, self._token_calls = 0, world.tally.calls["token"]  # since the last look each hour
        self._pages = world.tally.pages
        self._watch_jobs()

    def turn(self) -> None:
        """The loop has come round."""
        world, now = self._world, self._world.clock.monotonic()
        gap, self._turned_at = now - self._turned_at - TICK, now
        pages, self._pages = world.tally.pages - self._pages, world.tally.pages
        if gap > 0 and now - world.suspended_at > gap + TICK + 1:
            self._check_gap(gap, pages)
        world.check_books()
        self._check_following(now)
        if now - self._hour_at >= HOUR:
            self._hour_at = now
            self._each_hour(now)

    def _check_gap(self, gap: float, pages: int) -> None:
        world = self._world
        world.tally.longest_gap = max(world.tally.longest_gap, gap)
        limit = TURN[world.plan.profile][not self._is_calm(gap + TICK)] + pages * PAGE[world.plan.profile]
        if gap > limit:
            world.broken("A12", f"a turn of the loop took {gap:.0f} s, with {pages} further pages of lists")

    def _is_calm(self, seconds: float) -> bool:
        """Whether nothing has been wrong with the broker for so long."""
        world = self._world
        return not any(world.sim.faults) and world.clock.monotonic() - world.healed_at > seconds

    def _check_following(self, now: float) -> None:
        """An order that has not ended is looked at every 45 seconds, as long as KIS lets us."""
        world = self._world
        unfinished = any(intent.state in UNFINISHED for intent in world.daemon.trader.live_intents())
        if not unfinished or not self._is_calm(RETRY) or self._waits_for_token():
            self._unfollowed_since = now
            return
        since = max(self._unfollowed_since, world.border.looked_at, world.suspended_at)
        limit = LATE * FOLLOW_GAP + TURN[world.plan.profile][0] + world.tally.most_pages * PAGE[world.plan.profile]
        if now - since > limit:
            world.broken("A13", f"an order of ours has not been looked at for {now - since:.0f} s")

    def _waits_for_token(self) -> bool:
        """Perhaps for an hour."""
        return self._world.daemon.tokens.state() not in USABLE

    def _each_hour(self, now: float) -> None:
        world = self._world
        world.tally.checks["시간마다"] += 1
        world.sim.audit()
        check_exposure(world)
        if threading.active_count() > THREADS:
            world.broken("A19", f"{threading.active_count()} threads")
        if len(world.daemon.api._cache) > CACHED:
            world.broken("A19", "the cache of quotes has grown")
        awake = now - world.suspended_at
        if min(now - self._checked_at, awake) > CHECK_GAP:
            world.broken("A13", f"no token check for {(now - self._checked_at) / 60:.0f} min")
        if min(now - self._made_at, awake) > REINIT_GAP:
            world.broken("A13", f"no re-init for {(now - self._made_at) / HOUR:.1f} h")
        self._check_grid(now)
        self._check_scans()
        self._check_files()

    def _check_grid(self, now: float) -> None:
        """In a world without faults the periodic re-inits stand on their grid, to the minute (A13)."""
        period = self._world.settings.broker_reinit_hours * HOUR
        fewest, most = ((now - self._began_at + slack) // period for slack in (-GRID_SLACK, GRID_SLACK))
        made = self._world.daemon.periodic_reinits
        if not self._world.plan.events and not fewest <= made <= most:
            self._world.broken("A13", f"{made} periodic re-inits in {(now - self._began_at) / HOUR:.1f} h")

    def _check_scans(self) -> None:
        """The prices are not looked at more often than planned, and once more after each try to get a token (A13)."""
        world = self._world
        tries = world.tally.calls["token"] - self._token_calls
        most = HOUR / world.settings.watch_interval_seconds + tries + FEW
        if self._watches > most:
            world.broken("A13", f"the prices were looked at {self._watches} times in an hour")
        self._watches, self._token_calls = 0, world.tally.calls["token"]

    def _check_files(self) -> None:
        """Sizes, and that no secret lies in what is written beside the log (A17, A18)."""
        world, settings = self._world, self._world.settings
        files = [path for path in settings.data_dir.iterdir() if path.is_file() and ASIDE not in path.name]
        sizes = {path.name: path.stat().st_size for path in files}
        logs = sum(size for name, size in sizes.items() if name.startswith(settings.log_path.name))
        if logs > settings.log_max_bytes * (settings.log_backup_count + 1):
            world.broken("A18", f"{logs} bytes of logs")
        rest = sum(sizes.values()) - logs
        if rest > STATE_BYTES + ORDER_BYTES * world.tally.orders["보냄"]:
            world.broken("A18", f"{rest} bytes of state")
        if settings.status_file.exists() and world.is_secret(settings.status_file.read_text("utf-8")):
            world.broken("A17", "a secret stands in the status file")
        if any(world.is_secret(name) for name in sizes):
            world.broken("A17", "a secret stands in the name of a file")

    def _check_watching(self, now: float) -> None:
        """While the market is open the prices are looked at in their time; checked when it happens at last."""
        world, before = self._world, self._watched_at
        self._watched_at = now
        self._watches += 1
        limit = LATE * world.settings.watch_interval_seconds + TURN[world.plan.profile][1]
        if now - max(before, world.suspended_at, world.stepped_at) <= limit or before < world.restarted_at:
            return
        at = world.clock.now().timestamp()
        if world.session_at(at).opens < at - (now - before):
            world.broken("A13", f"nobody looked at the prices for {now - before:.0f} s")

    def _watch_jobs(self) -> None:
        """See them run, from the outside."""
        daemon, clock = self._world.daemon, self._world.clock

        def seen(job: Callable[[], None], note: Callable[[float], None]) -> Callable[[], None]:
            def run() -> None:
                note(clock.monotonic())
                job()

            run.__name__ = job.__name__
            return run

        daemon.check_and_refresh_token = seen(daemon.check_and_refresh_token, self._note_check)  # type: ignore[method-assign]
        daemon.api.reinitialize_brokers = seen(daemon.api.reinitialize_brokers, self._note_reinit)  # type: ignore[method-assign]
        daemon.watch = seen(daemon.watch, self._check_watching)  # type: ignore[method-assign]

    def _note_check(self, now: float) -> None:
        self._checked_at = now

    def _note_reinit(self, now: float) -> None:
        self._made_at = now
        self._world.tally.reinits += 1
