"""One contract of what is found in a store, remembered in it, and named, over both databases."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings

from turnstone.core.errors import NameTaken, UnknownWorkstream
from turnstone.core.events import (
    ConversationSet,
    Event,
    HistoryMessage,
    MessageAccepted,
    StepFinished,
    Tainted,
    Titled,
    ToolFinished,
    WsClosed,
    WsCreated,
    WsRename,
    WsReopened,
)
from turnstone.core.host import Memory, SearchHit
from turnstone.core.store import SqliteStore, Store, WorkstreamRow
from turnstone.core.store.base import Match
from turnstone.core.store.terms import OUTPUT, SNIPPET, terms, wanted
from turnstone.core.summary import Summary

ONE, TWO = "aaaa0001", "bbbb0002"


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "postgres":
        from turnstone.core.store.postgres import PostgresStore

        url = request.getfixturevalue("postgres").database()
        opened: Store = await PostgresStore.open(url)
    else:
        opened = await SqliteStore.open(tmp_path / "turnstone.db")
    yield opened
    await opened.aclose()


class Journal:
    """Writes records one second apart, and the summary that goes with them."""

    def __init__(self, store: Store, ws_id: str, at: float = 1000.0) -> None:
        self.store, self.ws_id, self.at = store, ws_id, at
        self.summary = Summary()

    async def create(self, **about: Any) -> Journal:
        first = WsCreated(session_id=f"{self.ws_id}5e55", timestamp=self.at, **about)
        self.summary = self.summary.after(first)
        row = WorkstreamRow(
            ws_id=self.ws_id,
            session_id=first.session_id,
            created=self.at,
            owner="node",
            epoch=1,
            summary=msgspec.to_builtins(self.summary),
        )
        await self.store.create(row, first)
        return self

    async def write(self, *events: Event) -> list[Event]:
        timed = []
        summary = self.summary
        for event in events:
            self.at += 1
            timed.append(msgspec.structs.replace(event, timestamp=self.at))
            summary = summary.after(timed[-1])
        done = await self.store.append(self.ws_id, 1, timed, msgspec.to_builtins(summary))
        self.summary = summary
        return done.events


def asked(text: str) -> MessageAccepted:
    return MessageAccepted(message=text, correlation_id=text[:40])


def shown(hits: Sequence[SearchHit]) -> list[str]:
    return [hit.snippet for hit in hits]


async def test_a_hit_says_where_and_when_and_who(store: Store) -> None:
    journal = await Journal(store, ONE).create()
    await journal.write(asked("Where do turnstones nest?"), StepFinished(text="On the tundra."))

    [hit] = await store.search("tundra", 10)

    assert (hit.ws_id, hit.session_id, hit.seq) == (ONE, f"{ONE}5e55", 3)
    assert (hit.role, hit.snippet, hit.timestamp) == ("assistant", "On the tundra.", 1002.0)
    assert hit.message == f"{ONE}:3"


async def test_what_was_said_comes_before_what_tools_printed_and_the_newest_first(
    store: Store,
) -> None:
    one = await Journal(store, ONE).create()
    two = await Journal(store, TWO, at=5000.0).create()
    await one.write(
        asked("needle one"),
        StepFinished(text="needle two"),
        ToolFinished(call_id="c", name="bash", output="needle three"),
        Titled(title="needle four"),
    )
    await two.write(
        ToolFinished(call_id="c", name="bash", output="needle six"), asked("needle five")
    )

    assert shown(await store.search("needle", 10)) == [
        f"needle {n}" for n in ("five", "four", "two", "one", "six", "three")
    ]
    assert shown(await store.search("needle", 2)) == ["needle five", "needle four"]
    assert shown(await store.search("needle", 10, ONE)) == [
        f"needle {n}" for n in ("four", "two", "one", "three")
    ]
    assert shown(await store.search("", 2)) == ["needle five", "needle six"]


@pytest.mark.parametrize(
    ("text", "query", "found"),
    [
        ("Die Größe der Straße", "grosse", True),
        ("Die Größe der Straße", "groesse", False),
        ("Die Größe der Straße", "grösse", True),
        ("Die Größe der Straße", "strasse", True),
        ("un café crème", "CAFE creme", True),
        ("ﬁnally x² ①", "finally x2 1", True),
        ("snake_case.and-dots", "case dots", True),
        ("snake_case", "snake_case", True),
        ("whole words", "whol", False),
        ("both words", "both more", False),
        ("東京都に住む", "京都", True),
        ("東京都に住む", "東京都", True),
        ("東京都に住む", "東都", False),
        ("東京都に住む", "都", True),
        ("Version東京2", "東京", True),
        ("поезд в Москву", "МОСКВУ", True),
        ("ไปกรุงเทพ", "กรุงเทพ", True),
        ('say "OR" NOT * near(x)', '"or" not * near(', True),
        ("it's 50% of a\\b & c | !d", "it's 50% a\\b", True),
        ("words", "!!!", False),
        ("한국어 문서", "한국어", True),
        ("x" * 300, "x" * 300, True),
    ],
)
async def test_words_are_found_without_regard_to_case_and_accents(
    store: Store, text: str, query: str, found: bool
) -> None:
    journal = await Journal(store, ONE).create()
    await journal.write(asked(text))

    assert shown(await store.search(query, 10)) == ([text] if found else [])


async def test_a_snippet_begins_a_little_before_the_first_word_that_was_found(store: Store) -> None:
    journal = await Journal(store, ONE).create()
    await journal.write(asked("word " * 500 + "needle " + "more " * 500))

    [hit] = await store.search("needle", 1)

    assert len(hit.snippet) == SNIPPET
    assert hit.snippet.startswith("…")
    assert hit.snippet.endswith("…")
    assert 50 < hit.snippet.index("needle") < 200


async def test_of_what_a_tool_printed_the_beginning_is_found(store: Store) -> None:
    journal = await Journal(store, ONE).create()
    output = "a" * (OUTPUT - 10) + " early " + " late"
    await journal.write(ToolFinished(call_id="c", name="bash", output=output))

    assert len(await store.search("early", 1)) == 1
    assert await store.search("late", 1) == []


async def test_a_message_with_more_words_than_an_index_takes_is_kept_and_found(
    store: Store,
) -> None:
    journal = await Journal(store, ONE).create()
    await journal.write(asked(" ".join(f"word{n}" for n in range(200_000))))

    assert len(await store.search("word7", 1)) == 1


async def test_the_messages_of_a_conversation_that_was_taken_over_are_found_each(
    store: Store,
) -> None:
    journal = await Journal(store, ONE).create()
    history = [HistoryMessage(role="user", content=f"needle {n}") for n in range(3)]
    await journal.write(
        ConversationSet(why="imported", history=history, session_id="5e55"),
        ConversationSet(why="rewound", history=history),
        asked("needle new"),
    )

    hits = await store.search("needle", 10)

    assert shown(hits) == ["needle new", "needle 2", "needle 1", "needle 0"]
    assert {hit.session_id for hit in hits} == {"5e55"}
    passage = await store.passage(ONE, 2, 1)
    assert passage is not None
    assert (passage.text, passage.before, passage.after) == ("needle 1", f"{ONE}:2", f"{ONE}:2.2")


async def test_what_was_forked_is_told_once_and_found_in_both(store: Store) -> None:
    one = await Journal(store, ONE).create()
    await one.write(asked("needle"))
    two = await Journal(store, TWO, at=5000.0).create()
    history = [HistoryMessage(role="user", content="needle")]
    await two.write(ConversationSet(why="forked", history=history, source=ONE))

    assert [hit.ws_id for hit in await store.search("needle", 10)] == [TWO]
    assert [hit.ws_id for hit in await store.search("needle", 10, ONE)] == [ONE]


async def test_the_same_words_said_twice_are_two_hits(store: Store) -> None:
    one = await Journal(store, ONE).create()
    await one.write(MessageAccepted(message="yes", correlation_id="c1"))
    await one.write(MessageAccepted(message="yes", correlation_id="c2"))

    assert [hit.seq for hit in await store.search("yes", 10)] == [3, 2]


async def test_a_passage_is_read_whole_with_the_names_of_those_beside_it(store: Store) -> None:
    journal = await Journal(store, ONE).create()
    long = "needle " * 1000
    await journal.write(asked("before"), Tainted(source="x"), asked(long), Titled(title="t"))

    passage = await store.passage(ONE, 4)

    assert passage is not None
    assert (passage.text, passage.before, passage.after) == (long, f"{ONE}:2", "")
    assert await store.passage(ONE, 3) is None
    assert await store.passage("nowhere", 1) is None


async def test_what_was_erased_is_not_found_and_its_names_are_free(store: Store) -> None:
    one = await Journal(store, ONE).create()
    await one.write(asked("needle"), WsRename(name="n", alias="mine"))
    two = await Journal(store, TWO).create()
    await two.write(asked("needle too"))

    await store.erase(ONE, 1)

    assert shown(await store.search("needle", 10)) == ["needle too"]
    assert await store.passage(ONE, 2) is None
    for name in ("mine", ONE, f"{ONE}5e55"):
        assert await store.resolve(name) == []
    await two.write(WsRename(name="n", alias="mine"))


async def test_records_that_are_refused_leave_nothing_to_be_found(store: Store) -> None:
    one = await Journal(store, ONE).create()
    await one.write(WsRename(name="n", alias="taken"))
    two = await Journal(store, TWO).create()

    with pytest.raises(NameTaken, match="'taken' is that of another session"):
        await two.write(asked("needle"), WsRename(name="n", alias="taken"))

    assert await store.search("needle", 10) == []
    assert [row.ws_id for row in await store.resolve("taken")] == [ONE]


async def test_a_session_is_found_by_alias_then_by_id_then_by_the_beginning_of_one(
    store: Store,
) -> None:
    one = await Journal(store, ONE).create()
    await Journal(store, TWO).create()
    await Journal(store, "aaaa0003").create(parent=ONE, agent="task")
    await one.write(WsRename(name="n", alias="bb"), ConversationSet(why="new", session_id="cafe"))

    async def resolved(name: str) -> list[str]:
        return [row.ws_id for row in await store.resolve(name)]

    assert await resolved("bb") == [ONE]
    assert await resolved(TWO) == [TWO]
    assert await resolved(f"{TWO}5e55") == [TWO]
    assert await resolved("cafe") == [ONE]
    assert await resolved("bbb") == [TWO]
    assert await resolved("aaaa") == [ONE]
    meant: list[tuple[str, Match, list[str]]] = [
        ("bb", "whole", [ONE]),
        ("cafe", "whole", [ONE]),
        ("bbb", "whole", []),
        ("cafe", "session", [ONE]),
        (f"{ONE}5e55", "session", [ONE]),
        ("bb", "session", []),
        (ONE, "session", []),
    ]
    for name, match, found in meant:
        assert [row.ws_id for row in await store.resolve(name, match=match)] == found, name
    assert await resolved("aaaa0003") == ["aaaa0003"]
    assert await resolved("%") == []
    assert await resolved("") in ([ONE, TWO], [TWO, ONE])
    await one.write(WsRename(name="n", alias=""))
    assert await resolved("bb") == [TWO]


async def test_an_alias_is_no_id_of_another_session(store: Store) -> None:
    one = await Journal(store, ONE).create()
    await Journal(store, TWO).create()

    for name in (TWO, f"{TWO}5e55"):
        with pytest.raises(NameTaken):
            await one.write(WsRename(name="n", alias=name))


async def test_a_closed_workstream_takes_nothing_but_being_opened_again(store: Store) -> None:
    journal = await Journal(store, ONE).create()
    await journal.write(WsClosed())
    with pytest.raises(UnknownWorkstream):
        await journal.write(asked("no"))

    await journal.write(WsReopened(), asked("yes"))

    row = await store.row(ONE)
    assert row is not None
    assert not row.closed
    assert [r.ws_id for r in await store.rows()] == [ONE]


async def test_sessions_are_listed_by_the_newest_record_in_pages(store: Store) -> None:
    for n in range(30):
        journal = await Journal(store, f"cccc{n:04}", at=1000.0 + n).create(name=f"n{n}")
        if n % 3 == 0:
            await journal.write(asked(f"hello {n}"), StepFinished(text="there"))
    closed = await Journal(store, ONE, at=9_000.0).create()
    rename = WsRename(name="x", alias="mine")
    await closed.write(asked("hello"), Titled(title="A title"), rename, WsClosed())
    await (await Journal(store, TWO, at=9_500.0).create(parent=ONE, agent="task")).write(asked("x"))

    first = await store.sessions(4)
    rest = await store.sessions(100, first[-1].ws_id)

    assert [s.ws_id for s in [*first, *rest]] == [
        ONE,
        *(f"cccc{n:04}" for n in range(27, -1, -3)),
    ]
    top = first[0]
    assert (top.alias, top.title, top.message_count, top.closed) == ("mine", "A title", 1, True)
    assert (top.created, top.updated) == ("1970-01-01 02:30:00", "1970-01-01 02:30:04")
    assert (first[1].alias, first[1].title, first[1].message_count) == (None, None, 2)


def memory(key: str, value: str = "v", scope: str = "user", at: float = 1.0) -> Memory:
    return Memory(scope=scope, key=key, value=value, created=at, updated=at)


async def test_a_memory_replaces_the_one_before_and_keeps_its_creation(store: Store) -> None:
    assert await store.put_memory(memory("k", "one")) is None
    before = await store.put_memory(memory("k", "two", at=5.0))

    assert before == memory("k", "one")
    assert await store.memory("user", "k") == Memory(
        scope="user", key="k", value="two", created=1.0, updated=5.0
    )


async def test_memories_are_of_their_scope_and_found_by_parts_of_words(store: Store) -> None:
    for kept in (
        memory("test_command", "scripts/test -q"),
        memory("name", "Ärger", scope="workspace:/a"),
        memory("name", "other", scope="workspace:/b"),
    ):
        await store.put_memory(kept)

    async def found(query: str, *scopes: str) -> list[str]:
        return [m.value for m in await store.memories(list(scopes) or None, query)]

    assert await found("", "user", "workspace:/a") == ["Ärger", "scripts/test -q"]
    assert await found("rge", "user", "workspace:/a") == ["Ärger"]
    assert await found("COMMAND script") == ["scripts/test -q"]
    assert await found("command other") == []
    assert await found("%") == []
    assert await store.count_memories(["user", "workspace:/b"]) == 2
    assert await store.delete_memory("user", "test_command")
    assert not await store.delete_memory("user", "test_command")
    assert await store.count_memories(["user"]) == 0


NUMBERS = itertools.count()

TEXT = st.text(
    st.sampled_from("aAbB ßäÄéﬁ²_-.'\"*()&|!%\\:東京都にgoogleกรุ한국\u0301\u200d\n"), max_size=30
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(texts=["a' & 'b", 'a" OR "b'], queries=["b' | 'x", 'x" OR "a'])
@given(texts=st.lists(TEXT, min_size=1, max_size=6), queries=st.lists(TEXT, min_size=1, max_size=6))
def test_both_databases_find_the_same_in_the_same_order(
    both: tuple[Path, str], texts: list[str], queries: list[str]
) -> None:
    folder, server = both

    async def found(store: Store) -> list[list[SearchHit]]:
        try:
            for ws_id in (ONE, TWO):
                journal = await Journal(store, ws_id).create()
                for n, text in enumerate(texts):
                    cid = f"{ws_id}{next(NUMBERS)}"
                    await journal.write(
                        MessageAccepted(message=text, correlation_id=cid),
                        ToolFinished(call_id=f"c{n}", name="x", output=text),
                    )
            hits = [await store.search(query, 100, one) for query in queries for one in ("", TWO)]
            for ws_id in (ONE, TWO):
                await store.erase(ws_id, 1)
            assert await store.search("", 100) == []
            return hits
        finally:
            await store.aclose()

    async def compare() -> None:
        from turnstone.core.store.postgres import PostgresStore

        folder, url = both
        sqlite = await found(await SqliteStore.open(folder / "turnstone.db"))
        postgres = await found(await PostgresStore.open(url))
        assert sqlite == postgres
        for query, hits in zip(queries, sqlite[::2], strict=True):
            words = set(wanted(query))
            there = {t for t in texts if t.strip() and words <= set(terms(t))}
            assert {hit.snippet for hit in hits} == (there if words or not query.strip() else set())

    asyncio.run(compare())


@pytest.fixture
def both(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    return tmp_path, request.getfixturevalue("postgres").database()
