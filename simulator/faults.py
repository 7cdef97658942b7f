"""What goes wrong on purpose: faults that a test, or a plan drawn from a seed, lays over the broker.

A fault says *where* (an end point, a group, a TR id or a part of the path), *what* (``kind``) and *when* (a number of
times, a span of time, every call). ``Faults`` picks those that meet a request; the core applies them.

Kinds that spoil the wire: ``refused`` ``unreachable`` ``dns`` ``reset`` ``closed`` ``hang`` ``drip`` ``half`` ``stall``
(see ``messages.Response``) and ``lost_answer`` (the request is processed, then the connection is reset).
Kinds that spoil the body: ``html502`` ``html`` (another status) ``empty`` ``cut`` ``json_list`` ``wrong_types``
``error`` (KIS's own error with code, message and status; at Yahoo a 429 unless another status is given).
Kinds that the end points themselves obey:
``blank`` (quotes, Yahoo's newest price, the figures of psamount and present-balance) and ``bad_price`` (quotes, Yahoo);
for a single order ``hide`` (from the lists, for ``seconds``), ``reject_later`` (거부 after ``seconds``), ``no_fill``,
``partial``, ``no_number`` (a success without ODNO);
for lists ``duplicate_rows``, ``padding_rows`` (balance), ``object_rows`` (empty order list), ``endless`` (the same
page, always followed by another), ``unsellable`` (a holding with nothing to sell).
``delay`` waits ``seconds`` before the answer; the other kinds wait too if ``seconds`` is given.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Protocol, cast

from simulator.codes import kis_error, token_refusal
from simulator.messages import Response, WireKind, json_answer, text_answer

NO_CONNECTION = {"refused", "unreachable", "dns"}
WIRE = NO_CONNECTION | {"reset", "closed", "hang", "drip", "half", "stall"}
BODY = {"html502", "html", "empty", "cut", "json_list", "wrong_types", "error"}
ORDER_KINDS = {"hide", "reject_later", "no_fill", "partial", "no_number"}
LIST_KINDS = {"duplicate_rows", "padding_rows", "object_rows", "endless", "unsellable"}
INNER = {"blank", "bad_price"} | ORDER_KINDS | LIST_KINDS
KINDS = WIRE | BODY | INNER | {"lost_answer", "delay"}
# These change a good answer, so the request has had its effect by then; the others keep it from being processed.
_PROCESSED = {"drip", "half", "stall", "empty", "cut", "json_list", "wrong_types", "lost_answer", "delay"} | INNER

_PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr></body></html>"


class Place(Protocol):
    """What a fault needs to know of a request."""

    @property
    def names(self) -> frozenset[str]: ...
    @property
    def path(self) -> str: ...
    @property
    def tr_id(self) -> str: ...
    @property
    def symbols(self) -> frozenset[str]: ...


@dataclass
class Fault:
    """One thing that goes wrong. Instants are aware; everything not given does not restrict."""

    kind: str
    where: str = "kis"
    """``token`` ``price`` ``order`` … (an end point), ``quote`` ``ledger`` ``kis`` ``yahoo`` (a group), a TR id, or a
    part of a path."""
    times: int | None = None
    """Fires so often, then never again."""
    after: int = 0
    """Lets so many matching requests through first."""
    start: datetime | None = None
    until: datetime | None = None
    symbol: str | None = None
    chance: float = 1.0
    """Probability for each matching request, from the fault's own random stream."""
    code: str = "EGW00300"
    message: str | None = None
    status: int | None = None
    text: str = ""
    """The price of ``bad_price``, as it is to stand in the JSON."""
    seconds: float = 0.0
    page: int | None = None
    """Only the n-th page of a list, counted from 1."""
    processed: bool | None = None
    """Whether the request has its effect before things go wrong; None: as the kind says."""
    met: int = field(default=0, compare=False)
    fired: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of fault: {self.kind} (known: {', '.join(sorted(KINDS))})")
        if any(instant is not None and instant.tzinfo is None for instant in (self.start, self.until)):
            raise ValueError("an instant without a zone")
        numbers = (self.times, self.after, self.chance, self.status, self.seconds, self.page)
        if any(not isinstance(number, int | float | None) for number in numbers):
            raise ValueError("a number is no number")

    @property
    def is_processed(self) -> bool:
        """Whether the request reaches the broker's books."""
        return self.kind in _PROCESSED if self.processed is None else self.processed

    def to_dict(self) -> dict[str, Any]:
        """The fault as JSON takes it; instants as ISO text. Defaults are left out."""
        plain = Fault(self.kind)
        names = [f.name for f in fields(self) if f.compare]
        changed = {name: getattr(self, name) for name in names if getattr(self, name) != getattr(plain, name)}
        instants = {name: value.isoformat() for name, value in changed.items() if isinstance(value, datetime)}
        return {"kind": self.kind, **changed, **instants}

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> Fault:
        """The fault that ``to_dict`` gave; TypeError or ValueError for what is none."""
        instants = {name: datetime.fromisoformat(body[name]) for name in ("start", "until") if body.get(name)}
        return cls(**{**body, **instants})


class Faults:
    """The faults in force. ``seed`` feeds the random stream of each fault that has a chance."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._faults: list[tuple[Fault, random.Random]] = []

    def __iter__(self) -> Iterator[Fault]:
        return iter([fault for fault, _ in self._faults])

    def add(self, *faults: Fault) -> None:
        """Put faults into force; earlier ones come first."""
        for fault in faults:
            # Drawn from what the fault is, not from when it was added: one more or less leaves the others alone.
            stream = random.Random(f"{self._seed}:{json.dumps(fault.to_dict(), sort_keys=True)}")
            self._faults.append((fault, stream))

    def remove(self, *faults: Fault) -> None:
        """Take these very faults out of force; one that is not in force is no error."""
        self._faults = [pair for pair in self._faults if not any(pair[0] is fault for fault in faults)]

    def clear(self) -> None:
        """Everything works again."""
        self._faults.clear()

    def meet_connection(self, place: Place, now: datetime) -> str | None:
        """The kind of the fault that keeps a connection for such a request from being opened, counted as fired."""
        for fault, stream in self._faults:
            if fault.kind in NO_CONNECTION and _meets(fault, stream, place, 1, now):
                return fault.kind
        return None

    def meet(self, place: Place, page: int, now: datetime) -> list[Fault]:
        """The faults that this request runs into, counted as fired; the one that stops it is the last."""
        met: list[Fault] = []
        for fault, stream in self._faults:
            if _meets(fault, stream, place, page, now):
                met.append(fault)
                if not fault.is_processed:
                    break
        return met


def _meets(fault: Fault, stream: random.Random, place: Place, page: int, now: datetime) -> bool:
    if not _concerns(fault, place, page) or not _in_time(fault, now):
        return False
    fault.met += 1
    if fault.met <= fault.after or (fault.times is not None and fault.fired >= fault.times):
        return False
    if fault.chance < 1 and stream.random() >= fault.chance:
        return False
    fault.fired += 1
    return True


def _concerns(fault: Fault, place: Place, page: int) -> bool:
    where = fault.where
    if where not in place.names and where != place.tr_id and not ("/" in where and where in place.path):
        return False
    if fault.page is not None and fault.page != page:
        return False
    # A list is about no symbol in particular; there the symbol says which rows are meant.
    return fault.symbol is None or fault.symbol in place.symbols or fault.kind in LIST_KINDS


def _in_time(fault: Fault, now: datetime) -> bool:
    return (fault.start is None or fault.start <= now) and (fault.until is None or now < fault.until)


def spoil(fault: Fault, response: Response | None, names: frozenset[str]) -> Response:
    """The answer with this fault upon it; ``response`` is None where the request was not processed."""
    good = response or json_answer({})
    if fault.kind in WIRE:
        wire = cast(WireKind, fault.kind)
        return replace(good, wire=wire, delay=good.delay + fault.seconds)
    if fault.kind == "lost_answer":
        return replace(good, wire="reset", delay=good.delay + fault.seconds)
    if fault.kind == "delay":
        return replace(good, delay=good.delay + fault.seconds)
    if fault.kind in BODY:
        return replace(_spoiled_body(fault, good, names), delay=good.delay + fault.seconds)
    return good


def _spoiled_body(fault: Fault, good: Response, names: frozenset[str]) -> Response:
    match fault.kind:
        case "html502" | "html":
            status = fault.status or 502
            return text_answer(_PAGE.format(fault.message or f"{status} Bad Gateway"), status, "text/html")
        case "error":
            return _error(fault, names)
        case "empty":
            return replace(good, status=fault.status or good.status, body=b"")
        case "cut":
            return replace(good, body=good.body[: max(1, len(good.body) // 2)])
        case "json_list":
            return replace(good, body=b"[" + good.body + b"]")
        case _:
            return replace(good, body=_wrong_types(good.body))


def _error(fault: Fault, names: frozenset[str]) -> Response:
    if "yahoo" in names:
        status = fault.status or 429
        return text_answer(fault.message or ("Too Many Requests" if status == 429 else "Internal Server Error"), status)
    if "token" in names:
        return token_refusal(fault.code, fault.status or 403, fault.message)
    return kis_error(fault.code, fault.status, fault.message)


def _wrong_types(body: bytes) -> bytes:
    """Every value of another type than it should be: texts become numbers, lists and null, lists become an object."""
    turn = iter(range(1_000_000))

    def wrong(value: object) -> object:
        if isinstance(value, dict):
            return {name: wrong(part) for name, part in value.items()}
        if isinstance(value, list):
            return {"0": wrong(value[0])} if value else "none"
        return ([], None, {"value": value}, 3.5, True)[next(turn) % 5]

    try:
        parsed = json.loads(body)
    except ValueError:
        return b"null"
    if isinstance(parsed, dict) and "rt_cd" in parsed:  # still a success at first sight
        spoiled = {name: value if name == "rt_cd" else wrong(value) for name, value in parsed.items()}
        return json.dumps(spoiled).encode()
    return json.dumps(wrong(parsed)).encode()
