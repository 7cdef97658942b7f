"""What one setting may be: texts from the owner become values here, or a Korean sentence that says what to type.

A parser gets the stripped, non-empty text and raises WrongValue. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import time
from decimal import Decimal
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, urlsplit

EXAMPLE_LOG = "trading.log"


class WrongValue(ValueError):
    """The text is no such value; the message says in Korean what to type, without repeating the text."""


_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{1,10})?|[+-]?\.\d{1,10}", re.ASCII)
_VISIBLE_ASCII = re.compile(r"[!-~]+")
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_ACCOUNT = re.compile(r"(\d{8})-?(\d{2})", re.ASCII)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_OWN_FILES = re.compile(r"api_token\.json|status\.json|HALT|report|\.env|.*\.(db|lock)|stocks_config\.json")
_LONGEST_INTERVAL = 366 * 86_400  # seconds; more is surely a mistake, and too much for a timedelta somewhere
_SHORTEST_INTERVAL = Decimal("0.01")  # seconds


def one_of(*words: str) -> Callable[[str], str]:
    """One of these words in any case, given back as it is written here."""

    def parse(text: str) -> str:
        for word in words:
            if word.casefold() == text.casefold():
                return word
        raise WrongValue(f"{', '.join(words)} 가운데 하나를 쓰세요.")

    return parse


def boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise WrongValue("true 또는 false라고 쓰세요.")
    return text.lower() == "true"


def _number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise WrongValue("숫자만 쓰세요 (예: 30, 1.5). 쉼표나 단위는 빼 주세요.")
    return Decimal(text)


def amount(least: str = "0", most: str | None = None) -> Callable[[str], Decimal]:
    """A number from ``least`` to ``most``."""

    def parse(text: str) -> Decimal:
        value = _number(text)
        if value < Decimal(least):
            raise WrongValue(f"{least} 이상의 수를 쓰세요.")
        if most is not None and value > Decimal(most):
            raise WrongValue(f"{most} 이하의 수를 쓰세요.")
        return value

    return parse


def rate(text: str) -> float:
    return float(amount(least="0.1")(text))


def count(most: str | None = None) -> Callable[[str], int]:
    """A whole number from 0 to ``most``."""

    def parse(text: str) -> int:
        value = amount(most=most)(text)
        if value != int(value):
            raise WrongValue("0, 1, 2처럼 소수점 없는 수를 쓰세요.")
        return int(value)

    return parse


def interval(unit: int, longest: int = _LONGEST_INTERVAL, why: str = "") -> Callable[[str], float]:
    """A positive number of units of ``unit`` seconds; fractions are welcome."""

    def parse(text: str) -> float:
        value = _number(text)
        if value <= 0:
            raise WrongValue("0보다 큰 수를 쓰세요.")
        if value * unit < _SHORTEST_INTERVAL:
            raise WrongValue("너무 짧습니다. 0.01초 이상이 되게 쓰세요.")
        if value * unit > longest:
            raise WrongValue(f"{longest // unit} 이하로 쓰세요{why}.")
        return float(value)

    return parse


def wall_time(text: str) -> time:
    match = _TIME.fullmatch(text)
    if not match:
        raise WrongValue("뉴욕 시각을 09:30처럼 HH:MM으로 쓰세요.")
    return time(int(match[1]), int(match[2]))


def path(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except (RuntimeError, OSError):  # no such user behind the ~; the current folder is gone
        raise WrongValue("폴더를 찾을 수 없습니다. /home/… 처럼 전체 경로를 쓰세요.") from None


def log_file(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or text.startswith("~") or not path.name:
        raise WrongValue(
            f"{EXAMPLE_LOG}처럼 파일 이름만 쓰세요. 로그는 DATA_DIR에 놓입니다 (폴더는 DATA_DIR로 바꿉니다)."
        )
    if _OWN_FILES.fullmatch(path.name):
        raise WrongValue(f"프로그램이 다른 일에 쓰는 이름입니다. {EXAMPLE_LOG}처럼 다른 이름을 쓰세요.")
    return text


def account(text: str) -> str:
    match = _ACCOUNT.fullmatch(text)
    if not match:
        raise WrongValue("계좌번호 열 자리를 12345678-01 또는 1234567801처럼 쓰세요.")
    return f"{match[1]}-{match[2]}"


def credential(text: str) -> str:
    if not _VISIBLE_ASCII.fullmatch(text):
        raise WrongValue("공백·한글·보이지 않는 문자가 섞여 있습니다. KIS Developers에서 다시 복사해 붙여 넣으세요.")
    if text[0] in "\"'":
        raise WrongValue("따옴표가 값에 들어 있습니다. 따옴표를 빼고 쓰세요.")
    return text


def strategy(text: str) -> str:
    module, _, name = text.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise WrongValue("package.module:Class 꼴로 쓰세요 (예: my_strategy:MyStrategy).")
    return text


def base_url(text: str) -> str:
    """Scheme, host and port. http only to this machine: the keys travel on this road."""
    parts = _split_url(text)
    if parts.username is not None or parts.password is not None:
        raise WrongValue("주소에 아이디나 비밀번호를 넣지 마세요.")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise WrongValue("https://호스트:포트 까지만 쓰세요 (뒤의 경로는 빼 주세요).")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        raise WrongValue("https://로 시작하는 주소를 쓰세요 (http://는 127.0.0.1, localhost, [::1]에만 됩니다).")
    return f"{parts.scheme}://{parts.netloc}"


def _split_url(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        usable = _VISIBLE_ASCII.fullmatch(text) and "\\" not in text and parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    if not usable:
        raise WrongValue("주소로 읽을 수 없습니다. https://호스트:포트 꼴로 쓰세요.")
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def notify_urls(text: str) -> tuple[str, ...]:
    """apprise URLs. A comma divides only where another URL begins, as commas may stand inside one."""
    urls = [part.strip(", ") for part in re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", text)]
    for number, url in enumerate(urls, 1):
        if not _URL.fullmatch(url):
            raise WrongValue(
                f"{number}번째 주소를 읽을 수 없습니다. tgram://… , discord://… 처럼 쉼표로 나누어 쓰세요."
            )
    return tuple(urls)


def ping_url(text: str) -> str:
    if _split_url(text).scheme not in ("http", "https"):
        raise WrongValue("https://hc-ping.com/… 같은 주소를 쓰세요.")
    return text
