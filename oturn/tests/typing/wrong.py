"""Wrong uses of oturn: a type checker has to flag each line that is marked, and no other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Literal

from oturn import (
    BaseToolRegistry,
    Context,
    Message,
    Oturn,
    OturnAgentConfig,
    OturnConfig,
    OturnModelConfig,
    OTurnNucleus,
    OturnProviderConfig,
    ToolCallInfo,
    ToolResult,
    Transition,
)
from oturn.agent_stream_state import TurnStreamState, build_tool_records, ingest_stream_event
from oturn.events import ev_run_aborted, ev_tool_exit, ev_tool_output
from oturn.mcp_adapter import MCPAdapter
from oturn.tool_runtime import ToolRuntime

Signal = Literal["on", "off"]


def switch(state: bool, signal: Signal) -> Transition[bool, str]:
    return Transition(signal == "on", ["switched"])


async def waits(state: bool, signal: Signal) -> Transition[bool, str]:
    return Transition(state)


def configured() -> OturnConfig:
    return OturnConfig(
        "openai/m", OturnProviderConfig(), OturnModelConfig(), OturnAgentConfig(max_steps=3)
    )


def blank(config: OturnConfig) -> None:
    config.model = "other"  # error: frozen
    OturnConfig("openai/m")  # error: provider, model and agent are missing
    OturnProviderConfig(api_bases="x")  # error: no such setting
    OturnModelConfig(temperature="hot")  # error: a number
    OturnAgentConfig(max_steps=None)  # error: a number


async def nucleus() -> None:
    machine = OTurnNucleus(False, switch)
    await machine.step("up")  # error: no signal of this machine
    machine.state = True  # error: read only
    OTurnNucleus(False, waits)  # error: a reducer must not wait
    machine.subscribe([])  # error: a list has no put
    Transition(True, events="now")  # error: a list of events


async def agent(context: Context) -> None:
    Oturn("/tmp", configured())  # error: a Path
    Oturn(Path(), configured(), tools=[BaseToolRegistry])  # error: classes of tools
    Oturn(Path(), configured(), lambda name, args: True)  # error: a policy is awaited
    made = Oturn(Path(), configured())
    made.enqueue_user_input_nowait("hi", 3)  # error: status is a word
    await made.request_cancel_tool()  # error: not awaited
    made.run_queues()  # error: of what context
    made.unknown()  # error: no such method
    made.answer(None)  # error: an id


def records(context: Context) -> None:
    Message(role="robot", content="x")  # error: no such role
    Message(role="user")  # error: content is missing
    Message(role="user", content=3)  # error: no content
    ToolCallInfo("a", "function")  # error: the function is missing
    ToolResult()  # error: a status
    ToolResult("success").success = True  # error: read only
    context.append_compact()  # error: a summary
    context.history = []  # error: read only
    Context("a.md")  # error: a Path


def events() -> None:
    ev_tool_exit("0")  # error: a number
    ev_tool_output(stream="stdout", text=3)  # error: a text
    ev_tool_output("stdout", "")  # error: by name
    ev_run_aborted()["why"]  # error: no such key


async def others(runtime: ToolRuntime) -> None:
    MCPAdapter("yes")  # error: a bool
    build_tool_records(None)  # error: a state
    print(TurnStreamState().finals)  # error: no such field
    ingest_stream_event({})[0].payload["model"].upper()  # error: not of every signal
    await runtime.process_tool_records(ctx=None)  # error: the records are missing
    ToolRuntime(BaseToolRegistry(), print, None, asyncio.Event())  # error: publish is awaited


async def unused(value: Any) -> None:
    """What is not marked is well."""
    await OTurnNucleus(False, switch).step("on")
