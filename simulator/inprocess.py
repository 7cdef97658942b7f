"""The simulator under a ``requests.Session`` without sockets: fast, and with a virtual clock time passes as it would.

Mount it for every host, ``session.mount("https://", InProcessAdapter(sim))``; the path decides whether KIS or Yahoo
answers. Waiting (latency, delays, hangs up to the call's time-out, drips) advances a virtual clock; with any other
clock it takes no time.
"""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Callable, Mapping
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from simulator.core import Simulator
from simulator.faults import NO_CONNECTION
from simulator.messages import Request, Response

DRIP_SECONDS = 1.0
_REFUSED = "Failed to establish a new connection: [Errno 111] Connection refused"


Handle = Callable[[Request], Response]


class HungForever(RuntimeError):
    """A call without a time-out met a server that never answers: in life it would never come back."""


class InProcessAdapter(HTTPAdapter):
    """Stands where the network would: a prepared request in, the core's answer or a transport's exception out."""

    def __init__(self, sim: Simulator, handle: Handle | None = None) -> None:
        super().__init__()
        self._sim = sim
        self._handle = handle or sim.handle

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float | None, float | None] | None = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """One round trip; raises what a real transport raises."""
        return self.deliver(request, self._handle(_to_request(request)), timeout)

    def deliver(
        self,
        request: requests.PreparedRequest,
        answer: Response,
        timeout: float | tuple[float | None, float | None] | None,
    ) -> requests.Response:
        """The core's answer as the wire brings it, in the time that it takes."""
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        wire = _Wire(request, connect, read, self.spend)
        if answer.wire in NO_CONNECTION:
            raise wire.no_connection(answer.wire)
        if answer.wire != "drip":
            wire.wait(answer.delay)
        if answer.wire in ("reset", "closed", "hang"):
            raise wire.no_answer(answer.wire)
        return self.build_response(request, _to_urllib3(request, answer, wire))

    def connect(self, url: str, timeout: float | None = None, verify: bool | str = True) -> None:
        """Open a connection and nothing more; raises like ``send`` when a ``refused`` or ``unreachable`` fault for
        this path, or for all of KIS, is in force. Does not count as a request."""
        request = requests.Request("POST", url).prepare()
        kind = self._sim.unreachable(_to_request(request))
        if kind is not None:
            raise _Wire(request, timeout, timeout, self.spend).no_connection(kind)

    def spend(self, seconds: float) -> None:
        """Let virtual time pass."""
        advance = getattr(self._sim.clock, "advance", None)
        if advance is not None and seconds > 0:
            advance(seconds)


class _Wire:
    """One connection: its time-outs, and the exceptions of a real one."""

    def __init__(
        self,
        request: requests.PreparedRequest,
        connect: float | None,
        read: float | None,
        spend: Callable[[float], None],
    ) -> None:
        parts = urlsplit(request.url or "")
        self.pool = HTTPConnectionPool(parts.hostname or "localhost", parts.port)
        self.target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        self.request = request
        self._connect, self._read = connect, read
        self._spend = spend

    def wait(self, seconds: float) -> None:
        """Let the server take so long; a read time-out ends it."""
        if self._read is not None and seconds > self._read:
            raise self.timed_out()
        self._spend(seconds)

    def timed_out(self) -> requests.exceptions.ReadTimeout:
        """The read time-out, spent."""
        self.spend_read_timeout()
        cause = ReadTimeoutError(self.pool, self.target, f"Read timed out. (read timeout={self._read})")
        return requests.exceptions.ReadTimeout(cause, request=self.request)

    def spend_read_timeout(self) -> None:
        """Silence until the caller's patience ends."""
        if self._read is None:
            raise HungForever(f"{self.request.method} {urlsplit(self.request.url or '').path}")
        self._spend(self._read)

    def spend(self, seconds: float) -> None:
        """Let time pass in the middle of a body."""
        self._spend(seconds)

    def no_connection(self, kind: str) -> requests.exceptions.ConnectionError:
        """Nothing was sent: refused at once, or the connect time-out ran out."""
        if kind in ("refused", "dns"):
            connection = HTTPConnection(self.pool.host, self.pool.port)
            cause = (
                NewConnectionError(connection, _REFUSED)
                if kind == "refused"
                else NameResolutionError(self.pool.host, connection, socket.gaierror(-2, "Name or service not known"))
            )
            failed = MaxRetryError(self.pool, self.target, cause)
            return requests.exceptions.ConnectionError(failed, request=self.request)
        if self._connect is None:
            raise HungForever("connect")
        self._spend(self._connect)
        slow = ConnectTimeoutError(None, f"Connection to {self.pool.host} timed out. (connect timeout={self._connect})")
        return requests.exceptions.ConnectTimeout(MaxRetryError(self.pool, self.target, slow), request=self.request)

    def no_answer(self, kind: str) -> requests.exceptions.RequestException:
        """The request went out and nothing came back."""
        if kind == "hang":
            return self.timed_out()
        broken: Exception = ConnectionResetError(104, "Connection reset by peer")
        if kind == "closed":
            broken = http.client.RemoteDisconnected("Remote end closed connection without response")
        return requests.exceptions.ConnectionError(ProtocolError("Connection aborted.", broken), request=self.request)


class _Body(io.RawIOBase):
    """The bytes of an answer as a socket would give them."""

    def __init__(self, data: bytes, wire: _Wire, pace: float, *, stalls: bool) -> None:
        super().__init__()
        self._rest = data
        self._wire = wire
        self._pace = pace  # virtual seconds for each byte
        self._stalls = stalls

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, as long as they take to come; silence at the end of a stalled body."""
        amount = len(self._rest) if size is None or size < 0 else size
        part, self._rest = self._rest[:amount], self._rest[amount:]
        self._wire.spend(self._pace * len(part))
        if not part and amount and self._stalls:
            self._wire.spend_read_timeout()
            raise TimeoutError("timed out")
        return part

    def read1(self, size: int = -1) -> bytes:
        """What has come by now: one byte of a dripping body, else all there is."""
        return self.read(1 if self._pace else size)

    def readinto(self, buffer: Any) -> int:
        part = self.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)


class _Original:
    """What requests looks for behind a response when it collects cookies."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.msg = Message()
        for name, value in headers.items():
            self.msg[name] = value

    def isclosed(self) -> bool:
        return False

    def close(self) -> None:
        """Nothing to close."""


def _to_request(request: requests.PreparedRequest) -> Request:
    parts = urlsplit(request.url or "")
    path = (request.url or "").split(parts.netloc, 1)[1].split("?", 1)[0] or "/"
    body = request.body or b""
    if not isinstance(body, str | bytes):  # a stream, which requests sends in chunks
        body = b"".join(part if isinstance(part, bytes) else part.encode() for part in body)
    return Request(
        request.method or "GET",
        unquote(path),
        dict(parse_qsl(parts.query, keep_blank_values=True)),
        {str(name).lower(): _text(value) for name, value in request.headers.items()},
        body.encode() if isinstance(body, str) else body,
    )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _to_urllib3(request: requests.PreparedRequest, answer: Response, wire: _Wire) -> HTTPResponse:
    headers = {**answer.headers, "content-length": str(len(answer.body))}
    half = answer.wire in ("half", "stall")
    pace = (answer.delay or DRIP_SECONDS) if answer.wire == "drip" else 0.0
    sent = answer.body[: len(answer.body) // 2] if half else answer.body
    return HTTPResponse(
        body=_Body(sent, wire, pace, stalls=answer.wire == "stall"),
        headers=headers,
        status=answer.status,
        version=11,
        reason=http.client.responses.get(answer.status, ""),
        preload_content=False,
        decode_content=False,
        original_response=_Original(answer.headers),  # type: ignore[arg-type]
        pool=wire.pool,
        request_method=request.method,
        request_url=request.url,
    )
