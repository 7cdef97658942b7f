"""The owner's watch list: which stocks are quoted, which open the gate, which may be bought."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from config import decode_text
from errors import SettingsError

logger = logging.getLogger(__name__)

EXCHANGES = ("나스닥", "뉴욕", "아멕스")
SHIPPED = Path(__file__).with_name("stocks_config.json")
_PARTS = ("filter_stocks", "watch_list", "exchanges")
T = TypeVar("T")
_TICKER = re.compile(r"[A-Z]{1,5}(\.[A-Z]{1,3})?")


@dataclass(frozen=True)
class Watchlist:
    """The file as a value. Symbols are upper-case, classes behind a dot (BRK.B), in the owner's order."""

    filter_stocks: tuple[str, ...]  # those switched on: they open the gate, and are not bought for it
    watch_list: tuple[str, ...]  # those that may be bought
    exchanges: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Everything to quote: the filter stocks, then the watch list, each once."""
        return tuple(dict.fromkeys(self.filter_stocks + self.watch_list))


class WatchlistFile:
    """The file on disk, read again whenever it changes.

    The default file that is not in the current folder stands for the one shipped with the program.
    """

    def __init__(self, path: Path) -> None:
        self.path = SHIPPED if _is_absent_default(path) else path
        self._lock = threading.Lock()  # quotes are asked for from several threads
        self._seen: object = object()  # no signature yet
        self._good: Watchlist | None = None
        self._problems: tuple[str, ...] = ()

    def current(self) -> Watchlist:
        """The list as it stands in the file, or the last good one while the file is broken. Costs one ``stat``.

        Raises SettingsError when there has never been a good one.
        """
        with self._lock:
            signature = self._signature()
            if signature != self._seen:
                self._seen = signature
                self._read()
            if self._good is None:
                raise SettingsError(*self._problems)
            return self._good

    def _signature(self) -> tuple[int, ...] | None:
        """What changes with the file, also when only its permissions are mended; taken before it is read."""
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)

    def _read(self) -> None:
        try:
            fresh = parse_watchlist(_read_text(self.path))
        except SettingsError as exc:
            self._problems = tuple(f"{self.path}: {problem}" for problem in exc.problems)
            self._say_broken()
            return
        if self._good is not None:
            logger.info("%s 다시 읽음: 관심 종목 %d개", self.path, len(fresh.symbols))
        self._good = fresh

    def _say_broken(self) -> None:
        if self._good is None:
            return  # the caller gets the problems themselves
        count = len(self._good.symbols)
        logger.warning("%s, 마지막으로 좋았던 목록(%d종목)을 계속 씁니다", " / ".join(self._problems), count)


def _is_absent_default(path: Path) -> bool:
    return not path.exists() and path.absolute() == Path.cwd() / SHIPPED.name


def _read_text(path: Path) -> str:
    try:
        text, problem = decode_text(path.read_bytes())
    except FileNotFoundError:
        raise SettingsError("파일이 없습니다. STOCKS_FILE의 경로를 확인하세요.") from None
    except OSError as exc:
        raise SettingsError(f"읽을 수 없습니다 ({exc.strerror}).") from None
    if problem:
        raise SettingsError(problem)
    return text


def parse_watchlist(text: str) -> Watchlist:
    """The watch list in a JSON text. Raises SettingsError with every problem found, in Korean.

    The watch list may be empty while there is a filter stock (an owner who pauses buying, but still wants to see
    prices and to sell); with nothing at all to quote the file is surely cut, or the wrong one.
    """
    problems: list[str] = []
    document = _parse_json(text, problems)
    _check_parts(document, problems)
    switches = _by_symbol(document, "filter_stocks", _switch, problems)
    watched = _watched(document.get("watch_list", []), problems)
    exchanges = _by_symbol(document, "exchanges", _exchange, problems)
    enabled = tuple(symbol for symbol, on in switches.items() if on)
    if not problems and not watched and not enabled:
        problems.append('종목이 하나도 없습니다. 예: {"filter_stocks": {"NVDA": true}, "watch_list": ["SOUN"]}')
    if problems:
        raise SettingsError(*problems)
    return Watchlist(enabled, watched, MappingProxyType(exchanges))


class _Wrong(ValueError):
    """An entry is not what it should be; the message says in Korean what to type."""


def _parse_json(text: str, problems: list[str]) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """The object; of a name that stands there twice JSON would keep the last without a word."""
        members = dict(pairs)
        if len(members) < len(pairs):
            names = [name for name, _ in pairs]
            problems.extend(f"{name!r}: 두 번 있습니다. 하나만 남기세요." for name in members if names.count(name) > 1)
        return members

    try:
        document = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=unique)
    except json.JSONDecodeError as exc:
        raise SettingsError(
            f"{exc.lineno}번째 줄 {exc.colno}번째 글자에서 JSON이 깨졌습니다. 그 앞의 쉼표, 따옴표, 괄호를 확인하세요."
        ) from None
    except (ValueError, RecursionError):
        raise SettingsError("JSON으로 읽을 수 없습니다 (너무 깊거나 큰 값).") from None
    if not isinstance(document, dict):
        raise SettingsError('{"watch_list": ["SOUN"]} 처럼 중괄호로 시작해야 합니다.')
    return document


def _check_parts(document: Mapping[str, Any], problems: list[str]) -> None:
    for name in document:
        if name in _PARTS or name.startswith("_"):  # JSON has no comments; owners write them so
            continue
        near = get_close_matches(name.lower(), _PARTS, n=1)
        hint = f"혹시 {near[0]!r} 아닌가요?" if near else f"쓸 수 있는 것: {', '.join(_PARTS)}"
        problems.append(f"{_short(name)}: 모르는 항목입니다. {hint}")


def _by_symbol(
    document: Mapping[str, Any], part: str, parse: Callable[[object], T], problems: list[str]
) -> dict[str, T]:
    """An object of the file whose names are symbols."""
    members = document.get(part, {})
    if not isinstance(members, dict):
        problems.append(f'{part}: {{"NVDA": …}} 처럼 중괄호로 쓰세요.')
        return {}
    found: dict[str, T] = {}
    for name, value in members.items():
        try:
            symbol, parsed = _ticker(name), parse(value)
        except _Wrong as exc:
            problems.append(f"{part} {_short(name)}: {exc}")
            continue
        if found.setdefault(symbol, parsed) != parsed:
            problems.append(f"{part} {symbol}: 서로 다른 값이 두 번 있습니다. 하나만 남기세요.")
    return found


def _watched(entries: object, problems: list[str]) -> tuple[str, ...]:
    """The watch list, each symbol once."""
    if not isinstance(entries, list):
        problems.append('watch_list: ["SOUN", "IONQ"] 처럼 대괄호로 쓰세요.')
        return ()
    found: dict[str, None] = {}
    for number, entry in enumerate(entries, 1):
        try:
            found[_ticker(entry)] = None
        except _Wrong as exc:
            problems.append(f"watch_list {number}번째 {_short(entry)}: {exc}")
    return tuple(found)


def _ticker(entry: object) -> str:
    """The symbol in the one form that the program uses; Yahoo writes BRK-B, KIS BRK/B."""
    if isinstance(entry, str) and entry.isascii():
        symbol = re.sub("[-/]", ".", entry.strip().upper())
        if _TICKER.fullmatch(symbol):
            return symbol
    raise _Wrong('미국 종목 기호가 아닙니다. "NVDA", "BRK.B"처럼 쓰세요.')


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("따옴표 없이 true 또는 false라고 쓰세요.")
    return value


def _exchange(value: object) -> str:
    if not isinstance(value, str) or value.strip() not in EXCHANGES:
        raise _Wrong(f"거래소를 {', '.join(EXCHANGES)} 가운데 하나로 쓰세요.")
    return value.strip()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
