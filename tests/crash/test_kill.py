"""`kill -9` of a server in the middle of a turn, then a start: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from modelserver import ModelServer, Plan, Reply, call, calls, hold, text
from modelserver.plans import tool_results
from support.processes import server
from turnstone.core import events as ev
from turnstone.core.host import Answer, CreateWorkstream, Host, SendMessage

PATIENCE = 60.0


async def wait_for(
    host: Host, ws_id: str, kind: type[ev.Event], after: ev.EventId | None = None
) -> ev.Event:
    """The next event of this kind behind `after` (None: from now on), allowing what is asked."""
    async with asyncio.timeout(PATIENCE):
        async for event in host.follow(ws_id, after):
            if isinstance(event, kind):
                return event
            if isinstance(event, ev.ApprovalAsked):
                await host.approve(Answer(ws_id=ws_id, approved=True, by="tester"))
    raise AssertionError(f"no {kind.__name__} came")


def effects(folder: Path) -> list[str]:
    path = folder / "effects"
    return path.read_text().splitlines() if path.exists() else []


async def test_a_message_whose_answer_was_being_streamed_is_answered_after_all(
    tmp_path: Path,
) -> None:
    gate = threading.Event()
    with ModelServer(lambda body: hold(text("the whole answer, at last"), gate)) as model:
        asking = ["--base-url", model.base_url]
        async with server(tmp_path, *asking) as node:
            host = node.client()
            ws = await host.create(CreateWorkstream())
            await host.send(SendMessage(ws_id=ws.id, message="go", correlation_id="cid"))
            await wait_for(host, ws.id, ev.StepStarted, ev.EventId(1))
            await host.aclose()
            await node.kill()
        gate.set()
        async with server(tmp_path, *asking) as node:
            host = node.client()
            again = await host.send(SendMessage(ws_id=ws.id, message="go", correlation_id="cid"))
            history = await finished_history(host, ws.id)
            await host.aclose()

    assert again.duplicate
    assert [m.content for m in history] == ["go", "the whole answer, at last"]


async def finished_history(host: Host, ws_id: str) -> list[ev.HistoryMessage]:
    """The conversation, once its turn has ended."""
    async with asyncio.timeout(PATIENCE):
        while True:
            idle = False
            async for event in host.follow(ws_id):
                if isinstance(event, ev.Connected):
                    idle = event.state == "idle"
                if isinstance(event, ev.History) and idle:
                    return event.messages
                if isinstance(event, ev.TurnEnded):
                    break


async def test_a_command_that_ran_is_told_as_unknown_and_never_run_again(tmp_path: Path) -> None:
    heard: list[str] = []

    def plan(body: dict[str, Any]) -> Reply:
        results = tool_results(body)
        if not results:
            return calls(call("bash", command="echo effect >> effects; sleep 1000"))
        heard.append(results[-1][1])
        return text("I see.")

    history = await killed_while_the_tool_ran(tmp_path, plan)

    assert effects(tmp_path) == ["effect"]
    [result] = [m for m in history if m.role == "tool"]
    assert result.status == "unknown"
    assert "unknown" in heard[0].lower()
    assert history[-1].content == "I see."


async def killed_while_the_tool_ran(tmp_path: Path, plan: Plan) -> list[ev.HistoryMessage]:
    with ModelServer(plan) as model:
        asking = ["--base-url", model.base_url, "--workspace", str(tmp_path)]
        async with server(tmp_path / "home", *asking) as node:
            host = node.client()
            ws = await host.create(CreateWorkstream())
            await host.send(SendMessage(ws_id=ws.id, message="go"))
            await wait_for(host, ws.id, ev.ToolStarted, ev.EventId(1))
            async with asyncio.timeout(PATIENCE):
                while not effects(tmp_path):
                    await asyncio.sleep(0.01)  # the file is the state that is waited for
            await host.aclose()
            await node.kill()
        async with server(tmp_path / "home", *asking) as node:
            host = node.client()
            history = await finished_history(host, ws.id)
            await host.aclose()
    return history


async def test_a_question_waits_across_the_kill_under_its_id(tmp_path: Path) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        results = tool_results(body)
        return text("done") if results else calls(call("bash", command="echo effect >> effects"))

    with ModelServer(plan) as model:
        asking = ["--base-url", model.base_url, "--workspace", str(tmp_path)]
        async with server(tmp_path / "home", *asking) as node:
            host = node.client()
            ws = await host.create(CreateWorkstream())
            await host.send(SendMessage(ws_id=ws.id, message="go"))
            async for event in host.follow(ws.id):
                if isinstance(event, ev.ApprovalAsked):
                    break
            await host.aclose()
            await node.kill()
        async with server(tmp_path / "home", *asking) as node:
            host = node.client()
            async for again in host.follow(ws.id):
                if isinstance(again, ev.ApprovalAsked):
                    break
            assert isinstance(event, ev.ApprovalAsked)
            assert isinstance(again, ev.ApprovalAsked)
            assert again.request_id == event.request_id
            await host.approve(
                Answer(ws_id=ws.id, request_id=event.request_id, approved=True, by="tester")
            )
            history = await finished_history(host, ws.id)
            await host.aclose()

    assert effects(tmp_path) == ["effect"]
    assert history[-1].content == "done"


async def test_a_server_that_is_killed_again_and_again_keeps_its_token_and_id(
    tmp_path: Path,
) -> None:
    seen = set()
    with ModelServer(lambda body: text("hi")) as model:
        for _ in range(3):
            async with server(tmp_path, "--base-url", model.base_url) as node:
                host = node.client()
                seen.add((node.token, (await host.health()).node_id))
                await host.aclose()
                await node.kill()

    assert len(seen) == 1
