"""The simulator's own door, for tests in other processes. Not a part of KIS: everything under ``/sim/``.

====== ================== =================================================================================
POST   /sim/faults        body: a fault or a list of them, as ``Fault.to_dict`` gives it; they come into force
DELETE /sim/faults        all faults out of force
POST   /sim/revoke        body: ``{"code": "EGW00121", "stuck": false}``, both optional; every token dies now
POST   /sim/expire        every token has reached its end
POST   /sim/pin           body: ``{"symbol": "NVDA", "price": "150.00", "base": "148.00"}``; price null lets go
POST   /sim/foreign       body: ``{"symbol", "side", "quantity", "limit"}``: an order by the owner's own hand; gives
                          ``{"number"}``
POST   /sim/fill          body: ``{"number", "quantity", "price"}``, the last two optional; an open order trades now
POST   /sim/deposit       body: ``{"amount"}`` in USD
POST   /sim/give          body: ``{"symbol", "quantity", "price"}``: shares without an order
GET    /sim/account       the one account as it truly is: ``{"cash", "orderable", "holdings", "orders"}``
GET    /sim/audit         ``{"problems": []}`` when money and shares add up
GET    /sim/accepted      list of ``{"at", "number", "name", "tr_id", "body"}``: what was accepted through the API
GET    /sim/issuances     list of ``{"at", "key", "result", "token"}``, oldest first; ``at`` in ISO, +09:00
GET    /sim/counts        object: requests by end point, group, TR id and path
====== ================== =================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from simulator.books import order_to_dict
from simulator.desk import Refused
from simulator.faults import Fault
from simulator.messages import Request, Response, json_answer

if TYPE_CHECKING:
    from simulator.core import Simulator

PREFIX = "/sim/"


def answer(sim: Simulator, request: Request) -> Response:
    """The answer to a request under ``/sim/``; 404 for what is not there, 400 for a body that does not fit."""
    action = _ACTIONS.get((request.method, request.path.removeprefix(PREFIX)))
    if action is None:
        return json_answer({"error": "no such path"}, 404)
    try:
        return json_answer(action(sim, json.loads(request.body or b"{}")))
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, Refused) as exc:
        return json_answer({"error": str(exc)}, 400)


def _add_faults(sim: Simulator, body: Any) -> Any:
    faults = [Fault.from_dict(one) for one in (body if isinstance(body, list) else [body])]
    sim.faults.add(*faults)
    return {"added": len(faults)}


def _clear_faults(sim: Simulator, body: Any) -> Any:
    sim.faults.clear()
    return {}


def _revoke(sim: Simulator, body: Any) -> Any:
    sim.revoke_tokens(body.get("code", "EGW00121"), stuck=bool(body.get("stuck", False)))
    return {}


def _expire(sim: Simulator, body: Any) -> Any:
    sim.expire_tokens()
    return {}


def _pin(sim: Simulator, body: Any) -> Any:
    sim.pin(body["symbol"], body["price"], body.get("base"))
    return {}


def _foreign(sim: Simulator, body: Any) -> Any:
    return {"number": sim.place_foreign_order(body["symbol"], body["side"], int(body["quantity"]), body["limit"])}


def _fill(sim: Simulator, body: Any) -> Any:
    sim.fill(int(body["number"]), body.get("quantity"), body.get("price"))
    return {}


def _deposit(sim: Simulator, body: Any) -> Any:
    sim.deposit(str(body["amount"]))
    return {}


def _give(sim: Simulator, body: Any) -> Any:
    sim.give_shares(body["symbol"], int(body["quantity"]), str(body["price"]))
    return {}


def _account(sim: Simulator, body: Any) -> Any:
    account = sim.account()
    return {
        "cash": str(account.cash),
        "orderable": str(account.orderable()),
        "holdings": {symbol: holding.quantity for symbol, holding in account.holdings.items()},
        "orders": [{**order_to_dict(order), "filled": order.filled} for order in account.orders.values()],
    }


def _audit(sim: Simulator, body: Any) -> Any:
    return {"problems": sim.problems()}


def _accepted(sim: Simulator, body: Any) -> Any:
    return [{**asdict(one), "at": one.at.isoformat()} for one in sim.accepted]


def _issuances(sim: Simulator, body: Any) -> Any:
    return [{"at": i.at.isoformat(), "key": i.key, "result": i.result, "token": i.token} for i in sim.issuances]


def _counts(sim: Simulator, body: Any) -> Any:
    return sim.counts


_ACTIONS: dict[tuple[str, str], Callable[[Simulator, Any], Any]] = {
    ("POST", "faults"): _add_faults,
    ("DELETE", "faults"): _clear_faults,
    ("POST", "revoke"): _revoke,
    ("POST", "expire"): _expire,
    ("POST", "pin"): _pin,
    ("POST", "foreign"): _foreign,
    ("POST", "fill"): _fill,
    ("POST", "deposit"): _deposit,
    ("POST", "give"): _give,
    ("GET", "account"): _account,
    ("GET", "audit"): _audit,
    ("GET", "accepted"): _accepted,
    ("GET", "issuances"): _issuances,
    ("GET", "counts"): _counts,
}
