"""The first minutes of a new owner, and what keeps the daemon alive after that."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_daemon import ended, start  # noqa: F401 - a fixture

from health.watchdog import ENDING
from preflight import complaint
from token_manager import SPACING

HERE = Path(__file__).parents[1]
UNIT = HERE / "deploy" / "autostock.service"


@pytest.mark.parametrize(
    ("version", "missing", "own", "words"),
    [
        ((3, 11), [], True, ""),
        ((3, 12), [], False, ""),
        ((3, 9), [], True, "Python 3.11 이상"),
        ((3, 11), ["requests"], True, ".venv/bin/python main.py"),
        ((3, 11), ["requests"], False, "pip install -q -r requirements.txt"),
    ],
)
def test_what_stands_in_the_way_is_told_with_what_to_type(version, missing, own, words):
    text = complaint(version, missing, own)
    assert words in text
    assert bool(text) == bool(words)


def test_a_python_without_the_libraries_gets_a_sentence_and_no_traceback():
    found = subprocess.run(
        [sys.executable, "-S", "-I", "-c", f"import sys; sys.path.insert(0, {str(HERE)!r}); import main"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert found.returncode == 2
    assert "Traceback" not in found.stderr
    assert "main.py" in found.stderr or "pip install" in found.stderr


def test_the_first_three_lines_say_what_it_does_and_what_to_do_next(start):  # noqa: F811
    run = start().wait_for("시작했습니다")
    first = [line.split(" - ", 3)[3] for line in run.log().splitlines()[:3]]
    assert "모의 시장" in first[0]
    assert "cp .env.example .env" in first[1]
    assert "status --watch" in first[2]
    status, console = ended(start)
    assert status == 3
    assert f"kill {run.process.pid}" in console


def test_a_command_that_does_not_exist_points_to_help(start):  # noqa: F811
    status, console = ended(start, "chek")
    assert status == 2
    assert "python main.py --help" in console


def unit():
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read_string(UNIT.read_text("utf-8"))
    return parser


def test_the_unit_starts_again_after_a_failure_but_not_into_a_wall():
    service = unit()["Service"]
    assert service["Restart"] == "always"
    assert float(service["RestartSec"]) > SPACING
    assert service["RestartPreventExitStatus"].split() == ["2", "3"]
    assert float(service["TimeoutStopSec"]) > ENDING
    assert unit()["Unit"]["StartLimitIntervalSec"] == "0"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_nothing_to_complain_of(tmp_path):
    copy = tmp_path / "autostock.service"
    text = UNIT.read_text("utf-8").replace("%h/autostock/.venv/bin/python", sys.executable)
    copy.write_text(text.replace("%h/autostock", str(tmp_path)), "utf-8")
    found = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(copy)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
