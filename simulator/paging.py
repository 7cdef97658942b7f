"""Lists in pages: keys, ``tr_cont`` and KIS's refusal when the rows changed in between (protocol §5.5, §8)."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from simulator.calls import Call
from simulator.codes import ledger_ok
from simulator.kis_values import is_number
from simulator.messages import Request, Response
from simulator.options import Options

Row = dict[str, str]

DONE = ("KIOK0510", "조회가 완료되었습니다")
NO_ROWS = ("KIOK0560", "조회할 내용이 없습니다")
LOOKED_UP = ("KIOK0460", "조회 되었습니다")

WIDTH = 200  # of both CTX_AREA fields
_KEY = "CTX_AREA_NK200"


class Changed(Exception):
    """SYDB0050: no such next page, or not any more."""


@dataclass(frozen=True)
class Page:
    """One page: which rows, how it is continued, and the key of the next one."""

    first: int
    last: int
    tr_cont: str
    next_key: str  # padded; all blank when nothing follows


def page_of(request: Request) -> int:
    """Which page a request asks for, counted from 1."""
    key = request.query.get(_KEY, "").strip()
    return int(key[:4]) if is_number(key[:4]) else 1


class Pager:
    """Cuts the lists of one profile into pages and dresses them as answers."""

    def __init__(self, options: Options, sizes: Mapping[str, int]) -> None:
        self._options = options
        self._sizes = sizes

    def cut(self, call: Call, identities: Sequence[Hashable]) -> Page:
        """The page that a call asks for; ``identities`` stand for the rows."""
        size = self._options.page_size or self._sizes[call.asked.route.name]
        if call.has("endless"):
            return Page(0, size, self._options.more_mark, f"{page_of(call.request) + 1:04}".ljust(WIDTH))
        return _cut(call.request, identities, size, self._options)

    def repeated(self, call: Call, rows: list[Row]) -> list[Row]:
        """The rows, twice each where the lists are to be like that."""
        if self._options.duplicate_rows or call.has("duplicate_rows"):
            return [row for row in rows for _ in range(2)]
        return rows

    def answer(
        self, call: Call, page: Page, payload: Mapping[str, object], context: str, said: tuple[str, str]
    ) -> Response:
        """A page with the keys of the next one; ``context`` is what KIS repeats of the question."""
        account = f"{call.request.query['CANO']}^{call.request.query['ACNT_PRDT_CD']}^"
        keys = {"ctx_area_fk200": (account + context).ljust(WIDTH), "ctx_area_nk200": page.next_key}
        return ledger_ok({**keys, **payload}, call.asked.tr_id, page.tr_cont, *said)


def _cut(request: Request, identities: Sequence[Hashable], size: int, options: Options) -> Page:
    """If the identities differ from those of the page before, the data has changed."""
    mark = _mark(tuple(identities))
    key, continued = request.query.get(_KEY, "").strip(), request.headers.get("tr_cont", "").strip() == "N"
    if bool(key) != continued or (key and not is_number(key[:4])):
        raise Changed
    if key and options.changed_between_pages and key[4:] != mark:
        raise Changed
    number = page_of(request)
    first = (number - 1) * size
    if number > 1 and first >= len(identities):
        raise Changed
    if first + size < len(identities):
        return Page(first, first + size, options.more_mark, f"{number + 1:04}{mark}".ljust(WIDTH))
    return Page(first, len(identities), "D" if number == 1 else "E", " " * WIDTH)


@lru_cache(maxsize=64)
def _mark(identities: tuple[Hashable, ...]) -> str:
    return hashlib.blake2b(repr(list(identities)).encode(), digest_size=6).hexdigest()
