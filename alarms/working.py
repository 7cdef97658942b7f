"""Was this a working minute? A loop can turn all night and do nothing; only work counts. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

SLACK = timedelta(minutes=2)


def is_working(
    now: datetime,
    session_open: datetime | None,
    last_quote_at: datetime | None,
    watch_interval: timedelta,
    token_checked_at: datetime,
    token_check_interval: timedelta,
) -> bool:
    """In session: the last good quote, or the opening, is at most two watch intervals and two minutes old.

    Out of session there is nothing to quote: the token check must not be overdue. ``session_open`` is that of the
    running session, None without one; all instants are aware.
    """
    if session_open is None:
        return now - token_checked_at <= token_check_interval + SLACK
    since = max(session_open, last_quote_at or session_open)
    return now - since <= 2 * watch_interval + SLACK
