"""A folder of logs as an evening of trouble leaves it: five services, a few thousand lines.

Written from a seed, so that every run sees the same evening. The database's disk fills up
first; everything that leans on it fails after, in its own words.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

#: The first failure: what any true answer must name.
FIRST_SERVICE = "postgres"
FIRST_TIME = "2026-03-14T02:17:43.118Z"
FIRST_CAUSE = 'could not extend file "base/16384/24601": No space left on device'

_START = datetime(2026, 3, 14, 1, 0, tzinfo=UTC)
_LINES = 900  # of ordinary business, for each service

_CHATTER = {
    "gateway": ["GET /api/orders 200 {n}ms", "POST /api/login 200 {n}ms", "GET /health 200 1ms"],
    "orders": ["order {n} accepted", "order {n} priced, total {n}.90", "cache refreshed, {n} keys"],
    "billing": ["invoice {n} rendered", "charge {n} settled", "retry queue empty"],
    "postgres": ["checkpoint complete: wrote {n} buffers", "connection authorized: user=orders"],
    "search": ["indexed {n} documents", "merge of segment _{n} done", "query took {n}ms"],
}

#: Seconds after the first failure, service, level, words.
_TROUBLE = [
    (0.0, "postgres", "ERROR", FIRST_CAUSE),
    (0.4, "postgres", "ERROR", "WAL writer cannot write: No space left on device"),
    (1.9, "orders", "ERROR", "insert into orders failed: server closed the connection"),
    (2.3, "orders", "ERROR", "order 48213 could not be stored, giving up after 3 tries"),
    (3.1, "gateway", "ERROR", "POST /api/orders 502 upstream orders reset the connection"),
    (6.0, "billing", "ERROR", "ledger unavailable: connection refused (postgres:5432)"),
    (41.0, "gateway", "ERROR", "circuit to orders is open, 118 requests refused"),
    (75.0, "search", "ERROR", "cannot read changes from orders: timeout after 30s"),
]


def write_logs(folder: Path) -> Path:
    """Fill `folder` with `<service>.log` files; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = random.Random(20260314)
    first = datetime.fromisoformat(FIRST_TIME)
    for service, words in _CHATTER.items():
        lines = []
        for _ in range(_LINES):
            moment = _START + timedelta(seconds=dice.uniform(0, 7200))
            text = dice.choice(words).format(n=dice.randrange(1, 9999))
            level = "WARN" if dice.random() < 0.03 else "INFO"
            lines.append((moment, level, text))
        lines += [
            (first + timedelta(seconds=after), level, text)
            for after, who, level, text in _TROUBLE
            if who == service
        ]
        written = [f"{_iso(moment)} {level:<5} {text}" for moment, level, text in sorted(lines)]
        (folder / f"{service}.log").write_text("\n".join(written) + "\n", encoding="utf-8")
    return folder


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
