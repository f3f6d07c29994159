"""What is exported is imported equal; what 0.2 kept is taken over once, and what is damaged told."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from support.clocks import SetClock
from turnstone.core import importing
from turnstone.core.errors import InvalidRequest
from turnstone.core.events import (
    Compacted,
    Event,
    HistoryMessage,
    MessageAccepted,
    Shortened,
    StepFinished,
    StepStarted,
    Tainted,
    Titled,
    ToolCallRecord,
    ToolFinished,
    TurnEnded,
    WsCreated,
    WsRename,
    sound,
)
from turnstone.core.exporting import Exported, exported, markdown, read, written
from turnstone.core.host import Memory
from turnstone.core.importing import Imported
from turnstone.core.store import SqliteStore, Store
from turnstone.core.store.store02 import read_02
from turnstone.core.transcript import Transcript

#: A record about a session whose form is no number.
BROKEN = """
<!-- md_as_config:ctx:begin type=json skeleton={"turnstone_session": "x"} -->
<!-- md_as_config:ctx:end -->
"""

TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "<!-- md_as_config:ctx:end -->",
            "```\n--> <!-- x",
            "line\r\nline\n",
            "\x00",
            '{"a": 1}',
            " spaces ",
            "\n\n",
            "\u2028",
        ]
    ),
)


@st.composite
def turns(draw: st.DrawFn) -> list[Event]:
    """The records of some turns, with tools and notes, that may have been compacted."""
    records: list[Event] = [WsCreated(name="n", session_id="5e55", timestamp=1.0)]
    for turn in range(draw(st.integers(1, 3))):
        cid = f"c{turn}"
        records.append(MessageAccepted(message=draw(TEXTS), correlation_id=cid))
        steps = draw(st.integers(0, 2))
        for step in range(steps + 1):
            notes = draw(st.lists(TEXTS, max_size=1))
            records.append(StepStarted(step=step + 1, correlation_id=cid, notes=notes))
            count = draw(st.integers(1, 2)) if step < steps else 0
            calls = [
                ToolCallRecord(f"{cid}-{step}-{n}", draw(TEXTS), draw(TEXTS)) for n in range(count)
            ]
            records.append(StepFinished(text=draw(TEXTS), tool_calls=calls, correlation_id=cid))
            records += [
                ToolFinished(
                    call_id=call.id,
                    name=call.name,
                    output=draw(TEXTS),
                    status=draw(st.sampled_from(["ok", "denied", "unknown"])),
                    correlation_id=cid,
                )
                for call in calls
            ]
        records.append(TurnEnded(outcome="done", correlation_id=cid))
    if draw(st.booleans()):
        short = [Shortened(1, "short")] if draw(st.booleans()) else []
        stands = [{"role": "user", "content": draw(TEXTS)}]
        records.append(Compacted(archived=1, messages=stands, shortened=short))
    records.append(Titled(title=draw(st.sampled_from(["", "A title", "Ein Vögelchen `-->`"]))))
    sources = draw(
        st.lists(st.sampled_from(["web_fetch a.example", "bash with network"]), max_size=2)
    )
    records += [Tainted(source=source) for source in sources]
    records.append(WsRename(name="other", alias="mine"))
    return [sound(record) for record in records]


@given(records=turns(), form=st.sampled_from(["json", "markdown"]))
def test_export_and_import_are_the_identity(records: list[Event], form: Any) -> None:
    before = exported(records)

    assert read(written(records, form), "it") == before


@settings(max_examples=15)
@given(records=turns())
def test_a_conversation_goes_on_in_another_store_as_it_stood(records: list[Event]) -> None:
    session = exported(records)

    async def taken_over() -> Transcript:
        with tempfile.TemporaryDirectory() as folder:
            store = await SqliteStore.open(Path(folder) / "turnstone.db")
            done = Imported()
            for _ in range(2):
                await importing.take_over(store, session, "node", SetClock(), "file", done)
            assert (done.sessions, done.known, done.skipped) == (1, 1, [])
            [row] = await store.resolve("5e55")
            assert row.closed
            transcript = Transcript()
            for record in await store.records(row.ws_id):
                transcript.apply(record)
            await store.aclose()
            return transcript

    there = asyncio.run(taken_over())
    [titled] = [record.title for record in records if isinstance(record, Titled)]
    assert session.title == titled
    assert there.conversation.messages == session.messages
    assert there.conversation.history == session.history
    assert (there.summary.name, there.summary.alias) == ("other", "mine")
    assert there.title == session.title
    assert there.tainted == session.tainted


def test_a_call_without_a_result_is_left_out() -> None:
    records: list[Event] = [
        WsCreated(session_id="5e55"),
        MessageAccepted(message="go", correlation_id="c"),
        StepStarted(correlation_id="c"),
        StepFinished(tool_calls=[ToolCallRecord("a", "bash", "{}")], correlation_id="c"),
    ]

    assert [m["role"] for m in exported(records).messages] == ["user"]


@settings(max_examples=30)
@given(records=turns(), form=st.sampled_from(["json", "markdown"]), data=st.data())
def test_an_export_that_is_cut_off_anywhere_is_refused(
    records: list[Event], form: Any, data: st.DataObject
) -> None:
    whole = written(records, form)
    end = len(whole.rstrip())
    cut = data.draw(
        st.one_of(
            st.integers(0, end - 1),
            st.sampled_from([found.end() for found in re.finditer(":end -->", whole[:-20])] or [0]),
        )
    )

    with pytest.raises(InvalidRequest, match=r"^it "):
        read(whole[:cut], "it")


def test_an_export_that_is_cut_off_between_two_messages_says_so() -> None:
    said = [HistoryMessage(role=role, content="words") for role in ("user", "assistant")]
    whole = markdown(Exported(session_id="5e55", history=said, messages=[]))
    marks = [found.start() for found in re.finditer("<!-- md_as_config:ctx:begin", whole)]

    with pytest.raises(InvalidRequest, match=r"it is cut off behind 1 message\(s\): its end"):
        read(whole[: marks[2]], "it")
    with pytest.raises(InvalidRequest, match=r"it holds 1 message\(s\), and its end mark says 2"):
        read(whole[: marks[1]] + whole[marks[2] :], "it")


def test_a_session_without_a_word_is_not_exported() -> None:
    with pytest.raises(InvalidRequest, match="Session 5e55 holds no conversation"):
        written([WsCreated(session_id="5e55")], "markdown")


def test_a_session_of_oturn_is_taken_over() -> None:
    from oturn.model import FunctionInfo, Message, ToolCallInfo
    from oturn.session_records import write_item

    call = ToolCallInfo("a", "function", FunctionInfo("bash", {"command": "ls"}))
    text = "\n".join(
        write_item(item)
        for item in (
            Message(role="system", content="You are"),
            Message(role="user", content="go"),
            Message(role="assistant", content="", tool_calls=[call]),
            Message(role="tool", content="file", tool_call_id="a"),
        )
    )

    session = read(text, "it")

    assert [m.role for m in session.history] == ["user", "assistant", "tool"]
    assert session.messages[1]["tool_calls"][0]["function"]["arguments"] == '{"command":"ls"}'
    assert session == read(text, "it")
    assert len(session.session_id) == 12


@pytest.mark.parametrize(
    "text",
    [
        "",
        "some text",
        "{",
        "{}",
        '{"history": 1}',
        '{"turnstone_session": 2, "history": [{"role": "user", "content": "x"}]}',
        BROKEN,
    ],
)
def test_what_is_no_session_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^notes\.md "):
        read(text, "notes.md")


def test_markdown_says_the_messages_as_they_are() -> None:
    session = Exported(
        session_id="5e55",
        history=[HistoryMessage(role="user", content="What is a turnstone?")],
        messages=[{"role": "user", "content": "What is a turnstone?"}],
    )

    assert "What is a turnstone?" in markdown(session)


# What 0.2 kept.


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await SqliteStore.open(tmp_path / "turnstone.db")
    yield opened
    await opened.aclose()


@pytest.fixture
def old(tmp_path: Path) -> Callable[..., Path]:
    def make(*rows: tuple[Any, ...], statements: str = "") -> Path:
        """Rows of conversations: session, role, content, tool, arguments, id of the call."""
        path = tmp_path / ".turnstone.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.executescript("""
                CREATE TABLE memories (key TEXT PRIMARY KEY, value TEXT, created TEXT, updated TEXT);
                CREATE TABLE conversations (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT,
                    timestamp TEXT, role TEXT, content TEXT, tool_name TEXT, tool_args TEXT,
                    tool_call_id TEXT);
                CREATE TABLE sessions (session_id TEXT PRIMARY KEY, alias TEXT UNIQUE, title TEXT,
                    created TEXT, updated TEXT);
            """)
            for session, role, content, *tool in rows:
                values = (session, role, content, *tool, *([None] * (3 - len(tool))))
                connection.execute(
                    "INSERT INTO conversations (session_id, timestamp, role, content, tool_name, "
                    "tool_args, tool_call_id) VALUES (?, '2025-03-01 10:00:00', ?, ?, ?, ?, ?)",
                    values,
                )
            connection.executescript(statements)
        return path

    return make


async def taken(store: Store, path: Path) -> Imported:
    return await importing.take_over_02(store, read_02(path), "node", SetClock(), str(path))


async def test_sessions_and_memories_of_02_are_taken_over_once(
    store: Store, old: Callable[..., Path]
) -> None:
    path = old(
        ("5e55", "user", "list it"),
        ("5e55", "assistant", "I look."),
        ("5e55", "tool_call", None, "bash", '{"command": "ls"}', "a"),
        ("5e55", "tool_call", None, "read_file", '{"path": "x"}', "b"),
        ("5e55", "tool_result", "of b", "read_file", None, "b"),
        ("5e55", "tool_result", "of a", "bash", None, "a"),
        ("5e55", "tool_call", None, "bash", '{"command": "pwd"}', None),
        ("5e55", "tool_result", "of c", "bash", None, None),
        ("5e55", "assistant", "A needle."),
        ("0ther", "user", "unregistered"),
        statements="""
            INSERT INTO sessions VALUES ('5e55', 'mine', 'A title', '2025-03-01 09:00:00',
                '2025-03-02 09:00:00');
            INSERT INTO sessions VALUES ('empty', NULL, NULL, '', '');
            INSERT INTO memories VALUES ('test_command', 'make', '2025-01-01 00:00:00',
                '2025-01-02 00:00:00');
        """,
    )
    before = path.read_bytes()

    done = await taken(store, path)
    again = await taken(store, path)

    assert (done.sessions, done.messages, done.memories, done.skipped) == (2, 8, 1, [])
    assert (again.sessions, again.memories, again.known, again.skipped) == (0, 0, 3, [])
    assert path.read_bytes() == before
    [row] = await store.resolve("mine")
    assert (row.session_id, row.closed, row.summary["title"]) == ("5e55", True, "A title")
    session = exported(await store.records(row.ws_id))
    shown = [(m["role"], m["content"], m.get("tool_call_id", "")) for m in session.messages]
    assert shown == [
        ("user", "list it", ""),
        ("assistant", "I look.", ""),
        ("tool", "of a", "a"),
        ("tool", "of b", "b"),
        ("assistant", "", ""),
        ("tool", "of c", "call_7"),
        ("assistant", "A needle.", ""),
    ]
    assert [hit.snippet for hit in await store.search("needle", 5)] == ["A needle."]
    kept = await store.memory("user", "test_command")
    assert kept is not None
    assert (kept.value, kept.created) == ("make", 1735689600.0)


async def test_sessions_whose_ids_begin_alike_are_all_taken_over(
    store: Store, old: Callable[..., Path]
) -> None:
    ids = ("s10", "s1", "cc")
    path = old(
        *((name, "user", f"of {name}") for name in ids),
        statements="INSERT INTO sessions VALUES ('s10', 'cc', NULL, '', '');",
    )

    done, again = await taken(store, path), await taken(store, path)

    assert (done.sessions, done.known) == (3, 0)
    assert (again.sessions, again.known) == (0, 3)
    rows = [row for name in ids for row in await store.resolve(name, match="session")]
    assert [row.session_id for row in rows] == list(ids)


async def test_what_is_damaged_is_left_out_with_a_word_for_each(
    store: Store, old: Callable[..., Path]
) -> None:
    await store.put_memory(
        Memory(scope="user", key="known", value="other", created=1.0, updated=1.0)
    )
    path = old(
        ("5e55", "user", "go"),
        ("5e55", "boss", "no role of ours"),
        ("5e55", "user", b"\xff\x00"),
        ("5e55", "tool_result", "of nothing", "bash", None, "z"),
        (None, "user", "of nobody"),
        ("5e55", "tool_call", None, "bash", "{}", "a"),
        ("5e55", "user", "next"),
        statements="""
            INSERT INTO memories VALUES ('known', 'mine', '', '');
            INSERT INTO memories VALUES ('blob', x'ff', '', '');
            INSERT INTO memories VALUES ('', 'no key', '', '');
        """,
    )

    done = await taken(store, path)

    assert done.sessions == 1
    for word in ("'boss'", "row 3", "row 4", "row 5", "known", "'blob'", "''"):
        assert len([told for told in done.skipped if word in told]) == 1, word
    assert len(done.skipped) == 7
    [row] = await store.resolve("5e55")
    messages = exported(await store.records(row.ws_id)).messages
    assert [m["role"] for m in messages] == ["user", "assistant", "tool", "user"]
    assert messages[2]["content"] == "[the result of this call was not kept]"


async def test_a_name_that_is_taken_is_told_and_the_session_comes_without_it(
    store: Store, old: Callable[..., Path]
) -> None:
    records: list[Event] = [
        WsCreated(name="n", session_id="abc"),
        MessageAccepted(message="x", correlation_id="c"),
        StepStarted(correlation_id="c"),
        WsRename(name="n", alias="mine"),
    ]
    await importing.take_over(store, exported(records), "node", SetClock(), "f", Imported())
    path = old(
        ("5e55", "user", "go"),
        statements="INSERT INTO sessions VALUES ('5e55', 'mine', NULL, '', '')",
    )

    done = await taken(store, path)

    assert done.sessions == 1
    [told] = done.skipped
    assert told.startswith("session 5e55 comes without its name: The name 'mine'")
    [row] = await store.resolve("5e55")
    assert row.summary["alias"] == ""


async def test_an_imported_session_has_its_own_dates(
    store: Store, old: Callable[..., Path]
) -> None:
    sql = "INSERT INTO sessions VALUES ('{}', NULL, 'A title', '2025-01-02 03:04:05', '{}')"
    dates = {"5e55": "2025-04-03 04:05:06", "5e56": "2026-06-07 08:09:10"}
    path = old(
        *((session_id, "user", "go") for session_id in dates),
        statements="; ".join(sql.format(*session) for session in dates.items()),
    )

    await taken(store, path)

    listed = await store.sessions(10)
    assert [(info.session_id, info.updated) for info in listed] == [*reversed(dates.items())]
    assert {info.created for info in listed} == {"2025-01-02 03:04:05"}
    assert {info.closed for info in listed} == {True}


async def test_what_is_older_than_sessions_are_kept_is_not_imported_to_be_erased_at_once(
    store: Store, old: Callable[..., Path]
) -> None:
    path = old(
        ("5e55", "user", "go"),
        statements="INSERT INTO sessions VALUES ('5e55', NULL, NULL, '', '2001-02-03 04:05:06')",
    )
    clock = SetClock()

    found = read_02(path)
    done = await importing.take_over_02(store, found, "node", clock, str(path), 3600.0)

    assert await store.older(clock.now() - 3600.0) == []
    assert "5e55 is older than sessions are kept here" in done.notes[0]


async def test_an_older_database_without_call_ids_is_read(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript("""
            CREATE TABLE conversations (id INTEGER PRIMARY KEY, session_id TEXT, timestamp TEXT,
                role TEXT, content TEXT, tool_name TEXT, tool_args TEXT);
            INSERT INTO conversations VALUES (1, '5e55', '', 'tool_call', NULL, 'bash', '{}');
            INSERT INTO conversations VALUES (2, '5e55', '', 'tool_result', 'out', 'bash', NULL);
        """)

    done = await taken(store, path)

    assert (done.sessions, done.messages, done.skipped) == (1, 2, [])


@pytest.mark.parametrize("content", [b"", b"no database at all, and long enough to be one " * 20])
def test_a_file_that_is_no_database_of_02_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content)

    with pytest.raises(InvalidRequest):
        read_02(path)
