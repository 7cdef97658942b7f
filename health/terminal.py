"""The owner's terminal: how wide Korean is on it, whether it knows colours, and that it never ends the program."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from typing import TextIO

from trades import display_width

WIDTH = 80  # columns that a table may take
RED, YELLOW, GREEN = 31, 33, 32
CLEAR = "\x1b[H\x1b[2J"


def prepare(stream: TextIO = sys.stdout) -> None:
    """What the terminal cannot show becomes a question mark instead of an error."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")


def knows_colours(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether colours may be used: on a terminal, unless NO_COLOR says otherwise."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def screen_lines() -> int:
    """How many lines the terminal shows."""
    return shutil.get_terminal_size().lines


def hang_up(stream: TextIO = sys.stdout) -> None:
    """Whoever read our output has had enough, as in ``… | head``: what is still to come goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def coloured(text: str, colour: int, *, on: bool) -> str:
    """The text in a colour where ``on``."""
    return f"\x1b[{colour}m{text}\x1b[0m" if on else text


def plain(text: str) -> str:
    """The text without what could move a cursor; whatever stands in a file is only text here."""
    return "".join(char if char.isprintable() else " " for char in text)


def padded(text: str, width: int) -> str:
    """The text with blanks to fill ``width`` columns, shortened with … where it is wider."""
    text = shortened(text, width)
    return text + " " * (width - display_width(text))


def shortened(text: str, width: int) -> str:
    """At most ``width`` columns of the text."""
    if display_width(text) <= width:
        return text
    while display_width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def wrapped(text: str, width: int, indent: int = 0) -> Iterator[str]:
    """Lines of at most ``width`` columns, broken at blanks where there are any; all but the first indented."""
    line = ""
    for word in text.split():
        wanted = f"{line} {word}" if line.strip() else line + word
        if display_width(wanted) <= width:
            line = wanted
            continue
        if line.strip():
            yield line
        line = shortened(" " * indent + word, width)
    yield line
