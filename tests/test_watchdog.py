"""A stuck process: seen, told with all stacks, ended; and nothing else is taken for one."""

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import START
from test_daemon import wait_until
from test_timetable import run_daemon

from clock import SystemClock, VirtualClock
from health.watchdog import Stuck, Watchdog, after_look, stacks
from logs import KSTFormatter, Redactor

HERE = Path(__file__).parents[1]


class Scene:
    """A loop whose heart a test makes beat."""

    def __init__(self):
        self.pulse, self.open, self.ended, self.armed = 0, True, 0, []
        self.clock, self.stop = VirtualClock(START), threading.Event()
        self.dog = Watchdog(
            self.clock,
            self.stop,
            lambda: self.pulse,
            lambda: self.open,
            end=self.end,
            rearm=self.armed.append,
        )

    def end(self):
        self.ended += 1

    def minutes(self, minutes, beats=False):
        for _ in range(int(minutes * 12)):
            self.pulse += beats
            self.dog.look(5.0)


@pytest.fixture
def scene():
    return Scene()


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [
        (r.levelname, r.getMessage())
        for r in caplog.records
        if "[WATCHDOG]" in r.getMessage() and "스택" not in r.getMessage()
    ]


def test_P22_five_minutes_without_a_finished_job_dump_the_stacks_and_ten_more_end_the_process(scene, said):
    scene.minutes(4.9)
    assert said() == []
    scene.minutes(0.3)
    ((level, text),) = said()
    assert level == "ERROR"
    assert "5분 동안 끝난 일이 없습니다" in text
    scene.minutes(9.5)
    assert len(said()) == 1
    assert not scene.ended
    scene.minutes(0.5)
    assert scene.ended
    assert said()[1][0] == "CRITICAL"


def test_a_loop_that_works_again_is_told_and_counts_from_nothing(scene, said):
    scene.minutes(8)
    scene.minutes(1, beats=True)
    assert said()[-1] == ("WARNING", "[WATCHDOG] 다시 움직입니다")
    scene.minutes(4.9)
    assert len(said()) == 2
    assert not scene.ended


def test_outside_a_session_nothing_counts(scene, said):
    scene.open = False
    scene.minutes(60)
    scene.open = True
    scene.minutes(4.9)
    assert said() == []


@pytest.mark.parametrize("elapsed", [60.0, 8 * 3600.0])
def test_time_asleep_does_not_count(elapsed):
    assert after_look(Stuck(7, 20.0), 7, elapsed, True) == Stuck(7, 30.0)


def test_the_timer_outside_python_is_set_back_at_every_look(scene):
    scene.minutes(1)
    assert scene.armed == [960.0] * 12


def test_a_process_that_was_asked_to_end_and_does_not_is_ended(scene, said):
    scene.stop.set()
    scene.dog.run()
    assert scene.ended == 1
    assert "종료 요청 뒤 1분 동안" in said()[0][1]


def test_a_process_that_ends_in_good_order_is_left_alone(scene, said):
    scene.stop.set()
    scene.dog.close()
    scene.dog.run()
    assert not scene.ended
    assert said() == []


def hold_here(release):
    release.wait(30)


def test_the_stacks_name_the_place_and_hide_secrets():
    release = threading.Event()
    thread = threading.Thread(target=hold_here, args=(release,), name="Pk3Vd81qZm5Tt7Yw2Lr9")
    thread.start()
    try:
        wait_until(lambda: "hold_here" in stacks())
        record = logging.LogRecord("watchdog", logging.ERROR, "", 0, "%s", (stacks(),), None)
        text = KSTFormatter(SystemClock(), Redactor(["Pk3Vd81qZm5Tt7Yw2Lr9"])).format(record)
    finally:
        release.set()
        thread.join()
    assert "hold_here" in text
    assert "Pk3Vd81qZm5T" not in text


def test_only_the_real_process_has_one(house):
    names = []
    run_daemon(house, 0.2, (0.1, lambda: names.extend(thread.name for thread in threading.enumerate())))
    assert names
    assert "watchdog" not in names


def test_every_finished_job_is_a_beat_even_one_that_fails(house):
    def fails():
        raise KeyError("x")

    house.daemon.trader.trade_if_due = fails
    run_daemon(house, 0.1)
    assert house.daemon.table.finished >= 36  # every ten seconds for six minutes


# real processes


def ended(script, seconds=30):
    began = time.monotonic()
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=HERE, capture_output=True, text=True, timeout=seconds, check=False
    )
    return process.returncode, process.stdout + process.stderr, time.monotonic() - began


def test_P21_a_stuck_process_ends_with_status_one_and_its_stacks_in_the_log():
    script = """
import logging, sys, threading, time
from collections import Counter
from types import SimpleNamespace
from health import watchdog
from clock import SystemClock
watchdog.TICK, watchdog.LAST_WORDS = 0.05, 0.05
logging.basicConfig(stream=sys.stdout)
daemon = SimpleNamespace(
    clock=SystemClock(), stop=threading.Event(), table=SimpleNamespace(finished=1),
    hours=SimpleNamespace(is_open=lambda now: True), api=SimpleNamespace(counts=Counter()),
)
def stuck_for_good():
    time.sleep(25)
with watchdog.watched(daemon, watchdog.Patience(0.2, 0.2)):
    stuck_for_good()
"""
    status, text, seconds = ended(script)
    assert status == 1
    assert seconds < 15
    assert text.count("stuck_for_good") == 2
    assert "CRITICAL" in text


def test_P21_code_that_never_lets_python_run_again_is_ended_from_outside():
    status, text, seconds = ended(
        "import ctypes; from health import watchdog; watchdog.rearm(0.5); ctypes.PyDLL(None).sleep(25)"
    )
    assert status == 1
    assert seconds < 15
    assert "Timeout" in text


def test_the_timer_outside_python_goes_with_the_watchdog():
    script = """
import threading, time
from collections import Counter
from types import SimpleNamespace
from health import watchdog
from clock import SystemClock
watchdog.TICK, watchdog.ENDING = 0.02, 0.2
daemon = SimpleNamespace(
    clock=SystemClock(), stop=threading.Event(), table=SimpleNamespace(finished=1),
    hours=SimpleNamespace(is_open=lambda now: False), api=SimpleNamespace(counts=Counter()),
)
with watchdog.watched(daemon, watchdog.Patience(0.1, 0.1)):
    time.sleep(0.3)
time.sleep(1)
"""
    assert ended(script)[0] == 0
