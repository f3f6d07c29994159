"""A page that is opened late shows what one shows that was open all the time: the same journal,
folded from its live events, and from a snapshot and the rest. About three seconds."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from modelserver import Reply, call, calls, text
from support.held_tools import HeldTool
from support.needs import require
from support.nodes import local_node
from support.watching import PATIENCE, send, until
from turnstone.core import events as ev
from turnstone.core.host import Answer, CreateWorkstream, Host
from turnstone.sandbox import find_sandbox
from turnstone.tools import load_tools

FOLDS = Path(__file__).parent / "unit" / "same-view.mjs"


class Reader:
    """Reads a workstream from its snapshot on, until the turn of the message `last` has ended."""

    def __init__(self, host: Host, ws_id: str) -> None:
        self.events: list[ev.Event] = []
        self._begun = asyncio.Event()
        self._reading = asyncio.create_task(self._read(host, ws_id))

    async def begun(self) -> Reader:
        async with asyncio.timeout(PATIENCE):
            await self._begun.wait()
        return self

    async def all(self) -> list[ev.Event]:
        async with asyncio.timeout(PATIENCE):
            await self._reading
        return self.events

    async def _read(self, host: Host, ws_id: str) -> None:
        async for event in host.follow(ws_id):
            self.events.append(event)
            self._begun.set()
            if isinstance(event, ev.TurnEnded) and event.correlation_id == "last":
                return


def plan(body: dict[str, Any]) -> Reply:
    """By the last that was said, and by what has been done since."""
    messages = body["messages"]
    place = max((n for n, m in enumerate(messages) if m["role"] == "user"), default=0)
    said = messages[place]["content"]
    if len(messages) > place + 1 or not said.startswith("call"):
        return text(f"Done with *{said}*.")
    if said == "call outside":
        return calls(call("read_file", path="/etc/hostname"), call("wait", key="a"))
    if said == "call twice":
        return calls(call("wait", key="b"), call("wait", key="c"))
    return calls(call("write_file", path="new.txt", content="one\ntwo\n"))


async def answered(host: Host, ws_id: str, cid: str, **answer: Any) -> None:
    """Answers the question of this message's turn."""
    asked, _ = await until(host, ws_id, ev.ApprovalAsked, cid)
    await host.approve(Answer(ws_id=ws_id, request_id=asked.request_id, by="anna", **answer))


async def test_a_reloaded_page_shows_what_a_live_one_showed(tmp_path: Path) -> None:
    tool = HeldTool(effect="pure")
    async with local_node(tmp_path, plan, tools={"wait": tool} | await seed_tools()) as node:
        host = node.host
        ws = (await host.create(CreateWorkstream(name="both ways"))).id
        live = await Reader(host, ws).begun()
        late: list[Reader] = []

        async def opened() -> None:
            late.append(await Reader(host, ws).begun())

        await send(host, ws, "call outside", "m1")
        await until(host, ws, ev.ApprovalAsked, "m1")
        await opened()  # while a question waits
        await answered(host, ws, "m1", approved=False, feedback="Not that file.")
        await tool.runs("a")
        await opened()  # while one call has its result and another runs
        await send(host, ws, "a remark", "m2", busy="steer")
        await send(host, ws, "call twice", "m3")
        await opened()  # while messages wait
        tool.let_go("a")
        await tool.runs("b", "c")
        tool.let_go("b")
        await until(host, ws, ev.ToolFinished, "m3")
        await opened()  # while one of two results is there
        tool.let_go("c")
        await send(host, ws, "call writing", "m4")
        await answered(host, ws, "m4", approved=True, feedback="Mind the style.")
        await until(host, ws, ev.TurnEnded, "m4")
        await opened()  # between turns
        await send(host, ws, "the end", "last")
        await until(host, ws, ev.TurnEnded, "last")
        await opened()  # when all is over

        everything = await live.all()
        others = [await reader.all() for reader in late]
    kinds = same_view(tmp_path, everything, others)
    assert kinds.count("message") == 6
    assert kinds.count("tool") == 5
    assert kinds.count("ending") == 4


def same_view(folder: Path, live: list[ev.Event], late: Iterable[list[ev.Event]]) -> list[str]:
    """The kinds of blocks of the view, which must be the same for all readers."""
    file = folder / "journal.json"
    file.write_bytes(msgspec.json.encode({"live": live, "late": list(late)}))
    done = subprocess.run(
        [require("node"), FOLDS, file], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told: list[str] = json.loads(done.stdout)
    return told


async def seed_tools() -> dict[str, Any]:
    """Those of every node, which read and write files."""
    tools = load_tools(await find_sandbox())
    return {name: tools[name] for name in ("read_file", "write_file")}
