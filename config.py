"""Settings: every name of `.env` and the environment, checked once, frozen, all mistakes told at once.

The environment wins over `.env`; a blank value is no value. Texts for the owner are Korean and never show a secret.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import time
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from dotenv.parser import Binding, parse_stream

import setting_values as value
from errors import SettingsError
from setting_values import WrongValue

LOG_LEVEL = "INFO"
LOG_FILE = "trading.log"
LOG_MAX_BYTES = 10 * 1024 * 1024
LOG_BACKUP_COUNT = 5

Mode = Literal["sim", "paper", "real"]
KEY_LENGTH, SECRET_LENGTH = 36, 180  # what KIS hands out (protocol §2)
KIS_HOSTS = {
    "real": "https://openapi.koreainvestment.com:9443",
    "paper": "https://openapivts.koreainvestment.com:29443",
}
CALLS_PER_SECOND = {"sim": 15.0, "real": 15.0, "paper": 0.8}
REGULAR_OPEN, REGULAR_CLOSE = time(9, 30), time(16)  # New York
KIS_LIMITS = {"sim": 18, "real": 18, "paper": 1}  # calls a second; more is refused with EGW00201 (protocol §4)

# What the embedded broker gets instead of the owner's keys. Hashes, because the log masks every piece of them: words
# or round numbers would make it mask innocent lines.
SIM_APP_KEY = hashlib.sha256(b"autostock embedded broker, key").hexdigest()[:KEY_LENGTH]
SIM_APP_SECRET = (
    hashlib.sha512(b"autostock embedded broker, secret 1").hexdigest()
    + hashlib.sha512(b"autostock embedded broker, secret 2").hexdigest()
)[:SECRET_LENGTH]
SIM_ACCOUNT = "73914682-01"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything the owner may set, as values. ``load`` makes one; ``dataclasses.replace`` a changed copy."""

    kis_mode: Mode
    kis_app_key: str = field(repr=False)
    kis_app_secret: str = field(repr=False)
    kis_account: str = field(repr=False)  # 12345678-01
    kis_real_confirm: str = field(repr=False)
    kis_base_url: str | None  # None: the embedded broker, whose address is known when it runs
    yahoo_base_url: str | None  # None: Yahoo itself; in sim the embedded one
    kis_calls_per_second: float

    data_dir: Path  # absolute
    stocks_file: Path  # absolute; a relative one is looked for in the current folder
    log_level: str
    log_file: str  # a path in data_dir
    log_max_bytes: int  # 0: never rotated
    log_backup_count: int  # 0: never rotated

    token_check_minutes: float
    broker_reinit_hours: float
    token_renew_margin_minutes: float
    price_cache_seconds: float
    watch_interval_seconds: float
    sell_interval_minutes: float
    buy_interval_minutes: float
    order_timeout_minutes: float

    strategy: str | None  # package.module:Class; None: the built-in one
    profit_threshold_pct: Decimal
    min_profit_pct: Decimal
    stop_loss_pct: Decimal  # 0: none
    sell_scope: Literal["own", "account"]
    check_previous_sell_price: bool
    max_buy_orders_per_day: int  # 0: no cap
    max_buy_usd_per_day: Decimal  # 0: no cap
    daily_loss_limit_pct: Decimal  # 0: no cap
    trading_start_time: time | None  # New York
    trading_end_time: time | None  # New York
    sim_hours: Literal["always", "nyse"]

    notify_urls: tuple[str, ...] = field(repr=False)
    healthcheck_url: str | None = field(repr=False)

    warnings: tuple[str, ...] = ()  # Korean; for the log, once it is there

    @classmethod
    def load(cls, env: Mapping[str, str], env_file: Path | None) -> Settings:
        """The settings of this environment and this file (which need not exist).

        Raises SettingsError with every problem found, each naming its setting and where it was written.
        """
        draft = _Draft()
        if env_file is not None:
            _read_file(env_file, draft)
        _read_environment(env, draft)
        draft.parse()
        _settle_access(draft)
        _settle_kis(draft)
        _compare(draft)
        if draft.problems:
            raise SettingsError(*draft.problems)
        return cls(**draft.values, warnings=tuple(draft.warnings))

    @property
    def cano(self) -> str:
        """The eight-digit account number."""
        return self.kis_account[:8]

    @property
    def acnt_prdt_cd(self) -> str:
        """The two-digit product code behind the account number."""
        return self.kis_account[-2:]

    @property
    def key_mark(self) -> str:
        """A fingerprint of the app key that may be logged and stored."""
        return _mark(self.kis_app_key)

    @property
    def account_mark(self) -> str:
        """A fingerprint of mode and account: names the lock, marks the database."""
        return _mark(f"{self.kis_mode}:{self.kis_account}")

    @property
    def token_file(self) -> Path:
        """api_token.json."""
        return self.data_dir / "api_token.json"

    @property
    def database_file(self) -> Path:
        """autostock-{mode}.db."""
        return self.data_dir / f"autostock-{self.kis_mode}.db"

    @property
    def sim_database_file(self) -> Path:
        """The embedded broker's own memory."""
        return self.data_dir / "sim.db"

    @property
    def status_file(self) -> Path:
        """status.json."""
        return self.data_dir / "status.json"

    @property
    def halt_file(self) -> Path:
        """HALT, which the owner makes to stop new buys."""
        return self.data_dir / "HALT"

    @property
    def report_dir(self) -> Path:
        """The folder of the morning reports."""
        return self.data_dir / "report"

    @property
    def log_path(self) -> Path:
        """The log file."""
        return self.data_dir / self.log_file


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# All settings


@dataclass(frozen=True)
class _Rule:
    default: str  # as the owner would write it; blank: the value is ``blank`` until somebody settles it
    parse: Callable[[str], object]
    blank: object = None
    secret: bool = False


_HOUR, _MINUTE, _SECOND = 3600, 60, 1
_RULES: dict[str, _Rule] = {
    "KIS_MODE": _Rule("sim", value.one_of("sim", "paper", "real")),
    "KIS_APP_KEY": _Rule("", value.credential, secret=True),
    "KIS_APP_SECRET": _Rule("", value.credential, secret=True),
    "KIS_ACCOUNT": _Rule("", value.account, secret=True),
    "KIS_REAL_CONFIRM": _Rule("", str, blank="", secret=True),
    "KIS_BASE_URL": _Rule("", value.base_url, secret=True),
    "YAHOO_BASE_URL": _Rule("", value.base_url, secret=True),
    "KIS_CALLS_PER_SECOND": _Rule("", value.rate),
    "DATA_DIR": _Rule(".", value.path),
    "STOCKS_FILE": _Rule("stocks_config.json", value.path),
    "LOG_LEVEL": _Rule(LOG_LEVEL, value.one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
    "LOG_FILE": _Rule(LOG_FILE, value.log_file),
    "LOG_MAX_BYTES": _Rule(str(LOG_MAX_BYTES), value.count()),
    "LOG_BACKUP_COUNT": _Rule(str(LOG_BACKUP_COUNT), value.count(most="1000")),
    "TOKEN_CHECK_MINUTES": _Rule("30", value.interval(_MINUTE)),
    "BROKER_REINIT_HOURS": _Rule("6", value.interval(_HOUR)),
    "TOKEN_RENEW_MARGIN_MINUTES": _Rule("10", value.interval(_MINUTE, 12 * _HOUR, " (토큰의 수명은 하루입니다)")),
    "PRICE_CACHE_SECONDS": _Rule("60", value.interval(_SECOND)),
    "WATCH_INTERVAL_SECONDS": _Rule("60", value.interval(_SECOND)),
    "SELL_INTERVAL_MINUTES": _Rule("30", value.interval(_MINUTE)),
    "BUY_INTERVAL_MINUTES": _Rule("60", value.interval(_MINUTE)),
    "ORDER_TIMEOUT_MINUTES": _Rule("20", value.interval(_MINUTE, 3 * _HOUR, " (가장 짧은 장이 3시간 30분입니다)")),
    "STRATEGY": _Rule("", value.strategy),
    "PROFIT_THRESHOLD_PCT": _Rule("5", value.amount(most="1000")),
    "MIN_PROFIT_PCT": _Rule("1.5", value.amount(most="1000")),
    "STOP_LOSS_PCT": _Rule("0", value.amount(most="100")),
    "SELL_SCOPE": _Rule("own", value.one_of("own", "account")),
    "CHECK_PREVIOUS_SELL_PRICE": _Rule("true", value.boolean),
    "MAX_BUY_ORDERS_PER_DAY": _Rule("10", value.count()),
    "MAX_BUY_USD_PER_DAY": _Rule("0", value.amount()),
    "DAILY_LOSS_LIMIT_PCT": _Rule("5", value.amount(most="100")),
    "TRADING_START_TIME": _Rule("", value.wall_time),
    "TRADING_END_TIME": _Rule("", value.wall_time),
    "SIM_HOURS": _Rule("always", value.one_of("always", "nyse")),
    "NOTIFY_URLS": _Rule("", value.notify_urls, blank=(), secret=True),
    "HEALTHCHECK_URL": _Rule("", value.ping_url, secret=True),
}
DEFAULTS: Mapping[str, str] = {name: rule.default for name, rule in _RULES.items()}  # as one writes them in .env
_ACCESS = {  # what paper and real cannot do without
    "KIS_APP_KEY": f"KIS Developers의 앱키, {KEY_LENGTH}자",
    "KIS_APP_SECRET": f"KIS Developers의 시크릿, {SECRET_LENGTH}자",
    "KIS_ACCOUNT": "계좌번호, 12345678-01 꼴",
}


# Settings on their way

ENVIRONMENT = "환경변수"


@dataclass(frozen=True)
class _Entry:
    """What was written for one name, and where."""

    text: str = field(repr=False)
    where: str  # "환경변수" or ".env 3번째 줄"


class _Draft:
    """What was written, what it means so far, and every problem met on the way."""

    def __init__(self) -> None:
        self.entries: dict[str, _Entry] = {}
        self.values: dict[str, Any] = {}
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.half_read: set[str] = set()  # names on a line that could not be read: not missing, and already told
        self.open_file: str | None = None  # a settings file that other users can read

    def wrong(self, name: str, what: str) -> None:
        """Note a problem with ``name``; the value is shown where that cannot give a secret away."""
        entry = self.entries.get(name)
        if entry is None:
            self.problems.append(f"{name}: {what}")
        else:
            self.problems.append(f"{name} ({entry.where}): {self._shown(name, entry.text)}{what}")

    def parse(self) -> None:
        """Turn every text that means the same in every mode into its value."""
        for name in _RULES:
            if name not in _ACCESS and name not in self.half_read:
                self.interpret(name)

    def interpret(self, name: str) -> None:
        """The value of one name, or a problem."""
        rule, entry = _RULES[name], self.entries.get(name)
        text = entry.text if entry else rule.default
        try:
            self.values[name.lower()] = rule.parse(_unquoted(text)) if text else rule.blank
        except WrongValue as exc:
            self.wrong(name, str(exc))

    def _shown(self, name: str, text: str) -> str:
        """``'papper' → ``, or nothing where somebody may have pasted a secret into the wrong line."""
        secrets = [self.entries[other].text for other, rule in _RULES.items() if rule.secret and other in self.entries]
        resembles_a_secret = len(text) > 16 or re.search(r"\d{8}", text)
        part_of_one = len(text) >= 4 and any(text in secret or secret in text for secret in secrets)
        if _RULES[name].secret or resembles_a_secret or part_of_one:
            return ""
        return f"{text!r} → "


def _unquoted(text: str) -> str:
    """The text, unless a quotation mark stands where the file format does not take it away (docker, half a pair)."""
    if text.strip("\"'“”‘’") != text:
        raise WrongValue("값의 앞이나 뒤에 따옴표가 남아 있습니다. 따옴표 없이 쓰세요.")
    return text


def _read_environment(env: Mapping[str, str], draft: _Draft) -> None:
    for name, text in env.items():
        if name in _RULES and text.strip():
            draft.entries[name] = _Entry(text.strip(), ENVIRONMENT)
            draft.half_read.discard(name)
        elif name.startswith("KIS_") and name not in _RULES:
            draft.problems.append(
                f"{name} ({ENVIRONMENT}): 모르는 이름입니다.{_nearest(name)} 쓰지 않으면: unset {name}"
            )


def _read_file(path: Path, draft: _Draft) -> None:
    try:
        data = path.read_bytes()
        draft.open_file = str(path) if path.stat().st_mode & 0o077 else None
    except FileNotFoundError:
        return
    except OSError as exc:
        draft.problems.append(f"{path}: 읽을 수 없습니다 ({exc.strerror}).")
        return
    text, problem = decode_text(data)
    if problem:
        draft.problems.append(f"{path} {problem}")
    # Line by line, because no setting goes over two: half a pair of quotation marks must not swallow its neighbours.
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        for binding in parse_stream(io.StringIO(line)):
            _read_binding(binding, f"{path} {number}번째 줄", draft)


def _read_binding(binding: Binding, where: str, draft: _Draft) -> None:
    line = binding.original.string
    name = binding.key
    if binding.error or (name is not None and binding.value is None):
        _read_nothing(line, where, draft)
    elif name in _RULES:
        _read_entry(name, (binding.value or "").strip(), where, draft)
    elif name is not None:
        # A secret that was pasted without its name must not be shown as one.
        tellable = _nearest(name) or re.fullmatch(r"[A-Z][A-Z_]{0,31}", name)
        shown = f"{name} ({where})" if tellable else where
        draft.problems.append(f"{shown}: 모르는 이름입니다.{_nearest(name)}")


def _read_nothing(line: str, where: str, draft: _Draft) -> None:
    """A line that python-dotenv drops. Its text may be a secret; a name before a ``=`` may be told if it is ours."""
    name = line.partition("=")[0].removeprefix("export ").strip()
    if name in _RULES:
        draft.half_read.add(name)
        where = f"{name} ({where})"
    quoted = "'" in line or '"' in line
    what = "따옴표가 짝이 맞지 않습니다. 따옴표 없이" if quoted else "'이름=값' 꼴이 아닙니다."
    draft.problems.append(f"{where}: {what} KIS_MODE=paper 처럼 쓰세요.")


def _read_entry(name: str, text: str, where: str, draft: _Draft) -> None:
    if not text:
        return
    if name in draft.entries:
        draft.problems.append(f"{name} ({where}): {draft.entries[name].where}에도 있습니다. 한 줄만 남기세요.")
    draft.entries[name] = _Entry(text, where)


def _nearest(name: str) -> str:
    near = get_close_matches(name.upper(), _RULES, n=1)
    return f" 혹시 {near[0]} 아닌가요?" if near else ""


def decode_text(data: bytes) -> tuple[str, str | None]:
    """The text of a file that a person edits, and what is wrong with its encoding: a Korean sentence with the line.

    A wrongly encoded text comes back as the best guess, so that the rest of it can still be checked.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace"), _encoding_problem(b"", "UTF-16으로 보입니다")
    try:
        text = data.decode("utf-8-sig")
        before, _, damaged = data.partition(b"\0")
        return text, _encoding_problem(before, "글자가 아닌 값이 섞여 있습니다") if damaged else None
    except UnicodeDecodeError as exc:
        before = exc.object[: exc.start]  # not ``data``: that may begin with a BOM
    try:
        return data.decode("cp949"), _encoding_problem(before, "CP949, 메모장의 ANSI로 보입니다")
    except UnicodeDecodeError:
        return data.decode(errors="replace"), _encoding_problem(before, "깨진 글자가 있습니다")


def _encoding_problem(before: bytes, guess: str) -> str:
    line = before.count(b"\n") + 1
    return f"{line}번째 줄: UTF-8이 아닙니다 ({guess}). 편집기에서 인코딩을 UTF-8로 바꾸어 다시 저장하세요."


# What depends on more than one setting


def _settle_access(draft: _Draft) -> None:
    """Key, secret, account and the word for real money, as the mode wants them."""
    mode = draft.values.get("kis_mode")
    if mode == "sim":
        _settle_sim(draft)
        return
    for name, meaning in _ACCESS.items():
        if name in draft.entries:
            draft.interpret(name)
        elif mode and name not in draft.half_read:
            draft.wrong(name, f"{mode} 모드에 필요합니다. .env에 {name}=… 줄을 쓰세요 ({meaning}).")
    _notice_swapped_keys(draft)
    _warn_of_odd_lengths(draft)
    if mode == "real":
        _check_real_confirm(draft)
    _warn_of_open_file(draft)


def _settle_sim(draft: _Draft) -> None:
    """The embedded broker never sees the owner's keys."""
    unused = [name for name in _ACCESS if name in draft.entries]
    if unused:
        draft.warnings.append(
            f"KIS_MODE가 sim(내장 증권사)이라 {', '.join(unused)} 값을 쓰지 않습니다. "
            "내 계좌로 쓰려면 KIS_MODE=paper(모의투자) 또는 KIS_MODE=real(실전)로 바꾸세요."
        )
    draft.values |= {"kis_app_key": SIM_APP_KEY, "kis_app_secret": SIM_APP_SECRET, "kis_account": SIM_ACCOUNT}
    draft.values["kis_real_confirm"] = ""


def _warn_of_open_file(draft: _Draft) -> None:
    holds_keys = any(name in draft.entries and draft.entries[name].where != ENVIRONMENT for name in _ACCESS)
    if draft.open_file and holds_keys:
        path = draft.open_file
        draft.warnings.append(f"{path}: 키가 든 파일을 다른 사용자도 읽을 수 있습니다. chmod 600 {path}로 잠그세요.")


def _notice_swapped_keys(draft: _Draft) -> None:
    key, secret = draft.entries.get("KIS_APP_KEY"), draft.entries.get("KIS_APP_SECRET")
    if key and secret and (len(key.text), len(secret.text)) == (SECRET_LENGTH, KEY_LENGTH):
        draft.problems.append("KIS_APP_KEY, KIS_APP_SECRET: 두 값이 서로 바뀐 것 같습니다. 자리를 바꾸어 쓰세요.")


def _warn_of_odd_lengths(draft: _Draft) -> None:
    """KIS has always handed out keys of these lengths, but it is KIS that decides what is a key."""
    for name, length in (("KIS_APP_KEY", KEY_LENGTH), ("KIS_APP_SECRET", SECRET_LENGTH)):
        value = draft.values.get(name.lower())
        if value and len(value) != length:
            draft.warnings.append(f"{name}: 보통 {length}자인데 {len(value)}자입니다. 잘리지 않았는지 확인하세요.")


def _check_real_confirm(draft: _Draft) -> None:
    account, confirm = draft.values.get("kis_account"), draft.values.get("kis_real_confirm")
    if confirm is None or (confirm and account is None):
        return  # nothing to compare, and already told
    if not account or confirm != account[4:8]:
        draft.wrong(
            "KIS_REAL_CONFIRM",
            "실전(real)은 실제 돈으로 거래합니다. 실수로 켜지지 않도록, "
            "계좌번호 앞 8자리의 마지막 네 자리를 KIS_REAL_CONFIRM에 쓰세요.",
        )


def _settle_kis(draft: _Draft) -> None:
    """Host and speed, where they depend on the mode."""
    mode = draft.values.get("kis_mode")
    if mode is None:
        return
    url, rate = draft.values.get("kis_base_url"), draft.values.get("kis_calls_per_second")
    draft.values["kis_base_url"] = url or KIS_HOSTS.get(mode)
    draft.values["kis_calls_per_second"] = rate or CALLS_PER_SECOND[mode]
    for other, host in KIS_HOSTS.items():
        if url == host and other != mode:
            draft.wrong("KIS_BASE_URL", f"{other} 모드의 주소인데 KIS_MODE는 {mode}입니다. 이 줄을 지우세요.")
    if rate and rate > KIS_LIMITS[mode]:
        draft.warnings.append(
            f"KIS_CALLS_PER_SECOND: {mode}에서 KIS가 받는 한도(초당 {KIS_LIMITS[mode]}건)보다 커서 거절될 수 있습니다."
        )


def _compare(draft: _Draft) -> None:
    """Pairs that must fit together."""
    values = draft.values
    least, wanted = values.get("min_profit_pct"), values.get("profit_threshold_pct")
    if least is not None and wanted is not None and least > wanted:
        draft.wrong("MIN_PROFIT_PCT", "PROFIT_THRESHOLD_PCT보다 클 수 없습니다. 더 작은 수를 쓰세요.")
    start = values.get("trading_start_time") or REGULAR_OPEN
    end = values.get("trading_end_time") or REGULAR_CLOSE
    if max(start, REGULAR_OPEN) >= min(end, REGULAR_CLOSE):
        draft.problems.append(
            f"TRADING_START_TIME, TRADING_END_TIME: {start:%H:%M}부터 {end:%H:%M}까지에는 거래할 시간이 없습니다. "
            f"뉴욕 시각으로 정규장({REGULAR_OPEN:%H:%M}~{REGULAR_CLOSE:%H:%M}) 안에서 쓰세요."
        )
