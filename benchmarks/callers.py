"""Three ways to one quote, each in a process of its own: ``python -m benchmarks.callers KIND URL BUNDLE``.

Asked a number, a caller gets so many quotes and answers the seconds that each took.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.kis import SYMBOL, PlainClient, key_pair
from benchmarks.workers import answer

Quote = Callable[[], dict[str, Any]]


@contextmanager
def ours(url: str, bundle: Path) -> Iterator[Quote]:
    """``BrokerSet.fetch_price`` with the daemon's own transport, limiter and token manager."""
    from benchmarks.daemons import daemon_at, settings_for, trusting
    from kis_broker import Access, BrokerSet

    settings = settings_for(Path.cwd(), url)
    with daemon_at(settings, trusting(bundle)) as daemon:
        access = Access(
            base_url=url,
            app_key=settings.kis_app_key,
            app_secret=settings.kis_app_secret,
            account=settings.kis_account,
            paper=False,
            bearer=daemon.tokens.bearer,
        )
        brokers = BrokerSet(access, daemon.api.transport)
        yield lambda: brokers.fetch_price("나스닥", SYMBOL)


@contextmanager
def stock(url: str, bundle: Path) -> Iterator[Quote]:
    """mojito2 as it is: only the address is another, and its CA bundle comes in by REQUESTS_CA_BUNDLE."""
    import mojito
    import mojito.koreainvestment
    import requests

    class Elsewhere(mojito.KoreaInvestment):
        def set_base_url(self, mock: bool = True) -> None:
            self.base_url = url

    assert mojito.koreainvestment.requests is requests, "mojito2 is patched"
    broker = Elsewhere(*key_pair("S"), "12345678-01", "나스닥", False)
    yield lambda: broker.fetch_price(SYMBOL)


@contextmanager
def pooled(url: str, bundle: Path) -> Iterator[Quote]:
    """One open session and nothing else."""
    client = PlainClient(url, bundle, "P")
    client.issue()
    yield client.quote


KINDS = {"ours": ours, "stock": stock, "pooled": pooled}


def main(kind: str, url: str, bundle: Path) -> None:
    """Answer until the input ends."""
    with KINDS[kind](url, bundle) as quote:
        answer(kind, lambda count: [_timed(quote) for _ in range(count)])


def _timed(quote: Quote) -> float:
    started = time.perf_counter()
    body = quote()
    seconds = time.perf_counter() - started
    assert body["rt_cd"] == "0", body
    return seconds


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
