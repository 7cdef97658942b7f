"""The log: one format for file and console, KST times, secrets masked in the finished text, repeats folded."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import select
import sys
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from clock import Clock

FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
MASK = "****"
RUN = 12  # characters of a secret in a row that are masked wherever they stand
TOKENS_KEPT = 4  # tokens that are masked; those before them have been dead for days
COMPLAINT_INTERVAL = 60.0  # seconds between complaints on stderr about a log that cannot be written
FOLD_SECONDS = 600.0
FLICKER_SECONDS = 60.0  # trouble that comes and goes is not said more often
TEXTS_KEPT = 50  # for one key


class Runs:
    """Looks for certain runs of twelve characters in a text."""

    def __init__(self, runs: Collection[str] = ()) -> None:
        self._runs: set[str] = set()
        self._letters: set[str] = set()
        self._suspect = re.compile("(?!)")
        self.add(runs)

    def add(self, runs: Collection[str]) -> None:
        """Look out for these too."""
        self._runs.update(runs)
        before = len(self._letters)
        self._letters.update(*runs)
        if len(self._letters) > before:
            # Most of a line cannot be a part of any: a blank or a Korean letter stands in no key.
            self._suspect = re.compile(f"[{re.escape(''.join(sorted(self._letters)))}]{{{RUN},}}")

    def starts_in(self, text: str) -> list[int]:
        """Where they begin."""
        return [
            start
            for match in self._suspect.finditer(text)
            for start in range(match.start(), match.end() - RUN + 1)
            if text[start : start + RUN] in self._runs
        ]


class Redactor:
    """Knows the secrets of this process and takes them out of a text, whole or in runs of twelve characters."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lasting: set[str] = set()
        self._tokens: dict[str, set[str]] = {}  # the pieces of the last few, oldest first
        self._short: set[str] = set()
        self._long = Runs()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Mask this from now on, also URL-quoted, JSON-escaped and in base64."""
        self._lasting |= _pieces(secret)
        self._gather()

    def add_token(self, token: str) -> None:
        """Mask this too until some newer tokens have come: a hundred kB a day would not stay small in a year."""
        self._tokens[token] = self._tokens.pop(token, set()) or _pieces(token)
        while len(self._tokens) > TOKENS_KEPT:
            del self._tokens[next(iter(self._tokens))]
        self._gather()

    def _gather(self) -> None:
        pieces = self._lasting.union(*self._tokens.values())
        self._short = {piece for piece in pieces if len(piece) < RUN}
        self._long = Runs(pieces - self._short)

    def clean(self, text: str) -> str:
        """The text with ``****`` where a secret stood."""
        for secret in self._short:
            text = text.replace(secret, MASK)
        starts = self._long.starts_in(text)
        return _cut(text, starts) if starts else text


def _pieces(secret: str) -> set[str]:
    """What is looked for in a text: every run of twelve characters in any form of the secret; a short one whole."""
    pieces: set[str] = set()
    for form in {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], *_base64_forms(secret)}:
        if len(form) >= RUN:
            pieces.update(form[i : i + RUN] for i in range(len(form) - RUN + 1))
        elif len(form) >= 4:
            pieces.add(form)
    return pieces


def _base64_forms(secret: str) -> Iterable[str]:
    """The part of the base64 text that does not depend on what stands before and after, for each alignment."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret.encode()).decode()
        yield encoded[4 if shift else 0 : -4]


def _cut(text: str, starts: list[int]) -> str:
    parts: list[str] = []
    end = 0
    for start in starts:
        if start > end or not parts:
            parts += [text[end:start], MASK]
        end = start + RUN
    return "".join([*parts, text[end:]])


class KSTFormatter(logging.Formatter):
    """Times by our clock in KST whatever the host's zone; secrets masked last, so that nothing escapes it."""

    def __init__(self, clock: Clock, redactor: Redactor) -> None:
        super().__init__(FORMAT)
        self._clock = clock
        self._redactor = redactor

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """``2026-11-23 22:00:00,123``; the same on the console and in the file."""
        now: datetime = record.__dict__.setdefault("said_at", self._clock.now())
        return f"{now:%Y-%m-%d %H:%M:%S},{now.microsecond // 1000:03d}"

    def format(self, record: logging.LogRecord) -> str:
        """The finished line."""
        return self._redactor.clean(super().format(record))


class Complaint:
    """Says on stderr, at most once a minute, that lines could not be written. The caller never fails for it."""

    def __init__(self, clock: Clock, what: str) -> None:
        self._clock = clock
        self._what = what
        self._lost = 0
        self._silent_until = float("-inf")

    def note(self) -> None:
        """One more line is lost."""
        self._lost += 1
        if self._clock.monotonic() < self._silent_until:
            return
        self._silent_until = self._clock.monotonic() + COMPLAINT_INTERVAL
        reason = sys.exc_info()[1]
        text = reason.strerror if isinstance(reason, OSError) and reason.strerror else type(reason).__name__
        try:
            print(f"로그를 쓰지 못했습니다: {self._what} ({text}), {self._lost}줄", file=sys.stderr)  # noqa: T201
        except (OSError, ValueError):
            return  # there is nobody left to tell


class LogFile(RotatingFileHandler):
    """Opens at the first line and tries again at each: a full disk or a locked folder costs lines, not the daemon."""

    def __init__(self, path: Path, max_bytes: int, backups: int, complaint: Complaint) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8", delay=True)
        self._complaint = complaint

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line; where the owner has moved or deleted the file, into a new one."""
        if self.stream is not None and not self._is_our_file():
            self.stream.close()
            self.stream = None  # opened again by the base class
        super().emit(record)

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Whether the line still fits, in bytes: the base class counts letters, and a Korean one takes three."""
        if self.maxBytes <= 0 or (os.path.exists(self.baseFilename) and not os.path.isfile(self.baseFilename)):
            return False
        if self.stream is None:
            self.stream = self._open()
        line = f"{self.format(record)}{self.terminator}".encode()
        return self.stream.seek(0, os.SEEK_END) + len(line) > self.maxBytes

    def handleError(self, record: logging.LogRecord) -> None:
        """Count the lost line."""
        self._complaint.note()

    def _is_our_file(self) -> bool:
        assert self.stream is not None
        try:
            there, ours = os.stat(self.baseFilename), os.fstat(self.stream.fileno())
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


class Console(logging.StreamHandler[TextIO]):
    """The terminal; a closed, stopped or narrow-minded one is no reason to stop."""

    def __init__(self, stream: TextIO, complaint: Complaint) -> None:
        super().__init__(stream)
        self._complaint = complaint

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, unless nobody reads (Ctrl+S): the file has it, and a full pipe would hold the daemon."""
        if _takes_more(self.stream):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Count the lost line."""
        self._complaint.note()


def _takes_more(stream: TextIO) -> bool:
    """Whether a line can be written without waiting; a stream that is no file always can."""
    try:
        return bool(select.select([], [stream.fileno()], [], 0)[1])
    except (OSError, ValueError):
        return True


def configure_logging(
    clock: Clock, redactor: Redactor, *, level: str, path: Path, max_bytes: int, backups: int
) -> None:
    """Send every record to the file and the console, in place of whatever was set up before."""
    formatter = KSTFormatter(clock, redactor)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    handlers: list[logging.Handler] = [
        Console(sys.stdout, Complaint(clock, "화면")),
        LogFile(path, max_bytes, backups, Complaint(clock, str(path))),
    ]
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(level)
    for noisy in ("urllib3", "schedule", "peewee", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class Repeats:
    """Folds what is said again and again: the first at once, then ``…외 n회`` every ten minutes. Safe for threads."""

    def __init__(self, clock: Clock, most: int = 2000) -> None:
        self._clock = clock
        self._most = most  # keys
        self._lock = threading.Lock()
        self._said: OrderedDict[str, dict[str, tuple[float, int]]] = OrderedDict()  # key → text → since, count

    def admit(self, key: str, text: str) -> str | None:
        """What to write for ``text`` about ``key`` (a symbol), or None to stay quiet."""
        now = self._clock.monotonic()
        with self._lock:
            texts = self._said.setdefault(key, {})
            since, count = texts.get(text, (None, 0))
            if since is not None and now - since < FOLD_SECONDS:
                texts[text] = (since, count + 1)
                return None
            self._make_room(texts)
            texts[text] = (now, 0)
        return f"{text} …외 {count}회" if count else text

    def forget(self, key: str) -> None:
        """The trouble with ``key`` is over: its next line is a first one again, though not more than once a minute."""
        with self._lock:
            texts = self._said.get(key)
            if texts is None:
                return
            now = self._clock.monotonic()
            for text in [text for text, (since, _) in texts.items() if now - since >= FLICKER_SECONDS]:
                del texts[text]
            if not texts:
                del self._said[key]

    def _make_room(self, texts: dict[str, tuple[float, int]]) -> None:
        """Texts from outside may differ every time; neither they nor the keys may grow without end."""
        while len(texts) >= TEXTS_KEPT:
            del texts[next(iter(texts))]
        while len(self._said) > self._most:
            self._said.popitem(last=False)
