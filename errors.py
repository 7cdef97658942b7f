"""What can go wrong, named by what the caller should do about it.

AutoStockError
├── SettingsError          a person must mend .env or a file; the process ends with status 2
├── AlreadyRunning         another instance holds this account; status 3
├── Stopping               the daemon is ending: unwind, ask nothing more
├── BrokersNotMade         the old brokers stay; try again at the next check
├── PriceUnknown           this source has no price for the symbol just now: ask the next source
│   └── PricesUnreachable  the whole source is silent or refuses everybody: leave it alone for a while
└── KISError               the broker, or the road to it
    ├── TokenUnavailable   there is no usable token just now; KIS is not asked
    ├── NoAnswer           nothing usable came back; a read may be asked again, an order never
    └── KISRefusal         KIS itself answered with an error (code and message)
        ├── TokenRejected  recover once, then ask again
        ├── RateLimited    surely not processed; ask later
        └── WrongKeys      the key pair itself is refused; a person must mend .env
"""

from __future__ import annotations


class AutoStockError(Exception):
    """The root of everything this program raises on purpose."""


class SettingsError(AutoStockError):
    """Settings or keys are wrong; ``problems`` holds one Korean sentence for each, all of them at once."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class AlreadyRunning(AutoStockError):
    """Another process trades this account."""


class Stopping(AutoStockError):
    """The daemon is ending."""


class BrokersNotMade(AutoStockError):
    """New brokers could not be made; the message says why."""


class PriceUnknown(AutoStockError):
    """This source has no price for the symbol; the message is a short Korean reason."""


class PricesUnreachable(PriceUnknown):
    """The source as a whole gives nothing just now (silent, refused, rate limit)."""


class KISError(AutoStockError):
    """KIS, or the road to it; the message is a short reason without secrets."""


class TokenUnavailable(KISError):
    """No usable token. ``retry_after`` is the number of seconds until an issuance may be tried."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class NoAnswer(KISError):
    """Refused, reset, silent, too slow, or a body that is not KIS's. Nothing is known about what KIS did.

    ``status`` is the HTTP status where at least that came.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class KISRefusal(KISError):
    """KIS answered, and the answer is an error."""

    def __init__(self, code: str, message: str, status: int = 200) -> None:
        super().__init__(f"{code} {message}".strip())
        self.code = code
        self.message = message
        self.status = status


class TokenRejected(KISRefusal):
    """KIS names the token as the trouble; ``mark`` is the fingerprint of the token that was sent."""

    mark: str = ""


class RateLimited(KISRefusal):
    """A call limit (EGW00201, EGW00215); KIS has not processed the request."""


class WrongKeys(KISRefusal):
    """The app key or secret is not valid (EGW00102 to EGW00105, EGW00304)."""
