"""The owner of the simulated house: keeps the watch list, mends the settings, adopts when the books are in doubt."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from typing import TYPE_CHECKING

from adopt import run_adopt
from errors import Stopping
from intents import State
from token_manager import USABLE

if TYPE_CHECKING:
    from soak.world import World

WATCH = ("SOUN", "IONQ", "SOXL", "SMR", "PLTR")


class Owner:
    """Does only what README tells owners to do."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._adopted: Counter[str] = Counter()  # shares that the last adopt has declared the daemon's own
        self.adopts = False  # the next life of the process is the command

    def write_stocks(self) -> None:
        """The list, whole."""
        listed = {"filter_stocks": {"NVDA": True}, "watch_list": list(WATCH), "exchanges": {}}
        self._world.settings.stocks_file.write_text(json.dumps(listed), "utf-8")

    def mends_settings(self, text: str) -> None:
        """Exit status 2: nobody restarts it but the owner, who mends what the message names."""
        if self._world.settings.stocks_file.name not in text:
            self._world.broken("P01", f"the daemon does not start: {text}")
        self.write_stocks()

    def mends_after(self, seconds: float) -> None:
        """Notices, stops the daemon, adopts and starts it again."""
        self._world.after(seconds, self._mend)

    def adopt(self) -> None:
        """``python main.py adopt --yes``, with the shares that were the daemon's by the broker's books."""
        world = self._world
        broken = world.daemon.ledger.fault is not None
        own = [symbol for symbol, shares in self.expected_shares().items() if shares > 0]
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                status = run_adopt(world.daemon, own=",".join(sorted(own)), sure=True)
        except Stopping:  # Ctrl+C in the middle of it
            return
        self.adopts = False
        if status == 0:
            world.oracle.adopted([intent.id for intent in world.daemon.trader.live_intents()], new_database=broken)
            held = world.sim.account().holdings if world.sim.count("kis") else {}
            self._adopted = Counter({s: held[s].quantity for s in own if s in held})
            world.tally.sometimes["adopt"] += 1
            world.journal.close()
        else:  # KIS could not be read: tries again
            self.mends_after(600.0)

    def expected_shares(self) -> Counter[str]:
        """What counts as the daemon's own: what was adopted, and what its orders have brought since."""
        return self._world.oracle.shares(self._adopted)

    def _mend(self) -> None:
        world = self._world
        if not self._is_needed():
            return
        if world.daemon.tokens.state() not in USABLE:  # adopt could not read KIS either
            self.mends_after(300.0)
            return
        self.adopts = True
        world.stop.set()

    def _is_needed(self) -> bool:
        world = self._world
        held = world.sim.account().holdings if world.sim.count("kis") else {}
        short = any(n > (held[s].quantity if s in held else 0) for s, n in self.expected_shares().items())
        unclear = any(intent.state is State.AMBIGUOUS for intent in world.daemon.trader.live_intents())
        return short or unclear or world.daemon.ledger.fault is not None
