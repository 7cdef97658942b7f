"""The log: what may never stand in it, what it costs when the disk is full, and the times it shows."""

import base64
import contextlib
import hashlib
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from clock import KST, VirtualClock
from logs import MASK, Complaint, Console, KSTFormatter, LogFile, Redactor, Repeats, configure_logging

SECRET = "Zq9/x+Lm2=Wv7Kd4Tn8Bc1Rf6Hs3Jg5Py0Au"
ACCOUNT = "50123987"


@pytest.fixture
def redactor():
    return Redactor([SECRET, ACCOUNT])


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        repr(SECRET.encode()),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"user:" + SECRET.encode()).decode(),
        SECRET[:20],
        SECRET[10:30],
        f"CANO={ACCOUNT}&x",
        f"{ACCOUNT}-01",
    ],
)
def test_S04_a_secret_is_masked_in_every_form(redactor, form):
    clean = redactor.clean(f"before {form} after")
    assert MASK in clean
    assert SECRET[12:24] not in clean
    assert ACCOUNT not in clean
    assert clean.startswith("before ")
    assert clean.endswith(" after")


def test_ordinary_text_is_left_alone(redactor):
    text = "[AUTO_RECOVER] NVDA 토큰 오류 감지, 자동 복구 시도..."
    assert redactor.clean(text) == text


def test_the_tokens_of_a_year_are_not_kept(redactor):
    tokens = [hashlib.sha256(bytes(number)).hexdigest() for number in range(365)]
    for token in tokens:
        redactor.add_token(token)
        redactor.add_token(tokens[360 if token == tokens[364] else 0])  # read again from the file
    assert redactor.clean(tokens[364]) == redactor.clean(tokens[0]) == redactor.clean(SECRET) == MASK
    assert redactor.clean(tokens[100]) == tokens[100]


@pytest.fixture
def logfile(tmp_path, redactor, capsys):
    path = tmp_path / "trading.log"
    clock = VirtualClock(datetime(2026, 11, 23, 22, 0, tzinfo=KST))
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    configure_logging(clock, redactor, level="INFO", path=path, max_bytes=2000, backups=5)
    yield path
    for handler in [h for h in root.handlers if h not in before]:
        root.removeHandler(handler)
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)


def test_C15_the_format_is_the_contracts(logfile):
    logging.getLogger("main").info("%s", "안녕")
    assert logfile.read_text("utf-8") == "2026-11-23 22:00:00,000 - main - INFO - 안녕\n"


def test_S03_S05_arguments_tracebacks_and_foreign_loggers_are_masked_too(logfile):
    try:
        int(f"url?secret={SECRET}")
    except ValueError:
        logging.getLogger("some.library").exception("args %s", [SECRET])
    text = logfile.read_text("utf-8")
    assert text.count(MASK) >= 2
    assert SECRET not in text
    ours = [handler for handler in logging.getLogger().handlers if isinstance(handler, LogFile | Console)]
    assert len(ours) == 2
    assert all(isinstance(handler.formatter, KSTFormatter) for handler in ours)


def test_P15_the_files_never_take_more_than_their_share(logfile):
    for number in range(1000):
        logging.getLogger("main").info("줄 %d", number)
    files = sorted(logfile.parent.glob("trading.log*"))
    assert len(files) == 6
    assert all(file.stat().st_size <= 2000 for file in files)


def test_P16_a_log_that_cannot_be_written_costs_lines_and_not_the_caller(tmp_path, redactor, capsys):
    blocker = tmp_path / "file"
    blocker.write_text("")
    code = f"""
import logging, sys
from pathlib import Path
from clock import SystemClock
from logs import Redactor, configure_logging
path = Path({str(blocker / "x.log")!r})
configure_logging(SystemClock(), Redactor(), level="INFO", path=path, max_bytes=99, backups=1)
for n in range(1000):
    logging.getLogger("main").info("line %d", n)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0
    assert done.stdout.count("line ") == 1000
    assert len(done.stderr.splitlines()) == 1
    assert "로그를 쓰지 못했습니다" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_P15_a_full_disk_is_said_on_stderr_once_a_minute(tmp_path, redactor, capsys):
    link = tmp_path / "trading.log"
    link.symlink_to("/dev/full")
    code = f"""
import logging
from pathlib import Path
from clock import SystemClock
from logs import Redactor, configure_logging
path = Path({str(link)!r})
configure_logging(SystemClock(), Redactor(), level="INFO", path=path, max_bytes=0, backups=1)
for n in range(100):
    logging.getLogger("main").info("line %d", n)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 1
    assert "No space left" in done.stderr


def test_repeats_are_folded_by_key_and_text():
    clock = VirtualClock(datetime(2026, 11, 23, 22, 0, tzinfo=KST))
    repeats = Repeats(clock, most=3)
    assert repeats.admit("NVDA", "x") == "x"
    assert repeats.admit("AMZN", "x") == "x"
    assert repeats.admit("NVDA", "x") is None
    clock.advance(600)
    assert repeats.admit("NVDA", "x") == "x …외 1회"
    repeats.forget("NVDA")
    assert repeats.admit("NVDA", "x") is None, "trouble that comes and goes is not said more than once a minute"
    clock.advance(60)
    repeats.forget("NVDA")
    assert repeats.admit("NVDA", "x") == "x"
    for number in range(10):
        repeats.admit("NVDA", str(number))
    assert sum(map(len, repeats._said.values())) <= 60


def test_A18_a_file_of_korean_lines_is_turned_over_before_it_is_too_big(tmp_path):
    path = tmp_path / "trading.log"
    log = LogFile(path, 1000, 2, Complaint(VirtualClock(datetime(2026, 11, 23, tzinfo=KST)), "로그"))
    sizes = []
    for _ in range(60):
        log.handle(logging.LogRecord("main", logging.INFO, "", 0, "가" * 30, (), None))
        sizes.append(path.stat().st_size)
    log.close()
    assert 900 < max(sizes) <= 1000
    assert len(list(tmp_path.iterdir())) == 3


def test_repeats_may_be_told_from_many_threads():
    repeats = Repeats(VirtualClock(datetime(2026, 11, 23, 22, 0, tzinfo=KST)))

    def talk(number):
        for n in range(3000):
            repeats.admit(f"S{n % 20}", str(n))
            repeats.forget(f"S{(n + number) % 20}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(talk, range(8)))


def test_a_terminal_that_nobody_reads_holds_nothing():
    """Ctrl+S in tmux: the pipe is full, and the daemon goes on."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    stream = os.fdopen(writer, "w", buffering=1, encoding="utf-8")
    record = logging.LogRecord("main", logging.INFO, "", 0, "줄", (), None)
    emitting = threading.Thread(
        target=Console(stream, Complaint(VirtualClock(datetime(2026, 11, 23, tzinfo=KST)), "화면")).emit,
        args=(record,),
        daemon=True,
    )
    emitting.start()
    emitting.join(5)
    assert not emitting.is_alive()
    os.close(reader)
    with contextlib.suppress(OSError):
        stream.close()
