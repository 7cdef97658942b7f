"""KIS as somebody without our daemon asks it: plain requests over one pooled session."""

from __future__ import annotations

from pathlib import Path

import requests

SYMBOL = "NVDA"
QUOTE_PATH = "/uapi/overseas-price/v1/quotations/price"


class PlainClient:
    """A ``requests.Session`` that stays open, and nothing around it: the floor."""

    def __init__(self, url: str, bundle: Path, letter: str) -> None:
        self.url, (self._key, self._secret) = url, key_pair(letter)
        self.token = ""
        self.session = requests.Session()
        self.session.trust_env = False  # no look at proxies and .netrc: the floor is as low as it can be
        self.session.verify = str(bundle)

    def issue(self) -> None:
        """Ask for a token and use it from now on."""
        body = {"grant_type": "client_credentials", "appkey": self._key, "appsecret": self._secret}
        self.token = self.session.post(f"{self.url}/oauth2/tokenP", json=body).json()["access_token"]

    def quote(self) -> dict[str, object]:
        """The answer, good or refused, to the request that mojito2 makes."""
        headers = {
            "content-type": "application/json",
            "authorization": f"Bearer {self.token}",
            "appKey": self._key,
            "appSecret": self._secret,
            "tr_id": "HHDFS00000300",
        }
        params = {"AUTH": "", "EXCD": "NAS", "SYMB": SYMBOL}
        answer: dict[str, object] = self.session.get(self.url + QUOTE_PATH, headers=headers, params=params).json()
        return answer

    def revoke_all(self) -> None:
        """KIS kills every token now."""
        self.session.post(f"{self.url}/sim/revoke").raise_for_status()


def key_pair(letter: str) -> tuple[str, str]:
    """An app key and its secret, of the right lengths."""
    return letter * 36, letter * 180
