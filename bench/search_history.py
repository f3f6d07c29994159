"""How long a search over what was said takes, in a store of many messages.

    python bench/search_history.py [MESSAGES] [POSTGRES-URL]

On SQLite, and on PostgreSQL where a database is named, which must be empty. Words are drawn as
in real text: a few are everywhere, most are rare.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Sequence

import msgspec

from support import report
from turnstone.core import events as ev
from turnstone.core.store import SqliteStore, Store, WorkstreamRow

#: Messages of a workstream, and of one write.
_LONG, _AT_ONCE = 1000, 100

#: Times that each query is asked.
_ROUNDS = 30

#: What is searched for: how many messages have it is told beside the time.
_QUERIES = {
    "a word of every message": "w0",
    "two common words": "w1 w2",
    "a word of one message in ten": "w40",
    "three words": "w3 w50 w200",
    "a rare word": "w29999",
    "a word that is nowhere": "nowhere",
    "no word: the newest": "",
}


def texts(count: int) -> list[str]:
    """Messages of some 60 words, the n-th word as frequent as 1/n."""
    chance = random.Random(6)  # noqa: S311 - the same text each time
    words = [f"w{n}" for n in range(30_000)]
    weights = [1 / (n + 1) for n in range(len(words))]
    drawn = iter(chance.choices(words, weights, k=count * 60))
    return ["w0 " + " ".join(next(drawn) for _ in range(60)) for _ in range(count)]


async def fill(store: Store, said: Sequence[str]) -> float:
    """Seconds that it took."""
    begun = time.perf_counter()
    at = 1_700_000_000.0
    for first in range(0, len(said), _LONG):
        ws_id = f"{first:08x}"
        created = ev.WsCreated(session_id=f"s{ws_id}", timestamp=at)
        row = WorkstreamRow(ws_id=ws_id, session_id=f"s{ws_id}", created=at, owner="node", epoch=1)
        await store.create(row, created)
        part = said[first : first + _LONG]
        for start in range(0, len(part), _AT_ONCE):
            records: list[ev.Event] = []
            for n, text in enumerate(part[start : start + _AT_ONCE]):
                at += 1
                kinds = (
                    ev.MessageAccepted(message=text, correlation_id=f"{ws_id}{start + n}"),
                    ev.StepFinished(text=text),
                    ev.ToolFinished(call_id="c", name="bash", output=text),
                )
                records.append(msgspec.structs.replace(kinds[n % 3], timestamp=at))
            await store.append(ws_id, 1, records)
    return time.perf_counter() - begun


async def measure(store: Store, where: str, said: Sequence[str]) -> None:
    took = await fill(store, said)
    report.line(
        f"{where}: to keep a message, in writes of {_AT_ONCE}", took / len(said) * 1000, "ms"
    )
    have = [set(text.split()) for text in said]
    for what, query in _QUERIES.items():
        times = []
        for _ in range(_ROUNDS):
            begun = time.perf_counter()
            await store.search(query, 20)
            times.append((time.perf_counter() - begun) * 1000)
        there = sum(set(query.split()) <= words for words in have)
        beside = f"worst {max(times):.1f} ms, in {there:,} messages"
        report.line(f"{where}: {what}", statistics.median(times), "ms", 50.0, beside)


async def run(count: int, url: str) -> None:
    said = texts(count)
    with report.folder() as folder:
        store: Store = await SqliteStore.open(folder / "turnstone.db")
        await measure(store, "SQLite", said)
        await store.aclose()
        print(f"{(folder / 'turnstone.db').stat().st_size / 2**20:.0f} MiB for {count:,} messages")
    if url:
        from turnstone.core.store.postgres import PostgresStore

        store = await PostgresStore.open(url)
        await measure(store, "PostgreSQL", said)
        await store.aclose()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    report.machine()
    asyncio.run(run(count, sys.argv[2] if len(sys.argv) > 2 else ""))


if __name__ == "__main__":
    main()
