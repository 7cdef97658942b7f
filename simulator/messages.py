"""What crosses the wire, without a wire: the core answers a ``Request`` with a ``Response``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

WireKind = Literal["refused", "unreachable", "dns", "reset", "closed", "hang", "drip", "half", "stall"]


@dataclass(frozen=True)
class Request:
    """One HTTP request. Header names are in lower case; ``query`` holds each parameter once, blanks kept."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Response:
    """One HTTP answer and how badly it travels.

    ``wire`` None is an ordinary answer. Otherwise: ``refused``, ``unreachable`` and ``dns`` (no connection), ``reset``
    (RST before the answer), ``closed`` (FIN without a byte), ``hang`` (no byte ever), ``drip`` (the body byte by byte),
    ``half`` (half of the promised body, then FIN), ``stall`` (half of the body, then silence).
    ``delay`` is in seconds, before the first byte (with ``drip``: before each byte as well, at least one second).
    """

    status: int
    headers: dict[str, str]
    body: bytes
    wire: WireKind | None = None
    delay: float = 0.0


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def to_json(payload: object) -> bytes:
    """UTF-8 JSON without blanks, Korean kept as it is, as KIS writes it."""
    return _encode(payload).encode()


def json_answer(payload: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer whose body is JSON; header names in lower case, because KIS's own samples read only those."""
    return Response(status, {"content-type": "application/json; charset=utf-8", **(headers or {})}, to_json(payload))


def text_answer(text: str, status: int = 200, kind: str = "text/plain") -> Response:
    """An answer whose body is text of the given content type."""
    return Response(status, {"content-type": f"{kind};charset=utf-8"}, text.encode())


def parse_object(body: bytes) -> dict[str, object]:
    """The JSON object in ``body``; empty when there is none."""
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
