"""Whether the daemon keeps its pace: turns of the loop, jobs in their time, nothing that grows (A12, A13, A16, A19)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from scheduler import TICK
from soak.books import exposure_problem
from soak.final import THREADS

if TYPE_CHECKING:
    from soak.world import World

TURN = {  # seconds for a turn of the loop: calm, and with faults or with lists in tiny pages (A12)
    "real": (30.0, 95.0),
    "paper": (45.0, 150.0),  # at 0.8 calls a second, and at half of that after EGW00201
}
CHECK_GAP, REINIT_GAP = 45 * 60.0, 9 * 3600.0  # seconds (A13)
HOUR = 3600.0
CACHED = 64  # quotes


class Pace:
    """Looks at one life of the process; made anew when it starts."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._turned_at = self._checked_at = self._made_at = self._hour_at = world.clock.monotonic()
        self._watch_jobs()

    def turn(self) -> None:
        """The loop has come round."""
        world, now = self._world, self._world.clock.monotonic()
        gap, self._turned_at = now - self._turned_at - TICK, now
        if gap > 0 and now - world.suspended_at > gap + TICK + 1:
            self._check_gap(gap)
        world.check_books()
        if now - self._hour_at >= HOUR:
            self._hour_at = now
            self._each_hour(now)

    def _check_gap(self, gap: float) -> None:
        world = self._world
        world.tally.longest_gap = max(world.tally.longest_gap, gap)
        calm = not any(world.sim.faults) and world.clock.monotonic() - world.healed_at > gap + TICK
        limit = TURN[world.plan.profile][not calm or world.sim.options.page_size is not None]
        if gap > limit:
            world.broken("A12", f"a turn of the loop took {gap:.0f} s")

    def _each_hour(self, now: float) -> None:
        world = self._world
        world.tally.checks["시간마다"] += 1
        world.sim.audit()
        if problem := exposure_problem(world):
            world.broken("A16", problem)
        if threading.active_count() > THREADS:
            world.broken("A19", f"{threading.active_count()} threads")
        if len(world.daemon.api._cache) > CACHED:
            world.broken("A19", "the cache of quotes has grown")
        awake = now - world.suspended_at
        if min(now - self._checked_at, awake) > CHECK_GAP:
            world.broken("A13", f"no token check for {(now - self._checked_at) / 60:.0f} min")
        if min(now - self._made_at, awake) > REINIT_GAP:
            world.broken("A13", f"no re-init for {(now - self._made_at) / HOUR:.1f} h")

    def _watch_jobs(self) -> None:
        """See them run, from the outside."""
        daemon, clock = self._world.daemon, self._world.clock
        check, make = daemon.check_and_refresh_token, daemon.api.reinitialize_brokers

        def seen_check() -> None:
            self._checked_at = clock.monotonic()
            check()

        def seen_make() -> None:
            self._made_at = clock.monotonic()
            self._world.tally.reinits += 1
            make()

        daemon.check_and_refresh_token = seen_check  # type: ignore[method-assign]
        daemon.api.reinitialize_brokers = seen_make  # type: ignore[method-assign]
