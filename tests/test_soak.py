"""The simulation itself: its plans, its shrinker, its broker's short cut; and that it sees what it must see."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import requests
import urllib3
from conftest import START

from clock import VirtualClock
from simulator import Fault, Request, Simulator
from simulator.direct import DirectSession
from simulator.inprocess import InProcessAdapter
from soak.drawing import HEALING, draw, sessions_of
from soak.kinds import KINDS, POINTS, RECIPES
from soak.mutants import MUTANTS, planted
from soak.plan import Event, Plan, from_json, read_plan, to_json
from soak.runner import Job, perform
from soak.shrink import Shrinker
from soak.tally import SOMETIMES, Tally
from soak.world import World, scratch_folder

ROOT = Path(__file__).parents[1]
KEPT = Path(__file__).parent / "mutants"
REGRESSIONS = Path(__file__).parent / "regressions"


# the plan


def test_a_plan_survives_the_way_through_its_file():
    plan = draw(5, 2)
    assert from_json(to_json(plan)) == plan


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"events": [{"at": 1}]}', '{"events": [], "days": 2}'])
def test_what_is_no_plan_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        from_json(text)


def test_the_same_seed_draws_the_same_plan_and_another_seed_another():
    assert draw(3, 2) == draw(3, 2)
    assert draw(3, 2).events != draw(4, 2).events
    assert draw(3, 2, "none").events == ()


def test_chaos_ends_well_before_each_close():
    for seed in range(20):
        plan = draw(seed, 2)
        for session in sessions_of(plan):
            quiet = session.closes - HEALING, session.closes - 60
            assert not [e for e in plan.events if quiet[0] < plan.begins.timestamp() + e.at < quiet[1]]


def test_every_kind_and_every_recipe_can_be_drawn_and_is_known():
    from random import Random

    for name, kind in KINDS.items():
        assert json.dumps(kind.draw(Random(name)))
        assert kind.rows
    assert {name for recipe in RECIPES for _, name, _ in recipe} <= set(KINDS)


# the shrinker


def events(*numbers):
    return tuple(Event(float(n), "kill_now") for n in numbers)


def plan_of(*numbers):
    return replace(draw(0, 2, "none"), events=events(*numbers))


def test_a_plan_shrinks_to_the_events_that_matter():
    def breaks(plan: Plan) -> bool:
        return {3, 17} <= {round(event.at) for event in plan.events}

    shrinker = Shrinker(breaks)
    assert [round(e.at) for e in shrinker.shrink(plan_of(*range(40))).events] == [3, 17]
    assert shrinker.runs < 150


def test_a_shrunk_plan_is_simpler_where_that_still_breaks():
    args = {"fault": {"kind": "hang", "where": "order", "chance": 0.3}, "lasts": 800.0}
    plan = replace(draw(0, 2, "none"), events=(Event(5000.0, "quotes_down", args),))
    [event] = Shrinker(lambda p: len(p.events) == 1 and p.events[0].args["lasts"] > 300).shrink(plan).events
    assert "chance" not in event.args["fault"]
    assert event.args["lasts"] == 400.0
    assert event.at == 3600.0


def test_a_long_plan_shrinks_to_the_days_before_its_violation():
    day = 86_400.0
    plan = replace(draw(0, 2, "none"), days=40, start="2027-01-01")
    plan = replace(plan, events=tuple(Event(n * day + 100.0, "kill_now") for n in range(40)))

    def breaks(plan: Plan) -> bool:  # what happens on 25 January, after a cause on the 24th
        noons = {(plan.begins + timedelta(seconds=event.at)).date().isoformat() for event in plan.events}
        return {"2027-01-24", "2027-01-25"} <= noons and plan.ends.date().isoformat() > "2027-01-25"

    small = Shrinker(breaks).shrink(plan, 24 * day + 200.0)
    assert (small.start, small.days, len(small.events)) == ("2027-01-24", 2, 2)


# the short cut past requests

FAULTS = [None, "refused", "dns", "unreachable", "reset", "closed", "hang", "half", "stall", "drip", "html502", "empty"]


def outcome(session, path="/uapi/overseas-price/v1/quotations/price"):
    """What a caller sees, and how long it took."""
    url, clock = f"https://simulator.invalid{path}", session.clock
    before = clock.monotonic()
    try:
        how = {"headers": {"a": "b"}, "timeout": (2.5, 3.5), "params": {"SYMB": "NVDA"}, "stream": True}
        with session.request("GET", url, **how) as response:
            body = b""
            while chunk := response.raw.read1(65536, decode_content=True):
                body += chunk
            seen = (response.status_code, body)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
        seen = type(exc).__name__
    return seen, round(clock.monotonic() - before, 3)


@pytest.mark.parametrize("kind", FAULTS)
def test_the_short_cut_answers_and_fails_like_requests(kind):
    seen = []
    for short in (True, False):
        clock = VirtualClock(START)
        sim = Simulator(clock)
        if kind:
            sim.faults.add(Fault(kind, "kis"))
        adapter = InProcessAdapter(sim)
        session = DirectSession(adapter, sim.handle) if short else requests.Session()
        if not short:
            session.mount("https://", adapter)
        session.clock = clock
        seen.append(outcome(session))
    assert seen[0] == seen[1]


# the runs


def digests(*arguments, **env):
    """The hashes that a run in a process of its own comes to."""
    command = [sys.executable, "main.py", "soak", "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["digests"]


def test_the_same_seed_is_the_same_run_to_the_last_byte():
    """Events, log and database: twice in one process, and in another with other hashes and another time zone."""
    job = Job(draw(3, 1))
    first, second = perform(job), perform(job)
    assert first.digest == second.digest
    assert digests("--seed", "3", "--days", "1", PYTHONHASHSEED="1", TZ="Asia/Seoul") == [first.digest]
    assert perform(Job(draw(4, 1))).digest != first.digest


def test_a_quiet_day_has_no_failed_quote_and_one_token():
    result = perform(Job(draw(1, 1, "none")))
    assert result.violation is None
    assert result.tally.issuances == {"new": 2}, "one at the start, one in the last ten minutes of its day"
    assert result.tally.quotes["없음"] == result.tally.quotes["yfinance"] == 0
    assert result.tally.checks["F"] == 1


EAGER = {
    "strategy": "soak.eager:Eager",
    "buy_interval_minutes": 45.0,
    "sell_interval_minutes": 30.0,
    "max_buy_orders_per_day": 0,
    "max_buy_usd_per_day": 0,
    "daily_loss_limit_pct": 0,
}
QUIET = replace(draw(0, 1, "none", "2027-02-02"), settings=EAGER)
OPENS = 11.5 * 3600  # seconds after noon in Seoul


def orders_of(*kills, mutant=None):
    """Purchases and sales that the broker accepted in a night with these events."""
    seen = Counter()
    with planted(mutant), scratch_folder() as folder:
        world = World(replace(QUIET, events=kills), "core", folder)
        assert world.run().violation is None or mutant
        seen.update(order.side for order in world.oracle.orders())
    return seen


@pytest.fixture(scope="module")
def undisturbed():
    return orders_of()


KILLS = [
    *[Event(OPENS + minutes * 60.0, "kill_now") for minutes in (1, 7, 44, 46, 100, 200)],
    *[Event(OPENS - 60, "kill", {"point": point, "nth": 1}) for point in POINTS if "issue" not in point],
]


@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: f"{kill.kind}-{kill.args.get('point', round(kill.at))}")
def test_A22_a_night_with_a_kill_has_no_order_more_than_the_same_without(undisturbed, kill):
    assert undisturbed["buy"] > 10
    assert orders_of(kill) <= undisturbed


def test_A22_a_daemon_that_forgets_its_last_pass_has_more(undisturbed):
    assert orders_of(Event(OPENS + 7 * 60.0, "kill_now"), mutant="M17")["buy"] > undisturbed["buy"]


def test_the_http_level_goes_through_requests_and_yfinance():
    result = perform(Job(draw(7, 1), "http"))
    assert result.violation is None
    assert result.tally.calls["chart"] > 0


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_each_planted_bug_is_caught_by_its_kept_plan(name):
    [path] = KEPT.glob(f"{name}-*.json")
    result = perform(Job(read_plan(path), mutant=name))
    assert result.violation is not None, MUTANTS[name].title
    assert result.violation.invariant == path.stem.split("-")[1]


@pytest.mark.parametrize("path", sorted(REGRESSIONS.glob("*.json")), ids=lambda path: path.stem)
def test_what_was_broken_once_stays_mended(path):
    assert perform(Job(read_plan(path))).violation is None


# what is told


def test_tallies_add_up_and_keep_the_extremes():
    one, other = Tally(days=1, oldest_quote=3.0, shortest_spacing=70.0), Tally(days=2, oldest_quote=9.0, restarts=1)
    other.sometimes["반일장"] += 1
    one.add(other)
    assert (one.days, one.oldest_quote, one.shortest_spacing, one.restarts) == (3, 9.0, 70.0, 1)
    assert "반일장" not in one.unseen()
    assert len(one.unseen()) == len(SOMETIMES) - 1


def test_a_broken_invariant_is_status_1_with_a_plan_to_replay(tmp_path):
    [path] = KEPT.glob("M06-*.json")
    command = [sys.executable, str(ROOT / "main.py"), "soak", "--plan", str(path), "--mutant", "M06"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "FAIL seed=" in done.stderr
    assert "다시 보기: python main.py soak --plan" in done.stderr
    assert "위반: 1" in done.stdout


@pytest.mark.parametrize("options", [["--plan", "no-such-file.json"], ["--days", "0"]])
def test_a_plan_that_cannot_be_read_is_status_2(tmp_path, options):
    command = [sys.executable, str(ROOT / "main.py"), "soak", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_simulators_own_door_is_not_a_part_of_kis():
    sim = Simulator(VirtualClock(START))
    assert sim.handle(Request("GET", "/sim/counts")).status == 200
    assert sim.count("kis") == 0
