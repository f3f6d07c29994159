"""A person changes a call, or answers for some calls of a question: what runs is what was shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import pytest

from modelserver import ModelServer, Reply, call, calls, text
from modelserver.plans import tool_results
from support.nodes import local_host, start_host
from support.teams import Touch
from turnstone.core import events as ev
from turnstone.core.errors import InvalidRequest
from turnstone.core.host import Answer, CreateWorkstream, Host, SendMessage
from turnstone.core.policy_rules import Rules, parse
from turnstone.sandbox import find_sandbox
from turnstone.tools import load_tools

PATIENCE = 60.0
BEGINNING = ev.EventId(1)

EventT = TypeVar("EventT", bound=ev.Event)


def commands(*texts: str) -> Any:
    """A plan: these commands in one step, then the results as the answer."""

    def plan(body: dict[str, Any]) -> Reply:
        if body["messages"][-1]["role"] == "tool":
            return text("\n".join(output for _, output in tool_results(body)))
        return calls(*(call("bash", command=command) for command in texts))

    return plan


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
    sent = await host.send(SendMessage(ws_id=ws_id, message="go"))
    return await until(host, ws_id, ev.ApprovalAsked, sent.correlation_id)


async def say(host: Host, question: ev.ApprovalAsked, **answer: Any) -> ev.EventId:
    """Answer this question as it was shown. Returns where the log stood before."""
    after = await place(host, question.ws_id)
    await host.approve(
        Answer(
            ws_id=question.ws_id,
            request_id=question.request_id,
            args_hash=question.args_hash,
            by="ann",
            **answer,
        )
    )
    return after


async def edit(host: Host, question: ev.ApprovalAsked, **by_id: str) -> ev.ApprovalAsked:
    """Change commands, and wait for the question that follows."""
    edited = {call_id: {"command": command} for call_id, command in by_id.items()}
    after = await say(host, question, edited=edited)
    return await until(host, question.ws_id, ev.ApprovalAsked, question.correlation_id, after)


async def ending(host: Host, question: ev.ApprovalAsked) -> str:
    end = await until(host, question.ws_id, ev.TurnEnded, question.correlation_id, BEGINNING)
    assert end.outcome == "done", end
    return end.text


async def test_a_changed_command_is_asked_about_again_and_only_then_run(tmp_path: Path) -> None:
    async with local_host(tmp_path, commands("echo first")) as host:
        ws = await host.create(CreateWorkstream())
        question = await asked(host, ws.id)
        [item] = question.items
        again = await edit(host, question, **{item.call_id: "echo second"})
        assert again.request_id != question.request_id
        assert again.args_hash != question.args_hash
        assert again.items[0].preview == "echo second"
        assert again.items[0].arguments == {"command": "echo second"}
        await say(host, again, approved=True)
        said = await ending(host, again)
        assert said.endswith("second\n") or "\nsecond" in said
        assert said.startswith('[The user changed this call. Its arguments became: {"command":"ec')
        assert "first" not in said


async def test_what_is_changed_back_is_asked_about_as_often_as_it_is_changed(
    tmp_path: Path,
) -> None:
    async with local_host(tmp_path, commands("echo first")) as host:
        ws = await host.create(CreateWorkstream())
        question = await asked(host, ws.id)
        call_id = question.items[0].call_id
        seen = {question.request_id}
        for command in ("echo second", "echo first", "echo first", "echo second"):
            question = await edit(host, question, **{call_id: command})
            assert question.request_id not in seen, "an old answer answers no new question"
            seen.add(question.request_id)
        await say(host, question, approved=False)
        assert "refused" in await ending(host, question)


async def test_a_changed_call_goes_through_the_rules(tmp_path: Path) -> None:
    specs = {name: tool.spec for name, tool in load_tools(await find_sandbox()).items()}
    rules = Rules(deny=(parse("bash(rm *)", specs, None),))
    async with local_host(tmp_path, commands("echo first", "echo other"), rules=rules) as host:
        ws = await host.create(CreateWorkstream())
        question = await asked(host, ws.id)
        first, other = (item.call_id for item in question.items)
        again = await edit(host, question, **{first: "rm -rf ."})
        assert [item.needs_approval for item in again.items] == [False, True]
        await say(host, again, approved=True)
        said = await ending(host, again)
        assert "a rule of this node forbids it" in said and '"rm -rf ."' in said
        assert "other" in said and (tmp_path / "workspace").is_dir()


async def test_a_change_that_is_no_valid_call_is_told_to_the_model(tmp_path: Path) -> None:
    async with local_host(tmp_path, commands("echo first")) as host:
        ws = await host.create(CreateWorkstream())
        question = await asked(host, ws.id)
        await say(host, question, edited={question.items[0].call_id: {"comand": "echo"}})
        said = await ending(host, question)
        assert "The user changed this call" in said and "`command` is missing" in said


async def test_an_answer_to_the_unchanged_question_is_no_answer_to_the_changed_one(
    tmp_path: Path,
) -> None:
    async with local_host(tmp_path, commands("echo first")) as host:
        ws = await host.create(CreateWorkstream())
        question = await asked(host, ws.id)
        again = await edit(host, question, **{question.items[0].call_id: "touch changed"})
        with pytest.raises(Exception, match="was answered already"):
            await say(host, question, approved=True)
        assert not (tmp_path / "workspace" / "changed").exists()
        await say(host, again, approved=False)
        await ending(host, again)


async def test_a_change_outlives_a_restart(tmp_path: Path) -> None:
    with ModelServer(commands("echo first")) as model:
        host = await start_host(tmp_path, model.base_url)
        ws = await host.create(CreateWorkstream())
        question = await asked(host, ws.id)
        again = await edit(host, question, **{question.items[0].call_id: "echo second"})
        await host.aclose()

        host = await start_host(tmp_path, model.base_url)
        try:
            await say(host, again, approved=True)
            said = await ending(host, again)
            assert "\nsecond" in said and "first" not in said
        finally:
            await host.aclose()


async def test_some_calls_of_a_question_may_run_and_others_not(tmp_path: Path) -> None:
    async with local_host(tmp_path, commands("echo a-one", "touch two", "echo b-three")) as host:
        ws = await host.create(CreateWorkstream())
        question = await asked(host, ws.id)
        _, two, _ = (item.call_id for item in question.items)
        await say(host, question, approved=True, refused=[two], feedback="not that")
        said = await ending(host, question)
        assert "a-one" in said and "b-three" in said
        assert "ann refused it. They said: not that" in said
        assert not (tmp_path / "workspace" / "two").exists()


async def test_always_can_permit_less_than_was_offered(tmp_path: Path) -> None:
    async with local_host(tmp_path, commands("echo one", "echo two")) as host:
        ws = await host.create(CreateWorkstream())
        question = await asked(host, ws.id)
        first, second = (item.grants[0] for item in question.items)
        assert first != second
        await say(host, question, approved=True, always=True, grants=[first])
        await ending(host, question)
        view = await host.policy(ws.id)
        assert [granted.command for granted in view.grants] == ["echo one"]


async def test_an_answer_that_does_not_fit_its_question_is_refused(tmp_path: Path) -> None:
    async with local_host(tmp_path, commands("echo first")) as host:
        ws = await host.create(CreateWorkstream())
        question = await asked(host, ws.id)
        it = question.items[0].call_id
        to: dict[str, Any] = {it: {"command": "x"}}
        wrong: list[tuple[str, dict[str, Any]]] = [
            ("edited", {"edited": {"nobody": {}}}),
            ("refused", {"refused": ["nobody"], "approved": True}),
            ("edited", {"edited": to, "approved": True}),
            ("edited", {"edited": to, "feedback": "so"}),
            ("refused", {"refused": [it], "approved": True}),
            ("refused", {"refused": [it]}),
            ("grants", {"grants": [ev.Grant("bash")], "approved": True, "always": True}),
            ("grants", {"grants": [], "approved": True}),
        ]
        for names, answer in wrong:
            with pytest.raises(InvalidRequest, match=f"^{names}: "):
                await say(host, question, **answer)
        await say(host, question, approved=False)
        await ending(host, question)


async def test_a_changed_call_that_a_stopped_process_left_is_taken_up_as_it_was_changed(
    tmp_path: Path,
) -> None:
    def touches(body: dict[str, Any]) -> Reply:
        if body["messages"][-1]["role"] == "tool":
            return text(tool_results(body)[-1][1])
        return calls(call("touch", key="one"))

    with ModelServer(touches) as model:
        first, second = Touch(effect="pure"), Touch(effect="pure")
        host = await start_host(tmp_path, model.base_url, tools={"touch": first})
        ws = await host.create(CreateWorkstream())
        question = await asked(host, ws.id)
        after = await say(host, question, edited={question.items[0].call_id: {"key": "other"}})
        again = await until(host, ws.id, ev.ApprovalAsked, question.correlation_id, after)
        await say(host, again, approved=True)
        await first.runs("other")
        await host.aclose()

        host = await start_host(tmp_path, model.base_url, tools={"touch": second})
        try:
            await second.runs("other")
            second.let_go("other")
            said = await ending(host, again)
            assert said.endswith('{"key":"other"}]\nresult of other')
        finally:
            await host.aclose()
