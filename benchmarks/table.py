"""The table: one line per figure, in columns that hold although Korean letters are two wide."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from trades import display_width

WIDTHS = (44, 10, 15, 10, 6, 6)
HEADINGS = ("항목", "중앙값", "비율", "목표", "판정", "반복")
WIDTH = sum(WIDTHS)
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


@dataclass(frozen=True)
class Figure:
    """One line; what does not apply stays blank. ``reached`` None: a figure to compare with, not a target."""

    name: str
    value: str
    ratio: str = ""
    target: str = ""
    reached: bool | None = None
    count: int | None = None

    def cells(self) -> tuple[str, ...]:
        """The line as texts."""
        verdict = {None: "", True: "달성", False: "미달"}[self.reached]
        return (self.name, self.value, self.ratio, self.target, verdict, "" if self.count is None else str(self.count))


@dataclass(frozen=True)
class Section:
    """Figures that belong together, and how they were taken."""

    title: str
    figures: Sequence[Figure]


def render(sections: Sequence[Section]) -> str:
    """The whole table."""
    lines = ["─" * WIDTH, _line(HEADINGS), "─" * WIDTH]
    for section in sections:
        lines.append(section.title)
        lines += [_line(figure.cells()) for figure in section.figures]
        lines.append("")
    return "\n".join([*lines[:-1], "─" * WIDTH])


def _line(cells: Sequence[str]) -> str:
    name, *numbers = cells
    text = _padded(f"  {name}", WIDTHS[0], left=True)
    return (text + "".join(_padded(cell, width) for cell, width in zip(numbers, WIDTHS[1:], strict=True))).rstrip()


def _padded(text: str, width: int, *, left: bool = False) -> str:
    space = " " * max(0, width - display_width(text))
    return text + space if left else space + text


def median(seconds: Sequence[float]) -> float:
    """The median."""
    return statistics.median(seconds)


def duration(seconds: float) -> str:
    """Three digits in the unit that suits."""
    size, unit = next(((size, unit) for size, unit in UNITS if abs(seconds) >= size), UNITS[-1])
    return f"{_three_digits(seconds / size)} {unit}"


def times(ratio: float) -> str:
    """A ratio."""
    return f"{_three_digits(ratio)}배"


def _three_digits(value: float) -> str:
    decimals = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{decimals}f}"
