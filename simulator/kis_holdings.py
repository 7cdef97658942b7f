"""KIS's account queries about holdings and money (protocol §8.3 to §8.6)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import ROUND_DOWN, Decimal

from simulator.books import ZERO, Account, Holding, Order
from simulator.calls import Call
from simulator.codes import input_error, ledger_ok
from simulator.desk import Desk
from simulator.kis_values import find_day, find_price, is_here, listed
from simulator.listings import MARKET_NAMES, ORDER_CODES, PRODUCT_TYPES
from simulator.market import Market
from simulator.messages import Response
from simulator.options import Options
from simulator.paging import DONE, Pager, Row

_MARKET_CODES = {"01": "NASD", "02": "NYSE", "05": "AMEX"}  # TR_MKET_CD (§2.5)


class Holdings:
    """Answers the balances, psamount and the realised profit."""

    def __init__(self, desk: Desk, market: Market, options: Options, pager: Pager, paper: bool) -> None:
        self._desk = desk
        self._market = market
        self._options = options
        self._pager = pager
        self._paper = paper
        self.answers: dict[str, Callable[[Call, Account], Response]] = {
            "balance": self._balance,
            "present-balance": self._present_balance,
            "psamount": self._psamount,
            "period-profit": self._period_profit,
        }

    def _balance(self, call: Call, account: Account) -> Response:
        """Holdings (§8.3). No cash figure: KIS has none here."""
        exchange = call.request.query["OVRS_EXCG_CD"]
        known = {*ORDER_CODES.values()} if self._paper else {*ORDER_CODES.values(), "NAS", ""}
        if exchange not in known:
            return input_error("OVRS_EXCG_CD")
        held = [(s, h) for s, h in sorted(account.holdings.items()) if is_here(_code(s), exchange, paper=self._paper)]
        page = self._pager.cut(call, [(symbol, holding.quantity) for symbol, holding in held])
        rows = [self._holding_row(call, account, s, h) for s, h in held[page.first : page.last]]
        rows = self._pager.repeated(call, rows)
        if self._options.padding_row or call.has("padding_rows"):
            rows.append(_NO_HOLDING_ROW)
        payload = {"output1": rows, "output2": self._balance_totals(account, call.at)}
        return self._pager.answer(call, page, payload, f"{exchange}^USD^", DONE)

    def _holding_row(self, call: Call, account: Account, symbol: str, holding: Holding) -> Row:
        listing = listed(symbol)
        price = self._market.price(listing, call.at)
        value = price * holding.quantity
        profit = value - holding.cost
        sellable = 0 if call.about("unsellable", symbol) else account.sellable(symbol)
        return {
            "cano": call.request.query["CANO"],
            "acnt_prdt_cd": call.request.query["ACNT_PRDT_CD"],
            "prdt_type_cd": PRODUCT_TYPES[listing.exchange],
            "ovrs_pdno": symbol,
            "ovrs_item_name": symbol,
            "frcr_evlu_pfls_amt": f"{profit:.6f}",
            "evlu_pfls_rt": f"{profit / holding.cost * 100 if holding.cost else ZERO:.2f}",
            "pchs_avg_pric": f"{holding.average:.4f}",
            "ovrs_cblc_qty": str(holding.quantity),
            "ord_psbl_qty": str(sellable),
            "frcr_pchs_amt1": f"{holding.cost:.5f}",
            "ovrs_stck_evlu_amt": f"{value:.8f}",
            "now_pric2": f"{price:.6f}",
            "tr_crcy_cd": "USD",
            "ovrs_excg_cd": listing.order_code,
            "loan_type_cd": "10",
            "loan_dt": "",
            "expd_dt": "",
        }

    def _balance_totals(self, account: Account, at: float) -> Row:
        cost = sum((holding.cost for holding in account.holdings.values()), ZERO)
        value = self._value(account, at)
        realised, basis = account.realised, account.sold_cost
        return {
            "frcr_pchs_amt1": f"{cost:.5f}",
            "ovrs_rlzt_pfls_amt": f"{realised:.5f}",
            "ovrs_tot_pfls": f"{value - cost:.5f}",
            "rlzt_erng_rt": f"{realised / basis * 100 if basis else ZERO:.8f}",
            "tot_evlu_pfls_amt": f"{value:.8f}",  # the market value, whatever its name says (§8.3)
            "tot_pftrt": f"{(value - cost) / cost * 100 if cost else ZERO:.8f}",
            "frcr_buy_amt_smtl1": f"{cost:.6f}",
            "ovrs_rlzt_pfls_amt2": f"{realised:.5f}",
            "frcr_buy_amt_smtl2": f"{cost:.6f}",
        }

    def _value(self, account: Account, at: float) -> Decimal:
        prices = ((self._market.price(listed(s), at), h.quantity) for s, h in account.holdings.items())
        return sum((price * quantity for price, quantity in prices), ZERO)

    def _present_balance(self, call: Call, account: Account) -> Response:
        """Positions and cash on trade basis (§8.4). The currency code 01 is won, 02 dollars."""
        query = call.request.query
        if query["WCRC_FRCR_DVSN_CD"] not in ("01", "02") or query["NATN_CD"] not in ("000", "840"):
            return input_error("WCRC_FRCR_DVSN_CD")
        market = query["TR_MKET_CD"]
        if market != "00" and market not in _MARKET_CODES:
            return input_error("TR_MKET_CD")
        rate = self._market.won_per_dollar(call.at)
        factor = rate if query["WCRC_FRCR_DVSN_CD"] == "01" else Decimal(1)
        held = [(s, h) for s, h in sorted(account.holdings.items()) if _MARKET_CODES.get(market, _code(s)) == _code(s)]
        rows = [self._position_row(account, s, h, call.at, factor, rate) for s, h in held]
        payload = {
            "output1": self._pager.repeated(call, rows),
            "output2": [self._currency_row(account, call, rate)],
            "output3": self._totals_row(account, call.at, rate),
        }
        return ledger_ok(payload, call.asked.tr_id, "", *DONE)

    def _position_row(
        self, account: Account, symbol: str, holding: Holding, at: float, factor: Decimal, rate: Decimal
    ) -> Row:
        listing = listed(symbol)
        price = self._market.price(listing, at)
        today = self._market.hours.current(at).date
        orders = [order for order in account.between(today, today) if order.symbol == symbol]
        bought = [fill for order in orders if order.side == "buy" for fill in order.fills]
        sold = [fill for order in orders if order.side == "sell" for fill in order.fills]
        value = price * holding.quantity
        return {
            "prdt_name": symbol,
            "cblc_qty13": f"{account.settled(symbol):.8f}",
            "thdt_buy_ccld_qty1": f"{sum(fill.quantity for fill in bought):.8f}",
            "thdt_sll_ccld_qty1": f"{sum(fill.quantity for fill in sold):.8f}",
            "ccld_qty_smtl1": f"{holding.quantity:.8f}",
            "ord_psbl_qty1": f"{account.sellable(symbol):.8f}",
            "frcr_pchs_amt": f"{holding.cost * factor:.5f}",
            "frcr_evlu_amt2": f"{value * factor:.5f}",
            "evlu_pfls_amt2": f"{(value - holding.cost) * factor:.5f}",
            "evlu_pfls_rt1": f"{(value - holding.cost) / holding.cost * 100 if holding.cost else ZERO:.2f}",
            "pdno": symbol,
            "bass_exrt": f"{rate:.8f}",
            "buy_crcy_cd": "USD",
            "ovrs_now_pric1": f"{price * factor:.5f}",
            "avg_unpr3": f"{holding.average * factor:.4f}",
            "tr_mket_name": MARKET_NAMES[listing.exchange],
            "natn_kor_name": "미국",
            "pchs_rmnd_wcrc_amt": f"{holding.cost * rate:.0f}",
            "thdt_buy_ccld_frcr_amt": f"{sum((f.price * f.quantity for f in bought), ZERO):.5f}",
            "thdt_sll_ccld_frcr_amt": f"{sum((f.price * f.quantity for f in sold), ZERO):.5f}",
            "unit_amt": "1",
            "std_pdno": symbol,
            "prdt_type_cd": PRODUCT_TYPES[listing.exchange],
            "scts_dvsn_name": "해외주식",
            "loan_rmnd": "0.00000000",
            "loan_dt": "",
            "loan_expd_dt": "",
            "ovrs_excg_cd": listing.order_code,
            "item_lnkg_excg_cd": listing.exchange,
        }

    def _currency_row(self, account: Account, call: Call, rate: Decimal) -> Row:
        """Dollars. On paper the cash figure is on record as 0 although one can buy (§8.5)."""
        cash = account.cash if not self._paper else ZERO
        free = max(ZERO, account.orderable() - account.proceeds())
        row = {
            "crcy_cd": "USD",
            "crcy_cd_name": "미국 달러",
            "frcr_buy_amt_smtl": f"{_unsettled(account, bought=True):.6f}",
            "frcr_sll_amt_smtl": f"{_unsettled(account, bought=False):.6f}",
            "frcr_dncl_amt_2": f"{cash:.6f}",
            "frst_bltn_exrt": f"{rate:.8f}",
            "frcr_buy_mgn_amt": f"{account.reserved():.6f}",
            "frcr_etc_mgna": "0.000000",
            "frcr_drwg_psbl_amt_1": f"{free:.6f}",
            "frcr_evlu_amt2": f"{cash * rate:.6f}",
            "acpl_cstd_crcy_yn": "Y",
            "nxdy_frcr_drwg_psbl_amt": f"{max(ZERO, account.orderable()):.6f}",
        }
        return _blanked(row) if call.has("blank") else row

    def _totals_row(self, account: Account, at: float, rate: Decimal) -> Row:
        """Everything in won."""
        cost = sum((holding.cost for holding in account.holdings.values()), ZERO) * rate
        value = self._value(account, at) * rate
        cash = account.cash * rate
        amounts = {
            "pchs_amt_smtl": cost,
            "evlu_amt_smtl": value,
            "evlu_pfls_amt_smtl": value - cost,
            "dncl_amt": ZERO,
            "cma_evlu_amt": ZERO,
            "tot_dncl_amt": cash,
            "etc_mgna": ZERO,
            "wdrw_psbl_tot_amt": ZERO,
            "frcr_evlu_tota": cash,
            "evlu_erng_rt1": (value - cost) / cost * 100 if cost else ZERO,
            "pchs_amt_smtl_amt": cost,
            "evlu_amt_smtl_amt": value,
            "tot_evlu_pfls_amt": value - cost,
            "tot_asst_amt": cash + value,
            "buy_mgn_amt": account.reserved() * rate,
            "mgna_tota": account.reserved() * rate,
            "frcr_use_psbl_amt": account.orderable() * rate,
            "ustl_sll_amt_smtl": _unsettled(account, bought=False) * rate,
            "ustl_buy_amt_smtl": _unsettled(account, bought=True) * rate,
            "tot_frcr_cblc_smtl": cash,
            "tot_loan_amt": ZERO,
        }
        return {name: f"{amount:.8f}" for name, amount in amounts.items()}

    def _psamount(self, call: Call, account: Account) -> Response:
        """What may be bought of one symbol at one price (§8.5)."""
        query = call.request.query
        listing = self._desk.listing_for(query["ITEM_CD"], query["OVRS_EXCG_CD"])
        price = find_price(query["OVRS_ORD_UNPR"] or "0")
        if price is None:
            return input_error("OVRS_ORD_UNPR")
        orderable = max(ZERO, account.orderable())
        reuse = min(account.proceeds(), orderable)
        quantity = _affordable(account, orderable, price if price > 0 else self._market.price(listing, call.at))
        row = {
            "tr_crcy_cd": "USD",
            "ord_psbl_frcr_amt": _cents(orderable - reuse),
            "sll_ruse_psbl_amt": _cents(reuse),
            "ovrs_ord_psbl_amt": _cents(orderable),
            "max_ord_psbl_qty": str(quantity),
            "echm_af_ord_psbl_amt": "0.00",
            "echm_af_ord_psbl_qty": "0",
            "ord_psbl_qty": str(quantity),
            "exrt": f"{self._market.won_per_dollar(call.at):.10f}",
            "frcr_ord_psbl_amt1": _cents(orderable),
            "ovrs_max_ord_psbl_qty": str(quantity),
        }
        return ledger_ok({"output": _blanked(row) if call.has("blank") else row}, call.asked.tr_id, "", *DONE)

    def _period_profit(self, call: Call, account: Account) -> Response:
        """Realised profit by day and symbol (§8.6), in USD."""
        query = call.request.query
        start, end = find_day(query["INQR_STRT_DT"]), find_day(query["INQR_END_DT"])
        if start is None or end is None:
            return input_error("INQR_STRT_DT")
        sold = [o for o in account.between(start, end) if o.side == "sell" and o.fills]
        sold = [o for o in sold if query["PDNO"] in ("", o.symbol)]
        rate = self._market.won_per_dollar(call.at)
        page = self._pager.cut(call, [(order.id, order.filled) for order in sold])
        rows = [_profit_row(order, rate) for order in sold[page.first : page.last]]
        payload = {"Output1": rows, "Output2": _profit_totals(sold, end, rate)}
        return self._pager.answer(call, page, payload, f"{query['INQR_STRT_DT']}^{query['INQR_END_DT']}^", DONE)


_NO_HOLDING_ROW = {
    **dict.fromkeys(("cano", "acnt_prdt_cd", "prdt_type_cd", "ovrs_pdno", "ovrs_item_name"), ""),
    **dict.fromkeys(("tr_crcy_cd", "ovrs_excg_cd", "loan_type_cd", "loan_dt", "expd_dt"), ""),
    "frcr_evlu_pfls_amt": "0.000000",
    "evlu_pfls_rt": "0.00",
    "pchs_avg_pric": "0.0000",
    "ovrs_cblc_qty": "0",
    "ord_psbl_qty": "0",
    "frcr_pchs_amt1": "0.00000",
    "ovrs_stck_evlu_amt": "0.00000000",
    "now_pric2": "0.000000",
}


def _code(symbol: str) -> str:
    return listed(symbol).order_code


def _unsettled(account: Account, *, bought: bool) -> Decimal:
    """USD that trades will still move, without its sign."""
    return sum((abs(trade.cash) for trade in account.unsettled if (trade.shares > 0) == bought), ZERO)


def _affordable(account: Account, cash: Decimal, price: Decimal) -> int:
    """How many shares can be paid, fees included."""
    quantity = int(cash / (price * (1 + account.fees.commission)))
    while account.price_of(quantity + 1, price) <= cash:
        quantity += 1
    while quantity and account.price_of(quantity, price) > cash:
        quantity -= 1
    return quantity


def _cents(amount: Decimal) -> str:
    """Two decimals, never more than there is."""
    return str(amount.quantize(Decimal("0.01"), ROUND_DOWN))


def _blanked(row: Row) -> Row:
    return {name: "" if any(letter.isdigit() for letter in value) else value for name, value in row.items()}


def _profit_row(order: Order, rate: Decimal) -> Row:
    cost = sum((fill.cost for fill in order.fills), ZERO)
    profit = order.value - order.fees - cost
    return {
        "trad_day": order.date.strftime("%Y%m%d"),
        "ovrs_pdno": order.symbol,
        "ovrs_item_name": order.symbol,
        "slcl_qty": str(order.filled),
        "pchs_avg_pric": f"{cost / order.filled:.8f}",
        "frcr_pchs_amt1": f"{cost:.5f}",
        "avg_sll_unpr": f"{order.value / order.filled:.4f}",
        "frcr_sll_amt_smtl1": f"{order.value:.6f}",
        "stck_sll_tlex": f"{order.fees:.8f}",
        "ovrs_rlzt_pfls_amt": f"{profit:.5f}",
        "pftrt": f"{profit / cost * 100 if cost else ZERO:.8f}",
        "exrt": f"{rate:.8f}",
        "ovrs_excg_cd": order.exchange,
        "frst_bltn_exrt": f"{rate:.8f}",
    }


def _profit_totals(sold: list[Order], end: date, rate: Decimal) -> Row:
    cost = sum((fill.cost for order in sold for fill in order.fills), ZERO)
    value = sum((order.value for order in sold), ZERO)
    fees = sum((order.fees for order in sold), ZERO)
    profit = value - fees - cost
    return {
        "stck_sll_amt_smtl": f"{value:.8f}",
        "stck_buy_amt_smtl": f"{cost:.8f}",
        "smtl_fee1": f"{fees:.6f}",
        "excc_dfrm_amt": f"{value - fees:.8f}",
        "ovrs_rlzt_pfls_tot_amt": f"{profit:.8f}",
        "tot_pftrt": f"{profit / cost * 100 if cost else ZERO:.8f}",
        "bass_dt": end.strftime("%Y%m%d"),
        "exrt": f"{rate:.8f}",
    }
