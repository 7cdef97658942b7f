"""The watch list: what the owner may write, and a file that changes under a running daemon."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from errors import SettingsError
from simulator.listings import MARKET_NAMES, find_listing
from stocks import EXCHANGES, SHIPPED, Watchlist, WatchlistFile, parse_watchlist

GOOD = '{"filter_stocks": {"NVDA": true}, "watch_list": ["SOUN"], "exchanges": {"SOUN": "나스닥"}}'
OTHER = '{"watch_list": ["PLTR", "AMD"]}'


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        parse_watchlist(text)
    return caught.value.problems


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "my_stocks.json"
    path.write_text(GOOD)
    return path


@pytest.fixture
def warnings_of(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# the shipped file


def test_the_shipped_list_has_three_filter_stocks_and_thirteen_to_watch() -> None:
    shipped = parse_watchlist(SHIPPED.read_text(encoding="utf-8"))

    assert shipped.filter_stocks == ("NVDA", "AMZN", "MSFT")
    assert len(shipped.watch_list) == 13
    assert "SOUN" in shipped.watch_list
    assert set(shipped.exchanges) == set(shipped.symbols)
    assert len(shipped.symbols) == 16


def test_the_shipped_exchanges_are_those_of_the_embedded_broker() -> None:
    names = {code: korean.removesuffix("거래소") for code, korean in MARKET_NAMES.items()}

    shipped = parse_watchlist(SHIPPED.read_text(encoding="utf-8"))

    listings = {symbol: find_listing(symbol) for symbol in shipped.symbols}
    assert {symbol: names[listing.exchange] for symbol, listing in listings.items() if listing} == shipped.exchanges


# what may be written


def test_symbols_are_the_filter_stocks_and_then_the_watch_list_each_once() -> None:
    stocks = parse_watchlist(
        '{"filter_stocks": {"NVDA": true, "AMZN": false, "MSFT": true}, "watch_list": ["SOUN", "NVDA", "AMZN"]}'
    )

    assert stocks.filter_stocks == ("NVDA", "MSFT")
    assert stocks.watch_list == ("SOUN", "NVDA", "AMZN")
    assert stocks.symbols == ("NVDA", "MSFT", "SOUN", "AMZN")


def test_G10_case_blanks_and_repetitions_do_not_matter() -> None:
    stocks = parse_watchlist(
        '{"filter_stocks": {" nvda": true, "NVDA": true}, "watch_list": ["soun", "SOUN ", "Soun", "brk-b", "BRK/B"],'
        ' "exchanges": {"soun ": " 나스닥 ", "BRK.B": "뉴욕"}}'
    )

    assert stocks == Watchlist(("NVDA",), ("SOUN", "BRK.B"), {"SOUN": "나스닥", "BRK.B": "뉴욕"})


def test_every_part_may_be_left_out_and_a_name_with_an_underscore_is_a_comment() -> None:
    assert parse_watchlist('{"_설명": "아무 말", "watch_list": ["F"]}') == Watchlist((), ("F",), {})


def test_an_empty_watch_list_is_fine_while_there_is_a_filter_stock() -> None:
    assert parse_watchlist('{"filter_stocks": {"NVDA": true}, "watch_list": []}').symbols == ("NVDA",)


@pytest.mark.parametrize(
    "text", ["{}", '{"watch_list": []}', '{"filter_stocks": {"NVDA": false}}', '{"exchanges": {"SOUN": "나스닥"}}']
)
def test_a_list_without_any_symbol_is_refused(text: str) -> None:
    assert "하나도 없습니다" in problems_of(text)[0]


def test_the_list_cannot_be_changed_by_whoever_reads_it() -> None:
    stocks = parse_watchlist(GOOD)

    with pytest.raises(TypeError):
        stocks.exchanges["SOUN"] = "뉴욕"  # type: ignore[index]
    assert hash(stocks) == hash(parse_watchlist(GOOD))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "1번째 줄 1번째 글자"),
        ('{"watch_list": ["SOUN",\n  "AMD"\n  "PLTR"]}', "3번째 줄 3번째 글자"),
        ('{"watch_list": ["SOUN"', "1번째 줄"),
        ("[" * 100_000, "JSON으로 읽을 수 없습니다"),
        ('{"watch_list": [' + "9" * 5000 + "]}", "JSON으로 읽을 수 없습니다"),
        ('["SOUN"]', "중괄호"),
        ("null", "중괄호"),
        ('{"watch_lists": ["SOUN"]}', "혹시 'watch_list'"),
        ('{"stuff": 1, "watch_list": ["SOUN"]}', "쓸 수 있는 것: filter_stocks, watch_list, exchanges"),
        ('{"watch_list": ["SOUN"], "watch_list": []}', "'watch_list': 두 번"),
        ('{"watch_list": "SOUN"}', "대괄호"),
        ('{"watch_list": null}', "대괄호"),
        ('{"watch_list": ["SOUN", 5]}', "watch_list 2번째 5"),
        ('{"watch_list": ["SOUN", ""]}', "watch_list 2번째 ''"),
        ('{"watch_list": ["소운"]}', "watch_list 1번째 '소운'"),
        ('{"watch_list": ["005930"]}', "미국 종목 기호가 아닙니다"),
        ('{"watch_list": ["ＡＭＤ"]}', "미국 종목 기호가 아닙니다"),
        ('{"watch_list": ["ſoun"]}', "미국 종목 기호가 아닙니다"),  # its upper case is SOUN
        ('{"watch_list": ["A B"]}', "미국 종목 기호가 아닙니다"),
        ('{"filter_stocks": ["NVDA"]}', "filter_stocks"),
        ('{"filter_stocks": {"NVDA": "true"}}', "따옴표 없이 true"),
        ('{"filter_stocks": {"NVDA": 1}}', "filter_stocks 'NVDA'"),
        ('{"filter_stocks": {"NVDA": true, "nvda": false}}', "filter_stocks NVDA: 서로 다른 값"),
        ('{"filter_stocks": {"NVDA": true, "NVDA": false}}', "'NVDA': 두 번"),
        ('{"watch_list": ["SOUN"], "exchanges": {"SOUN": "NASDAQ"}}', "나스닥, 뉴욕, 아멕스"),
        ('{"watch_list": ["SOUN"], "exchanges": {"SOUN": null}}', "exchanges 'SOUN'"),
        ('{"watch_list": ["SOUN"], "exchanges": []}', "exchanges"),
        ('{"watch_list": ["SOUN"], "exchanges": {"SOUN": "나스닥", "soun": "뉴욕"}}', "exchanges SOUN: 서로 다른 값"),
    ],
)
def test_what_is_wrong_is_said_in_korean_with_its_place(text: str, words: str) -> None:
    assert words in "\n".join(problems_of(text))


def test_all_problems_come_at_once() -> None:
    text = '{"filter_stocks": {"NVDA": 1}, "watch_list": ["?", "!"], "exchanges": {"SOUN": "서울"}, "x": 0}'

    assert len(problems_of(text)) == 5


def test_a_huge_entry_is_cut_in_the_message() -> None:
    assert len(problems_of(json.dumps({"watch_list": ["A" * 10_000]}))[0]) < 150


def test_the_exchange_names_are_those_of_the_log() -> None:
    assert EXCHANGES == ("나스닥", "뉴욕", "아멕스")


# the file


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stocks = WatchlistFile(path)
    first = stocks.current()
    assert stocks.current() is first
    assert caplog.messages == []

    path.write_text(OTHER)

    assert stocks.current().symbols == ("PLTR", "AMD")
    assert caplog.messages == [f"{path} 다시 읽음: 관심 종목 2개"]


def test_a_file_swapped_in_with_the_same_size_and_time_is_noticed(path: Path) -> None:
    stocks = WatchlistFile(path)
    stocks.current()
    before = path.stat()

    fresh = path.with_suffix(".new")
    fresh.write_text(GOOD.replace("SOUN", "SOFI"))
    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
    fresh.replace(path)

    assert stocks.current().watch_list == ("SOFI",)


@pytest.mark.parametrize(
    "broken",
    [b"", b'{"watch_list": ["SOUN"', b"{}", b"\xbc\xd2\xbf\xee", GOOD.encode("utf-16"), b"\x00" * 90],
    ids=["empty", "cut", "no symbols", "cp949", "utf-16", "nul"],
)
def test_G09_a_broken_file_keeps_the_last_good_list_and_says_so_once(
    path: Path, broken: bytes, warnings_of: Callable[[], list[str]]
) -> None:
    stocks = WatchlistFile(path)
    good = stocks.current()

    path.write_bytes(broken)

    assert [stocks.current() for _ in range(3)] == [good] * 3
    assert len(warnings_of()) == 1
    assert str(path) in warnings_of()[0]
    assert "마지막으로 좋았던 목록(2종목)" in warnings_of()[0]


def test_each_new_break_is_said_and_a_mended_file_is_used(path: Path, warnings_of: Callable[[], list[str]]) -> None:
    stocks = WatchlistFile(path)
    stocks.current()

    for text in ("{", "[]"):
        path.write_text(text)
        stocks.current()
    path.write_text(OTHER)

    assert stocks.current().symbols == ("PLTR", "AMD")
    assert len(warnings_of()) == 2


def test_G09_a_deleted_file_keeps_the_last_good_list(path: Path, warnings_of: Callable[[], list[str]]) -> None:
    stocks = WatchlistFile(path)
    good = stocks.current()

    path.unlink()

    assert [stocks.current(), stocks.current()] == [good, good]
    assert len(warnings_of()) == 1
    assert "파일이 없습니다" in warnings_of()[0]


@pytest.mark.parametrize("text", [None, "{"])
def test_without_any_good_list_there_is_an_error_that_names_the_file(path: Path, text: str | None) -> None:
    path.unlink() if text is None else path.write_text(text)
    stocks = WatchlistFile(path)

    for _ in range(2):
        with pytest.raises(SettingsError) as caught:
            stocks.current()
        assert all(problem.startswith(f"{path}: ") for problem in caught.value.problems)

    path.write_text(GOOD)
    assert stocks.current().symbols == ("NVDA", "SOUN")


def test_a_folder_in_the_files_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="읽을 수 없습니다"):
        WatchlistFile(tmp_path).current()


def test_a_bom_from_notepad_is_no_trouble(path: Path) -> None:
    path.write_text(GOOD.replace("\n", "\r\n"), encoding="utf-8-sig")

    assert WatchlistFile(path).current() == parse_watchlist(GOOD)


def test_a_wrong_encoding_is_named_with_its_line(path: Path) -> None:
    path.write_bytes('{"watch_list": ["SOUN"],\n "exchanges": {"SOUN": "나스닥"}}'.encode("cp949"))

    with pytest.raises(SettingsError, match=r"2번째 줄: UTF-8이 아닙니다 \(CP949"):
        WatchlistFile(path).current()


def test_G11_a_file_that_is_being_written_gives_one_whole_list_or_the_other(path: Path) -> None:
    stocks = WatchlistFile(path)
    known = {stocks.current().symbols, parse_watchlist(OTHER).symbols}
    may_begin, is_whole = threading.Semaphore(0), threading.Event()

    def write() -> None:
        for text in (OTHER, GOOD) * 10:
            may_begin.acquire()
            is_whole.clear()
            with path.open("w") as file:
                for part in text:
                    file.write(part)
                    file.flush()
            is_whole.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    for text in (OTHER, GOOD) * 10:
        may_begin.release()
        give_up_at = time.monotonic() + 60
        while (seen := stocks.current().symbols) != parse_watchlist(text).symbols or not is_whole.is_set():
            assert seen in known
            assert time.monotonic() < give_up_at
    writer.join()


def test_many_threads_get_the_same_list_and_one_warning(path: Path, warnings_of: Callable[[], list[str]]) -> None:
    stocks = WatchlistFile(path)
    good = stocks.current()
    path.write_text("{")

    with ThreadPoolExecutor(8) as pool:
        lists = list(pool.map(lambda _: stocks.current(), range(64)))

    assert lists == [good] * 64
    assert len(warnings_of()) == 1


# the default file


@pytest.mark.parametrize("given", [Path("stocks_config.json"), Path("stocks_config.json").absolute])
def test_the_shipped_list_stands_in_for_a_default_file_that_is_missing(
    given: Path | Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = given if isinstance(given, Path) else given()

    assert WatchlistFile(path).path == SHIPPED
    assert len(WatchlistFile(path).current().symbols) == 16


def test_the_owners_own_default_file_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stocks_config.json").write_text(OTHER)

    assert WatchlistFile(Path("stocks_config.json")).current().symbols == ("PLTR", "AMD")


def test_a_file_that_the_owner_named_is_never_replaced_by_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    for path in (Path("mine.json"), tmp_path / "elsewhere" / "stocks_config.json"):
        with pytest.raises(SettingsError):
            WatchlistFile(path).current()


def test_an_owners_file_that_vanishes_later_is_not_swapped_for_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "stocks_config.json"
    own.write_text(OTHER)
    stocks = WatchlistFile(own)
    stocks.current()

    own.unlink()

    assert stocks.current().symbols == ("PLTR", "AMD")
