"""The seams stay the only ones: clock, HTTP sessions, second source, disk, crash points. Read from the source.

What a simulation replaces must be all there is: a module that reads a clock, opens a connection or writes a file by
itself would not be simulated. ``ALLOWED`` names every use that is watched, and who may have it for what reason; a new
module that needs one stands there, or it goes through the one that has it.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT, ROOT / "alarms", ROOT / "health", ROOT / "morning")  # the daemon's own
SOURCES = {path.stem: path.read_text("utf-8") for folder in FOLDERS for path in sorted(folder.glob("*.py"))}

SPEAKS_HTTP = {"kis_transport": "the road to KIS"}
YAHOO = {"yahoo": "the second source, a seam of build()"}
DISK = {
    "files": "the seam itself",
    "token_file": "the mode of the token file, and what a kill has left of it",
    "instance_lock": "the lock",
    "process": "the folders of the settings",
    "yahoo": "the folder of yfinance's cache",
    "adopt": "the owner's command: the old database is kept",
    "demo": "its own folder",
    "reporter": "the folder of the reports",
    "terminal": "output goes nowhere when its reader has gone",
}
NOBODY: dict[str, str] = {}

ALLOWED: dict[str, dict[str, str]] = {
    # time and chance
    "time": {"clock": "the one clock"},
    "datetime.datetime.now": {"clock": "the one clock"},
    **dict.fromkeys(("datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"), NOBODY),
    "a clock of the database": NOBODY,
    **dict.fromkeys(("random", "secrets", "uuid", "os.urandom"), NOBODY),
    "schedule": {"timetable": "on our clock"},
    # threads and processes
    "threading.Thread": {
        "clock": "calls that are bounded",
        "process": "takes the signals",
        "outbox": "sends alerts",
        "watchdog": "looks at the loop from beside it; never under a virtual clock",
    },
    "signal": {"process": "the signals of the process"},
    **dict.fromkeys(("asyncio", "concurrent", "multiprocessing"), NOBODY),
    "subprocess": {"readiness": "asks git about the owner's .env; not without one"},
    "importlib": {"strategy_loader": "the owner's strategy", "preflight": "looks for the libraries"},
    # the network
    "requests": {
        **SPEAKS_HTTP,
        "kis_broker": "stands in mojito's module under that name",
        "main": "the type of a seam",
        "notify": "the ping of a working daemon, in the alerts' own thread",
        "demo": "hands in sessions without sockets",
    },
    "urllib3": SPEAKS_HTTP,
    "ssl": SPEAKS_HTTP,
    "socket": {"process": "wakes the thread that takes the signals"},
    "mojito": {"kis_broker": "the border to mojito2"},
    "yfinance": YAHOO,
    "curl_cffi": YAHOO,
    **dict.fromkeys(("http", "urllib.request", "smtplib"), NOBODY),
    # the disk
    "a file is written": DISK,
    "sqlite3.connect": {
        "files": "the seam itself",
        "adopt": "copies the old database beside it",
        "ledger": "a reader beside the daemon that writes",
        "visitor": "copies into memory",
    },
    "tempfile": {"files": "writes beside and swaps in", "demo": "its folder", "check": "yfinance's cache of one run"},
    "shutil": {
        "adopt": "moves a broken database away",
        "demo": "clears its folder",
        "files": "the room on the disk, the seam itself",
        "terminal": "the size of the screen",
    },
    # who knows that it is simulated
    "simulator": {"process": "KIS_MODE=sim, the embedded broker of the owner", "demo": "its broker"},
    "soak": {"main": "the command"},
    "the word soak": {"main": "the command"},
}

WRITING_METHODS = {"write_text", "write_bytes", "unlink", "touch", "mkdir", "chmod", "rename", "rmdir", "symlink_to"}
WRITING_CALLS = {
    *("os.open", "os.fdopen", "os.write", "os.ftruncate", "os.truncate", "os.chmod", "os.fchmod"),
    *("os.replace", "os.rename", "os.remove", "os.unlink", "os.mkdir", "os.makedirs"),
}


def imported_names(tree):
    """Local name → what it stands for."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                names[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom):
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return names


def full_name(node, names):
    """``datetime.datetime.now`` for ``dt.now``, where ``dt`` was imported as that; None for what was not imported."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and (owner := full_name(node.value, names)):
        return f"{owner}.{node.attr}"
    return None


def writes(call, names):
    """Whether a call puts something on the disk."""
    imported = full_name(call.func, names)
    if imported:
        return imported in WRITING_CALLS
    method = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if method == "open":
        return any(is_writing_mode(part) for part in [*call.args, *(keyword.value for keyword in call.keywords)])
    if method == "replace":  # a Path's; texts take two arguments, instants and data classes take names
        return isinstance(call.func, ast.Attribute) and len(call.args) == 1 and not call.keywords
    return isinstance(call.func, ast.Attribute) and method in WRITING_METHODS


def is_writing_mode(part):
    mode = getattr(part, "value", None)
    return isinstance(mode, str) and 0 < len(mode) < 4 and set(mode) <= set("rwaxbt+") and bool(set(mode) & set("wax+"))


def uses(source):
    """Everything in a module's source that could be watched."""
    tree = ast.parse(source)
    names = imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            for path in [f"{module}.{alias.name}" if module else alias.name for alias in node.names]:
                yield from (".".join(path.split(".")[:depth]) for depth in range(1, path.count(".") + 2))
        elif isinstance(node, ast.Attribute | ast.Name) and (name := full_name(node, names)):
            yield name
        elif isinstance(node, ast.Call) and writes(node, names):
            yield "a file is written"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if "'now'" in node.value.lower() or "current_timestamp" in node.value.lower():
                yield "a clock of the database"
    if "soak" in source.lower():
        yield "the word soak"


def breaches(module, source):
    """What the module does that is not its to do."""
    return sorted({use for use in uses(source) if use in ALLOWED and module not in ALLOWED[use]})


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_reaches_the_world_through_the_seams_only(module):
    assert breaches(module, SOURCES[module]) == []


def test_nobody_is_allowed_what_he_does_not_do():
    idle = [
        (module, use) for use, modules in ALLOWED.items() for module in modules if use not in set(uses(SOURCES[module]))
    ]
    assert idle == []


PLANTED = {
    "import time": ["time"],
    "import time as t": ["time"],
    "from time import sleep": ["time"],
    "def f():\n    import random": ["random"],
    "from random import Random": ["random"],
    "import uuid, secrets": ["secrets", "uuid"],
    "import os\nos.urandom(4)": ["os.urandom"],
    "from os import urandom\nurandom(4)": ["os.urandom"],
    "from datetime import datetime\ndatetime.now()": ["datetime.datetime.now"],
    "from datetime import datetime as dt\ndt.utcnow()": ["datetime.datetime.utcnow"],
    "import datetime\ndatetime.date.today()": ["datetime.date.today"],
    "import datetime as d\nclock = d.datetime.now": ["datetime.datetime.now"],
    "db.execute(\"SELECT datetime('now')\")": ["a clock of the database"],
    "db.execute('INSERT INTO x VALUES (CURRENT_TIMESTAMP)')": ["a clock of the database"],
    "import threading\nthreading.Thread(target=f)": ["threading.Thread"],
    "from concurrent.futures import ThreadPoolExecutor": ["concurrent"],
    "import requests.adapters": ["requests"],
    "from requests import get": ["requests"],
    "from urllib import request": ["urllib.request"],
    "import urllib.request": ["urllib.request"],
    "import http.client": ["http"],
    "import socket": ["socket"],
    "def f():\n    import yfinance": ["yfinance"],
    "from curl_cffi.requests import Session": ["curl_cffi"],
    "import mojito": ["mojito"],
    "import sqlite3\nsqlite3.connect('x')": ["sqlite3.connect"],
    "from sqlite3 import connect as open_db\nopen_db('x')": ["sqlite3.connect"],
    "path.write_text('x')": ["a file is written"],
    "path.unlink()": ["a file is written"],
    "path.replace(other)": ["a file is written"],
    "open('x', 'a')": ["a file is written"],
    "open('x', mode='r+')": ["a file is written"],
    "path.open('wb')": ["a file is written"],
    "import os\nos.replace(a, b)": ["a file is written"],
    "import shutil\nshutil.copy(a, b)": ["shutil"],
    "from simulator import Simulator": ["simulator"],
    "from simulator.core import Simulator": ["simulator"],
    "from soak.world import run": ["soak", "the word soak"],
    "if soaking:\n    return_early()": ["the word soak"],
}
HARMLESS = """
from __future__ import annotations
import os, sqlite3, threading
from datetime import datetime, time, timedelta
from urllib.parse import quote
def f(clock, path, text, row):
    now = clock.now()
    row = replace(row, at=now)
    text.replace("a", "b")
    with path.open() as file, open(path, "rb") as other:
        file.read()
    os.stat(path)
    event = threading.Event()
    raise sqlite3.Error
"""


@pytest.mark.parametrize("source", PLANTED)
def test_a_way_round_the_seams_is_seen(source):
    assert breaches("trader", source) == PLANTED[source]


def test_what_needs_no_seam_is_left_alone():
    assert breaches("trader", HARMLESS) == []
