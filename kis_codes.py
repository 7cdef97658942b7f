"""KIS's answers: what a status, a body and a code mean to us. Pure; the only place that decides it.

Codes and texts: protocol §5 (portal error table and recorded answers).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from errors import KISRefusal, NoAnswer, RateLimited, TokenRejected, WrongKeys

TOKEN_CODES = frozenset({"EGW00121", "EGW00122", "EGW00123"})
LIMIT_CODES = frozenset({"EGW00201", "EGW00215"})
KEY_CODES = frozenset({"EGW00102", "EGW00103", "EGW00104", "EGW00105", "EGW00304"})
ERROR_FIELDS = ("rt_cd", "msg_cd", "msg1", "error_code", "error_description")  # of KIS's two shapes (§2.4, §3.1)
TOKEN_WORDS = ("token", "접근토큰", "인증", "auth")  # only for an answer that carries no code at all


def check_answer(status: int, body: Mapping[str, Any]) -> None:
    """Raise what the answer stands for; return when it is a success (or a shape of its own, as tokenP's).

    The body comes before the status: the gateway sends its errors as HTTP 500 or 403 with a useful body (§5.1).
    """
    flag = _text(body.get("rt_cd"))
    if flag == "0" or not any(name in body for name in ERROR_FIELDS):
        if not 200 <= status < 300:
            raise no_kis_answer(status, "KIS 응답 아님")
        return
    code = _text(body.get("msg_cd")) or _text(body.get("error_code"))
    message = _text(body.get("msg1")) or _text(body.get("error_description"))
    raise _refusal_class(code, flag, message)(code or flag or str(status), message, status)


def no_kis_answer(status: int, what: str) -> NoAnswer:
    """The error for a body that is not KIS's: nothing is known of what KIS did."""
    return NoAnswer(f"HTTP {status}, {what}", status)


def _refusal_class(code: str, flag: str, message: str) -> type[KISRefusal]:
    code = code or (flag if not flag.lstrip("-").isdigit() else "")
    if code in TOKEN_CODES:
        return TokenRejected
    if code in LIMIT_CODES or ("초당" in message and "초과" in message):
        return RateLimited
    if code in KEY_CODES:
        return WrongKeys
    if not code and any(word in message.casefold() for word in TOKEN_WORDS):
        return TokenRejected
    return KISRefusal


def _text(value: object) -> str:
    """One line of plain text: ledger messages are padded to 80 and nothing from outside may forge a log line."""
    if value is None or isinstance(value, dict | list):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
