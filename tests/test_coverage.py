"""The coverage of the fault catalogue: from names, and nothing that must be carried is forgotten."""

from collections import Counter

import pytest

from soak.catalogue import DESIGN_WINS, GROUPS, NOT_CARRIED, ROWS
from soak.coverage import (
    CLOSING,
    OPENING,
    README,
    main,
    numbers_in,
    rows_of_soak,
    rows_of_tests,
    table,
    unexplained,
    with_block,
)

NUMBERS = [row.number for row in ROWS]
CARRIED = rows_of_soak() | rows_of_tests()


def test_every_blocking_row_is_carried_or_its_absence_has_a_reason():
    assert unexplained(CARRIED) == []


def test_a_row_that_nobody_carries_is_missed():
    assert unexplained(CARRIED - {"T01", "C05"}) == ["T01", "C05"]
    assert "H20" in unexplained(CARRIED, reasons={})
    assert unexplained(CARRIED - {"T09", "G01"}) == []  # ○, and a group in which the tests are enough


def test_a_reason_for_an_absence_stands_only_where_there_is_one():
    assert set(NOT_CARRIED) == set(NUMBERS) - CARRIED


def test_names_tell_no_row_that_is_not_in_the_catalogue():
    assert set(NUMBERS) >= CARRIED
    assert set(NUMBERS) >= set(DESIGN_WINS)


def test_the_catalogue_is_whole():
    """149 rows stand in the list; its own last line speaks of 155."""
    assert Counter(number[0] for number in NUMBERS) == {
        **{"T": 21, "H": 25, "Y": 10, "B": 30},
        **{"P": 26, "C": 15, "G": 13, "S": 9},
    }
    assert len(set(NUMBERS)) == 149
    assert sum(row.blocking for row in ROWS) == 103
    assert list(GROUPS) == list(dict.fromkeys(number[0] for number in NUMBERS))


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("test_T01_a_token", ["T01"]),
        ("test_H12_H13_a_page", ["H12", "H13"]),
        ("test_61_seconds", []),
        ("test_T1_x", []),
        ("test_T011_x", []),
        ("test_aT01_x", []),
        ("test_a_page_H12", ["H12"]),
    ],
)
def test_which_rows_a_name_tells(name, numbers):
    assert numbers_in(name) == numbers


def test_the_table_counts_and_explains():
    text = table({"T01", "T02"}, {"T02", "T03"})
    assert "| T 토큰 | 21 | 17 | 1 | 1 | 1 | 18 | 14 |" in text
    assert "| 합계 | 149 | 103 | 1 | 1 | 1 | 146 | 100 |" in text
    assert f"- **H20** 터무니없지만 유한한 가격: {NOT_CARRIED['H20']}" in text
    assert "- **T04** 토큰을 저장할 수 없음 (읽기 전용, 디스크 가득): 이유를 적지 않음" in text
    assert f"- **T07** 발급이 1분 제한에 걸림 (EGW00133): {DESIGN_WINS['T07']}" in text


def test_the_block_is_put_between_its_marks():
    assert with_block(f"a\n{OPENING}\nold\n{CLOSING}\nb\n", "new") == f"a\n{OPENING}\nnew\n{CLOSING}\nb\n"
    with pytest.raises(ValueError, match="coverage"):
        with_block("no marks", "new")


def test_the_command_writes_the_readme(tmp_path, monkeypatch, capsys):
    page = tmp_path / "README.md"
    monkeypatch.setattr("soak.coverage.README", page)
    page.write_text("no marks", "utf-8")
    assert main(["--readme"]) == 1
    page.write_text(f"{OPENING}{CLOSING}", "utf-8")
    assert main(["--readme"]) == 0
    assert main([]) == 0
    assert capsys.readouterr().out.strip() in page.read_text("utf-8")


def test_the_table_in_the_readme_is_current():
    text = README.read_text("utf-8")
    if OPENING in text:
        assert text == with_block(text, table(rows_of_soak(), rows_of_tests())), "python -m soak.coverage --readme"
