"""``python -m soak.coverage``: which row of the fault catalogue is carried by the soak, which by a test; from names.

A test carries the rows that its name tells (``test_H12_H13_…``), a kind of event of the soak those that it is listed
with. ``--readme`` puts the table between its marks in README.md.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from soak import kinds
from soak.catalogue import DESIGN_WINS, GROUPS, NOT_CARRIED, ROWS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DEMANDED = "THYBPC"  # groups in which every ● row is carried, or the table says why it is not
OPENING, CLOSING = "<!-- coverage -->", "<!-- /coverage -->"
_NUMBER = re.compile(rf"(?<=_)[{''.join(GROUPS)}]\d\d(?=_)")
_HEADINGS = ("무리", "행", "그중 ●", "soak만", "테스트만", "둘 다", "없음", "없음 ●")


def numbers_in(test_name: str) -> list[str]:
    """The rows that the name of a test tells."""
    return _NUMBER.findall(f"{test_name}_")


def rows_of_tests(folder: Path = ROOT / "tests") -> frozenset[str]:
    """The rows that some test proves; nothing is imported."""
    return frozenset(
        number for path in folder.glob("test_*.py") for name in _tests(path) for number in numbers_in(name)
    )


def _tests(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name


def rows_of_soak() -> frozenset[str]:
    """The rows that the soak carries, by kinds of events and by the dates that its runs start on."""
    return frozenset(number for rows in (*kinds.ROWS.values(), kinds.START_ROWS) for number in rows)


def unexplained(carried: Collection[str], reasons: Mapping[str, str] = NOT_CARRIED) -> list[str]:
    """The ● rows that must be carried, are not, and have no reason."""
    return [
        row.number
        for row in ROWS
        if row.blocking and row.number[0] in DEMANDED and row.number not in carried and row.number not in reasons
    ]


def table(soak: Collection[str], tests: Collection[str]) -> str:
    """The coverage in markdown, for the owner."""
    lines = [_cells(*_HEADINGS), _cells(*["---", *["--:"] * (len(_HEADINGS) - 1)])]
    counts = [_counts(letter, soak, tests) for letter in GROUPS]
    lines += [_cells(f"{letter} {GROUPS[letter]}", *numbers) for letter, numbers in zip(GROUPS, counts, strict=True)]
    lines.append(_cells("합계", *(sum(column) for column in zip(*counts, strict=True))))
    missing = [row for row in ROWS if row.number not in {*soak, *tests}]
    for title, some in (
        ("다루지 못한 ●", [row for row in missing if row.blocking]),
        ("다루지 않은 ○", [row for row in missing if not row.blocking]),
    ):
        lines += ["", f"{title}:", ""]
        lines += [f"- **{row.number}** {row.title}: {NOT_CARRIED.get(row.number, '이유를 적지 않음')}" for row in some]
    titles = {row.number: row.title for row in ROWS}
    lines += ["", "설계가 목록과 달라 설계를 따른 행:", ""]
    lines += [f"- **{number}** {titles[number]}: {says}" for number, says in DESIGN_WINS.items()]
    return "\n".join(lines)


def _cells(*values: object) -> str:
    return f"| {' | '.join(map(str, values))} |"


def _counts(letter: str, soak: Collection[str], tests: Collection[str]) -> list[int]:
    """One line of numbers under the headings."""
    rows = [row for row in ROWS if row.number[0] == letter]
    places = [(row.number in soak, row.number in tests) for row in rows]
    nowhere = [row for row, place in zip(rows, places, strict=True) if place == (False, False)]
    return [
        len(rows),
        sum(row.blocking for row in rows),
        *(places.count(place) for place in ((True, False), (False, True), (True, True))),
        len(nowhere),
        sum(row.blocking for row in nowhere),
    ]


def with_block(text: str, block: str) -> str:
    """The text with ``block`` between the marks. Raises ValueError where the marks are not there."""
    before, found, rest = text.partition(OPENING)
    _, closed, after = rest.partition(CLOSING)
    if not (found and closed):
        raise ValueError(f"{OPENING} … {CLOSING}")
    return f"{before}{OPENING}\n{block}\n{CLOSING}{after}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, or put it into the README."""
    parser = argparse.ArgumentParser(prog="python -m soak.coverage", description="고장 목록을 무엇이 다루는가")
    parser.add_argument("--readme", action="store_true", help="README.md의 표시 사이를 고쳐 쓴다")
    block = table(rows_of_soak(), rows_of_tests())
    if not parser.parse_args(argv).readme:
        print(block)
        return 0
    try:
        README.write_text(with_block(README.read_text("utf-8"), block), "utf-8")
    except ValueError as exc:
        print(f"README.md에 표시가 없습니다: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
