"""Settings: every name once, all mistakes at once, and no secret in any of the words about them."""

from __future__ import annotations

import dataclasses
import random
import re
import string
from collections.abc import Callable
from datetime import time
from decimal import Decimal
from pathlib import Path

import pytest

import config
from config import DEFAULTS, SIM_ACCOUNT, SIM_APP_KEY, SIM_APP_SECRET, Settings
from errors import SettingsError

EXAMPLE = Path(__file__).resolve().parents[1] / ".env.example"
_MADE_UP = random.Random(47)
APP_KEY = "PS" + "".join(_MADE_UP.choices(string.ascii_letters + string.digits, k=34))
APP_SECRET = "".join(_MADE_UP.choices(string.ascii_letters + string.digits + "+/", k=179)) + "="
KEYS = {"KIS_APP_KEY": APP_KEY, "KIS_APP_SECRET": APP_SECRET, "KIS_ACCOUNT": "58203164-01"}
PAPER = {"KIS_MODE": "paper"} | KEYS
REAL = {"KIS_MODE": "real", "KIS_REAL_CONFIRM": "3164"} | KEYS
HOOK = "tgram://7093518264:AAkfLq0c3vX9/58111"
PING = "https://hc-ping.com/2f7d9a10-66c1-4f7e-b1f3-0d4f1ab9cc55"
SECRETS = {**KEYS, "KIS_REAL_CONFIRM": "3164", "NOTIFY_URLS": HOOK, "HEALTHCHECK_URL": PING}


def load(env: dict[str, str] | None = None) -> Settings:
    return Settings.load(env or {}, None)


def problems_of(env: dict[str, str], env_file: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.load(env, env_file)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return list(caught.value.problems)


def leaks(text: str) -> list[str]:
    """Pieces of our secrets that stand in a text: eight characters in a row, or the last digits of the account."""
    whole = [APP_KEY, APP_SECRET, "58203164-01", "5820316401", HOOK.split("//")[1], PING.split("com/")[1]]
    pieces = {secret[i : i + 8] for secret in whole for i in range(len(secret) - 7)} | {"3164"}
    return sorted(piece for piece in pieces if piece in text)


@pytest.fixture
def env_file(tmp_path: Path) -> Callable[[str | bytes], Path]:
    path = tmp_path / ".env"

    def write(content: str | bytes) -> Path:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o600)
        return path

    return write


# the defaults


def test_without_any_setting_it_is_a_simulation_with_the_contracts_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")

    settings = load()

    assert dataclasses.asdict(settings) == {
        "kis_mode": "sim",
        "kis_app_key": SIM_APP_KEY,
        "kis_app_secret": SIM_APP_SECRET,
        "kis_account": SIM_ACCOUNT,
        "kis_real_confirm": "",
        "kis_base_url": None,
        "yahoo_base_url": None,
        "kis_calls_per_second": 15.0,
        "data_dir": Path("/"),
        "stocks_file": Path("/stocks_config.json"),
        "log_level": "INFO",
        "log_file": "trading.log",
        "log_max_bytes": 10 * 1024 * 1024,
        "log_backup_count": 5,
        "token_check_minutes": 30.0,
        "broker_reinit_hours": 6.0,
        "token_renew_margin_minutes": 10.0,
        "price_cache_seconds": 60.0,
        "watch_interval_seconds": 60.0,
        "sell_interval_minutes": 30.0,
        "buy_interval_minutes": 60.0,
        "order_timeout_minutes": 20.0,
        "strategy": None,
        "profit_threshold_pct": Decimal(5),
        "min_profit_pct": Decimal("1.5"),
        "stop_loss_pct": Decimal(0),
        "sell_scope": "own",
        "check_previous_sell_price": True,
        "max_buy_orders_per_day": 10,
        "max_buy_usd_per_day": Decimal(0),
        "daily_loss_limit_pct": Decimal(5),
        "trading_start_time": None,
        "trading_end_time": None,
        "sim_hours": "always",
        "notify_urls": (),
        "healthcheck_url": None,
        "warnings": (),
    }


def test_the_log_constants_are_the_defaults() -> None:
    settings = load()

    assert (config.LOG_MAX_BYTES, config.LOG_BACKUP_COUNT) == (10 * 1024 * 1024, 5)
    assert (settings.log_level, settings.log_file) == (config.LOG_LEVEL, config.LOG_FILE)
    assert (settings.log_max_bytes, settings.log_backup_count) == (config.LOG_MAX_BYTES, config.LOG_BACKUP_COUNT)


@pytest.mark.parametrize(
    ("env", "url", "rate"),
    [
        ({}, None, 15.0),
        (PAPER, "https://openapivts.koreainvestment.com:29443", 0.8),
        (REAL, "https://openapi.koreainvestment.com:9443", 15.0),
    ],
)
def test_host_and_speed_follow_the_mode(env: dict[str, str], url: str | None, rate: float) -> None:
    settings = load(env)

    assert settings.kis_base_url == url
    assert settings.kis_calls_per_second == rate
    assert settings.yahoo_base_url is None


def test_the_made_up_keys_of_the_simulation_have_the_right_form_and_hide_no_ordinary_text() -> None:
    assert (len(SIM_APP_KEY), len(SIM_APP_SECRET)) == (36, 180)
    assert (load().cano, load().acnt_prdt_cd) == (SIM_ACCOUNT[:8], "01")
    assert not re.search(r"(.)\1{5}|[g-zG-Z]", SIM_APP_KEY + SIM_APP_SECRET)


# .env.example


def example_settings() -> dict[str, str]:
    lines = re.findall(r"^# ?([A-Z_]+)=(.*)$", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) == len(dict(lines))
    return dict(lines)


def test_the_example_explains_every_setting_and_no_other() -> None:
    fields = {field.name.upper() for field in dataclasses.fields(Settings)} - {"WARNINGS"}

    assert example_settings().keys() == fields == DEFAULTS.keys()


def test_the_example_shows_the_defaults_of_the_code() -> None:
    assert example_settings() == DEFAULTS


def test_a_copy_of_the_example_changes_nothing(env_file: Callable[[str | bytes], Path]) -> None:
    path = env_file(EXAMPLE.read_bytes())

    assert Settings.load({}, path) == load()


def test_neither_does_a_copy_with_every_line_switched_on(env_file: Callable[[str | bytes], Path]) -> None:
    text = re.sub(r"^# ?([A-Z_]+=)", r"\1", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)

    assert Settings.load({}, env_file(text)) == load()


def test_every_setting_of_the_example_stands_under_a_korean_explanation() -> None:
    blocks = EXAMPLE.read_text(encoding="utf-8").split("\n\n")

    for block in blocks:
        lines = block.strip().splitlines()
        first = next((number for number, line in enumerate(lines) if re.match(r"# ?[A-Z_]+=", line)), None)
        if first is not None:
            assert re.search("[가-힣]", " ".join(lines[:first])), block


# where settings come from


def test_G13_the_environment_wins_over_the_file(env_file: Callable[[str | bytes], Path]) -> None:
    path = env_file("LOG_LEVEL=DEBUG\nTOKEN_CHECK_MINUTES=5\n")

    settings = Settings.load({"LOG_LEVEL": "ERROR", "HOME": "/root"}, path)

    assert (settings.log_level, settings.token_check_minutes) == ("ERROR", 5.0)


def test_a_missing_file_is_no_problem(tmp_path: Path) -> None:
    assert Settings.load({}, tmp_path / ".env") == load()


def test_a_blank_value_is_no_value(env_file: Callable[[str | bytes], Path]) -> None:
    path = env_file("LOG_LEVEL=\nKIS_MODE=''\nSTRATEGY=   \nBUY_INTERVAL_MINUTES=7\nNOTIFY_URLS= # 나중에\n")

    settings = Settings.load({"BUY_INTERVAL_MINUTES": " ", "KIS_APP_KEY": ""}, path)

    assert settings == dataclasses.replace(load(), buy_interval_minutes=7.0)


@pytest.mark.parametrize(
    "content",
    [
        b"KIS_MODE=paper\nKIS_APP_KEY=%(key)s\nKIS_APP_SECRET=%(secret)s\nKIS_ACCOUNT=58203164-01",
        b"\xef\xbb\xbfKIS_MODE=paper\r\nKIS_APP_KEY=%(key)s\r\nKIS_APP_SECRET=%(secret)s\r\nKIS_ACCOUNT=58203164-01\r\n",
        b"export KIS_MODE='paper'\n\nexport KIS_APP_KEY=\"%(key)s\"\n"
        b"KIS_APP_SECRET='%(secret)s'\nKIS_ACCOUNT = 5820316401",
        "KIS_MODE=paper # 모의투자\n# 키\nKIS_APP_KEY=%(key)s  # 앱키\n"
        "  KIS_APP_SECRET=%(secret)s\t# 시크릿\nKIS_ACCOUNT='58203164-01' # 계좌".encode(),
        b"KIS_MODE=PAPER\rKIS_APP_KEY=%(key)s\rKIS_APP_SECRET=%(secret)s\rKIS_ACCOUNT=58203164-01\r",
    ],
    ids=["plain", "BOM and CRLF", "export and quotes", "comments", "old Mac"],
)
def test_G03_G04_however_the_file_was_written_the_values_are_the_same(
    env_file: Callable[[str | bytes], Path], content: bytes
) -> None:
    path = env_file(content % {b"key": APP_KEY.encode(), b"secret": APP_SECRET.encode()})

    assert Settings.load({}, path) == load(PAPER)


def test_G06_a_dollar_sign_is_a_dollar_sign(env_file: Callable[[str | bytes], Path]) -> None:
    secret = "${HOME}" + APP_SECRET[7:]
    path = env_file(f"KIS_MODE=paper\nKIS_APP_KEY={APP_KEY}\nKIS_APP_SECRET={secret}\nKIS_ACCOUNT=58203164-01\n")

    assert Settings.load({"HOME": "/root"}, path).kis_app_secret == secret


# a file that cannot be read


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("KIS_MODE=sim\n# 설명\nLOG_LEVEL=INFO\n".encode("cp949"), "2번째 줄: UTF-8이 아닙니다 (CP949"),
        ("# 설명\r\nKIS_MODE=sim\r\n".encode("utf-16"), "1번째 줄: UTF-8이 아닙니다 (UTF-16"),
        ("# 설명\n".encode("utf-16-be"), "1번째 줄: UTF-8이 아닙니다"),
        (b"\n\nKIS_MODE=sim\nLOG_LEVEL=\xff\xfe\x80\n", "4번째 줄: UTF-8이 아닙니다"),
        (b"\xef\xbb\xbf\n\n\n\n\xff", "5번째 줄: UTF-8이 아닙니다"),
        (b"\nLOG_FILE=a\x00b\n", "2번째 줄: UTF-8이 아닙니다"),
    ],
    ids=["cp949", "utf-16", "utf-16 without BOM", "bytes", "bytes after BOM", "nul"],
)
def test_G02_a_file_in_another_encoding_is_named_with_its_line(
    env_file: Callable[[str | bytes], Path], content: bytes, words: str
) -> None:
    path = env_file(content)

    assert f"{path} {words}" in problems_of({}, path)[0]


@pytest.mark.parametrize("encoding", ["cp949", "utf-16"])
def test_the_rest_of_a_wrongly_encoded_file_is_checked_too(
    env_file: Callable[[str | bytes], Path], encoding: str
) -> None:
    path = env_file("# 설명\nLOG_LEVL=INFO\nTOKEN_CHECK_MINUTES=0\n".encode(encoding))

    problems = problems_of({}, path)

    assert [problem.split(" (")[0] for problem in problems[1:]] == ["LOG_LEVL", "TOKEN_CHECK_MINUTES"]


@pytest.mark.parametrize(
    "line",
    [
        'KIS_APP_SECRET="{secret}',
        "KIS_APP_SECRET='{secret}",
        'KIS_APP_SECRET={secret}"',
        "KIS_APP_SECRET='{secret}\"",
        'KIS_APP_SECRET="{secret}"x',
        "KIS_APP_SECRET=“{secret}”",
        "KIS_APP_SECRET=\"'{secret}'\"",
        'export KIS_APP_SECRET="{secret}',
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_G05_a_half_quoted_value_is_named_with_its_line_and_swallows_no_other(
    env_file: Callable[[str | bytes], Path], line: str, newline: str
) -> None:
    lines = [
        "KIS_MODE=paper",
        "",
        line.format(secret=APP_SECRET),
        'KIS_ACCOUNT="58203164-01"',
        f"KIS_APP_KEY={APP_KEY}",
    ]
    path = env_file(newline.join(lines))

    problems = problems_of({}, path)

    assert len(problems) == 1
    assert problems[0].startswith(f"KIS_APP_SECRET ({path} 3번째 줄): ")
    assert "따옴표" in problems[0]
    assert leaks(problems[0]) == []


@pytest.mark.parametrize(
    "line", ["{secret}", "KIS_APP_KEY {secret}", "KIS_APP_KEY: {secret}", "={secret}", "KIS_APP_KEY"]
)
def test_a_line_that_assigns_nothing_is_named_by_its_number(env_file: Callable[[str | bytes], Path], line: str) -> None:
    path = env_file("# 설명\n" + line.format(secret=APP_SECRET.rstrip("=")))

    problems = problems_of({}, path)

    assert len(problems) == 1
    assert f"{path} 2번째 줄" in problems[0]
    assert leaks(problems[0]) == []


def test_a_name_that_stands_there_twice_is_an_error(env_file: Callable[[str | bytes], Path]) -> None:
    path = env_file("KIS_MODE=paper\nLOG_LEVEL=\nLOG_LEVEL=INFO\nKIS_MODE=real\n")

    problems = problems_of({}, path)

    assert problems[0] == f"KIS_MODE ({path} 4번째 줄): {path} 1번째 줄에도 있습니다. 한 줄만 남기세요."
    assert "LOG_LEVEL" not in "\n".join(problems)


def test_a_folder_in_the_files_place_is_an_error(tmp_path: Path) -> None:
    assert problems_of({}, tmp_path) == [f"{tmp_path}: 읽을 수 없습니다 (Is a directory)."]


# unknown names


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KIS_APPKEY", "KIS_APP_KEY"),
        ("kis_mode", "KIS_MODE"),
        ("LOG_LEVL", "LOG_LEVEL"),
        ("TOKEN_CHECK_MINUTE", "TOKEN_CHECK_MINUTES"),
        ("STOPLOSS_PCT", "STOP_LOSS_PCT"),
        ("KIS_MODE\u200b", "KIS_MODE"),
    ],
)
def test_an_unknown_name_in_the_file_is_an_error_that_suggests_the_nearest(
    env_file: Callable[[str | bytes], Path], name: str, meant: str
) -> None:
    path = env_file(f"\n{name}=1\n")

    problems = problems_of({}, path)

    assert problems == [f"{name} ({path} 2번째 줄): 모르는 이름입니다. 혹시 {meant} 아닌가요?"]


def test_a_name_like_no_other_gets_no_suggestion(env_file: Callable[[str | bytes], Path]) -> None:
    path = env_file("QWX=1\n")

    assert problems_of({}, path) == [f"QWX ({path} 1번째 줄): 모르는 이름입니다."]


def test_in_the_environment_only_names_that_begin_with_kis_are_ours() -> None:
    problems = problems_of({"KIS_APPKEY": "x", "LOG_LEVL": "x", "PATH": "/bin"})

    assert len(problems) == 1
    assert problems[0].startswith("KIS_APPKEY (환경변수): 모르는 이름입니다. 혹시 KIS_APP_KEY 아닌가요?")


# values


INTERVALS = [name for name in DEFAULTS if re.search("_(SECONDS|MINUTES|REINIT_HOURS)$", name)]


@pytest.mark.parametrize("name", INTERVALS)
@pytest.mark.parametrize(
    "text", ["0", "-5", "0.0", "nan", "inf", "-inf", "1e3", "30분", "1,000", "0x10", "１０", "true"]
)
def test_an_interval_is_a_positive_number(name: str, text: str) -> None:
    problems = problems_of({name: text})

    assert len(problems) == 1
    assert problems[0].startswith(f"{name} (환경변수): '{text}' → ")


@pytest.mark.parametrize("name", INTERVALS)
@pytest.mark.parametrize("text", ["0.1", "1.5", ".5", "+2", "7"])
def test_an_interval_may_have_a_fraction(name: str, text: str) -> None:
    value = getattr(load({name: text}), name.lower())

    assert value == float(text)
    assert isinstance(value, float)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("PRICE_CACHE_SECONDS", "0.01", "0.009"),
        ("WATCH_INTERVAL_SECONDS", "31622400", "31622401"),
        ("BROKER_REINIT_HOURS", "8784", "8785"),
        ("TOKEN_RENEW_MARGIN_MINUTES", "720", "721"),
        ("ORDER_TIMEOUT_MINUTES", "180", "180.1"),
        ("STOP_LOSS_PCT", "100", "100.5"),
        ("STOP_LOSS_PCT", "0", "-5"),
        ("DAILY_LOSS_LIMIT_PCT", "0", "-1"),
        ("PROFIT_THRESHOLD_PCT", "1000", "1001"),
        ("MIN_PROFIT_PCT", "5", "5.01"),
        ("MIN_PROFIT_PCT", "0", "-0.1"),
        ("MAX_BUY_USD_PER_DAY", "1234.56", "$100"),
        ("MAX_BUY_USD_PER_DAY", "0", "-1"),
        ("MAX_BUY_ORDERS_PER_DAY", "0", "-1"),
        ("MAX_BUY_ORDERS_PER_DAY", "3.0", "3.5"),
        ("LOG_MAX_BYTES", "0", "-1"),
        ("LOG_BACKUP_COUNT", "0", "1001"),
        ("LOG_LEVEL", "debug", "VERBOSE"),
        ("SELL_SCOPE", "ACCOUNT", "all"),
        ("SIM_HOURS", "nyse", "never"),
        ("KIS_MODE", "SIM", "papper"),
        ("CHECK_PREVIOUS_SELL_PRICE", "False", "flase"),
        ("CHECK_PREVIOUS_SELL_PRICE", "TRUE", "1"),
        ("TRADING_START_TIME", "9:45", "24:00"),
        ("TRADING_START_TIME", "10:00", "1000"),
        ("TRADING_END_TIME", "15:59", "15:60"),
        ("STRATEGY", "mine:Best", "mine.Best"),
        ("STRATEGY", "my.own.strategy:Best", "my..own:Best"),
        ("KIS_CALLS_PER_SECOND", "0.1", "0"),
        ("LOG_FILE", "logs/night.log", "/var/log/night.log"),
        ("LOG_FILE", "night.log", "../night.log"),
        ("LOG_FILE", "night.log", "api_token.json"),
        ("LOG_FILE", "night.log", "autostock-sim.db"),
        ("NOTIFY_URLS", "json://localhost/x", "localhost"),
        ("NOTIFY_URLS", HOOK, f"{HOOK}, nonsense"),
        ("HEALTHCHECK_URL", PING, "ftp://hc-ping.com/x"),
        ("HEALTHCHECK_URL", "http://192.168.0.2:3001/push", "hc-ping.com/x"),
        ("DATA_DIR", "/tmp/autostock", "~nobody-of-this-name/x"),
    ],
)
def test_a_value_is_good_up_to_its_limit_and_an_error_beyond(name: str, good: str, bad: str) -> None:
    load({name: good})

    problems = problems_of({name: bad})

    assert len(problems) == 1
    assert problems[0].startswith(f"{name} (환경변수): ")
    assert re.search("[가-힣]", problems[0].partition("): ")[2])


def test_good_values_become_plain_python() -> None:
    settings = load(
        {
            "LOG_LEVEL": "debug",
            "SELL_SCOPE": "Account",
            "CHECK_PREVIOUS_SELL_PRICE": "FALSE",
            "MAX_BUY_USD_PER_DAY": "1234.56",
            "MAX_BUY_ORDERS_PER_DAY": "3",
            "TRADING_START_TIME": "9:45",
            "TRADING_END_TIME": "15:30",
            "NOTIFY_URLS": f"{HOOK}, json://localhost/x?to=a,b ,discord://id/token",
            "HEALTHCHECK_URL": PING,
            "STRATEGY": "mine:Best",
        }
    )

    assert settings.log_level == "DEBUG"
    assert settings.sell_scope == "account"
    assert settings.check_previous_sell_price is False
    assert settings.max_buy_usd_per_day == Decimal("1234.56")
    assert settings.max_buy_orders_per_day == 3
    assert (settings.trading_start_time, settings.trading_end_time) == (time(9, 45), time(15, 30))
    assert settings.notify_urls == (HOOK, "json://localhost/x?to=a,b", "discord://id/token")
    assert settings.healthcheck_url == PING
    assert settings.strategy == "mine:Best"


@pytest.mark.parametrize(
    ("start", "end"),
    [("12:00", "11:00"), ("12:00", "12:00"), ("16:00", ""), ("", "09:30"), ("04:00", "09:00"), ("17:00", "20:00")],
)
def test_the_trading_times_must_leave_time_to_trade(start: str, end: str) -> None:
    problems = problems_of({"TRADING_START_TIME": start, "TRADING_END_TIME": end})

    assert len(problems) == 1
    assert problems[0].startswith("TRADING_START_TIME, TRADING_END_TIME: ")


def test_all_mistakes_are_told_at_once(env_file: Callable[[str | bytes], Path]) -> None:
    path = env_file(
        'KIS_MODE=real\nKIS_APP_KEY="abc\nLOG_LEVL=INFO\nMIN_PROFIT_PCT=9\nBUY_INTERVAL_MINUTES=x\nnonsense\n'
    )

    problems = problems_of({"KIS_MOD": "sim", "SELL_INTERVAL_MINUTES": "0"}, path)

    assert [re.split(r" \(|:| \d", problem)[0] for problem in problems] == [
        "KIS_APP_KEY",
        "LOG_LEVL",
        str(path),
        "KIS_MOD",
        "SELL_INTERVAL_MINUTES",
        "BUY_INTERVAL_MINUTES",
        "KIS_APP_SECRET",
        "KIS_ACCOUNT",
        "KIS_REAL_CONFIRM",
        "MIN_PROFIT_PCT",
    ]


# URLs


@pytest.mark.parametrize("name", ["KIS_BASE_URL", "YAHOO_BASE_URL"])
@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://proxy.example.com", "https://proxy.example.com"),
        ("https://proxy.example.com:8443/", "https://proxy.example.com:8443"),
        ("HTTPS://proxy.example.com//", "https://proxy.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.8.9.10:8080/", "http://127.8.9.10:8080"),
        ("http://localhost", "http://localhost"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_a_host_is_given_by_scheme_name_and_port(name: str, text: str, url: str) -> None:
    assert getattr(load({name: text}), name.lower()) == url


@pytest.mark.parametrize("name", ["KIS_BASE_URL", "YAHOO_BASE_URL"])
@pytest.mark.parametrize(
    "text",
    [
        "http://proxy.example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://192.168.0.2:8080",
        "http://0.0.0.0:8080",
        "ftp://127.0.0.1",
        "proxy.example.com",
        "//proxy.example.com",
        "https://",
        "https://:443",
        "https://h:port",
        "https://h:99999",
        "https://[::1",
        "https://user:hidden0password@proxy.example.com",
        "https://user@proxy.example.com",
        "http://localhost:80@evil.example.com",
        "https://good.example.com\\@evil.example.com",
        "https://good.example.com\\.evil.example.com",
        "https://proxy.example.com/kis",
        "https://proxy.example.com?x=1",
        "https://proxy.example.com#x",
        "https://프록시.example.com",
        "https://proxy.example.com/ x",
    ],
)
def test_a_host_that_is_not_safe_to_send_keys_to_is_an_error(name: str, text: str) -> None:
    problems = problems_of({name: text})

    assert len(problems) == 1
    assert problems[0].startswith(f"{name} (환경변수): ")
    assert "hidden0password" not in problems[0]


@pytest.mark.parametrize(
    ("mode", "host"),
    [(PAPER, "https://openapi.koreainvestment.com:9443"), (REAL, "https://openapivts.koreainvestment.com:29443")],
)
def test_T06_the_host_of_another_mode_is_an_error(mode: dict[str, str], host: str) -> None:
    assert problems_of(mode | {"KIS_BASE_URL": host})[0].startswith("KIS_BASE_URL (환경변수): ")


@pytest.mark.parametrize(("mode", "good", "bad"), [(PAPER, "1", "1.1"), (REAL, "18", "18.5"), ({}, "18", "19")])
def test_a_speed_above_what_kis_takes_is_warned_of(mode: dict[str, str], good: str, bad: str) -> None:
    assert load(mode | {"KIS_CALLS_PER_SECOND": good}).warnings == ()

    fast = load(mode | {"KIS_CALLS_PER_SECOND": bad})
    assert fast.kis_calls_per_second == float(bad)
    assert "KIS가 받는 한도" in fast.warnings[0]


# keys, secret, account


@pytest.mark.parametrize("mode", ["paper", "real"])
def test_G01_paper_and_real_need_key_secret_and_account(mode: str) -> None:
    problems = problems_of({"KIS_MODE": mode, "KIS_REAL_CONFIRM": "3164"})

    assert [problem.partition(":")[0] for problem in problems] == ["KIS_APP_KEY", "KIS_APP_SECRET", "KIS_ACCOUNT"]


@pytest.mark.parametrize("account", ["58203164-01", "5820316401", " 58203164-01 "])
def test_an_account_is_read_with_or_without_its_hyphen(account: str) -> None:
    settings = load(PAPER | {"KIS_ACCOUNT": account})

    assert (settings.kis_account, settings.cano, settings.acnt_prdt_cd) == ("58203164-01", "58203164", "01")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KIS_APP_KEY", APP_KEY[:10] + " " + APP_KEY[11:]),
        ("KIS_APP_KEY", APP_KEY[:10] + "\u200b" + APP_KEY[11:]),
        ("KIS_APP_KEY", APP_KEY[:10] + "키" + APP_KEY[11:]),
        ("KIS_APP_SECRET", f'"{APP_SECRET}"'),
        ("KIS_ACCOUNT", "58203164"),
        ("KIS_ACCOUNT", "58203164-1"),
        ("KIS_ACCOUNT", "58203164_01"),
        ("KIS_ACCOUNT", "５８２０３１６４-01"),
        ("KIS_ACCOUNT", APP_KEY),
    ],
)
def test_G06_a_malformed_key_secret_or_account_is_named_and_never_shown(name: str, text: str) -> None:
    problems = problems_of(PAPER | {name: text})

    assert len(problems) == 1
    assert problems[0].startswith(f"{name} (환경변수): ")
    assert leaks(problems[0]) == []


def test_an_odd_length_of_a_key_is_warned_of_and_left_to_kis_to_judge() -> None:
    assert load(PAPER | {"KIS_APP_KEY": APP_KEY[:-1]}).warnings == (
        "KIS_APP_KEY: 보통 36자인데 35자입니다. 잘리지 않았는지 확인하세요.",
    )


def test_G08_swapped_keys_are_recognised() -> None:
    problems = problems_of(PAPER | {"KIS_APP_KEY": APP_SECRET, "KIS_APP_SECRET": APP_KEY})

    assert "서로 바뀐 것 같습니다" in problems[-1]


@pytest.mark.parametrize("confirm", ["", "5820", "3165", "58203164", "yes"])
def test_G07_real_needs_the_last_four_digits_and_does_not_print_them(confirm: str) -> None:
    problems = problems_of(REAL | {"KIS_REAL_CONFIRM": confirm})

    assert len(problems) == 1
    assert problems[0].startswith("KIS_REAL_CONFIRM")
    assert "실제 돈" in problems[0]
    assert "마지막 네 자리" in problems[0]
    assert leaks(problems[0]) == []


def test_real_starts_with_them() -> None:
    assert load(REAL).kis_mode == "real"


@pytest.mark.parametrize("mode", [PAPER, {}])
def test_only_real_asks_for_them(mode: dict[str, str]) -> None:
    load(mode | {"KIS_REAL_CONFIRM": ""})
    load(mode | {"KIS_REAL_CONFIRM": "0000"})


def test_keys_in_the_simulation_are_not_used_and_there_is_one_warning() -> None:
    settings = load(KEYS | {"KIS_REAL_CONFIRM": "3164"})

    assert dataclasses.replace(settings, warnings=()) == load()
    assert len(settings.warnings) == 1
    assert "KIS_APP_KEY, KIS_APP_SECRET, KIS_ACCOUNT" in settings.warnings[0]
    assert leaks(settings.warnings[0]) == []


def test_not_even_malformed_keys_are_an_error_in_the_simulation() -> None:
    assert len(load({"KIS_APP_KEY": '"abc', "KIS_ACCOUNT": "1"}).warnings) == 1


def test_G12_keys_in_a_file_that_others_can_read_are_worth_a_warning(env_file: Callable[[str | bytes], Path]) -> None:
    path = env_file("".join(f"{name}={text}\n" for name, text in PAPER.items()))
    assert Settings.load({}, path).warnings == ()

    path.chmod(0o644)

    assert Settings.load({}, path).warnings == (
        f"{path}: 키가 든 파일을 다른 사용자도 읽을 수 있습니다. chmod 600 {path}로 잠그세요.",
    )
    assert Settings.load(KEYS, env_file("KIS_MODE=paper")).warnings == ()


# secrets


@pytest.mark.parametrize("env", [PAPER, REAL | {"NOTIFY_URLS": HOOK, "HEALTHCHECK_URL": PING}], ids=["paper", "real"])
def test_no_secret_stands_in_a_repr(env: dict[str, str]) -> None:
    settings = load(env)

    assert leaks(f"{settings} {settings!r} {dataclasses.replace(settings)!r}") == []


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("name", DEFAULTS)
@pytest.mark.parametrize("mode", [PAPER, REAL, {}], ids=["paper", "real", "sim"])
def test_a_secret_pasted_into_any_line_stands_in_no_message(
    env_file: Callable[[str | bytes], Path], mode: dict[str, str], name: str, secret: str
) -> None:
    written = SECRETS | mode | {name: secret, "LOG_LEVL": "x"}
    path = env_file(
        "".join(f"{name}={text}\n" for name, text in written.items()) + f"{secret}\n{secret}=\n{secret}=1\n"
    )

    assert leaks(words_about(written, None)) == []
    assert leaks(words_about({}, path)) == []


@pytest.mark.parametrize("secret", [APP_KEY, APP_SECRET, "58203164-01", "5820316401", HOOK, PING])
@pytest.mark.parametrize("name", DEFAULTS)
def test_nor_does_one_that_was_written_nowhere_else(name: str, secret: str) -> None:
    assert leaks(words_about({name: secret}, None)) == []


@pytest.mark.parametrize("text", ["0", "-5", "0.0"])
def test_an_interval_of_nothing_is_told_so(text: str) -> None:
    assert problems_of({"TOKEN_CHECK_MINUTES": text}) == [
        f"TOKEN_CHECK_MINUTES (환경변수): '{text}' → 0보다 큰 수를 쓰세요."
    ]


def words_about(env: dict[str, str], env_file: Path | None) -> str:
    """Everything that is said to the owner about these settings."""
    try:
        settings = Settings.load(env, env_file)
    except SettingsError as exc:
        return f"{exc} {exc!r} {exc.args} {exc.problems}"
    return " ".join(settings.warnings)


# what follows from the settings


def test_the_files_lie_in_the_data_folder(tmp_path: Path) -> None:
    settings = load({"DATA_DIR": str(tmp_path), "LOG_FILE": "night.log"})

    assert settings.token_file == tmp_path / "api_token.json"
    assert settings.database_file == tmp_path / "autostock-sim.db"
    assert settings.sim_database_file == tmp_path / "sim.db"
    assert settings.status_file == tmp_path / "status.json"
    assert settings.halt_file == tmp_path / "HALT"
    assert settings.report_dir == tmp_path / "report"
    assert settings.log_path == tmp_path / "night.log"


def test_paths_are_absolute_and_know_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")

    settings = load({"DATA_DIR": "~/autostock", "STOCKS_FILE": "lists/mine.json"})

    assert settings.data_dir == Path("/home/somebody/autostock")
    assert settings.stocks_file == tmp_path / "lists" / "mine.json"
    assert load({"DATA_DIR": "data"}).data_dir == tmp_path / "data"


def test_a_changed_copy_keeps_the_rest(tmp_path: Path) -> None:
    settings = dataclasses.replace(load(PAPER), data_dir=tmp_path, kis_base_url="http://127.0.0.1:1")

    assert settings.token_file == tmp_path / "api_token.json"
    assert settings.cano == "58203164"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().kis_mode = "real"  # type: ignore[misc]


def test_marks_tell_keys_and_accounts_apart_without_showing_them() -> None:
    paper, real = load(PAPER), load(REAL)
    other = load(PAPER | {"KIS_ACCOUNT": "58203164-02", "KIS_APP_KEY": APP_KEY[::-1]})

    assert re.fullmatch("[0-9a-f]{12}", paper.key_mark)
    assert paper.key_mark == real.key_mark != other.key_mark
    assert len({paper.account_mark, real.account_mark, other.account_mark}) == 3
    assert load(PAPER | {"KIS_ACCOUNT": "5820316401"}).account_mark == paper.account_mark
    assert leaks(f"{paper.key_mark} {paper.account_mark}") == []
