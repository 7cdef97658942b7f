"""What is listed where: well-known US tickers, and a rule for all others."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

EXCHANGES = ("NAS", "NYS", "AMS")  # KIS's quote codes; Arca ETFs belong to AMS (protocol §2.5)
ORDER_CODES = {"NAS": "NASD", "NYS": "NYSE", "AMS": "AMEX"}
MARKET_NAMES = {"NAS": "나스닥", "NYS": "뉴욕거래소", "AMS": "아멕스"}
PRODUCT_TYPES = {"NAS": "512", "NYS": "513", "AMS": "529"}

_TICKER = re.compile(r"[A-Z]{1,5}([./-][A-Z])?")
_UNKNOWN = ("ZZ", "NOPE")  # tickers with these beginnings are never listed

# symbol: starting price in USD, typical daily move in percent. Prices move from here; they need only be plausible.
_NASDAQ = """
AAPL 231 1.7, MSFT 452 1.5, NVDA 147 2.8, AMZN 219 1.9, GOOGL 178 1.9, GOOG 179 1.9, META 634 2.2, TSLA 318 3.6,
AVGO 246 2.6, COST 982 1.3, NFLX 1180 2.0, AMD 138 3.0, ADBE 388 2.0, CSCO 67 1.3, PEP 133 1.1, INTC 22 3.0,
QCOM 154 2.2, TXN 196 1.9, AMGN 279 1.4, INTU 758 1.8, PYPL 72 2.4, SBUX 92 1.9, MU 121 3.2, LRCX 94 2.8,
MRVL 74 3.6, ARM 155 3.6, SMCI 44 5.0, PANW 199 2.2, CRWD 492 2.7, ABNB 135 2.3, COIN 308 4.4, MSTR 382 5.0,
PLTR 141 3.9, SOFI 16 3.8, SOUN 10.4 5.2, RKLB 33 5.0, RIVN 14 4.0, LCID 2.2 4.6, HOOD 79 4.4, MARA 15 5.2,
RIOT 10 5.2, PLUG 1.3 6.0, RGTI 12 6.0, QUBT 18 6.0, ASTS 46 5.5, AFRM 66 4.2, DKNG 41 2.8, GRAB 4.8 2.6,
QQQ 536 1.2, TQQQ 76 3.6, SQQQ 22 3.6, TLT 87 0.9, NVOS 0.62 6.0
"""
_NYSE = """
SNOW 221 3.0, SMR 38 5.4, SES 1.1 6.0, OKLO 55 5.8, IONQ 42 5.2, JOBY 9.2 4.6, ACHR 10.6 4.8, BABA 116 2.8,
BRK.B 486 1.0, JPM 283 1.4, V 350 1.2, MA 553 1.2, WMT 97 1.2, UNH 304 2.2, XOM 109 1.5, JNJ 153 1.0,
KO 70 0.9, DIS 122 1.7, NKE 61 2.2, BA 201 2.1, F 10.7 2.0, GM 49 2.1, T 28 1.1, PFE 24 1.4,
BAC 47 1.6, C 82 1.8, ORCL 211 2.4, CRM 272 2.0, UBER 92 2.4, NIO 3.5 3.8, TSM 218 2.4, VRT 124 3.2
"""
_AMEX = """
SPY 607 1.1, SOXL 24 6.2, SOXS 8.6 6.2, VOO 558 1.1, IWM 214 1.5, DIA 430 1.0, GLD 306 1.1, XLK 249 1.5,
XLF 51 1.2, ARKK 66 3.0, SCHD 26.6 0.9, JEPI 56 0.7, UVXY 19 5.5, LABU 52 6.0, BURU 0.31 6.5, IMPP 2.9 3.6
"""


@dataclass(frozen=True)
class Listing:
    """One security: its only right exchange (a quote code), a starting price in USD, a typical daily move."""

    symbol: str
    exchange: str
    start: float
    daily_move: float  # standard deviation of a day's change, as a fraction

    @property
    def order_code(self) -> str:
        """The exchange's code in orders and account queries, such as NASD."""
        return ORDER_CODES[self.exchange]


def _table(exchange: str, text: str) -> dict[str, Listing]:
    rows = (row.split() for row in text.replace("\n", " ").split(","))
    return {name: Listing(name, exchange, float(start), float(move) / 100) for name, start, move in rows}


WELL_KNOWN = _table("NAS", _NASDAQ) | _table("NYS", _NYSE) | _table("AMS", _AMEX)


@lru_cache(maxsize=20_000)
def find_listing(symbol: str) -> Listing | None:
    """The listing of a ticker such as ``NVDA``, ``BRK/B`` (KIS) or ``BRK-B`` (Yahoo); None if nothing is listed so."""
    if not _TICKER.fullmatch(symbol) or symbol.startswith(_UNKNOWN):
        return None
    name = symbol.replace("/", ".").replace("-", ".")
    return WELL_KNOWN.get(name) or _made_up(name)


def _made_up(symbol: str) -> Listing:
    """A listing that depends on nothing but the ticker, so that every run of every process agrees on it."""
    digest = hashlib.blake2b(symbol.encode(), digest_size=8).digest()
    exchange = ("NAS", "NAS", "NAS", "NYS", "NYS", "NYS", "NYS", "AMS")[digest[0] % 8]
    start = round(4 * 100 ** (int.from_bytes(digest[1:3], "big") / 65535), 2)  # 4 to 400 dollars
    return Listing(symbol, exchange, start, 0.012 + 0.03 * digest[3] / 255)
