"""The account's value over the nights as an inline SVG: a few lines, labelled axes, colours from the page. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from morning.night import Point

WIDTH, HEIGHT = 360, 190  # of the view box: one unit is one pixel on a phone
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 28  # margins for the labels
MOST_TICKS = 4
_STEPS = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))


def equity_curve(points: Sequence[Point]) -> str:
    """An ``<svg>`` of at least two points, or nothing."""
    if len(points) < 2:
        return ""
    ticks = nice_ticks(min(point.value for point in points), max(point.value for point in points))
    spots = [(_x(number, len(points)), _y(point.value, ticks)) for number, point in enumerate(points)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    floor = HEIGHT - BOTTOM
    area = f"{LEFT},{floor} {line} {spots[-1][0]:.1f},{floor}"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_label(points)}">'
        + "".join(_grid_line(tick, ticks) for tick in ticks)
        + f'<polygon class="area" points="{area}"/><polyline class="line" points="{line}"/>'
        + f'<circle class="dot" cx="{spots[-1][0]:.1f}" cy="{spots[-1][1]:.1f}" r="3.5"/>'
        + "".join(_day_label(number, points, spots[number][0]) for number in _labelled(len(points)))
        + "</svg>"
    )


def nice_ticks(low: Decimal, high: Decimal) -> list[Decimal]:
    """Round values that enclose both, at most a handful, evenly spaced."""
    span = (high - low) or max(abs(high) / 100, Decimal(1))
    rough = span / (MOST_TICKS - 1)
    magnitude = Decimal(10) ** rough.adjusted()
    step = next(magnitude * factor for factor in _STEPS if magnitude * factor >= rough)
    first = (low / step).to_integral_value("ROUND_FLOOR") * step
    ticks = [first]
    while ticks[-1] < high or len(ticks) < 2:
        ticks.append(ticks[-1] + step)
    return ticks


def _x(number: int, count: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * number / (count - 1)


def _y(value: Decimal, ticks: Sequence[Decimal]) -> float:
    share = (value - ticks[0]) / (ticks[-1] - ticks[0])
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * float(share)


def _grid_line(tick: Decimal, ticks: Sequence[Decimal]) -> str:
    y = _y(tick, ticks)
    decimals = 0 if all(each == each.to_integral_value() for each in ticks) else 2
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">${tick:,.{decimals}f}</text>'
    )


def _labelled(count: int) -> list[int]:
    """First, middle and last."""
    return sorted({0, count // 2, count - 1} if count > 3 else set(range(count)))


def _day_label(number: int, points: Sequence[Point], x: float) -> str:
    anchor = "end" if number == len(points) - 1 else "start" if number == 0 else "middle"
    shift = RIGHT if anchor == "end" else 0
    return f'<text x="{x + shift:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{_name(points[number])}</text>'


def _name(point: Point) -> str:
    return "시작" if point.day is None else f"{point.day:%m-%d}"


def _label(points: Sequence[Point]) -> str:
    first, last = points[0], points[-1]
    return f"계좌 평가액: {_name(first)} ${first.value:,.2f}, {_name(last)} ${last.value:,.2f}"
