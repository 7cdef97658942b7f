"""What must hold after a daemon was killed and has healed: its books, the broker's and what lies on the disk. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise

from intents import Intent, State
from ledger import Issuance
from portfolio import Side
from simulator.books import Order
from token_manager import SPACING

NEVER_ACCEPTED = (State.REFUSED, State.NOT_SENT, State.NOT_ACCEPTED)
RUN = 16  # letters of a secret in a row that must stand nowhere


@dataclass
class Evidence:
    """Both sides' books and everything that was left on the disk."""

    intents: list[Intent] = field(default_factory=list)
    owned: dict[str, int] = field(default_factory=dict)  # shares, as the daemon's fills make them
    issuances: list[Issuance] = field(default_factory=list)  # the daemon's, oldest first
    attempts: list[float] = field(default_factory=list)  # the broker's, epoch seconds
    orders: list[Order] = field(default_factory=list)  # the broker's, cancellations left out
    posts: int = 0  # requests for an order that came to the broker, accepted or not
    held: dict[str, int] = field(default_factory=dict)  # shares, as the broker knows them
    problems: list[str] = field(default_factory=list)  # the broker's own audit, and what could not be read
    unjournalled: list[str] = field(default_factory=list)  # orders that came before they were on the disk
    secrets: set[str] = field(default_factory=set)
    files: dict[str, bytes] = field(default_factory=dict)


def violations(seen: Evidence) -> list[str]:
    """Every invariant that does not hold, by the numbers of the fault catalogue."""
    return [
        *seen.problems,
        *(f"A2 {order}" for order in seen.unjournalled),
        *_binding(seen),
        *_fills(seen),
        *_issuances(seen),
        *_leaks(seen),
        *(f"log: {word}" for word in ("Traceback", "[JOB]") if word.encode() in seen.files.get("console.txt", b"")),
    ]


def _binding(seen: Evidence) -> Iterator[str]:
    """A1, F1, A4: each order belongs to one intent, each intent has one order at most, no order was taken for none."""
    for order in seen.orders:
        owners = [intent for intent in seen.intents if intent.number == order.number]
        if len(owners) != 1 or not is_the_same(owners[0], order):
            yield f"F1 order {order.number} {order.symbol} belongs to {len(owners)} intents"
        for intent in seen.intents:
            if intent.state in NEVER_ACCEPTED and intent.number is None and is_the_same(intent, order):
                yield f"A4 intent {intent.id} is {intent.state.value}, order {order.number} was accepted"
    if seen.posts > len(seen.intents):
        yield f"A1 {seen.posts} orders were sent for {len(seen.intents)} intents"
    for symbol in {order.symbol for order in seen.orders}:
        if (count := sum(order.symbol == symbol for order in seen.orders)) > 1:
            yield f"A1 {symbol} was bought {count} times"


def is_the_same(intent: Intent, order: Order) -> bool:
    """Whether an order at the broker is what an intent wanted."""
    ours = (intent.symbol, intent.side is Side.BUY, intent.quantity, Decimal(intent.limit))
    return ours == (order.symbol, order.side == "buy", order.quantity, order.limit)


def _fills(seen: Evidence) -> Iterator[str]:
    """F2: the same shares on both sides."""
    filled = {intent.number: intent.filled for intent in seen.intents}
    for order in seen.orders:
        if filled.get(order.number, 0) != order.filled:
            yield f"F2 order {order.number} has {order.filled} shares, the ledger {filled.get(order.number, 0)}"
    if seen.owned != seen.held:
        yield f"F2 the ledger owns {seen.owned}, the broker holds {seen.held}"


def _issuances(seen: Evidence) -> Iterator[str]:
    """A7: the attempts on disk are 61 s apart, and each of them led to one request at most, none came without.

    The broker's times are not held against each other: what the road takes is long when time runs fast.
    """
    at = [issuance.at for issuance in seen.issuances]
    for before, after in pairwise(at):
        if after - before < SPACING - 0.01:
            yield f"A7 attempts {after - before:.2f} s apart"
    for begun, until in pairwise([*at, float("inf")]):
        if (count := sum(begun <= attempt < until for attempt in seen.attempts)) > 1:
            yield f"A7 {count} requests for one attempt on disk"
    if early := [attempt for attempt in seen.attempts if not at or attempt < at[0]]:
        yield f"A7 {len(early)} requests without an attempt on disk"


def _leaks(seen: Evidence) -> Iterator[str]:
    """A17: no sixteen letters of a secret in a row in any file."""
    for name, content in seen.files.items():
        for secret in seen.secrets:
            runs = (secret[at : at + RUN] for at in range(max(1, len(secret) - RUN + 1)))
            if any(run.encode() in content for run in runs):
                yield f"A17 a secret stands in {name}"
                break
