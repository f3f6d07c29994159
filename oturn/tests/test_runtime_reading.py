"""How an agent reads the text of a model: what is a call in it, and what is reasoning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_session import Echo, Session, config, kinds, resolve
from modelserver import ModelServer, text
from oturn import Oturn

CALL = '<tool_call>{"name": "echo", "arguments": {"words": "hello"}}</tool_call>'
THOUGHT = "<think>Say it.</think>Said."


def plan(body: dict[str, Any]) -> Any:
    called = any(message["role"] == "tool" for message in body["messages"])
    return text(THOUGHT if called else CALL)


@pytest.mark.parametrize("on", [True, False])
async def test_whether_text_may_be_a_call_is_a_setting(on: bool) -> None:
    with ModelServer(plan) as server:
        plain = config(api_base=server.base_url)
        settings = replace(plain, model_config=replace(plain.model_config, text_tool_calls=on))
        agent = Oturn(Path.cwd(), settings, tools=[Echo])
        async with Session(agent, resolve(None)) as session:
            events = await session.ask()
    assert ("tool_call" in kinds(events)) is on
    assert events[-1]["text"] == ("Said." if on else CALL)


async def test_think_tags_stay_text_where_they_are_switched_off() -> None:
    with ModelServer(lambda _: text(THOUGHT)) as server:
        plain = config(api_base=server.base_url)
        settings = replace(plain, model_config=replace(plain.model_config, think_tags="off"))
        async with Session(Oturn(Path.cwd(), settings)) as session:
            assert (await session.ask())[-1]["text"] == THOUGHT
        async with Session(Oturn(Path.cwd(), plain)) as session:
            assert (await session.ask())[-1]["text"] == "Said."
