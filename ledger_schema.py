"""The tables of autostock-{mode}.db, as the steps that made them. A step that was released is never changed."""

from __future__ import annotations

MIGRATIONS = (
    # 0 → 1
    """
    CREATE TABLE issuances (
        id INTEGER PRIMARY KEY,
        key_mark TEXT NOT NULL,       -- hash of the app key
        at REAL NOT NULL,             -- epoch seconds, before the request leaves; once it has ended, its end
        cause TEXT NOT NULL,
        outcome TEXT NOT NULL,        -- asked | issued | same token | the reason of a failure
        token_mark TEXT               -- hash of the token that came
    );
    CREATE TABLE exchanges (
        symbol TEXT PRIMARY KEY,
        exchange TEXT NOT NULL        -- 나스닥, 뉴욕, 아멕스
    );
    CREATE TABLE facts (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    );
    """,
    # 1 → 2
    """
    CREATE TABLE intents (
        id INTEGER PRIMARY KEY,
        session TEXT NOT NULL,        -- New York date
        closes_at REAL NOT NULL,      -- epoch seconds, as all instants here
        symbol TEXT NOT NULL,
        exchange TEXT NOT NULL,
        side TEXT NOT NULL,           -- 매수, 매도
        quantity INTEGER NOT NULL,
        limit_price TEXT NOT NULL,    -- USD, as sent
        reason TEXT NOT NULL,
        state TEXT NOT NULL,
        created_at REAL NOT NULL,
        sent_at REAL,
        known TEXT NOT NULL,          -- JSON: date and number of what KIS listed before
        number INTEGER,               -- KIS's order number
        order_date TEXT NOT NULL,     -- KIS's date of it
        answer TEXT NOT NULL,
        filled INTEGER NOT NULL,
        fill_price TEXT NOT NULL,     -- USD, average
        looks INTEGER NOT NULL,
        first_look_at REAL,
        cancels INTEGER NOT NULL,
        cancel_at REAL,
        closed_at REAL,
        ending TEXT NOT NULL,
        krw_per_usd TEXT,
        was_unknown INTEGER NOT NULL
    );
    CREATE INDEX intents_by_state ON intents (state);
    CREATE INDEX intents_by_session ON intents (session);
    CREATE INDEX intents_by_symbol ON intents (symbol);
    CREATE TABLE fills (
        id INTEGER PRIMARY KEY,       -- the order of the books: clocks may step
        intent INTEGER NOT NULL REFERENCES intents (id),
        at REAL NOT NULL,             -- when the fill was seen
        quantity INTEGER NOT NULL,    -- shares more than before
        price TEXT NOT NULL           -- USD, of these shares
    );
    CREATE TABLE corrections (
        id INTEGER PRIMARY KEY,
        after_fill INTEGER NOT NULL,  -- its place among the fills
        at REAL NOT NULL,
        symbol TEXT NOT NULL,
        quantity INTEGER NOT NULL,    -- shares added to (+) or taken from (-) what counts as ours
        price TEXT NOT NULL,          -- USD, average of added shares
        reason TEXT NOT NULL
    );
    CREATE TABLE runs (
        job TEXT PRIMARY KEY,
        at REAL NOT NULL
    );
    CREATE TABLE days (
        session TEXT PRIMARY KEY,     -- New York date
        opening_value TEXT NOT NULL   -- USD, cash and shares
    );
    """,
    # 2 → 3
    """
    CREATE TABLE nights (
        session TEXT PRIMARY KEY,     -- New York date; the row is made when the session is first seen running
        seen_at REAL NOT NULL,
        reported_at REAL,             -- when its report was made by the daemon
        closing_value TEXT,           -- USD, cash and shares; NULL where KIS could not be read
        krw_per_usd TEXT,
        holdings TEXT                 -- JSON, as KIS showed them after the close; NULL where it could not be read
    );
    CREATE TABLE recoveries (
        id INTEGER PRIMARY KEY,
        at REAL NOT NULL,
        name TEXT NOT NULL,           -- the symbol or the kind of call that met the dead token
        seconds REAL NOT NULL
    );
    CREATE TABLE reasons (
        session TEXT NOT NULL,
        job TEXT NOT NULL,            -- 매수, 매도
        symbol TEXT NOT NULL,         -- 전체: the pass as a whole
        kind TEXT NOT NULL,           -- the text without its numbers
        text TEXT NOT NULL,           -- the last one
        count INTEGER NOT NULL,
        last_at REAL NOT NULL,
        PRIMARY KEY (session, job, symbol, kind)
    );
    CREATE TABLE troubles (
        session TEXT NOT NULL,
        code TEXT NOT NULL,           -- KIS's; JOB for a failed job; blank where KIS did not answer
        kind TEXT NOT NULL,           -- blank where KIS's code says it
        text TEXT NOT NULL,           -- the last one
        count INTEGER NOT NULL,
        last_at REAL NOT NULL,
        PRIMARY KEY (session, code, kind)
    );
    """,
)
SCHEMA_VERSION = len(MIGRATIONS)
