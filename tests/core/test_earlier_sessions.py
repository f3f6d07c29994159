"""What becomes of a session when `/new` makes its workstream another one."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserver.plans import echo
from support.nodes import Node, local_node
from support.watching import ending, send, snapshot
from turnstone.core import earlier
from turnstone.core import events as ev
from turnstone.core.clock import RandomIds
from turnstone.core.errors import UnknownSession
from turnstone.core.host import CreateWorkstream


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with local_node(tmp_path, echo) as started:
        yield started


async def two_sessions(node: Node) -> tuple[str, str, str]:
    """A workstream that was one session, about pears, and is another, about plums."""
    host = node.host
    ws_id = (await host.create(CreateWorkstream())).id
    first = await session_of(node, ws_id)
    await ending(host, ws_id, await send(host, ws_id, "about pears"))
    assert f"/resume {first}" in (await host.command(ws_id, "/new")).text
    await ending(host, ws_id, await send(host, ws_id, "about plums"))
    return ws_id, first, await session_of(node, ws_id)


async def session_of(node: Node, ws_id: str) -> str:
    [session] = [info.session_id for info in await node.host.list() if info.id == ws_id]
    return session


async def said_in(node: Node, ws_id: str) -> list[str]:
    events = await snapshot(node.host, ws_id)
    return [m.content for e in events if isinstance(e, ev.History) for m in e.messages]


async def test_deleting_by_an_earlier_session_deletes_nothing(node: Node) -> None:
    ws_id, first, now = await two_sessions(node)
    other = (await node.host.create(CreateWorkstream())).id
    refused = await node.host.command(other, f"/delete {first}")
    assert (refused.error, now in refused.text) == ("invalid_request", True)
    assert await said_in(node, ws_id) == ["about plums", "about plums"]
    done = await node.host.command(other, f"/delete {now}")
    assert f"Session {now} is deleted" in done.text
    assert first in done.text
    assert await node.host.search("pears", 5) == []


async def test_an_earlier_session_goes_on_where_it_was_left_in_one_workstream(node: Node) -> None:
    ws_id, first, _ = await two_sessions(node)
    info = await node.host.resume(first)
    assert info.id != ws_id
    assert await said_in(node, info.id) == ["about pears", "about pears"]
    assert await said_in(node, ws_id) == ["about plums", "about plums"]
    await ending(node.host, info.id, await send(node.host, info.id, "and quinces"))
    await node.host.close(info.id)
    assert (await node.host.resume(first[:11])).id == info.id
    assert (await said_in(node, info.id))[2:] == ["and quinces", "and quinces"]


async def test_an_earlier_session_that_went_on_and_was_left_again_is_found_again(
    node: Node,
) -> None:
    _, first, _ = await two_sessions(node)
    again = (await node.host.resume(first)).id
    await node.host.command(again, "/new")
    info = await node.host.resume(first)
    assert info.id != again
    assert await said_in(node, info.id) == ["about pears", "about pears"]


async def test_each_session_of_a_workstream_is_exported_as_itself(node: Node) -> None:
    _, first, now = await two_sessions(node)
    for session, about in ((first, "about pears"), (now, "about plums")):
        file = json.loads(await node.host.export(session))
        assert file["session_id"] == session
        assert [message["content"] for message in file["history"]] == [about, about]


async def test_an_alias_goes_along_and_that_is_told(node: Node) -> None:
    ws_id = (await node.host.create(CreateWorkstream())).id
    await node.host.command(ws_id, "/name fruit")
    assert "alias fruit goes along" in (await node.host.command(ws_id, "/new")).text
    assert (await node.host.resume("fruit")).id == ws_id


class AlikeIds(RandomIds):
    """Sessions whose ids begin alike."""

    def __init__(self) -> None:
        self._count = itertools.count(0x3F0000000000)

    def session(self) -> str:
        return f"{next(self._count):012x}"


async def test_a_beginning_that_several_sessions_of_one_workstream_have_is_refused(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path, echo, ids=AlikeIds()) as node:
        _, first, now = await two_sessions(node)
        with pytest.raises(UnknownSession, match=f"several sessions: .*{first}.*{now}"):
            await node.host.export("3f0")
        assert "about pears" in await node.host.export(first)


@given(
    st.lists(st.text("0123456789abcdef", min_size=12, max_size=12), min_size=1, unique=True),
    st.integers(0, 3),
)
def test_the_sessions_of_a_journal_part_it_without_a_gap(ids: list[str], between: int) -> None:
    records: list[ev.Event] = []
    for session in ids:
        kind: type[ev.WsCreated | ev.ConversationSet] = (
            ev.ConversationSet if records else ev.WsCreated
        )
        records.append(kind(session_id=session, id=str(len(records) + 1)))
        records += [ev.Titled(id=str(len(records) + n + 1)) for n in range(between)]
    held = earlier.held(records)
    assert [one.session_id for one in held] == ids
    ends = [len(earlier.up_to(records, one.left)) for one in held]
    assert ends == [(between + 1) * (n + 1) for n in range(len(ids))]
    for one in held:
        assert earlier.meant(one.session_id, "ffff", held) == [one]
