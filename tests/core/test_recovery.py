"""What a node does with a journal that breaks off: one row of the recovery table each."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Reply, error, raw, text
from modelserver.plans import tool_results
from support.nodes import start_host
from support.stores import journal
from turnstone.core import events as ev
from turnstone.core.host import Answer, CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.core.node import lock_process, lock_server
from turnstone.core.store import SqliteStore, WorkstreamRow
from turnstone.core.tool import ToolContext
from turnstone.sandbox import find_sandbox
from turnstone.tools import load_tools
from turnstone.tools.files import digest_of

WS = "aaaa0001"
PATIENCE = 60.0


async def left_behind(folder: Path, *records: ev.Event) -> None:
    """A store as a process leaves it that died after these records of a turn."""
    path = folder / "turnstone.db"
    lock = lock_server(path)
    store = await SqliteStore.open(path)
    workspace = folder / "workspace"
    workspace.mkdir(exist_ok=True)
    row = WorkstreamRow(
        ws_id=WS, session_id="s" * 12, created=1.0, owner=lock.node_id, epoch=1, summary={}
    )
    await store.create(row, ev.WsCreated(name="left", workspace=str(workspace)))
    await store.append(WS, 1, [ev.MessageAccepted(message="go", correlation_id="c1"), *records])
    await store.aclose()
    lock.release()


def called(tool: str, **arguments: Any) -> list[ev.Event]:
    made = ev.ToolCallRecord("call_1", tool, json.dumps(arguments))
    return [
        ev.StepStarted(correlation_id="c1"),
        ev.StepFinished(tool_calls=[made], correlation_id="c1"),
    ]


async def started(
    folder: Path, tool: str, effect: ev.EffectClass | None = None, **arguments: Any
) -> list[ev.Event]:
    """The records up to a tool's intent, allowed for exactly these arguments; `effect`: as the
    tool was when it was started, where that differs from what it is."""
    (folder / "workspace").mkdir(exist_ok=True)
    workspace = (folder / "workspace").resolve()
    context = ToolContext(WS, workspace, timeout=10, max_output=10_000)
    if (path := workspace / arguments.get("path", "")).is_file():
        context.reads.seen(path, digest_of(path.read_bytes()))
    found = load_tools(await find_sandbox())[tool]
    prepared = await found.prepare(arguments, context)
    decision = ev.CallDecision(
        call_id="call_1", verdict="allow", args_hash=prepared.hash, expects=prepared.expects
    )
    return [
        *called(tool, **arguments),
        ev.CallsDecided(decisions=[decision], correlation_id="c1"),
        ev.ToolStarted(
            call_id="call_1",
            name=tool,
            effect=effect or found.spec.effect,
            args_hash=prepared.hash,
            correlation_id="c1",
        ),
    ]


def question(args_hash: str) -> ev.ApprovalAsked:
    """The question that was asked about the call of `called`."""
    item = ev.ToolItem(
        call_id="call_1",
        name="bash",
        func_name="bash",
        header="bash: a command",
        needs_approval=True,
        args_hash=args_hash,
    )
    return ev.ApprovalAsked(request_id="r1", items=[item], correlation_id="c1")


def hash_of(records: list[ev.Event]) -> str:
    """What `started` was allowed for."""
    [intent] = [r for r in records if isinstance(r, ev.ToolStarted)]
    return intent.args_hash


def plan(body: dict[str, Any]) -> Reply:
    return text(" | ".join(output for _, output in tool_results(body)) or "fresh answer")


async def taken_up(
    folder: Path, *, approve: bool | None = None
) -> tuple[list[ev.Event], list[dict[str, Any]]]:
    """Start a node on what was left; the events of the turn since, and the model's requests."""
    left = len(await journal(folder, WS))  # before there is one that goes on from it
    with ModelServer(plan) as model:
        host = await start_host(folder, model.base_url)
        try:
            return await _until_ended(host, approve, left), model.requests
        finally:
            await host.aclose()


async def _until_ended(host: LocalHost, approve: bool | None, left: int) -> list[ev.Event]:
    seen: list[ev.Event] = []
    async with asyncio.timeout(PATIENCE):
        async for event in host.follow(WS, ev.EventId(left)):
            seen.append(event)
            if isinstance(event, ev.ApprovalAsked) and approve is not None:
                answer = Answer(ws_id=WS, request_id=event.request_id, approved=approve)
                await host.approve(answer)
            if isinstance(event, ev.TurnEnded):
                return seen
    raise AssertionError("the turn did not end")


def finished(events: list[ev.Event]) -> ev.ToolFinished:
    [result] = [e for e in events if isinstance(e, ev.ToolFinished)]
    return result


async def test_an_accepted_message_is_run(tmp_path: Path) -> None:
    await left_behind(tmp_path)

    events, requests = await taken_up(tmp_path)

    assert isinstance(events[-1], ev.TurnEnded)
    assert events[-1].text == "fresh answer"
    assert len(requests) == 1


async def test_a_started_step_asks_the_model_again_and_voids_what_was_streamed(
    tmp_path: Path,
) -> None:
    await left_behind(tmp_path, ev.StepStarted(correlation_id="c1"))

    events, _ = await taken_up(tmp_path)

    assert [e.type for e in events[:3]] == ["turn_resumed", "step_started", "stream_reset"]


async def test_an_open_question_is_asked_again_under_its_id(tmp_path: Path) -> None:
    begun = await started(tmp_path, "bash", command="echo x > made")
    await left_behind(tmp_path, *begun[:2], question(hash_of(begun)))

    with ModelServer(plan) as model:
        host = await start_host(tmp_path, model.base_url)
        await host.approve(Answer(ws_id=WS, request_id="r1", approved=True))
        async with asyncio.timeout(PATIENCE):
            async for event in host.follow(WS, ev.EventId(1)):
                if isinstance(event, ev.Truncated | ev.TurnEnded):
                    break
            async for event in host.follow(WS):
                if isinstance(event, ev.TurnEnded) or (
                    isinstance(event, ev.Connected) and event.state == "idle"
                ):
                    break
        await host.aclose()

    assert (tmp_path / "workspace/made").read_text() == "x\n"


async def test_an_answer_that_was_given_holds(tmp_path: Path) -> None:
    begun = await started(tmp_path, "bash", command="echo x > made")
    await left_behind(
        tmp_path,
        *begun[:2],
        question(hash_of(begun)),
        ev.ApprovalAnswered(request_id="r1", approved=True, by="ann", correlation_id="c1"),
    )

    events, _ = await taken_up(tmp_path)

    assert "approval_asked" not in [e.type for e in events]
    assert finished(events).status == "ok"
    assert (tmp_path / "workspace/made").exists()


async def test_an_answer_does_not_hold_for_other_arguments(tmp_path: Path) -> None:
    await left_behind(
        tmp_path,
        *called("bash", command="echo x > made"),
        question("the hash of something else"),
        ev.ApprovalAnswered(request_id="r1", approved=True, correlation_id="c1"),
    )

    events, _ = await taken_up(tmp_path, approve=False)

    [asked] = [e for e in events if isinstance(e, ev.ApprovalAsked)]
    assert asked.request_id != "r1"
    assert finished(events).status == "denied"
    assert not (tmp_path / "workspace/made").exists()


async def test_a_started_read_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/notes").write_text("remember\n")
    await left_behind(tmp_path, *await started(tmp_path, "read_file", path="notes"))

    events, _ = await taken_up(tmp_path)

    assert finished(events).status == "ok"
    assert "remember" in finished(events).output


async def test_a_call_that_was_started_as_an_effect_is_not_repeated_though_its_tool_is_a_read_now(
    tmp_path: Path,
) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/notes").write_text("remember\n")
    records = await started(tmp_path, "read_file", effect="effect", path="notes")
    await left_behind(tmp_path, *records)

    events, _ = await taken_up(tmp_path)

    assert finished(events).status == "unknown"


async def test_a_started_write_that_had_happened_is_not_done_again(tmp_path: Path) -> None:
    records = await started(tmp_path, "write_file", path="made", content="once")
    await left_behind(tmp_path, *records)
    (tmp_path / "workspace/made").write_text("once")
    before = (tmp_path / "workspace/made").stat().st_mtime_ns

    events, _ = await taken_up(tmp_path)

    assert finished(events).status == "ok"
    assert (tmp_path / "workspace/made").stat().st_mtime_ns == before


async def test_a_started_write_that_had_not_happened_is_done(tmp_path: Path) -> None:
    await left_behind(tmp_path, *await started(tmp_path, "write_file", path="made", content="once"))

    events, _ = await taken_up(tmp_path)

    assert finished(events).status == "ok"
    assert (tmp_path / "workspace/made").read_text() == "once"


async def test_a_started_write_into_a_file_that_others_changed_is_unknown(tmp_path: Path) -> None:
    await left_behind(tmp_path, *await started(tmp_path, "write_file", path="made", content="once"))
    (tmp_path / "workspace/made").write_text("somebody else's")

    events, _ = await taken_up(tmp_path)

    assert finished(events).status == "unknown"
    assert (tmp_path / "workspace/made").read_text() == "somebody else's"


#: An edit, and what has become of its file until the node starts again.
EDIT: dict[str, Any] = {"path": "made", "old_string": "one", "new_string": "two"}


@pytest.mark.parametrize(
    ("found", "status", "left"),
    [("one\n", "ok", "two\n"), ("two\n", "ok", "two\n"), ("three\n", "unknown", "three\n")],
)
async def test_a_started_edit_is_made_once_whether_it_had_happened_or_not(
    found: str, status: str, left: str, tmp_path: Path
) -> None:
    made = tmp_path / "workspace/made"
    made.parent.mkdir()
    made.write_text("one\n")
    await left_behind(tmp_path, *await started(tmp_path, "edit_file", **EDIT))
    made.write_text(found)

    events, _ = await taken_up(tmp_path)

    assert finished(events).status == status
    assert made.read_text() == left


async def test_an_allowed_edit_that_was_not_started_is_made(tmp_path: Path) -> None:
    made = tmp_path / "workspace/made"
    made.parent.mkdir()
    made.write_text("one\n")
    records = await started(tmp_path, "edit_file", **EDIT)
    await left_behind(tmp_path, *records[:-1])

    events, _ = await taken_up(tmp_path)

    assert finished(events).status == "ok"
    assert made.read_text() == "two\n"


async def test_a_started_command_is_unknown_and_never_run_again(tmp_path: Path) -> None:
    await left_behind(tmp_path, *await started(tmp_path, "bash", command="echo x >> made"))

    events, requests = await taken_up(tmp_path)

    assert finished(events).status == "unknown"
    assert not (tmp_path / "workspace/made").exists()
    assert "unknown" in requests[0]["messages"][-1]["content"].lower()


async def test_an_allowed_command_that_was_not_started_is_run_once(tmp_path: Path) -> None:
    records = await started(tmp_path, "bash", command="echo x >> made")
    await left_behind(tmp_path, *records[:-1])

    events, _ = await taken_up(tmp_path)

    assert finished(events).status == "ok"
    assert (tmp_path / "workspace/made").read_text() == "x\n"


async def test_a_finished_turn_is_left_alone(tmp_path: Path) -> None:
    await left_behind(
        tmp_path,
        ev.StepStarted(correlation_id="c1"),
        ev.StepFinished(text="done", correlation_id="c1"),
        ev.TurnEnded(text="done", correlation_id="c1"),
    )

    with ModelServer(plan) as model:
        host = await start_host(tmp_path, model.base_url)
        [listed] = await host.list()
        await host.aclose()

    assert listed.state == "idle"
    assert model.requests == []


async def test_an_answer_that_was_not_yet_recorded_as_the_ending_is_ended(tmp_path: Path) -> None:
    await left_behind(
        tmp_path,
        ev.StepStarted(correlation_id="c1"),
        ev.StepFinished(text="done", correlation_id="c1"),
    )

    events, requests = await taken_up(tmp_path)

    assert isinstance(events[-1], ev.TurnEnded)
    assert events[-1].text == "done"
    assert requests == []


async def test_a_server_takes_up_what_a_terminal_left_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "turnstone.db"
    terminal = lock_process(path)
    store = await SqliteStore.open(path)
    (tmp_path / "workspace").mkdir()
    row = WorkstreamRow(
        ws_id=WS, session_id="s" * 12, created=1.0, owner=terminal.node_id, epoch=1, summary={}
    )
    await store.create(row, ev.WsCreated(name="left", workspace=str(tmp_path / "workspace")))
    await store.append(WS, 1, [ev.MessageAccepted(message="go", correlation_id="c1")])
    await store.aclose()

    with ModelServer(plan) as model:
        beside = await start_host(tmp_path, model.base_url)
        assert await beside.left_behind() == []
        assert await beside.list() == []
        await beside.aclose()
        assert model.requests == []

        terminal.release()
        after = await start_host(tmp_path, model.base_url)
        events = await _until_ended(after, None, 2)
        await after.aclose()

    assert isinstance(events[-1], ev.TurnEnded)
    assert events[-1].text == "fresh answer"


async def test_halves_of_characters_are_mended_wherever_they_come_from(tmp_path: Path) -> None:
    with ModelServer(lambda body: raw(*half_a_character())) as model:
        host = await start_host(tmp_path, model.base_url)
        ws = await host.create(CreateWorkstream())
        sent = await host.send(SendMessage(ws_id=ws.id, message="half \udce4 of it"))
        async with asyncio.timeout(PATIENCE):
            async for event in host.follow(ws.id, ev.EventId(1)):
                ev.encode(event)
                if isinstance(event, ev.TurnEnded):
                    break
        history = host_history(await snapshot(host, ws.id))
        await host.aclose()

    assert isinstance(event, ev.TurnEnded)
    assert event.correlation_id == sent.correlation_id
    assert event.outcome == "done", event.reason
    assert [m.content for m in history] == ["half \ufffd of it", "lone \ufffd surrogate"]


def half_a_character() -> list[str]:
    delta = {"index": 0, "delta": {"content": "lone \ud800 surrogate"}, "finish_reason": None}
    return [json.dumps({"choices": [delta]}), "[DONE]"]


async def snapshot(host: LocalHost, ws_id: str) -> list[ev.Event]:
    """What a reader starts from: up to the ending of the last turn."""
    seen = []
    async with asyncio.timeout(PATIENCE):
        async for event in host.follow(ws_id):
            seen.append(event)
            if isinstance(event, ev.TurnEnded):
                break
    return seen


def host_history(events: list[ev.Event]) -> list[ev.HistoryMessage]:
    [history] = [e for e in events if isinstance(e, ev.History)]
    return history.messages


async def test_a_reader_that_comes_late_is_told_how_the_last_turn_ended(tmp_path: Path) -> None:
    with ModelServer(lambda body: error(500, "out of memory")) as model:
        host = await start_host(tmp_path, model.base_url)
        ws = await host.create(CreateWorkstream())
        await host.send(SendMessage(ws_id=ws.id, message="go"))
        async for event in host.follow(ws.id, ev.EventId(1)):
            if isinstance(event, ev.TurnEnded):
                break
        late = await snapshot(host, ws.id)
        await host.aclose()

    assert [e.type for e in late] == ["connected", "history", "turn_ended"]
    assert isinstance(late[-1], ev.TurnEnded)
    assert late[-1].outcome == "failed"
    assert "out of memory" in late[-1].reason
    assert all(e.timestamp for e in late)


async def test_an_allowed_write_is_not_run_on_a_file_that_has_changed_since(tmp_path: Path) -> None:
    records = await started(tmp_path, "write_file", path="made", content="mine")
    await left_behind(tmp_path, *records[:-1])
    (tmp_path / "workspace/made").write_text("somebody else's")

    events, _ = await taken_up(tmp_path)

    assert finished(events).status == "error"
    assert "changed since" in finished(events).output
    assert (tmp_path / "workspace/made").read_text() == "somebody else's"


async def test_a_read_that_would_now_go_elsewhere_is_not_done_again(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/note").write_text("mine")
    records = await started(tmp_path, "read_file", path="note")
    await left_behind(tmp_path, *records)
    (tmp_path / "secret").write_text("TOP SECRET")
    (tmp_path / "workspace/note").unlink()
    (tmp_path / "workspace/note").symlink_to(tmp_path / "secret")

    events, _ = await taken_up(tmp_path)

    assert finished(events).status == "error"
    assert "TOP SECRET" not in finished(events).output
