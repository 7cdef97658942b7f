"""Bugs planted on purpose, to see that the simulation is not blind. Nothing here is reachable from the daemon.

Each is a context in which one function of the daemon is replaced by the way somebody careless would have written it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any
from unittest.mock import patch

import intents
import kis_api
import kis_codes
import kis_quotes
import kis_trading
import main
import order_desk
import scheduler
from account import Account, OrderList
from errors import KISError, NoAnswer, TokenRejected
from intents import Intent, State
from ledger import Ledger
from order_desk import OrderDesk
from portfolio import OrderRow, rows_of
from token_file import Token, TokenFile
from token_manager import TokenManager

DAY = 86_400.0


@dataclass(frozen=True)
class Mutant:
    """A planted bug and how it is switched on."""

    title: str
    plant: Callable[[], AbstractContextManager[object]]


def _send_again() -> AbstractContextManager[object]:
    post = OrderDesk._post

    def careless(self: OrderDesk, intent: Intent, send: order_desk.Send) -> Any:
        def twice(*order: Any) -> Any:
            try:
                return send(*order)
            except NoAnswer:
                return send(*order)

        return post(self, intent, twice)

    return patch.object(OrderDesk, "_post", careless)


def _failed_page_ends_the_list() -> AbstractContextManager[object]:
    def careless(ask: Callable[[Mapping[str, str]], Any], name: str) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = []
        context: Mapping[str, str] = kis_trading.FIRST_PAGE
        for _ in range(kis_trading.MAX_PAGES):
            try:
                answer = ask(context)
            except KISError:
                if not rows:
                    raise
                break
            rows += rows_of(answer.body, name)
            if answer.headers.get("tr_cont", "").strip() not in ("F", "M"):
                break
            context = {key: str(answer.body.get(key.lower()) or "") for key in kis_trading.FIRST_PAGE}
        return rows

    return patch.object(kis_trading, "_read_once", careless)


def _cancelled_is_gone() -> AbstractContextManager[object]:
    cancel = OrderDesk._cancel

    def careless(self: OrderDesk, intent: Intent) -> None:
        cancel(self, intent)
        now = self._clock.now().timestamp()
        self._note(replace(self._live.get(intent.id, intent), state=State.DONE, closed_at=now, ending="취소"))

    return patch.object(OrderDesk, "_cancel", careless)


def _not_marked() -> AbstractContextManager[object]:
    def careless(self: OrderDesk, intent: Intent) -> Intent:
        marked = replace(intent, state=State.SENT, sent_at=self._clock.now().timestamp())
        self._live[intent.id] = marked
        return marked

    return patch.object(OrderDesk, "_mark_sent", careless)


def _silence_is_refusal() -> AbstractContextManager[object]:
    def careless(intent: Intent, reason: str) -> Intent:
        return replace(intent, state=State.REFUSED, answer=reason, closed_at=intent.created_at)

    return patch.object(order_desk, "after_silence", careless)


def _any_number_is_a_price() -> AbstractContextManager[object]:
    def careless(text: object) -> Decimal | None:
        try:
            return Decimal(str(text).strip())
        except InvalidOperation:
            return None

    return patch.object(kis_quotes, "parse_price", careless)


def _fills_added_up() -> AbstractContextManager[object]:
    def careless(intent: Intent, row: OrderRow) -> Intent:
        if not row.filled:
            return intent
        return replace(intent, filled=intent.filled + row.filled, fill_price=row.fill_price)

    return patch.object(intents, "_with_fill", careless)


def _age_by_the_wall() -> AbstractContextManager[object]:
    def careless(self: OrderDesk, intent: Intent) -> float:
        return self._clock.now().timestamp() - intent.created_at

    return patch.object(OrderDesk, "_age", careless)


def _spacing_in_memory() -> AbstractContextManager[object]:
    def careless(self: Ledger, key_mark: str, most: int = 20) -> list[Any]:
        return []

    return patch.object(Ledger, "issuances", careless)


def _failure_spends_the_budget() -> AbstractContextManager[object]:
    issue = TokenManager.issue

    def careless(self: TokenManager, cause: str) -> Any:
        try:
            return issue(self, cause)
        except KISError:
            self._hold_until = self._clock.monotonic() + DAY
            raise

    return patch.object(TokenManager, "issue", careless)


@contextmanager
def _one_empty_list() -> Iterator[None]:
    with patch.object(intents, "ENOUGH_LOOKS", 1), patch.object(intents, "ENOUGH_SECONDS", 0.0):
        yield


def _every_refusal_is_the_tokens() -> AbstractContextManager[object]:
    return patch.object(kis_codes, "_refusal_class", lambda code, flag, message: TokenRejected)


def _stale_cache() -> AbstractContextManager[object]:
    def make(*parts: Any, cache_seconds: float, **more: Any) -> kis_api.KISAPIClient:
        return kis_api.KISAPIClient(*parts, cache_seconds=7200.0, **more)

    return patch.object(main, "KISAPIClient", make)


def _issues_at_every_start() -> AbstractContextManager[object]:
    return patch.object(TokenManager, "_load", lambda self: None)


def _anybodys_token() -> AbstractContextManager[object]:
    token = TokenFile._token

    def careless(self: TokenFile, document: dict[str, Any]) -> Token:
        return token(self, {k: v for k, v in document.items() if k not in ("app_key_mark", "mode")})

    return patch.object(TokenFile, "_token", careless)


def _torn_list_is_empty() -> AbstractContextManager[object]:
    orders = Account.orders

    def careless(self: Account, *days: Any) -> OrderList:
        try:
            return orders(self, *days)
        except KISError:
            return OrderList((), self._clock.monotonic())

    return patch.object(Account, "orders", careless)


def _passes_in_memory() -> AbstractContextManager[object]:
    return patch.object(Ledger, "last_run", lambda self, job: None)


def _says_nothing_of_orders() -> AbstractContextManager[object]:
    return patch.object(order_desk, "_say", lambda before, after: None)


def _looks_seldom() -> AbstractContextManager[object]:
    return patch.object(scheduler, "FOLLOW_SECONDS", 600)


MUTANTS: dict[str, Mutant] = {
    "M01": Mutant("답이 없으면 주문을 다시 보냄", _send_again),
    "M02": Mutant("목록에 한 번 없으면 없는 주문으로 봄", _one_empty_list),
    "M03": Mutant("실패한 쪽을 목록의 끝으로 봄", _failed_page_ends_the_list),
    "M04": Mutant("취소를 보냈으면 취소된 것으로 봄", _cancelled_is_gone),
    "M05": Mutant("어떤 거절에도 토큰을 다시 발급", _every_refusal_is_the_tokens),
    "M06": Mutant("보내기 전에 장부에 적지 않음", _not_marked),
    "M07": Mutant("두 시간 묵은 시세를 줌", _stale_cache),
    "M08": Mutant("주문의 시간 초과를 거절로 봄", _silence_is_refusal),
    "M09": Mutant("NaN·0·음수도 가격으로 받음", _any_number_is_a_price),
    "M10": Mutant("목록의 체결 수량을 더함", _fills_added_up),
    "M11": Mutant("20분을 벽시계로 잼", _age_by_the_wall),
    "M12": Mutant("발급 간격을 메모리에만 둠", _spacing_in_memory),
    "M13": Mutant("실패한 발급이 복구 기회를 써 버림", _failure_spends_the_budget),
    "M14": Mutant("시작할 때마다 토큰을 발급", _issues_at_every_start),
    "M15": Mutant("남의 토큰 파일을 그대로 씀", _anybodys_token),
    "M16": Mutant("읽지 못한 주문내역을 빈 것으로 봄", _torn_list_is_empty),
    "M17": Mutant("마지막 매수 시각을 메모리에만 둠", _passes_in_memory),
    "M18": Mutant("주문에 생긴 일을 로그에 쓰지 않음", _says_nothing_of_orders),
    "M19": Mutant("열린 주문을 10분에 한 번만 봄", _looks_seldom),
}


def planted(name: str | None) -> AbstractContextManager[object]:
    """The context in which the bug ``name`` is there; None plants nothing."""
    return MUTANTS[name].plant() if name else nullcontext()
