"""What leaves for the owner's phone: alerts through apprise (NOTIFY_URLS) and the pings of a working daemon."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from urllib.parse import urlsplit

import requests

from alarms.outbox import Outbox
from alerts import Alert, AlertHandler
from clock import Clock, DeadlineExceeded
from logs import Redactor, Repeats

logger = logging.getLogger("notify")

TITLE = "AutoStock"
LONGEST = 10.0  # seconds for one message to one address; apprise's own time-outs do not bound a body that drips in
PING_TIMES = (3.0, 3.0)  # seconds to connect, without a byte
LAST_WORDS = 2.0  # seconds that the end of the process waits for what is still to be sent
END_WITHIN = 3.5  # seconds after the signal in which that must be over (the process is to end within five)
SHORTEST_SECRET = 8  # characters; shorter pieces of an address are words and numbers of everyday lines
MOST_TEXT = 1500  # characters; chat services cut or refuse longer messages


class Destination:
    """One address that is told things: one call at a time, cut off after some seconds."""

    def __init__(self, clock: Clock, call: Callable[[str], bool]) -> None:
        self._clock = clock
        self._call = call
        self._busy = False

    def tell(self, text: str) -> str | None:
        """Send it, once. None, or a short Korean reason why it may not have arrived."""
        if self._busy:
            return "지난 요청이 아직 끝나지 않음"
        self._busy = True
        try:
            arrived = self._clock.within(LONGEST, lambda: self._tell(text))
        except DeadlineExceeded:
            return f"{LONGEST:.0f}초 안에 답이 없음"
        return None if arrived else "닿지 않거나 거부됨"

    def _tell(self, text: str) -> bool:
        try:
            return self._call(text)
        finally:
            self._busy = False


class Messenger:
    """Sends a text to every address of NOTIFY_URLS; loads apprise (half a second) with the first one.

    Not for several threads.
    """

    def __init__(self, urls: Sequence[str], clock: Clock) -> None:
        self._urls = urls
        self._clock = clock
        self._destinations: list[tuple[str, Destination | None]] | None = None

    def send(self, text: str) -> dict[str, str | None]:
        """For each address, by number and kind as it may be shown: None, or why it may not have arrived."""
        if self._destinations is None:
            self._destinations = [
                (f"{number}번째({urlsplit(url).scheme})", self._destination(url))
                for number, url in enumerate(self._urls, 1)
            ]
        return {
            name: destination.tell(text[:MOST_TEXT]) if destination else "apprise가 모르는 주소: README의 예를 보세요"
            for name, destination in self._destinations
        }

    def _destination(self, url: str) -> Destination | None:
        import apprise

        logging.getLogger("apprise").disabled = True  # it would log the whole address of one that it does not know
        # No threads of its own: they would hold the end of the process. What is too slow is cut off here.
        channel = apprise.Apprise(asset=apprise.AppriseAsset(service_timeout=0, allow_templates=False))
        channel.asset.async_mode = False
        if not channel.add(url):
            return None
        body_format = apprise.NotifyFormat.TEXT
        return Destination(self._clock, lambda text: bool(channel.notify(text, title=TITLE, body_format=body_format)))


def send_test(urls: Sequence[str], clock: Clock) -> str | None:
    """One message to every address, now. None, or which may not have got it and why."""
    failures = Messenger(urls, clock).send("시험 알림입니다. 이 알림이 보이면 잘 된 것입니다.")
    return " · ".join(f"NOTIFY_URLS {name}: {why}" for name, why in failures.items() if why) or None


def ping(url: str) -> bool:
    """One GET; a redirect is no success and is not followed. False when it failed."""
    try:
        with requests.get(url, timeout=PING_TIMES, allow_redirects=False, stream=True) as answer:
            return 200 <= answer.status_code < 300
    except requests.RequestException:
        return False


class Outside:
    """Everything that a running daemon tells the world: marked log lines and pings, from one thread of their own.

    As a context it also tells of an end that nobody wanted. Without addresses it does nothing and starts nothing.
    """

    def __init__(self, urls: Sequence[str], ping_url: str | None, clock: Clock, redactor: Redactor) -> None:
        self._clock = clock
        self._repeats = Repeats(clock)
        self._messenger = Messenger(urls, clock)
        self._ping = Destination(clock, lambda _: ping(ping_url)) if ping_url else None
        self._outbox = Outbox() if urls or ping_url else None
        self._handler = AlertHandler(self._send, redactor, clock) if urls else None
        for url in (*urls, ping_url or ""):
            for secret in secrets_of(url):
                redactor.add(secret)

    def pulse(self) -> None:
        """Ping HEALTHCHECK_URL soon. Returns at once."""
        if self._outbox is not None and self._ping is not None:
            self._outbox.put(self._ping_now)

    def __enter__(self) -> Outside:
        """From now on marked lines are sent, also those below LOG_LEVEL."""
        if self._handler is not None:
            root = logging.getLogger()
            for handler in root.handlers:
                handler.setLevel(root.level)
            root.setLevel(min(root.level, logging.INFO))
            root.addHandler(self._handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send what waits, for a moment."""
        if self._outbox is None:
            return
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            if kind is not None:
                self._send(f"{Alert.STOPPED.value} · 오류로 종료합니다 ({kind.__name__}): 로그를 보세요")
        self._outbox.close(self._last_words())

    def _last_words(self) -> float:
        since = self._handler.stopping_since if self._handler else None
        return LAST_WORDS if since is None else since + END_WITHIN - self._clock.monotonic()

    def _send(self, text: str) -> None:
        assert self._outbox is not None
        self._outbox.put(lambda: self._send_now(text))

    def _send_now(self, text: str) -> None:
        for name, failure in self._messenger.send(text).items():
            self._note(f"NOTIFY_URLS {name}", "알림을 보내지 못함", failure)
        assert self._outbox is not None
        if lost := self._outbox.take_dropped():
            logger.warning("NOTIFY_URLS 알림이 밀려 오래된 %d개를 버렸습니다", lost)

    def _ping_now(self) -> None:
        assert self._ping is not None
        self._note("HEALTHCHECK_URL", "부르지 못함", self._ping.tell(""))

    def _note(self, name: str, what: str, failure: str | None) -> None:
        """In the log, folded, and never marked: an alert about alerts would go round in circles."""
        if failure is None:
            self._repeats.forget(name)
        elif line := self._repeats.admit(name, f"{name} {what} ({failure})"):
            logger.warning("%s", line)


def secrets_of(url: str) -> Iterator[str]:
    """The pieces of an address that let others use it: all but scheme, host name and short words."""
    parts = urlsplit(url)
    if parts.password:
        yield parts.password
    host = parts.hostname or ""
    for piece in re.split(r"[/@?&=:,]+", url.partition("://")[2]):
        if len(piece) >= SHORTEST_SECRET and not ("." in host and piece.casefold() == host):
            yield piece
