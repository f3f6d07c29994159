"""A sub-agent's conversation is compacted like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelserver import Reply, call, calls, text
from support.long_talk import LongTalk, Prints, is_summary, sent
from support.nodes import local_node
from support.watching import ending, send
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream
from turnstone.sandbox import find_sandbox
from turnstone.tools import load_tools

TASK = "Find out why the build breaks; look at all the notes. read 8"


async def test_a_sub_agent_whose_conversation_is_full_is_compacted_and_ends_its_task(
    tmp_path: Path,
) -> None:
    talk = LongTalk(8_192)
    inside: list[dict[str, Any]] = []

    def plan(body: dict[str, Any]) -> Reply:
        if is_summary(body) or TASK in json.dumps(body["messages"][1]):
            inside.append(body)
            return talk(body)
        if body["messages"][-1]["role"] == "tool":
            return text("the task is done")
        return calls(call("task", prompt=TASK))

    tools = load_tools(await find_sandbox())
    spec = tools["read_file"].spec
    page = Prints("read_file", "12:00:01 INFO step finished in 0.31 s\n" * 60)
    page.spec = spec
    settings = {"context_window": 8_192, "params": {"max_tokens": 512}}
    async with local_node(tmp_path, plan, tools={**tools, "read_file": page}, **settings) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve=True))
        await send(node.host, ws.id, "Have it found out.", "c1")
        ended = await ending(node.host, ws.id, "c1")
        [child] = await node.host.list(ws.id)
        records = await node.host._store.records(child.id)

    assert ended.outcome == "done"
    assert any(isinstance(e, ev.Compacted) for e in records)
    assert talk.refused == []
    asked = [body for body in inside if not is_summary(body)]
    assert len(asked) == 9
    assert all(TASK in sent(body) for body in asked)
