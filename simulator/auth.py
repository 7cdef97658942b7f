"""App keys, tokens and who gets a new one when (protocol §3). Instants are epoch seconds."""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import lru_cache

from clock import KST
from simulator.codes import token_refusal
from simulator.messages import Response, json_answer, parse_object
from simulator.options import Options
from simulator.store import Store

TOKEN_LIFE = 24 * 3600
SAME_TOKEN = 6 * 3600  # a second issue within this time returns the first token
ISSUE_GAP = 60  # not more than once a minute
KEY_LENGTH, SECRET_LENGTH = 36, 180
_TOKENS_KEPT = 5  # older ones are as good as never issued


@dataclass
class Token:
    """One access token; ``dead`` names the code it is refused with, empty while it is good."""

    text: str
    origin: str  # what the text is made from, together with the salt and the key
    issued: int
    expires: int
    dead: str = ""
    stuck: bool = False  # dead, but handed out again within six hours of its issue


@dataclass
class AppKey:
    """One key pair and the account it opened. Only hashes of key and secret are kept."""

    mark: str
    secret_mark: str
    account: str = ""  # CANO + ACNT_PRDT_CD, ten digits, once it was used
    serial: int = 0
    last_issue: float = float("-inf")
    tokens: list[Token] = field(default_factory=list)


@dataclass(frozen=True)
class Issuance:
    """One attempt to get a token. ``result``: ``new``, ``same``, an error code, or ``fault:<kind>``."""

    at: datetime
    key: str
    result: str
    token: str = ""  # the first letters of a hash of the token, never the token


@lru_cache(maxsize=256)
@lru_cache(maxsize=64)
def mark_of(secret: str) -> str:
    """A short fingerprint that is safe to keep and to show."""
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


class Auth:
    """The token server."""

    def __init__(self, seed: int, options: Options, store: Store) -> None:
        self.issuances: deque[Issuance] = deque(maxlen=5000)
        self._options = options
        self._store = store
        self._salt = _salt(store, seed)
        self._keys: dict[str, AppKey] = {}
        self._by_token: dict[str, tuple[AppKey, Token]] = {}
        for _, body in store.all("key"):
            self._remember(_key_from(body, self._salt))

    def issue(self, body: bytes, now: datetime) -> Response:
        """POST /oauth2/tokenP (§3.1)."""
        asked = parse_object(body)
        key_text, secret = str(asked.get("appkey") or ""), str(asked.get("appsecret") or "")
        problem = _request_problem(asked, key_text, secret) or self._pair_problem(key_text, secret)
        if problem:
            return self._refuse(key_text, problem, now)
        key = self.open(key_text, secret)
        if now.timestamp() - key.last_issue < ISSUE_GAP:
            return self._refuse(key_text, "EGW00133", now)
        token, result = self._token_for(key, now)
        key.last_issue = now.timestamp()
        self._save(key)
        self.issuances.append(Issuance(now, key.mark, result, mark_of(token.text)))
        return json_answer(
            {
                "access_token": token.text,
                "access_token_token_expired": datetime.fromtimestamp(token.expires, KST).strftime("%Y-%m-%d %H:%M:%S"),
                "token_type": "Bearer",
                "expires_in": TOKEN_LIFE,  # always the full day, even for the same old token: KIS's trap
            }
        )

    def note(self, body: bytes, result: str, now: datetime) -> None:
        """Record an attempt that never came to be judged."""
        key_text = str(parse_object(body).get("appkey") or "")
        self.issuances.append(Issuance(now, mark_of(key_text), result))

    def revoke(self, body: bytes) -> Response:
        """POST /oauth2/revokeP (§3.2)."""
        asked = parse_object(body)
        pair = self._pair_problem(str(asked.get("appkey") or ""), str(asked.get("appsecret") or ""))
        found = self._by_token.get(str(asked.get("token") or ""))
        if pair or found is None:
            return token_refusal(pair or "EGW00121")
        self._kill(*found, "EGW00121", stuck=self._options.dead_token_returns)
        return json_answer({"code": 200, "message": "접근토큰 폐기에 성공하였습니다"})

    def open(self, key_text: str, secret: str) -> AppKey:
        """The key pair's record; an unknown key opens an account."""
        mark = mark_of(key_text)
        key = self._keys.get(mark)
        if key is None:
            key = AppKey(mark, mark_of(secret))
            self._remember(key)
            self._save(key)
        return key

    def marks(self) -> list[str]:
        """The marks of all app keys that came by, in the order of their coming."""
        return list(self._keys)

    def keys(self, key_text: str, secret: str) -> AppKey | None:
        """The record of the pair in the headers of a business call; None if the pair is not valid."""
        if self._pair_problem(key_text, secret):
            return None
        return self.open(key_text, secret)

    def token_problem(self, key: AppKey, authorization: str, now: float) -> str:
        """Why a business call is refused: a code, or nothing."""
        if not authorization.startswith("Bearer "):
            return "EGW00205"
        found = self._by_token.get(authorization.removeprefix("Bearer ").strip())
        if found is None or found[0] is not key:
            return "EGW00121"
        token = found[1]
        return token.dead or ("EGW00123" if now >= token.expires else "")

    def kill_all(self, code: str, *, stuck: bool) -> None:
        """Every live token is refused with ``code`` from now on."""
        for key in self._keys.values():
            for token in key.tokens:
                if not token.dead:
                    self._kill(key, token, code, stuck=stuck)

    def release_all(self) -> None:
        """No dead token is handed out again."""
        for key in self._keys.values():
            for token in key.tokens:
                token.stuck = False
            self._save(key)

    def expire_all(self, now: float) -> None:
        """Every live token is past its end from now on, as if its day were over."""
        for key in self._keys.values():
            for token in key.tokens:
                token.expires = min(token.expires, int(now))
                token.issued = min(token.issued, int(now) - SAME_TOKEN)
            self._save(key)

    def use_account(self, key: AppKey, account: str) -> bool:
        """Bind the key to the first account number it comes with; False for any other later."""
        if not key.account:
            key.account = account
            self._save(key)
        return key.account == account

    def _token_for(self, key: AppKey, now: datetime) -> tuple[Token, str]:
        last = key.tokens[-1] if key.tokens else None
        if last is not None and now.timestamp() < last.issued + SAME_TOKEN and (not last.dead or last.stuck):
            return last, "same"
        if self._options.old_token_dies:
            for token in key.tokens:
                token.dead = token.dead or "EGW00123"
        key.serial += 1
        issued = int(now.timestamp())
        origin = f"{key.serial}:{issued}"  # a broker that lost its memory must not hand out an old text again
        token = Token(_token_text(self._salt, key.mark, origin), origin, issued, issued + TOKEN_LIFE)
        key.tokens.append(token)
        self._by_token[token.text] = (key, token)
        for old in key.tokens[:-_TOKENS_KEPT]:
            del self._by_token[old.text]
        del key.tokens[:-_TOKENS_KEPT]
        return token, "new"

    def _refuse(self, key_text: str, code: str, now: datetime) -> Response:
        self.issuances.append(Issuance(now, mark_of(key_text), code))
        return token_refusal(code)

    def _pair_problem(self, key_text: str, secret: str) -> str:
        if len(key_text) != KEY_LENGTH:
            return "EGW00103" if key_text else "EGW00102"
        if len(secret) != SECRET_LENGTH:
            return "EGW00105" if secret else "EGW00104"
        known = self._keys.get(mark_of(key_text))
        return "EGW00105" if known is not None and known.secret_mark != mark_of(secret) else ""

    def _kill(self, key: AppKey, token: Token, code: str, *, stuck: bool) -> None:
        token.dead, token.stuck = code, stuck
        self._save(key)

    def _remember(self, key: AppKey) -> None:
        self._keys[key.mark] = key
        self._by_token |= {token.text: (key, token) for token in key.tokens}

    def _save(self, key: AppKey) -> None:
        """On disk before the answer leaves; the tokens' texts are made again from the salt."""
        body = asdict(key)
        body["tokens"] = [{**asdict(token), "text": ""} for token in key.tokens]
        body["last_issue"] = None if key.last_issue == float("-inf") else key.last_issue
        self._store.put("key", key.mark, body)


def _request_problem(asked: dict[str, object], key_text: str, secret: str) -> str:
    if not asked:
        return "EGW00101"
    grant = asked.get("grant_type")
    if grant != "client_credentials":
        return "EGW00116" if grant else "EGW00115"
    return ""


def _salt(store: Store, seed: int) -> str:
    """What token texts are made from: fixed when the memory begins, so that tokens survive a restart."""
    for _, body in store.all("salt"):
        return str(body["salt"])
    salt = f"{seed}"
    store.put("salt", "salt", {"salt": salt})
    return salt


def _key_from(body: dict[str, object], salt: str) -> AppKey:
    fields = dict(body)
    tokens = fields.pop("tokens")
    last = fields.pop("last_issue")
    assert isinstance(tokens, list)
    key = AppKey(**fields, last_issue=float("-inf") if last is None else float(str(last)))  # type: ignore[arg-type]
    key.tokens = [Token(**{**token, "text": _token_text(salt, key.mark, token["origin"])}) for token in tokens]
    return key


def _token_text(salt: str, key: str, origin: str) -> str:
    """Looks like KIS's: a JWT of 346 characters. The same salt, key and origin give the same text."""
    digest = hashlib.sha512(f"{salt}:{key}:{origin}".encode()).digest()
    stream = hashlib.shake_256(digest).digest(300)
    head = base64.urlsafe_b64encode(b'{"typ":"JWT","alg":"HS512"}').decode().rstrip("=")
    letters = base64.urlsafe_b64encode(stream).decode().replace("-", "x").replace("_", "y")
    return f"{head}.{letters[: 346 - len(head) - 2 - 86]}.{letters[-86:]}"
