"""Imported before everything else: a Python that is too old, or libraries that are missing, are told in one sentence.

Knows nothing of the rest, and is written so that older Pythons can read it.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

NEEDED = (
    "requests",
    "schedule",
    "mojito",
    "pandas",
    "dotenv",
    "cachetools",
    "yfinance",
    "exchange_calendars",
    "curl_cffi",
    "apprise",
)
EXIT_SETTINGS = 2  # a person must mend it; a supervisor is not to try again
INSTALL = "python3 -m venv .venv && .venv/bin/pip install -q -r requirements.txt"
OWN_PYTHON = Path(__file__).parent / ".venv" / "bin" / "python"


def complaint(version: tuple[int, ...], missing: list[str], own_python: bool) -> str:
    """What stands in the way, and what to type; empty when nothing does."""
    if version < (3, 11):
        return f"Python 3.11 이상이 필요합니다 (지금 {version[0]}.{version[1]}). README의 첫 줄을 보세요."
    if missing and own_python:
        return f"라이브러리가 없는 파이썬입니다 ({', '.join(missing)}). 이렇게 실행하세요: .venv/bin/python main.py"
    if missing:
        return f"라이브러리가 없습니다 ({', '.join(missing)}). 먼저 설치하세요: {INSTALL}"
    return ""


def _look() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    own_python = OWN_PYTHON.exists() and not sys.prefix.startswith(str(OWN_PYTHON.parents[1]))
    text = complaint(sys.version_info[:2], missing, own_python)
    if text:
        print(text, file=sys.stderr)
        sys.exit(EXIT_SETTINGS)


_look()
