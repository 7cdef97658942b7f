"""Rows of the fault catalogue about process and machine (P) that no other test carries, named by their numbers."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from test_daemon import MAIN, wait_until
from test_orders import (  # noqa: F401 - a fixture
    Killed,
    buy_and_sell,
    check_books,
    follow,
    intents,
    only,
    orders,
    settled,
    shop,
    trade,
)

from intents import State
from ledger import Ledger
from portfolio import Side


class Dying:
    """A database under which the process dies at its n-th commit: just before it, or as soon as it is on the disk."""

    def __init__(self, db, at, *, after):
        self._db, self._at, self._after, self.commits = db, at, after, 0

    def __getattr__(self, name):
        return getattr(self._db, name)

    def execute(self, sql, *values):
        if sql != "COMMIT":
            return self._db.execute(sql, *values)
        self.commits += 1
        if self.commits == self._at and not self._after:
            raise Killed
        done = self._db.execute(sql, *values)
        if self.commits == self._at:
            raise Killed
        return done


def a_night(house):
    """Quotes, a purchase and a sale."""
    house.daemon.watch()
    buy_and_sell(house)


COMMITS = 15  # of all that


def dying(shop, number, *, after):  # noqa: F811
    house = shop(only("SOUN")).started()
    house.daemon.ledger._db = Dying(house.daemon.ledger._db, number, after=after)
    return house


def test_P09_the_commits_below_are_all_there_are(shop):  # noqa: F811
    house = dying(shop, 1_000_000, after=False)  # never
    a_night(house)
    assert house.daemon.ledger._db.commits == COMMITS


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, COMMITS + 1))
def test_P09_a_kill_at_any_commit_loses_nothing_and_does_nothing_twice(shop, number, after):  # noqa: F811
    house = dying(shop, number, after=after)
    with pytest.raises(Killed):
        a_night(house)

    house.restart()
    follow(house, 8)
    house.sim.pin("SOUN", "9.50")
    for _ in range(2):
        house.pass_seconds(1800)
        trade(house)
        follow(house, 1)

    check_books(house)
    bound = {intent.number for intent in intents(house)}
    assert {record.number for record in orders(house)} <= bound
    assert all(intent.state in (State.DONE, State.NOT_SENT, State.ABSENT) for intent in intents(house))
    assert house.sim.count("order") <= sum(intent.sent_at is not None for intent in intents(house))
    assert len([i for i in intents(house) if i.side is Side.BUY and i.filled]) <= 1


@pytest.fixture
def page_by_page(shop, tmp_path):  # noqa: F811
    """A database with an order in it, its copy, and the number of its pages."""
    house = shop(only("SOUN")).started()
    a_night(house)
    mark, path = house.settings.account_mark, house.settings.database_file
    house.close()
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    with closing(sqlite3.connect(path)) as db:
        pages, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return path, copy, mark, pages, size


def spoil(content, page, size):
    start = page * size
    return content[:start] + bytes(byte ^ 0xFF for byte in content[start : start + size]) + content[start + size :]


def cut(content, page, size):
    return content[: page * size + 100]


@pytest.mark.parametrize("damage", [spoil, cut])
def test_P18_a_database_with_any_page_damaged_is_a_fault_and_never_an_empty_book(page_by_page, damage):
    path, copy, mark, pages, size = page_by_page
    with closing(Ledger(copy, mark)) as whole:
        known = whole.intents(), whole.fills()
    assert len(known[0]) == 2
    for page in range(pages):
        spoilt = damage(path.read_bytes(), page, size)
        copy.write_bytes(spoilt)
        with closing(Ledger(copy, mark)) as ledger:
            assert ledger.fault or (ledger.intents(), ledger.fills()) == known, page
        if ledger.fault:
            assert copy.read_bytes() == spoilt


def test_P18_a_database_of_a_newer_program_is_left_alone(page_by_page):
    path, _, mark, *_ = page_by_page
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
        db.commit()
    with closing(Ledger(path, mark)) as ledger:
        assert "newer than this program" in ledger.fault


def test_P25_a_console_that_goes_away_and_knows_no_korean_is_no_reason_to_stop(tmp_path):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KIS_")}
    process = subprocess.Popen(
        [sys.executable, str(MAIN)],
        cwd=tmp_path,
        env={**clean, "LANG": "C", "PYTHONIOENCODING": "ascii", "WATCH_INTERVAL_SECONDS": "0.3"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    log = tmp_path / "trading.log"
    try:
        wait_until(lambda: log.exists() and log.read_text("utf-8").count("[OK]") == 16)
        os.set_blocking(process.stdout.fileno(), False)
        shown = process.stdout.read()
        assert b"[OK]" in shown
        assert shown.isascii()
        process.stdout.close()
        log.unlink()
        (tmp_path / "api_token.json").unlink()
        wait_until(lambda: log.exists() and "[AUTO_RECOVER]" in log.read_text("utf-8"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.stdout.close()
        process.kill()
        process.wait(10)
