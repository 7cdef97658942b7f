"""KIS's gateway: the checks every call passes, in the order of the layers (protocol §13.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from simulator.auth import Auth
from simulator.calls import Call
from simulator.codes import business_error, gateway_error, token_refusal
from simulator.limits import Limits
from simulator.messages import Response, json_answer, parse_object
from simulator.options import Options, Profile

CALLS_PER_SECOND: dict[Profile, float] = {"real": 18.0, "paper": 1.0}
_WRONG_SELL = "VTTT1006U"  # what the first-letter rule makes of the real sell id (§7.2)

Handler = Callable[[Call], Response]


class Gateway:
    """Lets a call through to ``quotes`` or ``account``, or refuses it as KIS does."""

    def __init__(self, auth: Auth, options: Options, profile: Profile, quotes: Handler, account: Handler) -> None:
        self._auth = auth
        self._options = options
        self._profile: Profile = profile
        self._calls = Limits(options.calls_per_second or CALLS_PER_SECOND[profile])
        self._ledger = Limits(options.ledger_calls_per_second)
        self._quotes = quotes
        self._account = account

    def answer(self, call: Call) -> Response:
        """The answer to a call at a known path."""
        if call.request.method == "POST" and "content-length" not in call.request.headers:
            return gateway_error("EGW00202")  # chunked bodies are refused (§2.2)
        match call.asked.route.name:
            case "token":
                return self._auth.issue(call.request.body, call.now)
            case "revoke":
                return self._auth.revoke(call.request.body)
            case _:
                return self._refusal(call) or self._handler(call)(call)

    def _refusal(self, call: Call) -> Response | None:
        return (
            self._key_refusal(call) or self._rate_refusal(call) or self._tr_refusal(call) or self._ledger_refusal(call)
        )

    def _key_refusal(self, call: Call) -> Response | None:
        headers = call.request.headers
        call.key = self._auth.keys(headers.get("appkey", ""), headers.get("appsecret", ""))
        if call.key is None:
            return gateway_error("EGW00304")
        if call.asked.route.name == "hashkey":
            return None
        problem = self._auth.token_problem(call.key, headers.get("authorization", ""), call.at)
        return gateway_error(problem) if problem else None

    def _rate_refusal(self, call: Call) -> Response | None:
        assert call.key is not None
        if not self._options.rate_limit or self._calls.take(call.key.mark, call.steady):
            return None
        return gateway_error("EGW00201", self._options.rate_limit_status)

    def _tr_refusal(self, call: Call) -> Response | None:
        tr_id, route = call.asked.tr_id, call.asked.route
        if route.name == "hashkey" or tr_id in route.tr_ids(self._profile):
            return None
        if self._profile == "real":
            return gateway_error("EGW00356") if tr_id.startswith("J") else business_error("OPSQ0002", "1")
        if tr_id == _WRONG_SELL:
            return business_error("90000000", "1")
        return gateway_error("EGW02006") if tr_id.startswith(("T", "C", "J")) else business_error("OPSQ0002", "1")

    def _ledger_refusal(self, call: Call) -> Response | None:
        assert call.key is not None
        if not (self._options.ledger_limit and call.asked.route.is_ledger):
            return None
        return None if self._ledger.take(call.key.mark, call.steady) else gateway_error("EGW00215")

    def _handler(self, call: Call) -> Handler:
        if call.asked.route.name == "hashkey":
            return _hashkey
        return self._quotes if "quote" in call.asked.route.groups else self._account


def _hashkey(call: Call) -> Response:
    """POST /uapi/hashkey (§3.3): optional for orders, but mojito asks for it."""
    body = parse_object(call.request.body)
    if not body:
        return token_refusal("EGW00101")
    return json_answer({"BODY": body, "HASH": hashlib.sha256(call.request.body).hexdigest()})
