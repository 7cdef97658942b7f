"""``python -m simulator``: the embedded broker alone, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from clock import SystemClock
from simulator.core import Simulator
from simulator.options import Options
from simulator.server import serve

_ENDS = {signal.SIGINT, signal.SIGTERM}


def main(arguments: list[str] | None = None) -> int:
    """Serve on 127.0.0.1 and say where: two lines, ``KIS <url>`` and ``YAHOO <url>``."""
    chosen = _parser().parse_args(arguments)
    for number in _ENDS:  # whoever started us may have had them ignored
        signal.signal(number, signal.SIG_DFL)
    # Blocked before any thread starts and then waited for: an Event that a handler sets can deadlock with its waiter.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    sim = Simulator(SystemClock(), chosen.profile, chosen.seed, chosen.store, Options(hours=chosen.hours))
    with serve(sim, port=chosen.port) as server:
        print(f"KIS {server.url}\nYAHOO {server.url}", flush=True)  # noqa: T201 - the command's output
        signal.sigwait(_ENDS)
    sim.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--profile", choices=("real", "paper"), default="real")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=1, help="makes the market")
    parser.add_argument("--store", type=Path, help="file that keeps tokens and accounts (sim.db)")
    parser.add_argument("--hours", choices=("always", "nyse"), default="always")
    return parser


if __name__ == "__main__":
    sys.exit(main())
