"""How an event happens: each kind that is more than a fault of the broker's has a function here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from simulator import Fault, Request
from simulator.desk import Refused
from simulator.listings import find_listing
from soak.outcomes import Crash
from soak.plan import Event
from token_manager import USABLE

if TYPE_CHECKING:
    from soak.world import World


@dataclass
class Arming:
    """A kill that waits for its place in the code."""

    point: str
    passes: int  # how often the place is still passed unharmed


def perform(world: World, event: Event) -> None:
    """Let the event happen now. Raises Crash where it kills the daemon."""
    world.note_event(f"event {event.kind}")
    world.tally.faults[event.kind] += 1
    if "fault" in event.args:
        _lay_fault(world, event)
        return
    _ACTS[event.kind](world, dict(event.args))


def heal(world: World) -> None:
    """The world is kind again: every fault is gone, the owner has looked after his daemon."""
    world.note_event("heal")
    world.sim.faults.clear()
    world.sim.release_tokens()
    if world.daemon.tokens.state() not in USABLE:  # else KIS would hand out for hours what is never sent again
        world.sim.revoke_tokens("EGW00123")
    world.disk.full.clear()
    world.disk.refused.clear()
    world.disk.die_in = None
    world.armed.clear()
    world.twin, world.races = "", False
    _let_prices_go(world)
    with suppress(FileNotFoundError):
        world.settings.halt_file.unlink()
    world.owner.write_stocks()
    wrong = world.true.now() - world.clock.now()
    if abs(wrong) > timedelta(seconds=1):
        world.clock.step(wrong.total_seconds())
        world.loudness.undone("clock_step")
        world.stepped_at = world.clock.monotonic()


def _lay_fault(world: World, event: Event) -> None:
    lasts = event.args.get("lasts")
    until = None if lasts is None else world.true.now() + timedelta(seconds=lasts)
    fault = Fault(**event.args["fault"], until=until)
    world.sim.faults.add(fault)
    world.laid.append((event.kind, fault, world.clock.monotonic()))


def _later(world: World, seconds: float, action: Callable[[], object]) -> None:
    world.after(seconds, lambda: (action(), None)[1])


def _token_dies(world: World, args: dict[str, Any]) -> None:
    world.sim.revoke_tokens(args["code"])
    world.loudness.strike("token_dies")


def _token_stuck(world: World, args: dict[str, Any]) -> None:
    world.sim.revoke_tokens(args["code"], stuck=True)


def _token_expires(world: World, args: dict[str, Any]) -> None:
    world.sim.expire_tokens()


def _file_deleted(world: World, args: dict[str, Any]) -> None:
    with suppress(FileNotFoundError):
        world.settings.token_file.unlink()
    world.border.tokens.file_touched()


def _file_garbage(world: World, args: dict[str, Any]) -> None:
    path = world.settings.token_file
    old = path.read_bytes() if path.exists() else b""
    path.write_bytes(old[: args["keep"]] + args["text"].encode())
    world.border.tokens.file_touched()
    world.loudness.strike("file_garbage")


def _file_foreign(world: World, args: dict[str, Any]) -> None:
    """A good-looking token of another app key, or of this key's other mode."""
    settings, expires = world.settings, world.true.now() + timedelta(hours=20)
    whose = args.get("whose", "key")
    mode = {"real": "paper"}.get(settings.kis_mode, "real") if whose == "mode" else settings.kis_mode
    mark = "somebody" if whose == "key" else settings.key_mark
    document = {"access_token": "x" * 40, "expires_at": expires.timestamp(), "app_key_mark": mark, "mode": mode}
    settings.token_file.write_text(json.dumps(document), "utf-8")
    world.border.tokens.file_touched()
    world.loudness.strike("file_foreign")


def _other_program(world: World, args: dict[str, Any]) -> None:
    """Another program of the owner's asks for a token with the same key, and keeps it to itself."""
    settings = world.settings
    body = {"grant_type": "client_credentials", "appkey": settings.kis_app_key, "appsecret": settings.kis_app_secret}
    data = json.dumps(body).encode()
    world.sim.handle(Request("POST", "/oauth2/tokenP", {}, {"content-length": str(len(data))}, data))


def _kill(world: World, args: dict[str, Any]) -> None:
    world.armed.append(Arming(args["point"], args["nth"] - 1))


def _kill_now(world: World, args: dict[str, Any]) -> None:
    world.tally.kills["어느 때나"] += 1
    raise Crash("now")


def _kill_at_commit(world: World, args: dict[str, Any]) -> None:
    world.disk.die_in, world.disk.die_after = args["nth"], args["after"]


def _restart(world: World, args: dict[str, Any]) -> None:
    world.stop.set()


def _suspend(world: World, args: dict[str, Any]) -> None:
    before = world.session()
    if world.border.is_idle():  # what sleeps in the middle of its work is not late for its next turn
        world.loudness.strike("suspend")
    world.suspend(args["seconds"])
    after = world.session()
    slept_through = after != before and world.true.now().timestamp() >= after.closes
    world.tally.sometimes["개장과 마감을 걸친 절전"] += slept_through


def _clock_step(world: World, args: dict[str, Any]) -> None:
    """NTP, or somebody's hand; with ``open`` as soon as an order is open."""
    opens = any(order.rest for order in world.oracle.ours())
    if args.get("open") and not opens:  # waits until an order is open, or until the world is kind again
        healed = world.healed_at
        _later(world, 60.0, lambda: _clock_step(world, args) if world.healed_at == healed else None)
        return
    name = "주문 열린 채 시계 앞으로" if args["seconds"] > 0 else "주문 열린 채 시계 뒤로"
    world.tally.sometimes[name] += opens
    world.loudness.strike("clock_step")
    world.clock.step(args["seconds"])
    world.stepped_at = world.clock.monotonic()


def _clock_day_off(world: World, args: dict[str, Any]) -> None:
    """Somebody sets the wrong date, and hours later the right one."""
    world.day_off_at = world.clock.monotonic()
    _clock_step(world, args)
    _later(world, args["lasts"], lambda: _clock_step(world, {"seconds": -args["seconds"]}))


def _file_full(which: str) -> Callable[[World, dict[str, Any]], None]:
    def act(world: World, args: dict[str, Any]) -> None:
        path = getattr(world.settings, which).name
        world.disk.full.add(path)
        _later(world, args["lasts"], lambda: world.disk.full.discard(path))

    return act


def _ledger_broken(world: World, args: dict[str, Any]) -> None:
    """The process dies, and the database is garbage when it comes back; the owner adopts a while later."""
    world.before_restart.append(lambda: _spoil_database(world))
    world.tally.sometimes["장부 고장"] += 1
    world.loudness.strike("ledger_broken")
    world.border.tokens.database_lost()
    raise Crash("with the database")


def _spoil_database(world: World) -> None:
    path = world.settings.database_file
    world.journal.close()
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{suffix}")
    if path.exists():
        path.write_bytes(b"not a database" + path.read_bytes()[14:])
    world.owner.mends_after(1800.0)


def _halt(world: World, args: dict[str, Any]) -> None:
    path = world.settings.halt_file
    path.touch()
    world.halted_at = world.clock.monotonic()
    _later(world, args["lasts"], lambda: path.unlink(missing_ok=True))


def _twin_order(world: World, args: dict[str, Any]) -> None:
    """The owner orders, by the app or by another program, exactly what the daemon orders next."""
    world.twin = args["channel"]


def _cancel_race(world: World, args: dict[str, Any]) -> None:
    """The next order to be cancelled is filled while the cancellation is on its way."""
    world.races = True


def _owner_buys(world: World, args: dict[str, Any]) -> None:
    symbol = world.symbols[args["quantity"] % len(world.symbols)]
    _by_hand(world, symbol, args["quantity"], world.price(symbol))


def _by_hand(world: World, symbol: str, quantity: int, limit: Decimal) -> None:
    with suppress(Refused, ValueError):
        world.sim.place_foreign_order(symbol, "buy", quantity, limit.quantize(Decimal("0.01")))
        world.tally.sometimes["남의 주문"] += 1


def _owner_sells(world: World, args: dict[str, Any]) -> None:
    """The owner sells by the app what the daemon has bought, and adopts half an hour later."""
    held = [symbol for symbol, shares in world.owner.expected_shares().items() if shares > 0]
    if not held:
        return
    limit = (world.price(held[0]) * Decimal("0.95")).quantize(Decimal("0.01"))
    with suppress(Refused, ValueError):
        world.sim.place_foreign_order(held[0], "sell", world.owner.expected_shares()[held[0]], limit)
        world.owner.mends_after(1800.0)


def _deposit(world: World, args: dict[str, Any]) -> None:
    with suppress(ValueError):
        if world.sim.account().orderable() + args["amount"] > 0:
            world.sim.deposit(str(args["amount"]))


def _watchlist_broken(world: World, args: dict[str, Any]) -> None:
    world.settings.stocks_file.write_text('{"filter_stocks": {', "utf-8")
    _later(world, args["lasts"], world.owner.write_stocks)


def _price_jump(world: World, args: dict[str, Any]) -> None:
    for symbol in world.symbols:
        world.sim.pin(symbol, (world.price(symbol) * Decimal(str(args["factor"]))).quantize(Decimal("0.0001")))
    _later(world, args["lasts"], lambda: _let_prices_go(world))


def _let_prices_go(world: World) -> None:
    for symbol in world.symbols:
        if find_listing(symbol) is not None:
            world.sim.pin(symbol, None)


_ACTS: dict[str, Callable[[World, dict[str, Any]], None]] = {
    "token_dies": _token_dies,
    "token_stuck": _token_stuck,
    "token_expires": _token_expires,
    "file_deleted": _file_deleted,
    "file_garbage": _file_garbage,
    "file_foreign": _file_foreign,
    "other_program": _other_program,
    "kill": _kill,
    "kill_now": _kill_now,
    "kill_at_commit": _kill_at_commit,
    "restart": _restart,
    "suspend": _suspend,
    "sleep_through": _suspend,
    "clock_step": _clock_step,
    "clock_day_off": _clock_day_off,
    "ledger_full": _file_full("database_file"),
    "ledger_broken": _ledger_broken,
    "token_disk_full": _file_full("token_file"),
    "status_disk_full": _file_full("status_file"),
    "halt": _halt,
    "twin_order": _twin_order,
    "cancel_race": _cancel_race,
    "owner_buys": _owner_buys,
    "owner_sells": _owner_sells,
    "deposit": _deposit,
    "watchlist_broken": _watchlist_broken,
    "price_jump": _price_jump,
}
