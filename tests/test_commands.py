"""`trades` and `adopt`, as functions on a house and as the owner types them."""

import csv
import io
import json
import sqlite3

import pytest
from test_daemon import ended, start  # noqa: F401 - a fixture
from test_orders import (  # noqa: F401 - a fixture
    beside_a_twin,
    buy_and_sell,
    check_books,
    follow,
    intents,
    only,
    orders,
    shop,
    trade,
)

from adopt import run_adopt
from intents import State
from simulator import Fault
from trades import BOM, HEADINGS, as_csv, as_table, display_width, trade_rows


@pytest.fixture
def traded(shop):  # noqa: F811
    """A house that has bought and sold SOUN once."""
    house = shop(only("SOUN")).started()
    buy_and_sell(house)
    return house


def test_trades_show_both_zones_fees_and_profit_after_fees(traded):
    rows = trade_rows(traded.daemon.ledger)
    cells = [dict(zip(HEADINGS, row.cells, strict=True)) for row in rows]
    bought, sold = cells
    assert (bought["구분"], bought["수량"], bought["가격(USD)"], bought["금액(USD)"]) == (
        "매수",
        "100",
        "9.0000",
        "900.00",
    )
    assert bought["한국시각"].startswith("2026-11-23 22:0")
    assert bought["뉴욕시각"].startswith("2026-11-23 08:0")
    assert bought["실현손익(USD)"] == ""
    assert sold["구분"] == "매도"
    truth = traded.sim.account()
    assert float(sold["실현손익(USD)"]) == pytest.approx(float(truth.cash - truth.opening), abs=0.02)
    assert float(sold["환율(KRW/USD)"]) > 500
    assert int(sold["금액(KRW)"]) == pytest.approx(float(sold["금액(USD)"]) * float(sold["환율(KRW/USD)"]), abs=5)


def test_the_csv_opens_in_excel(traded):
    text = as_csv(trade_rows(traded.daemon.ledger))
    assert text.startswith(BOM)
    assert [len(row) for row in csv.reader(io.StringIO(text[1:]))] == [len(HEADINGS)] * 3


def test_the_table_fits_eighty_columns(traded):
    assert all(display_width(line) <= 80 for line in as_table(trade_rows(traded.daemon.ledger)).splitlines())
    assert as_table([]) == "아직 거래가 없습니다."


def test_the_owner_types_trades(start):  # noqa: F811
    assert ended(start, "trades") == (0, "아직 거래가 없습니다.\n")


# adopt


def answer(monkeypatch, text):
    monkeypatch.setattr("builtins.input", lambda prompt: text)


@pytest.fixture
def ambiguous(shop):  # noqa: F811
    return beside_a_twin(shop)


def test_adopt_asks_and_a_no_changes_nothing(ambiguous, monkeypatch, capsys):
    answer(monkeypatch, "n")
    assert run_adopt(ambiguous.daemon, own="", sure=False) == 0
    assert [intent.state for intent in intents(ambiguous)] == [State.AMBIGUOUS]
    assert "결과를 모르는 주문을 닫음: 매수 SOUN 100주 $9.00" in capsys.readouterr().out


def test_adopt_closes_an_ambiguous_order_keeps_the_old_file_and_buying_goes_on(ambiguous, monkeypatch):
    house = ambiguous
    answer(monkeypatch, "y")
    assert run_adopt(house.daemon, own="", sure=False) == 0
    assert [intent.state for intent in intents(house)] == [State.ADOPTED]
    kept = list(house.settings.data_dir.glob("autostock-sim.db.before-adopt-*"))
    assert len(kept) == 1
    with sqlite3.connect(kept[0]) as db:
        assert db.execute("SELECT state FROM intents").fetchall() == [("ambiguous",)]
    db.close()
    house.restart()
    assert house.daemon.trader._desk.distrust() is None


def test_adopt_takes_shares_that_the_owner_sold_off_the_books(traded, shop, capsys):  # noqa: F811
    house = traded
    house.pass_seconds(3600)
    house.settings.stocks_file.write_text(json.dumps({**only("IONQ"), "watch_list": ["IONQ"]}), "utf-8")
    trade(house)
    follow(house, 1)
    house.sim.place_foreign_order("IONQ", "sell", 30, "38")
    follow(house, 1)
    house.pass_seconds(5)
    house.sim.account()

    assert run_adopt(house.daemon, own="", sure=True) == 0

    assert "IONQ: 데몬 몫 -30주" in capsys.readouterr().out
    assert check_books(house) == {"IONQ": 70}
    rows = [row.cells[2] for row in trade_rows(house.daemon.ledger)]
    assert rows[-1] == "정정(매도)"


def test_adopt_after_a_broken_database_keeps_it_and_claims_only_what_the_owner_names(traded, capsys):
    house = traded
    house.sim.give_shares("SOUN", 7, "9")
    house.sim.give_shares("AMD", 5, "100")
    house.restart()
    for suffix in ("-wal", "-shm"):
        path = house.settings.database_file.with_name(house.settings.database_file.name + suffix)
        path.unlink(missing_ok=True)
    house.settings.database_file.write_bytes(b"not a database" * 99)

    assert run_adopt(house.daemon, own="soun", sure=True) == 0

    assert "사용 불가" in capsys.readouterr().out
    kept = list(house.settings.data_dir.glob("autostock-sim.db.broken-*"))
    assert kept[0].read_bytes().startswith(b"not a database")
    house.restart()
    assert house.daemon.trader._desk.distrust() is None
    assert check_books(house) == {"SOUN": 7}


def test_adopt_changes_nothing_when_kis_cannot_be_read(ambiguous, capsys):
    ambiguous.sim.faults.add(Fault("html502", "ledger"))
    assert run_adopt(ambiguous.daemon, own="", sure=True) == 1
    assert [intent.state for intent in intents(ambiguous)] == [State.AMBIGUOUS]
    assert len(orders(ambiguous)) == 1


def test_adopt_has_nothing_to_ask_where_the_books_agree(traded, capsys):
    assert run_adopt(traded.daemon, own="", sure=False) == 0
    assert "이미 맞습니다" in capsys.readouterr().out
