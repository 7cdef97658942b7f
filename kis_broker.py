"""mojito2's brokers, one per exchange, on our transport and our token; and the calls mojito2 lacks.

mojito2 0.1.6 issues a token in its constructor, keeps it in a pickle, and calls ``requests`` without a time-out
(protocol §12). Three overridden methods take its token handling away, and its module name ``requests`` is replaced
by a switch that leads to the transport of the broker that is calling.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import mojito
import mojito.koreainvestment
import requests

from clock import KST
from config import Settings
from errors import NoAnswer
from kis_transport import KISTransport

EXCHANGE_CODES = {"나스닥": "NAS", "뉴욕": "NYS", "아멕스": "AMS"}  # EXCD of the quote TRs, protocol §2.5
BATCH_SIZE = 10  # symbols in one multprice request, protocol §6.4
_PRICES_PATH = "uapi/overseas-price/v1/quotations/multprice"
_PRICES_TR = "HHDFS76220000"

_transport: ContextVar[KISTransport | None] = ContextVar("the transport of the broker that is calling", default=None)


class _Switch:
    """Stands in mojito's module where ``requests`` stood: mojito uses its ``get`` and ``post`` only.

    A call that comes from no broker of ours goes to ``requests``, as mojito wrote it.
    """

    def get(self, url: str, headers: Mapping[str, str], params: Mapping[str, str] | None = None) -> Any:
        transport = _transport.get()
        if transport is None:
            return requests.get(url, headers=headers, params=params)  # noqa: S113 - mojito's own call
        return transport.get(url, headers, params)

    def post(self, url: str, headers: Mapping[str, str], data: str) -> Any:
        transport = _transport.get()
        if transport is None:
            return requests.post(url, headers=headers, data=data)  # noqa: S113 - mojito's own call
        return transport.post(url, headers, data)


@dataclass(frozen=True)
class Access:
    """What it takes to speak to KIS for one account."""

    base_url: str
    app_key: str = field(repr=False)
    app_secret: str = field(repr=False)
    account: str = field(repr=False)  # 12345678-01
    paper: bool
    bearer: Callable[[], str] = field(repr=False)  # the token of this moment; raises TokenUnavailable


def access_for(settings: Settings, bearer: Callable[[], str]) -> Access:
    """What the settings say of the account; in ``sim`` the address of the embedded broker must be in them by now."""
    assert settings.kis_base_url is not None
    return Access(
        base_url=settings.kis_base_url,
        app_key=settings.kis_app_key,
        app_secret=settings.kis_app_secret,
        account=f"{settings.cano}-{settings.acnt_prdt_cd}",
        paper=settings.kis_mode == "paper",
        bearer=bearer,
    )


class Broker(mojito.KoreaInvestment):  # type: ignore[misc]
    """mojito's client for one exchange, without any token of its own."""

    def __init__(self, exchange: str, access: Access, transport: KISTransport) -> None:
        self._access = access
        self._own_transport = transport
        mojito.koreainvestment.requests = _Switch()
        super().__init__(access.app_key, access.app_secret, access.account, exchange, access.paper)

    def __repr__(self) -> str:
        return f"Broker({self.exchange})"

    def set_base_url(self, mock: bool = True) -> None:
        """The host of the settings instead of mojito's two."""
        self.base_url = self._access.base_url

    def check_access_token(self) -> bool:
        """TokenManager has checked."""
        return True

    def load_access_token(self) -> None:
        """The token is read at each call, from TokenManager."""

    def issue_access_token(self) -> None:
        """Never mojito's business."""
        raise NotImplementedError("TokenManager issues the token")

    @property
    def access_token(self) -> str:
        """The authorization header of this moment. Raises TokenUnavailable."""
        return f"Bearer {self._access.bearer()}"

    @access_token.setter
    def access_token(self, value: object) -> None:
        """mojito's constructor assigns None."""

    def fetch_price(self, symbol: str) -> dict[str, Any]:
        """The answer of HHDFS00000300 (§6.1). Raises KISError."""
        with _through(self._own_transport):
            answer: dict[str, Any] = super().fetch_price(symbol)
            return answer


class BrokerSet:
    """The three brokers and the pool under them: made together, replaced together."""

    def __init__(self, access: Access, transport: KISTransport) -> None:
        self._access = access
        self.transport = transport
        self.brokers = {exchange: Broker(exchange, access, transport) for exchange in EXCHANGE_CODES}

    def fetch_price(self, exchange: str, symbol: str) -> dict[str, Any]:
        """KIS's answer for one symbol at one exchange. Raises KISError."""
        return self.brokers[exchange].fetch_price(symbol)

    def fetch_prices(self, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """KIS's answer for up to ten (exchange, symbol) pairs: multprice, real accounts only. Raises KISError."""
        params = {"AUTH": "", "NREC": str(len(pairs))}
        for number, (exchange, symbol) in enumerate(pairs, start=1):
            params[f"EXCD_{number:02}"] = EXCHANGE_CODES[exchange]
            params[f"SYMB_{number:02}"] = symbol
        return self.transport.get(f"{self._access.base_url}/{_PRICES_PATH}", self._headers(_PRICES_TR), params).body

    def close(self) -> None:
        """Close the pool."""
        self.transport.close()

    def _headers(self, tr_id: str) -> dict[str, str]:
        return {
            "content-type": "application/json; charset=utf-8",
            "authorization": f"Bearer {self._access.bearer()}",
            "appkey": self._access.app_key,
            "appsecret": self._access.app_secret,
            "tr_id": tr_id,
            "custtype": "P",
        }


@contextmanager
def _through(transport: KISTransport) -> Iterator[None]:
    reset = _transport.set(transport)
    try:
        yield
    finally:
        _transport.reset(reset)


@dataclass(frozen=True)
class IssuedToken:
    """What the token endpoint gave; ``expires_at`` is KIS's own instant, None where it cannot be read."""

    value: str = field(repr=False)
    expires_at: datetime | None


def token_issuer(settings: Settings, new_transport: Callable[[], KISTransport]) -> Callable[[], IssuedToken]:
    """Asks for a token over a connection of its own: the pool in use may be what is broken."""

    def ask() -> IssuedToken:
        transport = new_transport()
        try:
            return ask_for_token(transport, settings.kis_base_url or "", settings.kis_app_key, settings.kis_app_secret)
        finally:
            transport.close()

    return ask


def ask_for_token(transport: KISTransport, base_url: str, app_key: str, app_secret: str) -> IssuedToken:
    """One request to tokenP (§3.1), whose turn it is. Raises KISError; nothing of the request stands in the error."""
    body = {"grant_type": "client_credentials", "appkey": app_key, "appsecret": app_secret}
    headers = {"content-type": "application/json; charset=utf-8"}
    return parse_issued_token(transport.post(f"{base_url}/oauth2/tokenP", headers, json.dumps(body), in_line=True).body)


def parse_issued_token(body: Mapping[str, Any]) -> IssuedToken:
    """Read tokenP's answer. The expiry is ``access_token_token_expired`` (KST), never ``expires_in`` (§3.1).

    Raises NoAnswer for a body without a usable token.
    """
    value = body.get("access_token")
    if not isinstance(value, str) or not value.strip() or not value.isascii() or not value.isprintable():
        raise NoAnswer("응답에 토큰 없음")
    text = body.get("access_token_token_expired")
    try:
        expires_at = datetime.strptime(str(text).strip(), "%Y-%m-%d %H:%M:%S").replace(tzinfo=KST)
    except ValueError:
        return IssuedToken(value.strip(), None)
    return IssuedToken(value.strip(), expires_at)
