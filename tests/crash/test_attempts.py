"""A turn that kills its process does not loop: it is given up, and everybody is told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from modelserver import ModelServer, Reply, call, calls, text
from support.processes import Server, server
from support.watching import PATIENCE, send, until
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream

MAX_ATTEMPTS = 3


async def test_a_turn_that_kills_its_process_again_and_again_is_given_up_and_says_so(
    tmp_path: Path,
) -> None:
    running: SimpleQueue[Server] = SimpleQueue()  # a turn is taken up before its server greets
    killed = 0

    def plan(body: dict[str, Any]) -> Reply:
        nonlocal killed
        if body["messages"][-1]["content"] == "and now?":
            return text("here I am")
        if not body.get("tools"):  # a title is asked for
            return text("a title")
        node = running.get(timeout=PATIENCE)
        killed += 1
        node.process.kill()
        return calls(call("read_file", path="notes"))

    with ModelServer(plan) as model:
        ws_id = ""
        for attempt in range(MAX_ATTEMPTS):
            async with server(tmp_path, "--base-url", model.base_url) as node:
                running.put(node)
                if attempt == 0:
                    host = node.client()
                    ws_id = (await host.create(CreateWorkstream())).id
                    await send(host, ws_id, "go", "cid")
                    await host.aclose()
                async with asyncio.timeout(PATIENCE):  # fewer attempts would not kill it
                    await node.process.wait()
        async with server(tmp_path, "--base-url", model.base_url) as node:
            running.put(node)
            host = node.client()
            ended, _ = await until(host, ws_id, ev.TurnEnded)
            await send(host, ws_id, "and now?", "next")
            following, _ = await until(host, ws_id, ev.TurnEnded, "next")
            await host.aclose()

    assert ended.outcome == "failed"
    assert f"ended {MAX_ATTEMPTS} times" in ended.reason
    assert following.text == "here I am"
    assert killed == MAX_ATTEMPTS
