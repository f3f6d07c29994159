"""SIGTERM to a server in the middle of its work: it leaves in time, and its turns are taken up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modelserver import ModelServer, Plan, Reply, call, calls, hold, text
from modelserver.plans import tool_results
from support.processes import Server, server
from support.watching import send, until
from turnstone.api.http_host import HttpHost
from turnstone.core import events as ev
from turnstone.core.host import Answer, CreateWorkstream
from turnstone.core.store import SqliteStore

#: Seconds for a server to leave. Supervisors kill it after 10, which are enough on a machine that
#: is not busy with other tests; what waits for a reader, a model or a command waits for ever.
PATIENCE = 60.0


async def stopped(node: Server) -> None:
    """It has left by itself, in time, and is content with that."""
    async with asyncio.timeout(PATIENCE):
        assert await node.terminate() == 0


async def started(node: Server) -> str:
    """A workstream with a message on its way."""
    async with node_client(node) as host:
        ws = await host.create(CreateWorkstream())
        await send(host, ws.id, "go", "cid")
    return ws.id


def node_client(node: Server) -> aclosing[HttpHost]:
    return aclosing(node.client())


async def ended(node: Server, ws_id: str, after: ev.EventId) -> list[ev.Event]:
    """What a reader gets that resumes, up to the end of the turn."""
    async with node_client(node) as host:
        return (await until(host, ws_id, ev.TurnEnded, after=after.seq))[1]


async def journal(home: Path, ws_id: str) -> list[ev.AnyEvent]:
    """All records, once the server is gone."""
    store = await SqliteStore.open(home / ".local/share/turnstone/turnstone.db")
    try:
        return await store.records(ws_id)
    finally:
        await store.aclose()


def attempts(events: Sequence[ev.Event]) -> list[int]:
    return [e.attempt for e in events if isinstance(e, ev.TurnResumed)]


def place(event: ev.Event) -> ev.EventId:
    return ev.EventId.parse(event.id)


def command(line: str) -> Plan:
    def plan(body: dict[str, Any]) -> Reply:
        return text("I see.") if tool_results(body) else calls(call("bash", command=line))

    return plan


async def test_a_command_that_runs_is_stopped_told_as_unknown_and_not_counted(
    tmp_path: Path,
) -> None:
    with ModelServer(command("echo effect >> effects; sleep 1000")) as model:
        asking = ["--base-url", model.base_url, "--workspace", str(tmp_path)]
        async with server(tmp_path / "home", *asking) as node:
            ws_id = await started(node)
            async with node_client(node) as host:
                await until(host, ws_id, ev.ApprovalAsked)
                await host.approve(Answer(ws_id=ws_id, approved=True, by="tester"))
                began, _ = await until(host, ws_id, ev.ToolStarted)
                async with asyncio.timeout(PATIENCE):
                    while not (tmp_path / "effects").exists():
                        await asyncio.sleep(0.01)  # the file is the state that is waited for
                await stopped(node)
        async with server(tmp_path / "home", *asking) as node:
            await ended(node, ws_id, place(began))

    events = await journal(tmp_path / "home", ws_id)
    [result] = [e for e in events if isinstance(e, ev.ToolFinished)]
    assert result.status == "unknown"
    assert (tmp_path / "effects").read_text() == "effect\n"
    assert attempts(events) == [1]


async def test_a_question_that_waits_is_answered_after_the_restart(tmp_path: Path) -> None:
    with ModelServer(command("echo effect >> effects")) as model:
        asking = ["--base-url", model.base_url, "--workspace", str(tmp_path)]
        async with server(tmp_path / "home", *asking) as node:
            ws_id = await started(node)
            async with node_client(node) as host:
                asked, _ = await until(host, ws_id, ev.ApprovalAsked)
            await stopped(node)
        async with server(tmp_path / "home", *asking) as node:
            async with node_client(node) as host:
                answer = Answer(ws_id=ws_id, request_id=asked.request_id, approved=True)
                await host.approve(answer)
            await ended(node, ws_id, place(asked))

    events = await journal(tmp_path / "home", ws_id)
    assert [e.status for e in events if isinstance(e, ev.ToolFinished)] == ["ok"]
    assert [e.type for e in events].count("approval_asked") == 1
    assert (tmp_path / "effects").read_text() == "effect\n"


async def test_any_number_of_stops_while_a_model_hangs_does_not_end_the_turn(
    tmp_path: Path,
) -> None:
    gate = threading.Event()
    with ModelServer(lambda body: hold(text("at last"), gate)) as model:
        asking = ["--base-url", model.base_url]
        async with server(tmp_path, *asking) as node:
            ws_id = await started(node)
            await asked_times(model, 1)
            await stopped(node)
        for times in range(2, 5):  # with the first, more stops than a turn has attempts
            async with server(tmp_path, *asking) as node:
                await asked_times(model, times)
                await stopped(node)
        gate.set()
        async with server(tmp_path, *asking) as node:
            await ended(node, ws_id, ev.EventId(1))

    events = await journal(tmp_path, ws_id)
    assert attempts(events) == [1] * 4
    [ending] = [event for event in events if isinstance(event, ev.TurnEnded)]
    assert (ending.outcome, ending.text) == ("done", "at last")


async def asked_times(model: ModelServer, times: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(model.requests) < times:
            await asyncio.sleep(0.01)  # the requests are the state that is waited for


async def test_a_reader_is_told_that_its_stream_ends(tmp_path: Path) -> None:
    gate = threading.Event()
    with ModelServer(lambda body: hold(text("at last"), gate)) as model:
        async with server(tmp_path, "--base-url", model.base_url) as node:
            ws_id = await started(node)
            reader, writer = await stream(node, ws_id)
            await reader.readuntil(b"step_started")
            await stopped(node)
            async with asyncio.timeout(PATIENCE):
                rest = await reader.read()
            await hang_up(writer)
        gate.set()

    assert rest.endswith(b"0\r\n\r\n"), "the stream is ended, and not just cut"


async def test_a_reader_that_does_not_read_holds_nothing_up(tmp_path: Path) -> None:
    much = "x" * 16_000_000  # more than all the buffers on the way hold
    with ModelServer(lambda body: text(much, chunk=200_000)) as model:
        async with server(tmp_path, "--base-url", model.base_url) as node:
            async with node_client(node) as host:
                ws = await host.create(CreateWorkstream())
                reader, writer = await stream(node, ws.id)
                await reader.readuntil(b"\r\n\r\n")
                await send(host, ws.id, "go", "cid")
                await until(host, ws.id, ev.StepFinished)
            await stopped(node)
            await hang_up(writer)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def stream(node: Server, ws_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that asks for the events, and takes few of them in at a time."""
    port = urlsplit(node.url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65_536)
    request = (
        f"GET /api/events?ws={ws_id}&after=1-0 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {node.token}\r\n\r\n"
    )
    writer.write(request.encode())
    await writer.drain()
    return reader, writer
