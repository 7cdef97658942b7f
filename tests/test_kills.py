"""A real process is killed with SIGKILL where it would hurt, started again, and its books are right (all places:
``python -m soak.processes``)."""

import re
import sys
from pathlib import Path

import pytest

from soak.aftermath import Evidence, violations
from soak.processes import POINTS, run_cycle

ROOT = Path(__file__).parents[1]
UNJOURNALLED = """
from dataclasses import replace
from intents import State
from order_desk import OrderDesk

def mark_only_in_memory(desk, intent):
    marked = replace(intent, state=State.SENT, sent_at=desk._now())
    desk._live[intent.id] = marked
    return marked

OrderDesk._mark_sent = mark_only_in_memory
"""


def test_every_labelled_crash_point_is_on_the_list():
    sources = [path.read_text("utf-8") for path in ROOT.glob("*.py")]
    assert {name for text in sources for name in re.findall(r'_point\("(\w+)"\)', text)} == set(POINTS)


def test_P06_killed_after_sending_it_finds_its_order_again(tmp_path):
    outcome = run_cycle("after_send:1", tmp_path)
    assert outcome.violations == []
    assert (outcome.kills, outcome.accepted, outcome.bound) == (1, 1, 1)


def test_P09_killed_right_after_a_commit_it_goes_on_from_what_was_committed(tmp_path):
    outcome = run_cycle("after_commit:11", tmp_path)  # the intent is on disk, nothing has left
    assert outcome.violations == []
    assert (outcome.kills, outcome.accepted) == (1, 0)
    assert "보내지 못함: 보내기 전에 종료됨" in (tmp_path / "trading.log").read_text("utf-8")


def test_an_order_that_was_not_journalled_before_it_was_sent_is_caught(tmp_path):
    planted = tmp_path / "planted.py"
    planted.write_text(f"{UNJOURNALLED}\nfrom soak.victim import main\nraise SystemExit(main())\n", "utf-8")
    outcome = run_cycle("after_send:1", tmp_path, [sys.executable, str(planted)])
    caught = {violation.split()[0] for violation in outcome.violations}
    assert caught >= {"A2", "A4", "F1", "F2"}


@pytest.mark.parametrize("leak", ["Bearer eyJ0eXAiOiJKV1QiLCJhbGci", "eyJ0eXAiOiJKV1QiLC"])
def test_sixteen_letters_of_a_secret_are_a_leak(leak):
    seen = Evidence(secrets={"eyJ0eXAiOiJKV1QiLCJhbGciOi"}, files={"trading.log": leak.encode()})
    assert violations(seen) == ["A17 a secret stands in trading.log"]


def test_a_request_for_a_token_must_be_on_disk_before_it_leaves():
    assert violations(Evidence(attempts=[5.0])) == ["A7 1 requests without an attempt on disk"]
