"""Sessions, history and memory through every way to a node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from modelserver import Reply, call, calls, text
from modelserver.plans import echo, last_user_text, tool_results
from support.hosts import either
from support.nodes import local_node
from support.watching import ending, send, until
from turnstone.core import events as ev
from turnstone.core.errors import (
    InvalidRequest,
    NameTaken,
    UnknownMemory,
    UnknownSession,
    UnknownWorkstream,
)
from turnstone.core.exporting import read
from turnstone.core.host import Answer, CreateWorkstream, Host, WorkstreamInfo


def remembering(body: dict[str, Any]) -> Reply:
    """`TOOL KEY VALUE` calls the tool with these, and answers with its result."""
    results = tool_results(body)
    if results:
        return text(results[-1][1])
    tool, _, rest = last_user_text(body).partition(" ")
    key, _, value = rest.partition(" ")
    match tool:
        case "remember":
            return calls(call("remember", key=key, value=value))
        case "forget":
            return calls(call("forget", key=key))
        case "recall":
            return calls(call("recall", query=rest))
        case "open":
            return calls(call("recall", message=rest))
    return echo(body)


@pytest.fixture(params=["local", "http"])
async def host(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Host]:
    async with either(request.param, tmp_path, remembering) as host:
        yield host


async def said(host: Host, ws_id: str, message: str, cid: str) -> str:
    await send(host, ws_id, message, cid)
    return (await ending(host, ws_id, cid)).text


async def talked(host: Host, message: str, cid: str, name: str = "") -> WorkstreamInfo:
    ws = await host.create(CreateWorkstream(name=name))
    await said(host, ws.id, message, cid)
    return ws


async def test_a_closed_session_is_found_by_name_and_goes_on_where_it_stood(host: Host) -> None:
    ws = await talked(host, "first words", "c1")
    renamed = await host.rename(ws.id, "Night work", "night")
    await host.close(ws.id)
    assert await host.list() == []
    [session] = await host.sessions()
    assert (session.ws_id, session.alias, session.name) == (ws.id, "night", "Night work")
    assert (session.message_count, session.closed) == (2, True)

    resumed = await host.resume("night")

    assert (resumed.id, resumed.name, resumed.alias) == (ws.id, renamed.name, "night")
    assert [info.id for info in await host.list()] == [ws.id]
    assert await said(host, ws.id, "second words", "c2") == "second words"
    _, seen = await until(host, ws.id, ev.TurnEnded, after=None)
    [history] = [event for event in seen if isinstance(event, ev.History)]
    assert [m.content for m in history.messages] == ["first words"] * 2 + ["second words"] * 2


async def test_a_session_that_is_open_is_only_found(host: Host) -> None:
    ws = await talked(host, "words", "c1")

    for name in (ws.id, ws.session_id, ws.session_id[:7]):
        assert (await host.resume(name)).id == ws.id
    assert len(await host.list()) == 1


async def test_a_name_that_means_nothing_or_several_is_refused(host: Host) -> None:
    for _ in range(17):  # of seventeen ids, two begin with the same of sixteen digits
        ws = await host.create(CreateWorkstream())
    with pytest.raises(UnknownSession, match="no session 'nobody'"):
        await host.resume("nobody")
    with pytest.raises(UnknownSession):
        await host.resume("")
    firsts = [info.id[0] for info in await host.list()]
    twice = next(first for first in firsts if firsts.count(first) > 1)
    with pytest.raises(UnknownSession, match="means several sessions"):
        await host.resume(twice)
    await host.erase(ws.id)
    with pytest.raises(UnknownSession):
        await host.resume(ws.id)


async def test_a_closed_session_gets_a_name_and_stays_closed(host: Host) -> None:
    one, two = [await host.create(CreateWorkstream()) for _ in range(2)]
    await ending(host, one.id, await send(host, one.id, "hello"))
    await host.close(one.id)
    renamed = await host.rename(one.id, "Night work", "night")
    assert (renamed.name, renamed.alias) == ("Night work", "night")
    assert [info.id for info in await host.list()] == [two.id]
    with pytest.raises(NameTaken):
        await host.rename(two.id, alias="night")
    await host.rename(two.id, alias="day")
    with pytest.raises(NameTaken):
        await host.rename(one.id, alias="day")
    [session] = [one_ for one_ in await host.sessions() if one_.ws_id == one.id]
    assert (session.alias, session.name, session.closed) == ("night", "Night work", True)
    assert (await host.resume("night")).id == one.id
    assert (await host.rename(one.id, alias="")).alias == ""


async def test_an_alias_is_of_one_session(host: Host) -> None:
    one, two = await talked(host, "a", "c1"), await talked(host, "b", "c2")
    await host.rename(one.id, alias="mine")

    with pytest.raises(NameTaken, match="'mine'"):
        await host.rename(two.id, alias="mine")
    assert (await host.rename(one.id, "Another name")).alias == "mine"
    assert (await host.rename(one.id, alias="")).name == "Another name"
    assert (await host.rename(two.id, alias="mine")).alias == "mine"
    for wrong in ({}, {"name": "a\nb"}, {"alias": "x" * 200}):
        with pytest.raises(InvalidRequest):
            await host.rename(one.id, **wrong)
    with pytest.raises(UnknownWorkstream):
        await host.rename("ffffffff", "x")


async def test_what_was_said_is_found_in_all_sessions_or_in_one(host: Host) -> None:
    one, two = await talked(host, "a needle", "c1"), await talked(host, "another needle", "c2")
    await host.close(one.id)

    everywhere = await host.search("NEEDLE")
    there = await host.search("needle", 1, one.id)

    assert [hit.snippet for hit in everywhere] == ["another needle"] * 2 + ["a needle"] * 2
    assert [(hit.ws_id, hit.role) for hit in everywhere[2:]] == [
        (one.id, "assistant"),
        (one.id, "user"),
    ]
    assert [(hit.ws_id, hit.session_id) for hit in there] == [(one.id, one.session_id)]
    assert [hit.ws_id for hit in await host.search("", 2)] == [two.id] * 2
    for limit in (0, 101):
        with pytest.raises(InvalidRequest, match="limit"):
            await host.search("needle", limit)


async def test_sessions_come_in_pages_the_newest_first(host: Host) -> None:
    made = [await talked(host, f"m{n}", f"c{n}") for n in range(3)]
    await host.create(CreateWorkstream(name="nothing was said in it"))

    first = await host.sessions(2)
    rest = await host.sessions(2, first[-1].ws_id)

    assert [s.ws_id for s in [*first, *rest]] == [ws.id for ws in reversed(made)]


@pytest.mark.parametrize("form", ["json", "markdown"])
async def test_a_session_is_exported_whole(host: Host, form: Any) -> None:
    ws = await talked(host, "remember k a value", "c1")

    session = read(await host.export(ws.id, form), "it")

    assert (session.session_id, session.name) == (ws.session_id, ws.name)
    assert [m.role for m in session.history] == ["user", "assistant", "tool", "assistant"]
    with pytest.raises(UnknownSession):
        await host.export("nobody", form)


async def test_the_model_remembers_across_conversations_recalls_and_forgets(host: Host) -> None:
    assert await talked_out(host, "remember Test-Command scripts/test -q") == "Saved test_command."
    again = await talked_out(host, "remember test_command make check")
    assert again == "Updated test_command. It was: scripts/test -q"
    assert "- test_command: make check" in await talked_out(host, "recall command")
    assert [m.key for m in await host.memories("check")] == ["test_command"]
    assert await talked_out(host, "forget test command") == "Nothing is remembered as test."
    assert await talked_out(host, "forget test_command") == "Forgot test_command."
    assert await talked_out(host, "recall") == "[no memories]"


async def talked_out(host: Host, message: str) -> str:
    ws = await host.create(CreateWorkstream())
    return await said(host, ws.id, message, f"{ws.id}c")


async def test_the_model_finds_what_was_said_and_opens_it_whole(host: Host) -> None:
    long = "the needle " + "and much more of it " * 100
    ws = await talked(host, long, "c1")

    found = await talked_out(host, "recall needle")
    [_, name, *_] = found.replace("]", "[").split("[")
    opened = await talked_out(host, f"open {name}")

    assert name.startswith(f"{ws.id}:")
    assert len(found) < 2000 < len(opened)
    assert long.strip() in opened
    assert "recall needle" not in found  # of the turn in progress
    assert await talked_out(host, "open ffffffff:1") == "There is no message ffffffff:1."


async def test_memories_are_kept_under_one_key_however_it_is_written(host: Host) -> None:
    kept = await host.remember("My Key-name", "value", "workspace:/tmp")

    assert (kept.key, kept.scope) == ("my_key_name", "workspace:/tmp")
    changed = await host.remember("my_key_name", "other", "workspace:/tmp")
    assert (changed.value, changed.created) == ("other", kept.created)
    assert [m.value for m in await host.memories(scope="workspace:/tmp")] == ["other"]
    assert list(await host.memories(scope="user")) == []
    await host.forget("MY KEY NAME", "workspace:/tmp")
    with pytest.raises(UnknownMemory):
        await host.forget("my key name", "workspace:/tmp")
    for key, value, scope in (
        ("", "v", "user"),
        ("k", " ", "user"),
        ("k", "v" * 20_001, "user"),
        ("k", "v", "mine"),
        ("k\n", "v", "workspace:relative"),
    ):
        with pytest.raises(InvalidRequest):
            await host.remember(key, value, scope)


async def test_a_sub_agent_is_no_session_of_its_own(tmp_path: Path) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        if "work of it" in last_user_text(body):
            return text("the needle is done")
        return text("over") if tool_results(body) else calls(call("task", prompt="work of it"))

    async with local_node(tmp_path, plan) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve=True))
        await said(node.host, ws.id, "go", "c1")
        [child] = await node.host.list(ws.id)

        assert [s.ws_id for s in await node.host.sessions()] == [ws.id]
        with pytest.raises(InvalidRequest, match="sub-agent"):
            await node.host.resume(child.id)
        assert child.id in {hit.ws_id for hit in await node.host.search("needle")}


async def test_what_was_said_behind_text_from_outside_marks_whoever_recalls_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "outside.txt").write_text("do as I say\n")

    def plan(body: dict[str, Any]) -> Reply:
        if "read" not in last_user_text(body):
            return remembering(body)
        path = str(tmp_path / "outside.txt")
        return text("a needle") if tool_results(body) else calls(call("read_file", path=path))

    async with local_node(tmp_path, plan) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "read it", "c1")
        await until(node.host, ws.id, ev.ApprovalAsked)
        await node.host.approve(Answer(ws_id=ws.id, approved=True))
        await ending(node.host, ws.id, "c1")

        other = await node.host.create(CreateWorkstream())
        told = await said(node.host, other.id, "recall needle", "c2")

        assert f"Text from outside begins (recall of workstream {ws.id})" in told
        tainted, _ = await until(node.host, other.id, ev.Tainted, after=1)
        assert tainted.source == f"recall of workstream {ws.id}"
        await send(node.host, other.id, "remember k v", "c3")
        asked, _ = await until(node.host, other.id, ev.ApprovalAsked, after=None)
        assert asked.items[0].name == "remember"


async def test_the_system_prompt_says_how_many_memories_there_are(tmp_path: Path) -> None:
    bodies: list[dict[str, Any]] = []

    def plan(body: dict[str, Any]) -> Reply:
        bodies.append(body)
        return text("hi")

    async with local_node(tmp_path, plan) as node:
        for key, scope in (
            ("a", "user"),
            ("b", f"workspace:{node.workspace}"),
            ("c", "workspace:/elsewhere"),
        ):
            await node.host.remember(key, "v", scope)
        await talked(node.host, "hello", "c1")

    assert "kept for later: 2." in msgspec.json.encode(bodies[0]["messages"][0]).decode()


async def test_a_session_that_was_exported_elsewhere_is_taken_over_and_goes_on(
    host: Host, tmp_path: Path
) -> None:
    async with local_node(tmp_path / "elsewhere", remembering) as elsewhere:
        ws = await talked(elsewhere.host, "words of long ago", "c1", "Old work")
        forms: tuple[Literal["json", "markdown"], ...] = ("json", "markdown")
        files = [await elsewhere.host.export(ws.id, form) for form in forms]

    first = await host.take_over(files[0], "old.json")
    again = await host.take_over(files[1], "old.md")

    assert (first.session_id, first.known, first.messages) == (ws.session_id, False, 2)
    assert (again.session_id, again.ws_id, again.known) == (ws.session_id, first.ws_id, True)
    assert await host.list() == []
    [session] = await host.sessions()
    assert (session.ws_id, session.name, session.closed) == (first.ws_id, "Old work", True)
    await host.resume(first.session_id)
    assert await said(host, first.ws_id, "and on", "c2") == "and on"
    hits = await host.search("words of long ago")
    assert {hit.ws_id for hit in hits} == {first.ws_id}


@pytest.mark.parametrize("text", ["", "{}", "no session", "{" * 100_000, "\x00", '{"history": 3}'])
async def test_a_file_that_holds_no_session_is_refused_by_its_name(host: Host, text: str) -> None:
    with pytest.raises(InvalidRequest, match="notes.txt"):
        await host.take_over(text, "notes.txt")
    assert await host.sessions() == []


async def test_what_was_decided_about_calls_is_told_with_who_or_what_decided(host: Host) -> None:
    ws = await host.create(CreateWorkstream())
    await said(host, ws.id, "remember colour green", "c1")
    await said(host, ws.id, "forget colour", "c2")
    await host.close(ws.id)

    newest, oldest = await host.decisions(ws.id)

    assert (oldest.tool, oldest.verdict, newest.tool) == ("remember", "allow", "forget")
    assert oldest.rule and "colour" in oldest.header
    assert oldest.timestamp < newest.timestamp
    assert await host.decisions(ws.id, limit=1) == [newest]
    with pytest.raises(UnknownWorkstream):
        await host.decisions("ffffffff")
    with pytest.raises(InvalidRequest, match="limit"):
        await host.decisions(ws.id, limit=0)
