"""What is permitted in a workstream, and how it is asked for: shown, recorded, taken back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from modelserver import ModelServer, Reply, call, calls, text
from modelserver.plans import tool_results
from support.nodes import local_node, start_host
from turnstone.core import events as ev
from turnstone.core.errors import (
    InvalidRequest,
    OtherArguments,
    UnknownRequest,
)
from turnstone.core.host import Answer, CreateWorkstream, Host, SendMessage
from turnstone.core.policy import Grants, decide
from turnstone.core.policy_rules import Rules, parse
from turnstone.core.sandbox import Confinement, Level
from turnstone.core.tool import SEED_TOOLS, SEED_UNASKED, Prepared, ToolSpec
from turnstone.sandbox import find_sandbox
from turnstone.tools import load_tools

PATIENCE = 60.0

BEGINNING = ev.EventId(1)

EventT = TypeVar("EventT", bound=ev.Event)

#: A machine that confines commands, and one that does not: what the policy is told of them.
CONFINED = Confinement(Level.L3, "L3 (for a test)")
BARE = Confinement(Level.L0, "L0 (nothing confines commands)")


def calling(tool: str, **arguments: Any) -> Callable[[dict[str, Any]], Reply]:
    """A plan: this one call in each turn, then its result as the answer."""

    def plan(body: dict[str, Any]) -> Reply:
        if body["messages"][-1]["role"] == "tool":
            return text(tool_results(body)[-1][1])
        return calls(call(tool, **arguments))

    return plan


async def rules(**some: list[str]) -> Rules:
    specs = {name: tool.spec for name, tool in load_tools(await find_sandbox()).items()}
    read = {key: tuple(parse(rule, specs, None) for rule in texts) for key, texts in some.items()}
    return Rules(**read)


async def place(host: Host, ws_id: str) -> ev.EventId:
    """Where the workstream's log stands now."""
    events = host.follow(ws_id)
    assert isinstance(events, AsyncGenerator)
    async with aclosing(events):
        return ev.EventId.parse((await anext(events)).id)


async def until(
    host: Host, ws_id: str, kind: type[EventT], cid: str, after: ev.EventId = BEGINNING
) -> EventT:
    """The first event of this type that belongs to the message."""
    async with asyncio.timeout(PATIENCE):
        events = host.follow(ws_id, after)
        assert isinstance(events, AsyncGenerator)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, kind) and event.correlation_id == cid:
                    return event
    raise AssertionError(f"the stream ended without {kind.__name__}")


async def asked(host: Host, ws_id: str) -> ev.ApprovalAsked:
    """Send a message, and wait for the question that it leads to."""
    after = await place(host, ws_id)
    sent = await host.send(SendMessage(ws_id=ws_id, message="go"))
    return await until(host, ws_id, ev.ApprovalAsked, sent.correlation_id, after)


async def answered(host: Host, question: ev.ApprovalAsked, **answer: Any) -> ev.ToolFinished:
    """Answer, and wait for the turn's end; returns the result of its (first) call."""
    after = await place(host, question.ws_id)
    await host.approve(
        Answer(ws_id=question.ws_id, request_id=question.request_id, by="ann", **answer)
    )
    await until(host, question.ws_id, ev.TurnEnded, question.correlation_id, after)
    return await until(host, question.ws_id, ev.ToolFinished, question.correlation_id, after)


async def unasked(host: Host, ws_id: str) -> ev.ToolFinished:
    """Send a message whose call must run without a question; returns its result."""
    after = await place(host, ws_id)
    sent = await host.send(SendMessage(ws_id=ws_id, message="go"))
    await until(host, ws_id, ev.TurnEnded, sent.correlation_id, after)
    return await until(host, ws_id, ev.ToolFinished, sent.correlation_id, after)


async def test_what_always_covers_is_shown_recorded_listed_and_lasts(tmp_path: Path) -> None:
    plan = calling("write_file", path="note", content="x")
    with ModelServer(plan) as model:
        host = await start_host(tmp_path, model.base_url)
        ws = await host.create(CreateWorkstream())
        question = await asked(host, ws.id)
        [item] = question.items
        assert item.grant == f"write_file inside {host.engine.workspace}"
        await answered(host, question, approved=True, always=True)
        record = await until(host, ws.id, ev.ApprovalAnswered, question.correlation_id)
        assert record.granted == item.grants == [ev.Grant("write_file")]
        await host.aclose()

        host = await start_host(tmp_path, model.base_url)
        try:
            [granted] = (await host.policy(ws.id)).grants
            assert (granted.tool, granted.path, granted.text) == ("write_file", "", item.grant)
            assert (await unasked(host, ws.id)).status == "ok"
        finally:
            await host.aclose()


async def test_always_about_a_path_outside_permits_this_path_and_nothing_else(
    tmp_path: Path,
) -> None:
    (tmp_path / "one").write_text("first")
    (tmp_path / "two").write_text("second")
    wanted = [tmp_path / "one"]

    def plan(body: dict[str, Any]) -> Reply:
        return calling("read_file", path=str(wanted[0]))(body)

    async with local_node(tmp_path, plan) as node:
        ws = await node.host.create(CreateWorkstream())
        question = await asked(node.host, ws.id)
        assert question.items[0].grant == f"read_file of {(tmp_path / 'one').resolve()}"
        await answered(node.host, question, approved=True, always=True)

        assert "first" in (await unasked(node.host, ws.id)).output
        wanted[0] = tmp_path / "two"
        other = await asked(node.host, ws.id)
        await answered(node.host, other, approved=False)


async def test_a_permission_that_was_taken_back_is_asked_for_again_after_a_restart_too(
    tmp_path: Path,
) -> None:
    with ModelServer(calling("write_file", path="note", content="x")) as model:
        host = await start_host(tmp_path, model.base_url)
        ws = await host.create(CreateWorkstream(auto_approve_tools=["write_file"]))
        await unasked(host, ws.id)
        assert await host.revoke(ws.id, ev.Grant("write_file"), by="ann")
        assert not await host.revoke(ws.id, ev.Grant("write_file"), by="ann")
        assert (await host.policy(ws.id)).grants == []
        await host.aclose()

        host = await start_host(tmp_path, model.base_url)
        try:
            await answered(host, await asked(host, ws.id), approved=False)
        finally:
            await host.aclose()


async def test_auto_approve_is_listed_and_taken_back_like_any_permission(tmp_path: Path) -> None:
    plan = calling("write_file", path="note", content="x")
    async with local_node(tmp_path, plan, confinement=CONFINED) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve=True))
        await unasked(node.host, ws.id)
        [granted] = (await node.host.policy(ws.id)).grants
        assert granted.tool == "*"

        assert await node.host.revoke(ws.id, ev.Grant("*"))
        await answered(node.host, await asked(node.host, ws.id), approved=False)


async def test_always_about_what_an_ask_rule_asks_permits_it_once(tmp_path: Path) -> None:
    plan = calling("write_file", path="note", content="x")
    found = await rules(ask=["write_file(note)"])
    async with local_node(tmp_path, plan, rules=found, confinement=CONFINED) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve=True))
        question = await asked(node.host, ws.id)
        assert question.items[0].grant == ""
        assert "write_file(note)" in question.items[0].rule
        await answered(node.host, question, approved=True, always=True)

        again = await asked(node.host, ws.id)
        await answered(node.host, again, approved=False)


async def test_what_a_deny_rule_forbids_does_not_run_and_the_model_reads_which(
    tmp_path: Path,
) -> None:
    plan = calling("write_file", path="note", content="x")
    found = await rules(deny=["write_file(n*)"])
    async with local_node(tmp_path, plan, rules=found, auto_approve=True) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve_tools=["write_file"]))
        result = await unasked(node.host, ws.id)

        assert not (node.workspace / "note").exists()
    assert result.status == "denied"
    assert "write_file(n*)" in result.output


async def test_an_answer_to_other_arguments_is_refused_and_the_question_waits_on(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path, calling("write_file", path="note", content="x")) as node:
        ws = await node.host.create(CreateWorkstream())
        question = await asked(node.host, ws.id)
        assert question.args_hash == question.items[0].args_hash
        with pytest.raises(OtherArguments):
            await answered(node.host, question, approved=True, args_hash="0" * 64)
        assert not (node.workspace / "note").exists()

        result = await answered(node.host, question, approved=True, args_hash=question.args_hash)
    assert result.status == "ok"


async def test_an_answer_to_several_calls_is_bound_to_all_of_them(tmp_path: Path) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        if tool_results(body):
            return text("done")
        return calls(*(call("write_file", path=name, content="x") for name in ("a", "b")))

    async with local_node(tmp_path, plan) as node:
        ws = await node.host.create(CreateWorkstream())
        question = await asked(node.host, ws.id)
        for item in question.items:
            with pytest.raises(OtherArguments):
                await answered(node.host, question, approved=True, args_hash=item.args_hash)

        await answered(node.host, question, approved=True, args_hash=question.args_hash)
        assert (node.workspace / "a").exists()
        assert (node.workspace / "b").exists()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"approved": True}, "allowed by ann"),
        ({"approved": False}, "refused by ann"),
        ({"expired": True}, "expired"),
    ],
)
async def test_a_second_answer_is_refused_and_told_the_first(
    tmp_path: Path, answer: dict[str, Any], said: str
) -> None:
    async with local_node(tmp_path, calling("write_file", path="note", content="x")) as node:
        ws = await node.host.create(CreateWorkstream())
        question = await asked(node.host, ws.id)
        await answered(node.host, question, **answer)

        with pytest.raises(UnknownRequest, match=said):
            await answered(node.host, question, approved=True)


async def test_expired_is_not_denied_in_any_place(tmp_path: Path) -> None:
    async with local_node(tmp_path, calling("write_file", path="note", content="x")) as node:
        ws = await node.host.create(CreateWorkstream())
        question = await asked(node.host, ws.id)
        with pytest.raises(InvalidRequest):
            await answered(node.host, question, approved=True, expired=True)
        expired = await answered(node.host, question, expired=True)
        decided = await until(node.host, ws.id, ev.CallsDecided, question.correlation_id)

        refused = await answered(node.host, await asked(node.host, ws.id), approved=False)

    assert decided.decisions[0].verdict == "expired"
    assert (expired.status, refused.status) == ("expired", "denied")
    assert "nobody answered in time" in expired.output
    assert "ann refused it" in refused.output


async def test_a_question_waits_over_a_restart_under_its_id_and_its_hash(tmp_path: Path) -> None:
    with ModelServer(calling("write_file", path="note", content="x")) as model:
        host = await start_host(tmp_path, model.base_url)
        ws = await host.create(CreateWorkstream())
        question = await asked(host, ws.id)
        await host.aclose()

        host = await start_host(tmp_path, model.base_url)
        try:
            with pytest.raises(OtherArguments):
                await answered(host, question, approved=True, args_hash="0" * 64)
            result = await answered(host, question, approved=True, args_hash=question.args_hash)
        finally:
            await host.aclose()
    assert result.status == "ok"


async def test_questions_of_several_workstreams_are_answered_each_by_its_id(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path, calling("write_file", path="note", content="x")) as node:
        one, two = [await node.host.create(CreateWorkstream()) for _ in range(2)]
        first, second = [await asked(node.host, ws.id) for ws in (one, two)]
        with pytest.raises(UnknownRequest):
            await node.host.approve(Answer(ws_id=two.id, request_id=first.request_id))

        assert (await answered(node.host, second, approved=True)).status == "ok"
        assert (await answered(node.host, first, approved=False)).status == "denied"


@pytest.mark.parametrize("given", [{"auto_approve": True}, {"auto_approve_tools": ["bash"]}])
async def test_a_permission_that_does_not_hold_here_is_told_to_whoever_gave_it(
    tmp_path: Path, given: dict[str, Any]
) -> None:
    async with local_node(tmp_path, calling("bash", command="true"), confinement=BARE) as node:
        ws = await node.host.create(CreateWorkstream())
        sent = await node.host.send(SendMessage(ws_id=ws.id, message="go", **given))
        told = await until(node.host, ws.id, ev.Info, sent.correlation_id)
        question = await until(node.host, ws.id, ev.ApprovalAsked, sent.correlation_id)

        assert told.message == sent.notice == (await node.host.policy(ws.id)).notice
        assert "not honoured" in told.message
        assert question.items[0].grant == ""
        await answered(node.host, question, approved=False)
        async for event in node.host.follow(ws.id):  # and to whoever comes later
            if isinstance(event, ev.Info):
                assert event.message == told.message
                break
            assert not isinstance(event, ev.History)


async def test_nothing_is_told_where_a_permission_holds(tmp_path: Path) -> None:
    plan = calling("write_file", path="note", content="x")
    async with local_node(tmp_path, plan, confinement=CONFINED) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve=True))
        sent = await node.host.send(SendMessage(ws_id=ws.id, message="go", auto_approve=True))
        await until(node.host, ws.id, ev.TurnEnded, sent.correlation_id)

        assert sent.notice == (await node.host.policy(ws.id)).notice == ""


async def test_a_message_that_permits_a_tool_that_is_none_is_not_accepted(tmp_path: Path) -> None:
    async with local_node(tmp_path, calling("bash", command="true")) as node:
        ws = await node.host.create(CreateWorkstream())
        with pytest.raises(InvalidRequest, match="bsah"):
            await node.host.send(
                SendMessage(ws_id=ws.id, message="go", auto_approve_tools=["bsah"])
            )
        assert (await node.host.policy(ws.id)).grants == []
        # Tools of the seed that this version lacks may be permitted: its programs name them.
        await node.host.send(
            SendMessage(ws_id=ws.id, message="go", auto_approve_tools=["web_fetch", "bash"])
        )


#: The column "Auto-approved" of the seed's table of tools.
UNASKED_BY_DEFAULT = {
    "bash": False,
    "read_file": True,
    "write_file": False,
    "edit_file": False,
    "search": True,
    "math": False,
    "man": True,
    "web_fetch": False,
    "web_search": False,
    "remember": True,
    "recall": True,
    "forget": True,
    "task": False,
    "plan": False,
}


def test_the_table_of_defaults_is_that_of_the_seed() -> None:
    assert UNASKED_BY_DEFAULT.keys() == SEED_TOOLS
    assert {name for name, unasked in UNASKED_BY_DEFAULT.items() if unasked} == SEED_UNASKED


@pytest.mark.parametrize("tool", UNASKED_BY_DEFAULT)
async def test_each_tool_is_asked_or_not_as_the_table_says(tool: str) -> None:
    """A tool that this version lacks goes by the table; one that it has, by its own schema."""
    tools = load_tools(await find_sandbox())
    spec = (
        tools[tool].spec
        if tool in tools
        else ToolSpec(name=tool, description="", parameters={}, auto_approve=tool in SEED_UNASKED)
    )
    call = Prepared(tool=tool, arguments={}, effect=spec.effect, header="")

    verdict = decide(call, spec, Grants(), Level.L3).verdict

    assert verdict == ("allow" if UNASKED_BY_DEFAULT[tool] else "ask")


async def test_always_for_a_command_permits_these_bytes_in_this_workstream_until_revoked(
    tmp_path: Path,
) -> None:
    wanted = ["echo one; echo two"]

    def plan(body: dict[str, Any]) -> Reply:
        return calling("bash", command=wanted[0])(body)

    async with local_node(tmp_path, plan, confinement=CONFINED) as node:
        host = node.host
        ws, other = [await host.create(CreateWorkstream()) for _ in range(2)]
        question = await asked(host, ws.id)
        assert question.items[0].grant == (
            "bash for exactly 'echo one; echo two', confined at L3 without network"
        )
        await answered(host, question, approved=True, always=True)

        assert "two" in (await unasked(host, ws.id)).output
        await answered(host, await asked(host, other.id), approved=False)
        for near in (
            "echo one; echo two ",
            "echo one;  echo two",
            "echo one",
            "echo оne; echo two",
        ):
            wanted[0] = near
            await answered(host, await asked(host, ws.id), approved=False)

        wanted[0] = "echo one; echo two"
        [granted] = (await host.policy(ws.id)).grants
        assert (granted.tool, granted.command) == ("bash", wanted[0])
        assert granted.text == question.items[0].grant
        assert not await host.revoke(ws.id, ev.Grant("bash"))
        assert await host.revoke(ws.id, ev.Grant("bash", "", wanted[0], granted.confined))
        await answered(host, await asked(host, ws.id), approved=False)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("echo '\u202e'\nls", "bash for exactly \"echo '\\u202e'\\nls\""),
        ("gіt log", "bash for exactly 'g\\u0456t log'"),
        ("x" * 5000, "5,000 characters, SHA-256 "),
    ],
)
async def test_what_always_covers_is_told_in_words_without_hidden_characters(
    tmp_path: Path, command: str, told: str
) -> None:
    async with local_node(tmp_path, calling("bash", command=command), confinement=CONFINED) as node:
        ws = await node.host.create(CreateWorkstream())
        question = await asked(node.host, ws.id)
        await answered(node.host, question, approved=False)

    assert told in question.items[0].grant
    assert question.items[0].grant.replace("…", "").isascii()
    assert question.items[0].grant.isprintable()
    assert question.items[0].grants == [ev.Grant("bash", "", command, "L3 without network")]


async def test_an_allow_rule_lets_a_command_run_unasked_and_a_forbidding_one_stops_it(
    tmp_path: Path,
) -> None:
    wanted = ["echo one"]

    def plan(body: dict[str, Any]) -> Reply:
        return calling("bash", command=wanted[0])(body)

    found = await rules(allow=["bash(echo *)"], deny=["bash(touch *)"])
    async with local_node(tmp_path, plan, rules=found, confinement=CONFINED) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve=True))
        assert (await unasked(node.host, ws.id)).status == "ok"
        wanted[0] = "echo one; sh -c 'touch x'"
        assert (await unasked(node.host, ws.id)).status == "denied"
        wanted[0] = "$(echo touch) x"
        question = await asked(node.host, ws.id)
        assert "bash(touch *)" in question.items[0].rule
        assert question.items[0].grants == []
        await answered(node.host, question, approved=False)
        assert not (node.workspace / "x").exists()


async def test_a_yes_to_what_a_call_would_have_done_is_none_to_what_it_does_after_a_restart(
    tmp_path: Path,
) -> None:
    with ModelServer(calling("write_file", path="note", content="x")) as model:
        host = await start_host(tmp_path, model.base_url)
        note = host.engine.workspace / "note"
        note.write_text("before")
        ws = await host.create(CreateWorkstream())
        question = await asked(host, ws.id)
        await host.aclose()
        note.write_text("changed in the meantime")

        host = await start_host(tmp_path, model.base_url)
        try:
            async with asyncio.timeout(PATIENCE):
                async for event in host.follow(ws.id, BEGINNING):
                    if (
                        isinstance(event, ev.ApprovalAsked)
                        and event.request_id != question.request_id
                    ):
                        break
            assert isinstance(event, ev.ApprovalAsked)
            assert event.args_hash != question.args_hash
            with pytest.raises(UnknownRequest):
                await answered(host, question, approved=True)
            assert note.read_text() == "changed in the meantime"
            await answered(host, event, approved=False)
        finally:
            await host.aclose()


@pytest.mark.parametrize(
    "given", [{"auto_approve": True}, {"auto_approve_tools": frozenset({"bash"})}]
)
async def test_what_the_settings_permit_holds_only_where_commands_are_confined(
    tmp_path: Path, given: dict[str, Any]
) -> None:
    """`skip_permissions` and `auto_approve_tools` of [tools], as `auto_approve` of a message."""
    for place, confinement in (("bare", BARE), ("confined", CONFINED)):
        async with local_node(
            tmp_path / place, calling("bash", command="true"), confinement=confinement, **given
        ) as node:
            ws = await node.host.create(CreateWorkstream())
            notice = (await node.host.policy(ws.id)).notice
            if confinement is CONFINED:
                assert notice == ""
                assert (await unasked(node.host, ws.id)).status == "ok"
            else:
                assert "not honoured" in notice
                await answered(node.host, await asked(node.host, ws.id), approved=False)


async def test_what_a_waiting_message_permits_does_not_hold_for_the_turn_in_progress(
    tmp_path: Path,
) -> None:
    async with local_node(
        tmp_path, calling("bash", command="echo ran"), confinement=CONFINED
    ) as node:
        ws = await node.host.create(CreateWorkstream())
        question = await asked(node.host, ws.id)
        waiting = SendMessage(
            ws_id=ws.id,
            message="two",
            correlation_id="c2",
            auto_approve=True,
            auto_approve_tools=["write_file"],
        )
        await node.host.send(waiting)

        assert (await node.host.policy(ws.id)).grants == []
        assert await node.host.cancel(ws.id, "c2")
        assert (await node.host.policy(ws.id)).grants == []

        await node.host.send(msgspec.structs.replace(waiting, correlation_id="c3"))
        await answered(node.host, question, approved=False)
        await until(node.host, ws.id, ev.TurnEnded, "c3")
        assert {grant.tool for grant in (await node.host.policy(ws.id)).grants} == {
            "*",
            "write_file",
        }
