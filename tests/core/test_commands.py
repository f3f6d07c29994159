"""Slash commands: how a line is read, and what each of them does."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserver import Reply, call, calls, text
from modelserver.plans import echo, tool_results
from oturn.transport.openai import OpenAITransport
from support.held_tools import HeldTool
from support.nodes import Node, local_node
from support.watching import ending, send, snapshot, until
from turnstone.cli.here import HERE
from turnstone.core import events as ev
from turnstone.core.commanding import HANDLERS
from turnstone.core.commands import COMMANDS, docs, is_command, named, parse
from turnstone.core.errors import EmptyMessage, InvalidRequest, UnknownWorkstream
from turnstone.core.host import CreateWorkstream
from turnstone.core.masking import Masking
from turnstone.core.models import Model, Models

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"


@pytest.mark.parametrize(
    ("line", "name", "argument"),
    [
        ("/help", "/help", ""),
        ("  /HELP  ", "/help", ""),
        ("/q", "/exit", ""),
        ("/rewind   12 ", "/rewind", "12"),
        ("/persona a  pirate", "/persona", "a  pirate"),
        ("/reason MED", "/reason", "medium"),
        ("/reason hi", "/reason", "high"),
        ("/raw OFF", "/raw", "off"),
    ],
)
def test_a_line_is_read_by_its_first_word_in_any_case(line: str, name: str, argument: str) -> None:
    parsed = parse(line)
    assert (parsed.command.name, parsed.argument) == (name, argument)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("help", "A command begins with a slash"),
        ("", "A command begins with a slash"),
        ("/claer", r"There is no command /claer. Did you mean /clear\?"),
        ("/xyzzy", r"There is no command /xyzzy. /help lists"),
        ("/clear all", "/clear takes nothing behind it, and there is 'all'"),
        ("/reason hgih", r"/reason knows no 'hgih'. Did you mean high\? It takes low, medium"),
        ("/raw perhaps", "/raw knows no 'perhaps'. It takes on, off"),
    ],
)
def test_what_is_no_command_is_told_with_what_it_may_have_meant(line: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        parse(line)


@given(st.text())
def test_every_line_is_a_command_of_the_table_or_told(line: str) -> None:
    try:
        parsed = parse(line)
    except InvalidRequest as error:
        assert str(error).endswith(".") or error.hint
        return
    assert is_command(line)
    assert parsed.command in COMMANDS
    assert not parsed.command.choices or parsed.argument in ("", *parsed.command.choices.values())


def test_each_command_has_one_name_and_is_done_in_one_place() -> None:
    names = [name for c in COMMANDS for name in (c.name, *c.aliases)]
    assert len(set(names)) == len(names)
    everywhere = {c.name for c in COMMANDS if c.where == "everywhere"}
    assert everywhere == HANDLERS.keys()
    there = {name for c in COMMANDS if c.where == "terminal" for name in (c.name, *c.aliases)}
    assert there <= HERE.keys()
    assert all(named(name) for name in HERE)


def test_the_page_has_the_table_as_it_is() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == docs.updated(page), "run: python -m turnstone.core.commands.docs"


def works(body: dict[str, Any]) -> Reply:
    if body.get("tools") and not tool_results(body):
        return calls(call("read_file", path="notes.txt"))
    return text("done")


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with local_node(tmp_path, echo, persona="a captain") as node:
        yield node


async def made(node: Node, *messages: str) -> str:
    ws = await node.host.create(CreateWorkstream(name="mine"))
    for message in messages:
        await turn(node, ws.id, message)
    return ws.id


_ids = itertools.count()


async def turn(node: Node, ws_id: str, message: str) -> dict[str, Any]:
    """The first request of the turn of this message."""
    before, cid = len(node.model.requests), f"t{next(_ids)}"
    await send(node.host, ws_id, message, cid)
    await ending(node.host, ws_id, cid)
    return node.model.requests[before]


async def said(node: Node, ws_id: str, line: str) -> str:
    reply = await node.host.command(ws_id, line)
    assert not reply.error, reply
    return reply.text


async def shown(node: Node, ws_id: str) -> list[str]:
    events = await snapshot(node.host, ws_id)
    return [m.content for e in events if isinstance(e, ev.History) for m in e.messages]


async def test_every_command_that_needs_nothing_answers(node: Node) -> None:
    ws_id = await made(node, "hello")
    for command in COMMANDS:
        if command.name == "/export":
            await turn(node, ws_id, "something, after /clear and /new")
        reply = await node.host.command(ws_id, command.name)
        if command.required:
            assert "needs something behind it" in reply.text
        elif command.where == "terminal" and command.name != "/exit":
            assert reply.error == "invalid_request"
            assert "in the terminal only" in reply.text
        else:
            assert (reply.error, bool(reply.text)) == ("", True), command.name


async def test_readers_are_told_what_a_command_says_under_its_id(node: Node) -> None:
    ws_id = await made(node)
    good = await node.host.command(ws_id, "/help clear")
    info, _ = await until(node.host, ws_id, ev.Info, good.command_id)
    assert info.message == good.text

    bad = await node.host.command(ws_id, "/claer")
    told, _ = await until(node.host, ws_id, ev.Error, bad.command_id)
    assert told.message == bad.text
    assert (told.code, bad.error) == ("invalid_request", "invalid_request")


async def test_no_text_and_no_workstream_are_refused(node: Node) -> None:
    with pytest.raises(EmptyMessage):
        await node.host.command(await made(node), "  ")
    with pytest.raises(UnknownWorkstream):
        await node.host.command("ffffffff", "/help")


@pytest.mark.parametrize("line", ["/clear", "/new"])
async def test_a_forgotten_conversation_is_neither_shown_nor_sent(node: Node, line: str) -> None:
    ws_id = await made(node, "a secret")
    [before] = await node.host.list()
    await said(node, ws_id, line)
    _, events = await until(node.host, ws_id, ev.History)
    assert [e.type for e in events[-3:]] == ["conversation_set", "clear_ui", "history"]
    assert await shown(node, ws_id) == []
    assert "a secret" not in str(await turn(node, ws_id, "hello"))
    [after] = await node.host.list()
    assert after.name == before.name
    assert (after.session_id == before.session_id) == (line == "/clear")


async def test_another_session_is_told_after_a_sleep_too(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as node:
        ws_id = await made(node)
        told = await said(node, ws_id, "/new")
    async with local_node(tmp_path, echo) as node:
        [info] = await node.host.list()
        assert info.session_id in told


async def test_going_back_is_by_the_numbers_that_are_listed(node: Node) -> None:
    ws_id = await made(node, "one", "two")
    rows = (await said(node, ws_id, "/rewind")).splitlines()
    number = next(row.split()[0] for row in rows if row.endswith(" two"))
    assert "before: two" in await said(node, ws_id, f"/rewind {number}")
    assert await shown(node, ws_id) == ["one", "one"]


async def test_a_fork_says_where_it_goes_on(node: Node) -> None:
    ws_id = await made(node, "one")
    reply = await node.host.command(ws_id, "/fork")
    assert reply.ws_id in reply.text
    assert reply.ws_id != ws_id
    assert await shown(node, reply.ws_id) == ["one", "one"]


async def test_without_a_message_there_is_nothing_to_go_back_to_or_to_export(node: Node) -> None:
    ws_id = await made(node)
    assert "no message yet" in await said(node, ws_id, "/rewind")
    refused = await node.host.command(ws_id, "/export")
    assert refused.error == "invalid_request"
    assert "holds no conversation" in refused.text


async def test_an_alias_stays_with_the_conversation_that_was_forked(node: Node) -> None:
    ws_id = await made(node, "one")
    await said(node, ws_id, "/name night")
    assert "The alias night stays with this one." in await said(node, ws_id, "/fork")
    assert "alias night" in await said(node, ws_id, "/name")


async def test_the_beginning_of_an_id_deletes_nothing(node: Node) -> None:
    one, two = await made(node, "about pears"), await made(node, "about plums")
    [session] = [info.session_id for info in await node.host.list() if info.id == one]
    for part in (one[:7], session[:11]):
        refused = await node.host.command(two, f"/delete {part}")
        assert (refused.error, one in refused.text) == ("invalid_request", True)
    assert len(await node.host.list()) == 2
    await said(node, two, f"/delete {session}")
    assert [info.id for info in await node.host.list()] == [two]


async def test_a_budget_that_is_sent_again_is_not_renewed(node: Node) -> None:
    ws_id = await made(node)
    for line, command_id in (("tool_calls=3", "c-1"), ("tool_calls=2", "c-2")):
        await node.host.command(ws_id, f"/budget {line}", command_id=command_id)
    again = await node.host.command(ws_id, "/budget tool_calls=3", command_id="c-1")
    assert again.text == "Done already."
    assert (await node.host.usage(ws_id)).budget == ev.Budget(tool_calls=2)


async def test_an_alias_that_is_sent_again_takes_nothing_back(node: Node) -> None:
    ws_id = await made(node)
    for alias, command_id in (("one", "c-1"), ("two", "c-2"), ("one", "c-1")):
        await node.host.command(ws_id, f"/name {alias}", command_id=command_id)
    assert [info.alias for info in await node.host.list()] == ["two"]


async def test_a_cancel_that_is_sent_again_stops_no_later_turn(tmp_path: Path) -> None:
    tool = HeldTool()

    def plan(body: dict[str, Any]) -> Reply:
        return text("done") if tool_results(body) else calls(call("wait", key="k"))

    async with local_node(tmp_path, plan, tools={"wait": tool}) as node:
        ws_id = (await node.host.create(CreateWorkstream())).id
        assert "No turn" in (await node.host.command(ws_id, "/cancel", command_id="c-1")).text
    async with local_node(tmp_path, plan, tools={"wait": tool}) as node:
        cid = await send(node.host, ws_id, "go")
        await tool.runs("k")
        again = await node.host.command(ws_id, "/cancel", command_id="c-1")
        tool.let_go("k")
        ended = await ending(node.host, ws_id, cid)
    assert (again.text, ended.outcome) == ("Done already.", "done")


async def test_persona_and_instructions_are_in_the_next_prompt_and_can_be_taken_out(
    node: Node,
) -> None:
    ws_id = await made(node, "hello")
    assert "a captain" in await said(node, ws_id, "/persona")
    await said(node, ws_id, "/persona a pirate")
    await said(node, ws_id, "/instructions Be brief.")
    prompt = (await turn(node, ws_id, "again"))["messages"][0]["content"]
    assert "a pirate" in prompt and prompt.endswith("Be brief.")
    await said(node, ws_id, "/persona -")
    await said(node, ws_id, "/instructions -")
    prompt = (await turn(node, ws_id, "again"))["messages"][0]["content"]
    assert "a pirate" not in prompt and "a captain" not in prompt and "Be brief." not in prompt


async def test_settings_that_are_not_of_the_prompt_leave_its_bytes(node: Node) -> None:
    ws_id = await made(node)
    first = await turn(node, ws_id, "one")
    for line in ("/reason high", "/raw", "/debug on"):
        await said(node, ws_id, line)
    second = await turn(node, ws_id, "two")
    _, events = await until(node.host, ws_id, ev.TurnEnded, f"t{next(_ids) - 1}")
    kinds = [event.type for event in events]
    assert second["messages"][0] == first["messages"][0]
    assert kinds.count("prompt_set") == 1


async def test_the_effort_is_sent_both_ways_once_somebody_has_set_it(node: Node) -> None:
    ws_id = await made(node)
    assert "reasoning_effort" not in await turn(node, ws_id, "one")
    await said(node, ws_id, "/reason hi")
    sent = await turn(node, ws_id, "two")
    assert sent["reasoning_effort"] == "high"
    assert sent["chat_template_kwargs"] == {"reasoning_effort": "high"}
    status, _ = await until(node.host, ws_id, ev.Status, f"t{next(_ids) - 1}")
    assert status.effort == "high"


async def test_no_effort_is_asked_for_again_once_somebody_says_none(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo, effort="low") as node:
        ws_id = await made(node)
        assert (await turn(node, ws_id, "one"))["reasoning_effort"] == "low"
        assert "as the model does by itself" in await said(node, ws_id, "/reason none")
        assert "reasoning_effort" not in await turn(node, ws_id, "two")
        status, _ = await until(node.host, ws_id, ev.Status, f"t{next(_ids) - 1}")
        assert status.effort == ""
        assert "medium" in await said(node, ws_id, "/reason med")
        assert (await turn(node, ws_id, "three"))["reasoning_effort"] == "medium"


async def test_hidden_reasoning_is_not_streamed(tmp_path: Path) -> None:
    async with local_node(tmp_path, lambda _: text("4", reasoning="two and two")) as node:
        ws_id = await made(node)
        assert "hidden" in await said(node, ws_id, "/raw")
        await turn(node, ws_id, "one")
        _, events = await until(node.host, ws_id, ev.TurnEnded)
        assert not [e for e in events if isinstance(e, ev.Reasoning)]
        assert "shown" in await said(node, ws_id, "/raw")
        await turn(node, ws_id, "two")
        await until(node.host, ws_id, ev.Reasoning)


async def test_a_writer_has_no_tools_and_no_history_of_them(tmp_path: Path) -> None:
    async with local_node(tmp_path, works) as node:
        (node.workspace / "notes.txt").write_text("a line\n")
        ws_id = await made(node, "look")
        assert "tool" in [m["role"] for m in node.model.requests[-1]["messages"]]
        assert "/creative on takes them away" in await said(node, ws_id, "/creative")
        assert (await turn(node, ws_id, "look again"))["tools"]
        assert "forgotten" in await said(node, ws_id, "/creative on")
        assert "has no tools" in await said(node, ws_id, "/creative")
        sent = await turn(node, ws_id, "a poem")
        assert "tools" not in sent or not sent["tools"]
        assert [m["role"] for m in sent["messages"]] == ["system", "user"]
        assert "You are a writer." in sent["messages"][0]["content"]
        await said(node, ws_id, "/creative off")
        assert (await turn(node, ws_id, "look"))["tools"]


async def test_another_model_answers_when_it_is_chosen(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as first:
        url = first.model.base_url
        models = Models(
            Model("default", "small", OpenAITransport(url)),
            [Model("best", "large", OpenAITransport(url))],
        )
        async with local_node(tmp_path / "other", echo, models=models) as node:
            ws_id = await made(node)
            assert "There are also: best" in await said(node, ws_id, "/model")
            assert "large" in await said(node, ws_id, "/model best")
            wrong = await node.host.command(ws_id, "/model worst")
            assert (wrong.error, "best" in wrong.text) == ("unknown_model", True)
            await send(node.host, ws_id, "hello", "c1")
            await ending(node.host, ws_id, "c1")
        assert first.model.requests[-1]["model"] == "large"


async def test_what_is_sent_is_shown_once_each_and_without_secrets(tmp_path: Path) -> None:
    masking = Masking(["hunter2-hunter2"])
    async with local_node(tmp_path, echo, masking=masking) as node:
        ws_id = await made(node)
        await said(node, ws_id, "/debug on")
        await turn(node, ws_id, "my key is hunter2-hunter2")
        await turn(node, ws_id, "second")
        await said(node, ws_id, "/debug off")
        await turn(node, ws_id, "third")
        _, events = await until(node.host, ws_id, ev.TurnEnded, f"t{next(_ids) - 1}")
    lines = [
        e.message
        for e in events
        if isinstance(e, ev.Info) and e.message[:7] in ("request", "answer:")
    ]
    assert [line.partition(":")[0] for line in lines] == ["request", "answer"] * 2
    assert "hunter2" not in "".join(lines)
    mine = '{"role":"user","content":"my key is'
    assert mine in lines[0] and mine not in lines[2]
    assert "second" in lines[2] and "TextDelta" in lines[1]


async def test_a_command_that_is_sent_again_is_carried_out_once(node: Node) -> None:
    ws_id = await made(node)
    for _ in range(2):
        await node.host.command(ws_id, "/creative on", command_id="k1")
    sent = await turn(node, ws_id, "hello")
    assert not sent.get("tools")


async def test_the_history_names_each_call_and_what_sums_it_up(tmp_path: Path) -> None:
    async with local_node(tmp_path, works) as node:
        (node.workspace / "notes.txt").write_text("a line\n")
        ws_id = await made(node, "look")
        rows = (await said(node, ws_id, "/history")).splitlines()
    assert rows[:2] == ["user: look", "assistant: ▸ read_file: notes.txt"]
    assert rows[-1] == "assistant: done"


async def test_the_list_of_commands_has_what_may_stand_behind_each(node: Node) -> None:
    listed = await said(node, await made(node), "/help")
    assert all(command.usage in listed and command.meaning in listed for command in COMMANDS)


async def test_a_session_is_named_found_gone_on_with_and_deleted(node: Node) -> None:
    one, two = await made(node, "about pears"), await made(node, "about plums")
    assert "called fruit" in await said(node, one, "/name fruit")
    assert "alias fruit" in await said(node, one, "/name")
    assert "fruit" in await said(node, two, "/sessions")
    assert "about pears" in await said(node, two, "/history pears")
    await node.host.close(one)
    reply = await node.host.command(two, "/resume fruit")
    assert reply.ws_id == one
    assert await shown(node, one) == ["about pears", "about pears"]
    wrong = await node.host.command(two, "/resume nothing")
    assert wrong.error == "unknown_session"
    assert "/sessions lists them" in wrong.text
    refused = await node.host.command(one, "/delete fruit")
    assert (refused.error, "another one" in refused.text) == ("invalid_request", True)
    await said(node, two, "/delete fruit")
    assert [info.id for info in await node.host.list()] == [two]
    assert "pears" not in await said(node, two, "/history pears")


@pytest.mark.parametrize(("line", "begins"), [("/export", "#"), ("/export json", "{")])
async def test_an_export_is_for_who_asks_and_not_for_every_reader(
    node: Node, line: str, begins: str
) -> None:
    ws_id = await made(node, "about pears")
    reply = await node.host.command(ws_id, line)
    info, _ = await until(node.host, ws_id, ev.Info, reply.command_id)
    assert reply.text.lstrip("-\n").startswith(begins) or "about pears" in reply.text
    assert "about pears" not in info.message


async def test_a_budget_is_set_by_what_is_named_of_it(node: Node) -> None:
    ws_id = await made(node, "hello")
    assert await said(node, ws_id, "/budget") == "No budget is set."
    assert "5,000 tokens" in await said(node, ws_id, "/budget tokens=5000")
    told = await said(node, ws_id, "/budget tool_calls=7")
    assert "5,000 tokens" in told and "7 tool calls" in told
    for line in ("/budget lots", "/budget tokens=lots", "/budget horses=3"):
        reply = await node.host.command(ws_id, line)
        assert (reply.error, "does not understand" in reply.text) == ("invalid_request", True)
    assert await said(node, ws_id, "/budget none") == "No budget is set."
    assert "1 request," in await said(node, ws_id, "/usage")
