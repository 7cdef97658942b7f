"""What the owner is told about KIS's codes, and that it is what the daemon really does."""

from __future__ import annotations

import re

import pytest
from test_intents import INTENT

from errors import KISRefusal
from intents import State, after_refusal
from kis_codes import KEY_CODES, LIMIT_CODES, TOKEN_CODES
from kis_help import explain, known_codes
from simulator.codes import TEXTS


@pytest.mark.parametrize("code", sorted({*TEXTS, *TOKEN_CODES, *LIMIT_CODES, *KEY_CODES}))
def test_every_code_we_know_of_is_explained(code):
    found = explain(code)

    assert found is not None
    assert all((found.meaning, found.done, found.todo))


@pytest.mark.parametrize("code", known_codes())
def test_what_is_said_of_an_order_is_what_becomes_of_it(code):
    said = explain(code).done
    state = after_refusal(INTENT, KISRefusal(code, ""), 0.0).state

    if "접수되지 않은 것으로" in said:
        assert state is State.REFUSED
    if "결과 불명" in said:
        assert state is State.UNKNOWN


@pytest.mark.parametrize("code", sorted(TOKEN_CODES))
def test_a_dead_token_is_no_work_for_the_owner(code):
    assert "다시 발급" in explain(code).done
    assert not explain(code).needs_owner


@pytest.mark.parametrize("code", sorted(KEY_CODES))
def test_wrong_keys_are_work_for_the_owner(code):
    assert explain(code).needs_owner
    assert "KIS_APP_KEY" in explain(code).todo


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("EGW09999", "게이트웨이"),
        ("IGW00099", "게이트웨이"),
        ("OPSQ0077", "내부"),
        ("OPSQ2077", "검사"),
        ("APBK9999", "msg"),
        ("APAC0001", "계좌"),
        ("49990000", "모의투자"),
    ],
)
def test_an_unknown_code_is_explained_by_its_family(code, words):
    assert words in explain(code).meaning


@pytest.mark.parametrize("code", ["", "1", "7", "500", "XYZ00001", "EGW00123 ", "EGW", "140570000"])
def test_what_is_of_no_family_has_no_explanation(code):
    assert explain(code) is None


def test_the_line_for_the_log_has_all_three_parts_and_fits_on_one_line():
    line = str(explain("EGW00215"))

    assert re.fullmatch(r"[^\n]+ · 데몬: [^\n]+ · 할 일: 없음[^\n]*", line)
