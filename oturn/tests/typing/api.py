"""Correct uses of oturn, as a type checker sees them. Never run; see `test_typing.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, assert_type

from oturn import (
    EXAMPLE_TOOLS,
    ROLE_USER,
    AsyncPubSub,
    BaseTool,
    BaseToolRegistry,
    Context,
    FunctionInfo,
    Message,
    MessageTextRenderable,
    Oturn,
    OturnAgentConfig,
    OturnConfig,
    OturnModelConfig,
    OTurnNucleus,
    OturnProviderConfig,
    Reducer,
    Role,
    ToolCallInfo,
    ToolMessageContent,
    ToolResult,
    Transition,
    UserContent,
    WeatherTool,
    get_global_litellm_prewarm_error,
    start_global_litellm_prewarm,
)
from oturn.agent_stream_state import (
    ToolRecord,
    TurnStreamState,
    build_tool_records,
    ingest_stream_event,
    reduce_stream_signal,
)
from oturn.events import EventPayload, ev_error, ev_tool_output
from oturn.mcp_adapter import MCPAdapter
from oturn.model import CompactRecord
from oturn.remote_tools import RemoteTools
from oturn.tool_runtime import ToolRuntime
from oturn.tool_runtime_utils import parse_tool_arguments_with_status
from oturn.tools.base import ToolExecutionError
from oturn.tools.precheck import STATUS_NEEDS_APPROVAL, ToolPrecheckResult
from oturn.transport.scripted import ScriptedTransport, call, call_tools, say

Signal = Literal["on", "off"]


def switch(state: bool, signal: Signal) -> Transition[bool, str]:
    return Transition(signal == "on", [f"now {signal}"], terminal=state and signal == "off")


async def signals() -> AsyncIterator[Signal]:
    yield "on"
    yield "off"


async def nucleus() -> None:
    reducer: Reducer[bool, Signal, str] = switch
    machine = OTurnNucleus(False, reducer)
    queue: asyncio.Queue[str] = asyncio.Queue()
    assert_type(machine.subscribe(queue), bool)
    step = await machine.step("on")
    assert_type(step, Transition[bool, str])
    assert_type(step.events, list[str])
    assert_type(machine.state, bool)
    assert_type(machine.terminal, bool)
    assert_type(await machine.run(signals()), bool)


class Counter:
    """A subscriber needs an awaitable `put`, and nothing else."""

    def __init__(self) -> None:
        self.count = 0

    async def put(self, item: Any) -> None:
        self.count += 1


async def pubsub() -> None:
    events: AsyncPubSub[str] = AsyncPubSub()
    assert_type(events.subscribe(Counter()), bool)
    assert_type(events.unsubscribe(None), bool)
    await events.publish("hello")


class Greet(BaseTool):
    # Plain attributes are how tools are written; pyright holds them against the base's properties.
    name = "greet"
    description = "Greets."

    @property
    def schema(self) -> dict[str, Any]:
        return self.get_schema()

    @classmethod
    def get_schema(cls) -> dict[str, Any]:
        return {"type": "function", "function": {"name": cls.name}}

    @classmethod
    def validate_arguments(cls, args: dict[str, Any]) -> str | None:
        return None if args else "whom?"

    @classmethod
    def get_preview(cls, args: dict[str, Any]) -> str | None:
        return f"Greet {args['who']}"

    @classmethod
    def get_precheck(cls, args: dict[str, Any]) -> ToolPrecheckResult | None:
        return ToolPrecheckResult(STATUS_NEEDS_APPROVAL, "may I?", ["polite"])

    @staticmethod
    async def execute(who: str, cancel_event: asyncio.Event) -> str:
        if cancel_event.is_set():
            raise ToolExecutionError("too late", needs_user_input=True)
        return f"Hello, {who}!"


async def tools() -> None:
    registry = BaseToolRegistry()
    registry.auto_register_tool(Greet)
    assert_type(registry.get_tool_class("greet"), type[BaseTool] | None)
    result = await WeatherTool.run({"location": "Tokyo"}, cancel_event=asyncio.Event())
    assert_type(result, ToolResult)
    assert_type(result.success, bool)
    assert_type(EXAMPLE_TOOLS, list[type[BaseTool]])


def configured() -> OturnConfig:
    return OturnConfig(
        "openai/m",
        OturnProviderConfig("http://127.0.0.1:8000/v1", "key", {"X-Team": "a"}),
        OturnModelConfig(4096, 0.7, 30, {"seed": 1}),
        OturnAgentConfig(50, "Ann", "ann@example.org"),
        tool_choice={"type": "function", "function": {"name": "greet"}},
    )


async def allow(name: str, args: dict[str, Any]) -> bool:
    return name != "rm" or not args


async def agent(context: Context) -> None:
    made = Oturn(Path.cwd(), configured(), allow, [Greet, *EXAMPLE_TOOLS])
    events: asyncio.Queue[EventPayload] = asyncio.Queue()
    made.subscribe(events)
    assert_type(made.enqueue_user_input_nowait("hi"), bool)
    made.enqueue_user_input_nowait(content="hi", channel_headers={"a": "b"})
    running = asyncio.create_task(made.run_queues(context))
    event = await events.get()
    if event["type"] == "assistant_delta":
        assert_type(event["text"], str)
    if event["type"] == "tool_call":
        event["future"].set_result(None)
    if event["type"] == "tool_exit":
        assert_type(event["code"], int)
    assert_type(made.get_last_total_tokens(context), int | None)
    assert_type(made.pending_input_count(), int)
    assert_type(made.answer("appr_1", {"approved": True}), bool)
    made.request_cancel_tool()
    running.cancel()
    await made.aclose()


def scripted() -> Oturn:
    transport = ScriptedTransport([call_tools(call("greet", who="Ann")), say("Done.")])
    return Oturn(Path.cwd(), configured(), transport=transport, remote_tools=MCPAdapter(True))


def history(folder: Path) -> list[str]:
    context = Context(folder / "a.md", work_dir=folder)
    context.append_message(Message(role="system", content="Be brief."))
    said = UserContent.from_dict({"user_name": "Ann", "content": "hi"})
    context.append_message([Message(role=ROLE_USER, content=said)])
    calls = [ToolCallInfo("c1", "function", FunctionInfo("greet", {"who": "Ann"}))]
    context.append_message(Message(role="assistant", content="", tool_calls=calls))
    result = ToolMessageContent(status="success", data={"any": ["json"]})
    context.append_message(Message(role="tool", content=result, tool_call_id="c1"))
    context.append_compact("They met.", "to meet")
    assert_type(context.restore(), bool)
    shown = []
    for record in context.history:
        if isinstance(record, CompactRecord):
            shown.append(record.value)
        elif isinstance(record, Message):
            role: Role = record.role
            shown.append(role)
    return shown


@dataclass
class Card:
    title: str

    def to_message_text(self) -> str:
        return self.title


def rendered(content: MessageTextRenderable) -> str:
    return content.to_message_text()


def stream(events: list[dict[str, Any]]) -> list[ToolRecord]:
    state = TurnStreamState()
    for event in events:
        for signal in ingest_stream_event(event):
            transition = reduce_stream_signal(state, signal)
            if transition.kind == "assistant_delta":
                assert_type(transition.payload["text"], str)
    return build_tool_records(state)


async def own_loop(context: Context, records: list[ToolRecord]) -> bool:
    async def publish(event: Any) -> None:
        print(event)

    remote: RemoteTools = MCPAdapter()
    runtime = ToolRuntime(
        BaseToolRegistry(), publish, remote.execute_remote_tool, asyncio.Event(), debug_tools=True
    )
    return await runtime.process_tool_records(
        ctx=context,
        tool_records=records,
        final="",
        reasoning="",
        reasoning_details=None,
        usage_data={"total_tokens": 1},
        model_name=None,
    )


arguments, understood = parse_tool_arguments_with_status("{}")
assert_type(understood, bool)
assert_type(rendered(Card("a")), str)
assert_type(ev_error("x")["error"], str)
assert_type(ev_tool_output(stream="stdout", text="x")["stream"], str)
assert_type(start_global_litellm_prewarm(blocking=True), bool)
assert_type(get_global_litellm_prewarm_error(), str | None)
