"""The one road to KIS: a pooled session, time-outs, an overall deadline, the call limits, and a reader of answers."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import requests
import urllib3
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from urllib3.util.ssl_ import create_urllib3_context

from clock import Clock, DeadlineExceeded
from errors import KISRefusal, NoAnswer, RateLimited, TokenRejected
from kis_codes import check_answer, no_kis_answer
from rate_limit import RateLimiter


@dataclass(frozen=True)
class _Times:
    """Seconds."""

    silence: float  # without a byte
    deadline: float  # for one request in all


CONNECT_TIMEOUT = 2.5  # seconds; from Korea a connection takes well under 0.1
READ_TIMES = _Times(silence=3.5, deadline=4.0)  # below the 5 in which the process must be able to end
ORDER_TIMES = _Times(silence=8.5, deadline=9.0)  # an order in flight may hold the end of the process for 15
DROP_RETRY_WITHIN = 1.0  # seconds; KIS drops idle connections (protocol §11), a slow death is another matter
MAX_BODY = 2 * 1024 * 1024  # bytes; the largest answer of KIS is some tens of kB


@dataclass(frozen=True)
class _Exchange:
    """One request and the pool it goes through."""

    session: requests.Session
    method: str
    url: str
    headers: dict[str, str]
    content: Mapping[str, Any]


class ConnectionDropped(NoAnswer):
    """The connection broke before a whole answer came; for a read worth one more try at once."""


@dataclass(frozen=True)
class Answer:
    """A JSON object from KIS, with the two methods that mojito2 uses of a response."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    def json(self) -> dict[str, Any]:
        """The body."""
        return self.body


@cache
def _trusting(bundle: str) -> ssl.SSLContext:
    """The TLS settings that trust the authorities of a bundle: to parse them takes longer than a quote.

    Raises OSError for a file that is no bundle.
    """
    context: ssl.SSLContext = create_urllib3_context()
    context.load_verify_locations(bundle)
    return context


class DialingAdapter(HTTPAdapter):
    """requests' adapter that can open a connection ahead of the request which will use it, and that shares its TLS
    settings with every other of its kind: requests parses the CA bundle anew for each connection."""

    _dialled: Any = None

    def close(self) -> None:
        """Close the pools, and a connection that was opened and never used."""
        super().close()
        if self._dialled is not None:
            self._dialled.close()

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """What a pool is found and made by: as requests has it, with the shared settings in the bundle's place."""
        host, settings = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https" and verify:
            settings.pop("ca_certs", None)
            settings["ssl_context"] = _trusting(DEFAULT_CA_BUNDLE_PATH if verify is True else verify)
        return host, settings

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing is left to say: the pool knows whom to trust, and would parse a bundle that it is told of here."""

    def connect(self, url: str, timeout: float, verify: bool | str = True) -> None:
        """Open a connection to the host of ``url`` and keep it for the next request. Raises as urllib3 does.

        The pool is found exactly as ``send`` finds it, TLS settings included: otherwise another connection would
        carry the request.
        """
        request = requests.Request("POST", url).prepare()
        pool: Any = self.get_connection_with_tls_context(request, verify)
        connection = pool._get_conn(timeout=timeout)
        connection.timeout = timeout
        self._dialled = connection
        connection.connect()

        def hand_over(timeout: float | None = None) -> Any:
            """The open connection, once. The pool's own check would throw it away: the session tickets that a
            TLS 1.3 server sends right after the handshake make it look like one that the server has closed."""
            del pool._get_conn
            return connection

        pool._get_conn = hand_over


def new_session() -> requests.Session:
    """A pool of connections to KIS: no proxies or .netrc from the environment, no retries of its own."""
    session = requests.Session()
    session.trust_env = False
    for scheme in ("https://", "http://"):
        session.mount(scheme, DialingAdapter(pool_connections=2, pool_maxsize=10, max_retries=0))
    return session


def token_mark(token: str) -> str:
    """A fingerprint by which a token may be named where the token itself may not stand."""
    return hashlib.sha256(token.encode()).hexdigest()[:12]


class ServerClock:
    """How far KIS's clock is ahead of ours, from the ``Date`` of its answers; it outlives the pools."""

    def __init__(self) -> None:
        self._heard: tuple[str, float] | None = None
        self._offset: float | None = None

    def heard(self, date: str | None, received: float) -> None:
        """An answer came in at ``received`` (our epoch seconds)."""
        if date is not None:
            self._heard = (date, received)

    def offset(self) -> float:
        """Seconds to add to our clock, to the second; 0 where KIS has never said."""
        return self.told() or 0.0

    def told(self) -> float | None:
        """The same, but None where KIS has never said."""
        if self._heard is not None:
            self._offset, self._heard = _ahead(*self._heard), None
        return self._offset


def _ahead(date: str, received: float) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() - received
    except (ValueError, TypeError):
        return None


class KISTransport:
    """Requests in, answers or errors of our tree out. Safe for several threads."""

    def __init__(
        self,
        new_session: Callable[[], requests.Session],
        limiter: RateLimiter,
        clock: Clock,
        stop: threading.Event,
        server: ServerClock | None = None,
        clean: Callable[[str], str] = str,
    ) -> None:
        self._server = server or ServerClock()
        self._clean = clean
        self._new_session = new_session
        self._session = new_session()
        self._limiter = limiter
        self._clock = clock
        self._stop = stop

    def get(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        *,
        ledger: bool = False,
    ) -> Answer:
        """A read. A connection that drops at once is tried once more; everything else is the caller's to judge.

        Raises a KISError, or Stopping when the daemon ends before the request leaves.
        """
        started = self._clock.monotonic()
        try:
            return self._read_once(url, headers, params, ledger)
        except ConnectionDropped:
            if self._clock.monotonic() - started > DROP_RETRY_WITHIN:
                raise
            return self._read_once(url, headers, params, ledger)

    def post(
        self, url: str, headers: Mapping[str, str] | None = None, data: str | None = None, *, in_line: bool = False
    ) -> Answer:
        """A request that may change something: sent once; ``in_line`` says that the call limit was waited out before.

        Raises as ``get``.
        """
        if not in_line:
            self._limiter.acquire()
        body = None if data is None else data.encode()
        return self._perform(self._session, "POST", url, headers, READ_TIMES, {"data": body})

    @contextmanager
    def line(self, url: str) -> Iterator[Callable[[Mapping[str, str], str], Answer]]:
        """A fresh connection for one order, open before anything is sent; inside the block a function posts on it.

        Raises NoAnswer when the connection cannot be made, Stopping when the daemon ends: nothing was sent then.
        """
        self._limiter.acquire()
        session = self._new_session()
        try:
            self._dial(session, url)
            yield lambda headers, data: self._perform(
                session, "POST", url, headers, ORDER_TIMES, {"data": data.encode()}
            )
        finally:
            session.close()

    def _dial(self, session: requests.Session, url: str) -> None:
        adapter: Any = session.get_adapter(url)
        try:
            self._clock.within(CONNECT_TIMEOUT + 1, lambda: adapter.connect(url, CONNECT_TIMEOUT, session.verify))
        except DeadlineExceeded:
            raise NoAnswer("연결 시간 초과") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
            raise _network_error(exc) from None

    def server_offset(self) -> float | None:
        """Seconds by which KIS's clock is ahead of ours; None where it has never said."""
        return self._server.told()

    def close(self) -> None:
        """Close the idle connections; a request under way in another thread ends by itself."""
        self._session.close()

    def _read_once(
        self, url: str, headers: Mapping[str, str] | None, params: Mapping[str, str] | None, ledger: bool
    ) -> Answer:
        self._limiter.acquire(ledger=ledger)
        return self._perform(self._session, "GET", url, headers, READ_TIMES, {"params": params})

    def _perform(
        self,
        session: requests.Session,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        times: _Times,
        content: Mapping[str, Any],
    ) -> Answer:
        exchange = _Exchange(session, method, url, dict(headers or {}), content)
        try:
            answer = self._clock.within(times.deadline, lambda: self._exchange(exchange, times))
        except DeadlineExceeded:
            raise NoAnswer("응답 시간 초과") from None
        self._server.heard(answer.headers.get("date"), self._clock.now().timestamp())
        try:
            check_answer(answer.status, answer.body)
        except KISRefusal as exc:
            if isinstance(exc, RateLimited):
                self._limiter.slow_down()
            raise self._cleaned(exc, headers) from None
        return answer

    def _cleaned(self, refusal: KISRefusal, headers: Mapping[str, str] | None) -> KISRefusal:
        """The refusal without secrets in KIS's own words, and with the mark of the token that was sent."""
        cleaned = type(refusal)(self._clean(refusal.code), self._clean(refusal.message), refusal.status)
        if isinstance(cleaned, TokenRejected):
            cleaned.mark = token_mark(_bearer(headers))
        return cleaned

    def _exchange(self, exchange: _Exchange, times: _Times) -> Answer:
        """One request on the wire; exceptions carry no URL, because the URL may carry the account number."""
        give_up_at = self._clock.monotonic() + times.deadline
        try:
            with exchange.session.request(
                exchange.method,
                exchange.url,
                headers=exchange.headers,
                timeout=(CONNECT_TIMEOUT, times.silence),
                allow_redirects=False,
                stream=True,
                **exchange.content,
            ) as response:
                body = self._read(response, give_up_at)
        except requests.ConnectTimeout:
            raise NoAnswer("연결 시간 초과") from None
        except requests.Timeout:
            raise NoAnswer("응답 시간 초과") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:  # OSError: no CA bundle
            raise _network_error(exc) from None
        return Answer(response.status_code, _lower_names(response.headers), _json_object(response.status_code, body))

    def _read(self, response: requests.Response, give_up_at: float) -> bytes:
        """The whole body as it comes in: neither a drip nor a flood may hold the caller."""
        body = bytearray()
        while chunk := response.raw.read1(65536, decode_content=True):
            body += chunk
            if len(body) > MAX_BODY:
                raise NoAnswer("응답이 너무 큼")
            if self._clock.monotonic() > give_up_at:
                raise NoAnswer("응답 시간 초과")
        return bytes(body)


def _network_error(exc: Exception) -> NoAnswer:
    """Name the trouble by its cause in the chain; the texts of these exceptions hold the URL."""
    causes = {type(cause).__name__ for cause in _chain(exc)}
    if "ConnectTimeoutError" in causes:
        return NoAnswer("연결 시간 초과")
    if causes & {"ReadTimeoutError", "TimeoutError"}:
        return NoAnswer("응답 시간 초과")
    if "NameResolutionError" in causes:
        return NoAnswer("주소를 찾지 못함 (DNS)")
    if "NewConnectionError" in causes:
        return NoAnswer("연결 거부")
    if any(name.startswith("SSL") for name in causes):
        return NoAnswer("TLS 오류")
    if causes & {"ProtocolError", "IncompleteRead"}:
        return ConnectionDropped("연결 끊김")
    return NoAnswer(f"통신 오류 {type(exc).__name__}")


def _chain(exc: object) -> list[BaseException]:
    """An exception and what it wraps, whether as context or, as urllib3 and requests do, as an argument."""
    found: list[BaseException] = []
    while isinstance(exc, BaseException) and len(found) < 8:
        found.append(exc)
        reason = getattr(exc, "reason", None)
        inner = [reason, *exc.args[::-1], exc.__cause__, exc.__context__]
        exc = next((item for item in inner if isinstance(item, BaseException) and item not in found), None)
    return found


def _json_object(status: int, body: bytes) -> dict[str, Any]:
    try:
        text = body.decode(errors="replace").removeprefix("\ufeff")  # a Korean text in EUC-KR is no lost answer
        value = json.loads(text)
    except (ValueError, RecursionError):
        what = "빈 응답" if not body.strip() else "JSON 아님"
        raise no_kis_answer(status, what) from None
    if not isinstance(value, dict):
        raise no_kis_answer(status, "JSON 객체 아님")
    return value


def _lower_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _bearer(headers: Mapping[str, str] | None) -> str:
    for name, value in (headers or {}).items():
        if name.lower() == "authorization":
            return value.removeprefix("Bearer ")
    return ""
