"""The embedded broker in a process of its own, over TLS: ``python -m benchmarks.server CERTIFICATE LATENCY LIMITS``.

LATENCY is in seconds before each answer; with LIMITS of 1 calls that come too fast are refused as KIS does. The
server says its address. A number is seconds by which its clock is pushed.
"""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

from benchmarks.clocks import PushedClock
from benchmarks.workers import answer
from simulator import Options, Simulator
from simulator.server import serve


def main(certificate: Path, latency: float, limits: bool) -> None:
    """Serve until the input ends."""
    clock = PushedClock()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    sim = Simulator(clock, options=Options(latency=latency, rate_limit=limits))
    with serve(sim, ssl_context=context) as server:
        answer(server.url, clock.push)
    sim.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "1")
