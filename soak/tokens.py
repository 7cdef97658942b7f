"""Whether a token is asked for only with a reason, and sent only where it belongs: A7, A8, A9.

The reasons are judged from outside: by the answers that really reached the daemon, by the file as it lies there, and by
the clock that the daemon has. A daemon that asks at every start, at every re-init or twice for one refusal has none.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from clock import KST
from kis_transport import token_mark
from simulator import Request, Response

if TYPE_CHECKING:
    from soak.world import World

SLACK = 0.02  # seconds of rounding
SPACING = 61.0  # seconds between two attempts to get a token
HOUR = 3600.0
ON_ITS_WAY = 10.0  # seconds: who dies so soon after an answer may not have noted what it said
UNKNOWN_LIFE = timedelta(hours=1)  # of a token whose end cannot be believed (design "The token")
TOKEN_ERROR = re.compile(rb"EGW0012[123]")
SUCCESS = b'"rt_cd":"0"'


class TokenChecker:
    """Knows what KIS has given and refused, as far as the daemon can know it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._attempt_at = self._futile_at = self._given_at = self._touched_at = float("-inf")
        self._unwritten = False  # the last attempt may not be on the daemon's disk
        self._given: set[str] = set()  # marks of all tokens that reached the daemon
        self._newest = ""
        self._ends: datetime | None = None  # of the newest, by the daemon's clock
        self._refused: dict[str, float] = {}  # marks of tokens whose refusal has reached the daemon, and when
        self._given_again: set[str] = set()  # of these, which KIS has given once more: they may be good again
        self._doubtful: set[str] = set()  # of these, whose refusal it may have taken to its grave

    def file_touched(self) -> None:
        """Somebody has deleted or spoilt the token file."""
        self._touched_at = self._world.clock.monotonic()

    def process_died(self) -> None:
        """What it was told a moment ago it may not have put on disk."""
        now = self._world.clock.monotonic()
        self._doubtful |= {mark for mark, at in self._refused.items() if now - at < ON_ITS_WAY}
        if now - self._futile_at < ON_ITS_WAY:
            self._futile_at = float("-inf")

    def database_lost(self) -> None:
        """With the database the daemon has forgotten that a token did not help."""
        self._futile_at = float("-inf")

    def check_use(self, request: Request) -> None:
        """A call with a token."""
        world = self._world
        if request.headers.get("appkey") != world.settings.kis_app_key:
            world.broken("A9", "another app key")
        token = _sent_token(request)
        if token not in self._given:
            world.broken("A9", "a token was sent that KIS has never given to this daemon")
        known = token in self._refused and token not in self._doubtful
        if known and token != self._newest and not world.database_trouble:
            world.broken("A8", "a refused token was sent again although there is a newer one")

    def check_attempt(self, now: float) -> None:
        """A token is asked for."""
        world, spacing = self._world, now - self._attempt_at
        if not (world.forgot_spacing(self._attempt_at) or (self._unwritten and world.restarted_at > self._attempt_at)):
            world.tally.shortest_spacing = min(world.tally.shortest_spacing, spacing)
            if spacing < SPACING - SLACK:
                world.broken("A7", f"attempts to get a token {spacing:.1f} s apart")
        if now - self._futile_at < HOUR - 1 and not self._unaware():
            world.broken("A7", f"another token {now - self._futile_at:.0f} s after one that did not help")
        if not self._has_reason():
            world.broken("A7", f"a token {(now - self._given_at) / HOUR:.1f} h after the last one, for no reason")
        world.tally.checks["A7"] += 1
        self._attempt_at, self._unwritten = now, world.database_trouble

    def note_answer(self, name: str, request: Request, response: Response, now: float) -> None:
        """What came back, whole."""
        mark = _sent_token(request)
        if name == "token":
            self._note_issuance(response, now)
        elif TOKEN_ERROR.search(response.body):
            self._refused[mark] = now
            self._doubtful.discard(mark)
            self._given_again.discard(mark)
        elif mark in self._given_again and SUCCESS in response.body:
            self._given_again.remove(mark)
            self._doubtful.discard(mark)
            del self._refused[mark]

    def note_drip(self, request: Request, response: Response, now: float) -> None:
        """What came back so slowly that the daemon may have heard it or not."""
        mark = _sent_token(request)
        if TOKEN_ERROR.search(response.body) and mark not in self._refused:
            self._refused[mark] = now
            self._doubtful.add(mark)

    # inside

    def _has_reason(self) -> bool:
        """Whether a token may be asked for at this instant: there is none, or it is refused, ending or lost."""
        if self._ends is None or self._newest in self._refused:
            return True
        margin = timedelta(minutes=self._world.settings.token_renew_margin_minutes)
        return self._world.clock.now() >= self._ends - margin or self._is_lost()

    def _is_lost(self) -> bool:
        """The newest token, with its end, is not in the file, through no doing of the process that holds it."""
        if max(self._touched_at, self._world.restarted_at) < self._given_at:
            return False
        return not self._is_in_file()

    def _is_in_file(self) -> bool:
        assert self._ends is not None
        try:
            document = json.loads(self._world.settings.token_file.read_bytes())
            mark, ends = token_mark(document["access_token"]), float(document["expires_at"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return False
        return mark == self._newest and ends > self._ends.timestamp() - ON_ITS_WAY

    def _unaware(self) -> bool:
        """Whether it cannot know that the last token did not help: it could write nothing at that moment."""
        return self._world.database_trouble or self._world.forgot_spacing(self._futile_at)

    def _note_issuance(self, response: Response, now: float) -> None:
        world, last = self._world, self._world.sim.issuances[-1]
        world.tally.issuances[last.result] += 1
        token = _given_token(response.body) if response.status == 200 else None
        if token is None:
            return  # refused, or spoilt on its way
        world.canaries.add(token)
        mark = token_mark(token)
        self._given.add(mark)
        if mark in self._refused:
            self._given_again.add(mark)
        if mark in self._refused and mark not in self._doubtful:
            self._futile_at = now
            world.tally.sometimes["같은 토큰 재발급"] += 1
            return
        self._newest, self._given_at = mark, now
        self._ends = _believable_end(response.body, world.clock.now())


def _sent_token(request: Request) -> str:
    return _mark_in(request.headers.get("authorization", ""))


@lru_cache(maxsize=8)
def _mark_in(header: str) -> str:
    return token_mark(header.removeprefix("Bearer "))


def _given_token(body: bytes) -> str | None:
    """The token that an answer brings, if it brings one."""
    try:
        token = json.loads(body)["access_token"]
    except (ValueError, KeyError, TypeError):
        return None
    return token if isinstance(token, str) else None


def _believable_end(body: bytes, now: datetime) -> datetime:
    """When it ends by KIS's own words, read by the daemon's clock; in an hour where that is past already."""
    try:
        text = str(json.loads(body)["access_token_token_expired"])
        end = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=KST)
    except (ValueError, KeyError):
        return now + UNKNOWN_LIFE
    return end if end > now else now + UNKNOWN_LIFE
