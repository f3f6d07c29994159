"""A server that is stopped at work says so, and the next one that it goes on."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from modelserver import ModelServer, hold, text
from support.processes import server
from support.watching import send, until
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream


async def test_what_is_at_work_is_counted_at_the_end_and_at_the_next_start(tmp_path: Path) -> None:
    gate = threading.Event()
    with ModelServer(lambda body: hold(text("late"), gate)) as model:
        async with server(tmp_path, "--base-url", model.base_url) as first:
            host = first.client()
            ws = await host.create(CreateWorkstream())
            await send(host, ws.id, "hello", "c1")
            await until(host, ws.id, ev.StepStarted)
            await host.aclose()
            assert await first.terminate() == 0
            assert first.process.stdout is not None
            async with asyncio.timeout(10):
                said = (await first.process.stdout.read()).decode()
        gate.set()
        async with server(tmp_path, "--base-url", model.base_url) as second:
            host = second.client()
            ended, _ = await until(host, ws.id, ev.TurnEnded, "c1")
            await host.aclose()
            assert await second.terminate() == 0
            assert second.process.stdout is not None
            rest = (await second.process.stdout.read()).decode()

    assert "Stopping: 1 workstream(s) are at work; the next start goes on." in said
    assert "taken up    1 workstream(s)" in second.printed
    assert "Stopping" not in rest
    assert ended.text == "late"
