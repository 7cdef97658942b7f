"""The broker behind something that only looks like a ``requests.Session``: no prepared requests, no urllib3.

For long virtual runs, where the library's own work would be most of the day. Only a good and timely answer takes the
short way; whatever goes wrong on the wire is delivered by ``inprocess.InProcessAdapter``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from urllib.parse import urlsplit

import requests

from simulator.inprocess import Handle, InProcessAdapter
from simulator.messages import Request


class _Raw:
    """The bytes of an answer that has come whole."""

    def __init__(self, body: bytes) -> None:
        self._rest = body

    def read1(self, size: int = -1, decode_content: bool = True) -> bytes:
        part, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return part


class DirectResponse:
    """What a caller reads of a streamed response: status, headers, ``raw.read1`` and the end of the ``with``."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status_code = status
        self.headers = headers
        self.raw = _Raw(body)

    def __enter__(self) -> DirectResponse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close."""


class DirectSession:
    """A pool of connections to the simulator that costs next to nothing."""

    verify = True

    def __init__(self, adapter: InProcessAdapter, handle: Handle) -> None:
        self._adapter = adapter
        self._handle = handle

    def get_adapter(self, url: str) -> InProcessAdapter:
        """Where a connection can be opened ahead."""
        return self._adapter

    def close(self) -> None:
        """Nothing stays open."""

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        timeout: tuple[float, float],
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        **_: object,
    ) -> DirectResponse | requests.Response:
        """One round trip; raises what ``requests`` raises."""
        lower = {name.lower(): value for name, value in headers.items()}
        if data is not None:
            lower["content-length"] = str(len(data))
        answer = self._handle(Request(method, urlsplit(url).path, dict(params or {}), lower, data or b""))
        if answer.wire is None and answer.delay <= timeout[1]:
            self._adapter.spend(answer.delay)
            return DirectResponse(answer.status, answer.headers, answer.body)
        return self._adapter.deliver(requests.Request(method, url, params=params).prepare(), answer, timeout)
