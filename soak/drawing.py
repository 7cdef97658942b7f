"""A plan from a seed: interesting dates, a broker with its own habits, and a random few of the kinds of faults. Pure.

Each kind and each purpose has a random stream of its own: one event less leaves all others where they were, without
which shrinking stalls. Chaos ends well before each close, so that everything must have settled by then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

from clock import NEW_YORK
from simulator.hours import Nyse, Session
from soak.kinds import KINDS, NIGHT, RECIPES, Args, Kind
from soak.plan import Event, Plan

STARTS = (  # Seoul dates; a run begins at noon, and its first evening may be a session's
    *("2026-11-01", "2027-03-14", "2027-11-07"),  # both changes of New York's clocks
    *("2026-11-25", "2026-12-23", "2026-12-30"),  # Thanksgiving and the half day, Christmas Eve, the year's end
    *("2028-02-28", "2026-07-02", "2027-01-15"),  # leap day, Independence Day, a long weekend
    *("2026-11-23", "2027-02-02", "2027-04-13"),
)
STRETCH = 2  # days with the same few kinds of faults
HEALING = 75 * 60.0  # seconds before each close without a fault
AIMED = 0.8  # share of all events that lie in a session


def draw(seed: int, days: int, faults: str = "all", start: str | None = None) -> Plan:
    """The plan of a seed. ``faults`` is none, night or all."""
    frame = Random(f"{seed}:frame")
    begins = start or frame.choice(STARTS)
    profile = "paper" if faults == "all" and frame.random() < 0.3 else "real"
    plan = Plan(seed, days, begins, profile, _options(frame, faults, profile), _settings(frame, faults, profile), ())
    events = sorted(_events(plan, faults), key=lambda event: (event.at, event.kind))
    return Plan(**{**vars(plan), "events": tuple(events)})


def sessions_of(plan: Plan) -> list[Session]:
    """NYSE's sessions that lie in the run, oldest first, by the library's calendar."""
    first, last = plan.begins.timestamp(), plan.ends.timestamp()
    found = calendar().recent(plan.ends.date() + timedelta(days=1), 2 * plan.days + 8)
    return [session for session in reversed(found) if first < session.opens and session.closes < last]


@cache
def calendar() -> Nyse:
    """NYSE's sessions, whichever run asks."""
    return Nyse()


def _options(frame: Random, faults: str, profile: str) -> dict[str, Any]:
    plain: dict[str, Any] = {"hours": "nyse", "latency": 0.08, "keep_days": 5}
    if faults != "all":
        return plain
    return {
        **plain,
        "latency": frame.choice((0.02, 0.12, 0.3)),
        "page_size": frame.choice((3, 6, None) if profile == "real" else (6, None)),
        "visible_after": frame.choice((0.0, 0.0, 20.0, 90.0)),
        "fill_visible_after": frame.choice((0.0, 0.0, 30.0)),
        "cancel_delay": frame.choice((0.0, 3.0, 20.0)),
        "partial_chance": frame.choice((0.0, 0.3, 1.0)),
        "old_token_dies": frame.random() < 0.7,
        "numbers_restart_daily": frame.random() < 0.3,
        "strip_order_numbers": frame.choice((None, True, False)),
        "unfilled_price_zero": frame.random() < 0.3,
        "object_when_empty": frame.random() < 0.6,
        "padding_row": frame.random() < 0.3,
        "duplicate_rows": frame.random() < 0.2,
        "more_mark": frame.choice(("M", "F")),
        "rate_limit_status": frame.choice((500, 200)),
        "nccs_on_paper": frame.random() < 0.7,
        "paper_engine_status": frame.choice((200, 500)),
    }


def _settings(frame: Random, faults: str, profile: str) -> dict[str, Any]:
    """Every third run trades with the strategy in life, the others far more often."""
    watch = {"watch_interval_seconds": frame.choice((60.0, 120.0, 300.0))} if faults == "all" else {}
    if faults == "none" or frame.random() < 0.3:
        return {**watch, "strategy": ""}
    return {**watch, **_eager(frame, profile)}


def _eager(frame: Random, profile: str) -> dict[str, Any]:
    """Passes often enough for a handful of orders each night."""
    slow = 2 if profile == "paper" else 1  # its lists cost a second a page
    return {
        "strategy": "soak.eager:Eager",
        "buy_interval_minutes": slow * frame.choice((30.0, 45.0)),
        "sell_interval_minutes": slow * frame.choice((20.0, 30.0)),
        "max_buy_orders_per_day": 6 // slow,
        "max_buy_usd_per_day": frame.choice((0, 6000)),
        "stop_loss_pct": frame.choice((0, 0, 3)),
        "sell_scope": frame.choice(("own", "own", "account")),
        "daily_loss_limit_pct": 0,
    }


def _events(plan: Plan, faults: str) -> Iterator[Event]:
    if faults == "none":
        return
    quiet = [(s.closes - HEALING, s.closes - 60.0) for s in sessions_of(plan)]
    start = plan.begins.timestamp()
    for at, kind, args in _drawn(plan, faults):
        if not any(begin <= start + at < end for begin, end in quiet):
            yield Event(round(at, 1), kind, args)


def _drawn(plan: Plan, faults: str) -> Iterator[tuple[float, str, Args]]:
    for stretch in range(0, plan.days, STRETCH):
        swarm = Random(f"{plan.seed}:{stretch}:swarm")
        names = list(NIGHT) if faults == "night" else list(KINDS)
        always = [name for name in names if KINDS[name].always]
        chosen = sorted({*swarm.sample(names, swarm.randint(3, len(names) // 2)), *always})
        length = min(STRETCH, plan.days - stretch)
        for name in chosen:
            rng = Random(f"{plan.seed}:{stretch}:{name}")
            for _ in range(rng.choice((2, 3, 4) if KINDS[name].always else (1, 1, 2, 3))):
                yield _instant(plan, rng, stretch, length, KINDS[name]), name, KINDS[name].draw(rng)
        if faults == "all":
            yield from _recipes(plan, stretch, length)


def _recipes(plan: Plan, stretch: int, length: int) -> Iterator[tuple[float, str, Args]]:
    rng = Random(f"{plan.seed}:{stretch}:recipes")
    for recipe in rng.sample(RECIPES, rng.choice((1, 2, 3))):
        at = _instant(plan, rng, stretch, length, KINDS["order_lost"])
        for later, name, args in recipe:
            yield at + later, name, dict(args)


def _instant(plan: Plan, rng: Random, stretch: int, length: int, kind: Kind) -> float:
    """Seconds after the start: mostly in a session before its healing, else anywhere in the stretch."""
    first = stretch * 86_400.0
    last = first + length * 86_400.0
    start = plan.begins.timestamp()
    open_hours = [s for s in sessions_of(plan) if first <= s.opens - start < last]
    anywhere, share = rng.random(), rng.random()
    if not open_hours or (share > AIMED and not (kind.aimed or kind.after_close)):
        return first + anywhere * (last - first)
    session = open_hours[int(rng.random() * len(open_hours))]
    if kind.at_open:
        return session.opens - 900 - start
    if kind.after_close:
        return session.closes + 600 + anywhere * 3 * 3600 - start
    return session.opens - 600 + anywhere * (session.closes - HEALING - session.opens + 600) - start


def is_trading_day(day: date) -> bool:
    """Whether New York trades on this date."""
    return calendar().recent(day, 1)[0].date == day


def special_dates(plan: Plan) -> Counter[str]:
    """The days of the run on which clocks, calendars and years do something."""
    seen: Counter[str] = Counter()
    for number in range(plan.days):
        here = plan.begins + timedelta(days=number)
        before, after = _offset(here), _offset(here + timedelta(days=1))
        seen["서머타임 시작"] += after > before
        seen["서머타임 끝"] += after < before
        day = here.astimezone(NEW_YORK).date()
        seen["휴장"] += day.weekday() < 5 and not is_trading_day(day)
        seen["해 넘김"] += (here + timedelta(days=1)).year > here.year
    seen["반일장"] += sum(session.closes - session.opens < 5 * 3600 for session in sessions_of(plan))
    return seen


def _offset(at: datetime) -> timedelta:
    offset = at.astimezone(NEW_YORK).utcoffset()
    assert offset is not None
    return offset
