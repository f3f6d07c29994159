"""What a workstream recalls of itself and of others, and what a restart knows of `remember`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.clocks import SetClock
from support.tools import call, prepare
from turnstone.core.errors import InvalidRequest, ToolRefused
from turnstone.core.events import (
    Compacted,
    Event,
    MessageAccepted,
    StepFinished,
    StepStarted,
    Tainted,
    ToolCallRecord,
    ToolFinished,
    TurnEnded,
    WsCreated,
)
from turnstone.core.journal import Journal
from turnstone.core.remembering import Remembering
from turnstone.core.store import SqliteStore, WorkstreamRow
from turnstone.core.tool import ToolContext
from turnstone.core.transcript import Transcript
from turnstone.tools.forget import Forget
from turnstone.tools.recall import Recall
from turnstone.tools.remember import Remember


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "turnstone.db")
    yield opened
    await opened.aclose()


async def journal_of(store: SqliteStore, ws_id: str) -> Journal:
    row = WorkstreamRow(ws_id=ws_id, session_id="5e55", created=1.0, owner="n", epoch=1, last_seq=1)
    transcript = Transcript()
    transcript.apply(await store.create(row, WsCreated(session_id="5e55", timestamp=1.0)))
    return Journal(store, row, transcript, SetClock())


@pytest.fixture
async def journal(store: SqliteStore) -> Journal:
    return await journal_of(store, "aaaa0001")


@pytest.fixture
def context(store: SqliteStore, journal: Journal, tmp_path: Path) -> ToolContext:
    memory = Remembering(store, journal, str(tmp_path), SetClock())
    return ToolContext("aaaa0001", tmp_path, timeout=5.0, max_output=2000, memory=memory)


async def test_what_a_compaction_took_out_of_the_turn_in_progress_is_recalled(
    journal: Journal, context: ToolContext
) -> None:
    calls = [ToolCallRecord("a", "bash", "{}")]
    await journal.append(
        MessageAccepted(message="find the needle", correlation_id="c"),
        StepStarted(step=1, correlation_id="c"),
        StepFinished(step=1, text="I look for a needle", tool_calls=calls, correlation_id="c"),
        ToolFinished(call_id="a", name="bash", output="a needle of 3 cm", correlation_id="c"),
        StepStarted(step=2, correlation_id="c"),
    )
    assert (await call(Recall(), context, query="needle")).output == (
        "[nothing is remembered or was said about needle]"
    )

    stands = [{"role": "user", "content": "kept: find the needle"}]
    await journal.append(Compacted(archived=3, messages=stands))

    told = (await call(Recall(), context, query="needle")).output
    assert "[aaaa0001:4] you, " in told
    assert "[aaaa0001:5] a tool's output, " in told
    assert "find the needle" not in told
    opened = (await call(Recall(), context, message="aaaa0001:5")).output
    assert opened.endswith("before it: aaaa0001:4\na needle of 3 cm")


async def test_a_passage_longer_than_a_result_is_cut_and_a_wrong_name_is_told(
    journal: Journal, context: ToolContext
) -> None:
    await journal.append(MessageAccepted(message="x" * 5000, correlation_id="c"))

    assert len((await call(Recall(), context, message="aaaa0001:2")).output) < 2300
    for wrong in ("aaaa0001", "aaaa0001:", ":2", "aaaa0001:2.x", "aaaa0001:²"):
        result = await call(Recall(), context, message=wrong)
        assert (result.status, "is named like" in result.output) == ("error", True), wrong
    with pytest.raises(ToolRefused, match="not both"):
        await prepare(Recall(), context, query="x", message="aaaa0001:2")


async def test_a_restart_knows_whether_a_memory_was_kept_or_deleted(context: ToolContext) -> None:
    kept = await prepare(Remember(), context, key="K", value="one", scope="workspace")
    assert await Remember().happened(kept, context) is False
    await Remember().run(kept, context, lambda _: None)
    assert await Remember().happened(kept, context) is True

    gone = await prepare(Forget(), context, key="k")
    assert gone.arguments["scope"] == "workspace"
    assert await Forget().happened(gone, context) is False
    await Forget().run(gone, context, lambda _: None)
    assert await Forget().happened(gone, context) is True


async def test_a_key_of_both_scopes_is_forgotten_in_the_one_that_is_named(
    context: ToolContext,
) -> None:
    for scope in ("user", "workspace"):
        await call(Remember(), context, key="k", value=f"of the {scope}", scope=scope)

    with pytest.raises(ToolRefused, match="say which"):
        await prepare(Forget(), context, key="k")
    told = (await call(Recall(), context)).output
    assert told == "Memories:\n- k: of the user\n- k: of the workspace  (in this workspace)"
    await call(Forget(), context, key="k", scope="user")
    assert "of the workspace" in (await call(Recall(), context, query="the")).output


@pytest.mark.parametrize(
    "arguments",
    [
        {"key": "", "value": "x"},
        {"key": "k", "value": " "},
        {"key": "k", "value": "x" * 20_001},
        {"key": "k\nl", "value": "x"},
        {"key": "k", "value": "x", "scope": "everywhere"},
    ],
)
async def test_what_cannot_be_remembered_is_refused(
    context: ToolContext, arguments: dict[str, str]
) -> None:
    with pytest.raises(ToolRefused, match=r"^remember: "):
        await prepare(Remember(), context, **arguments)


async def test_half_a_character_is_kept_as_what_stands_for_it(context: ToolContext) -> None:
    await call(Remember(), context, key="k", value="half \ud800")

    assert "half \N{REPLACEMENT CHARACTER}" in (await call(Recall(), context)).output


async def test_a_message_is_read_by_its_name_only(context: ToolContext) -> None:
    assert context.memory is not None
    with pytest.raises(InvalidRequest, match="named like"):
        await context.memory.read("nothing")
    assert await context.memory.read("aaaa0001:99") is None


async def said(journal: Journal, cid: str, text: str, *more: Event) -> None:
    """A turn that is over."""
    await journal.append(
        MessageAccepted(message=text, correlation_id=cid),
        StepStarted(step=1, correlation_id=cid),
        *more,
        StepFinished(step=1, text="I heard.", correlation_id=cid),
        TurnEnded(text="I heard.", correlation_id=cid),
    )


async def test_what_was_said_in_an_earlier_turn_is_recalled_also_where_it_is_still_sent(
    journal: Journal, context: ToolContext
) -> None:
    await said(journal, "c1", "the needle is blue")
    await journal.append(
        MessageAccepted(message="which colour?", correlation_id="c2"),
        StepStarted(step=1, correlation_id="c2"),
    )
    assert "the needle is blue" in (await call(Recall(), context, query="needle")).output


async def test_what_was_said_before_is_recalled_however_often_this_turn_has_the_word(
    journal: Journal, context: ToolContext
) -> None:
    await said(journal, "c1", "the needle is blue")
    await journal.append(MessageAccepted(message="which colour?", correlation_id="c2"))
    for step in range(1, 301):
        await journal.append(
            StepStarted(step=step, correlation_id="c2"),
            StepFinished(step=step, text=f"needle {step}?", correlation_id="c2"),
        )
    told = (await call(Recall(), context, query="needle")).output
    assert "the needle is blue" in told
    assert "needle 300?" not in told


async def test_a_conversation_is_marked_by_what_others_have_read_and_not_again_by_its_own(
    store: SqliteStore, journal: Journal, context: ToolContext
) -> None:
    other = await journal_of(store, "bbbb0001")
    for one, text in ((journal, "own needle"), (other, "other pin")):
        await said(one, f"c{text}", text, Tainted(source="web_fetch: a page"))
    memory = context.memory
    assert memory is not None
    own, others = await memory.recall("needle", 5), await memory.recall("pin", 5)
    opened = [await memory.read(hit.found.message) for hit in (*own.hits, *others.hits)]

    assert all(hit.outside for hit in (*own.hits, *others.hits))
    assert (own.tainted, others.tainted) == ((), ("recall of workstream bbbb0001",))
    assert [one.tainted for one in opened if one is not None] == [
        (),
        ("recall of workstream bbbb0001",),
    ]
