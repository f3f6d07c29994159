"""`Oturn` as programs use it: endings, inputs, accessors, construction."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from agent_session import (
    PATIENCE,
    Echo,
    Session,
    config,
    kinds,
    new_file,
    resolve,
    scripted,
)
from modelserver import ModelServer, die_after
from modelserver import text as served_text
from oturn import (
    Context,
    Message,
    Oturn,
    UserContent,
)
from oturn.transport.scripted import (
    ScriptedTransport,
    call,
    call_tools,
    fail,
    say,
)
from tools_for_tests import SmallTool

BROKEN = "Stream processing failed: "  # how programs of 0.1 know the errors of a server


async def test_a_failed_request_is_an_error_and_a_final_and_the_loop_goes_on() -> None:
    agent = scripted(fail("server", "The server is on fire."), say("better now"))
    async with Session(agent) as session:
        events = await session.ask()
        assert events[-2:] == [
            {"type": "error", "error": f"{BROKEN}The server is on fire."},
            {"type": "assistant_final", "text": f"Error: {BROKEN}The server is on fire."},
        ]
        assert (await session.ask())[-1]["text"] == "better now"


async def test_a_server_that_dies_midway_leaves_no_partial_answer_in_the_history() -> None:
    with ModelServer(lambda _: die_after(served_text("Hello, you there."), 3)) as server:
        agent = Oturn(Path.cwd(), config(api_base=server.base_url))
        async with Session(agent) as session:
            events = await session.ask()
            history = session.context.history
    assert "assistant_delta" in kinds(events)
    assert "broke before the answer was whole" in events[-2]["error"]
    assert [r.role for r in history if isinstance(r, Message)] == ["user"]


@pytest.mark.skipif(find_spec("litellm") is not None, reason="LiteLLM may know this model")
async def test_a_model_without_a_server_is_told_in_one_sentence_without_a_traceback() -> None:
    agent = Oturn(Path.cwd(), config("a-model"))
    async with Session(agent) as session:
        error, final = await session.ask()
    assert "set api_base" in error["error"]
    assert "traceback" not in error
    assert final["text"].startswith("Error: ")


async def test_the_limit_of_steps_and_an_empty_answer_are_told() -> None:
    agent = scripted(*[call_tools(call("echo"))] * 2, say("  "), tools=[Echo], max_steps=2)
    async with Session(agent, resolve(None)) as session:
        assert (await session.ask())[-1][
            "text"
        ] == "Error: stopped after 2 steps, the limit of a turn"
        assert (await session.ask())[-1]["text"] == "Error: the model answered with nothing"


async def test_inputs_wait_in_order_and_can_be_seen_and_withdrawn() -> None:
    agent = scripted()
    assert agent.enqueue_user_input_nowait("one")
    assert agent.enqueue_user_input_nowait(text="two", status="later")
    assert agent.enqueue_user_input_nowait(content="three", channel_headers={"X": "y"})
    assert agent.pending_input_count() == 3
    snapshot = agent.get_input_queue_snapshot(2)
    assert [(i["text"], i["status"], i["type"]) for i in snapshot] == [
        ("one", "agent", "default"),
        ("two", "later", "default"),
    ]
    assert agent.get_input_queue_snapshot(0) == []
    first = agent.dequeue_user_input_nowait()
    assert first is not None
    assert first["text"] == "one"
    assert agent.clear_user_input_queue() == 2
    assert agent.dequeue_user_input_nowait() is None


async def test_blank_inputs_and_those_of_another_status_are_passed_over() -> None:
    agent = scripted(say("hello"))
    agent.enqueue_user_input_nowait("  ")
    agent.enqueue_user_input_nowait("not now", status="later")
    async with Session(agent) as session:
        assert (await session.ask("real"))[-1]["text"] == "hello"
        assert len(session.context.history) == 2


async def test_channel_headers_and_notices_of_tools_reach_the_model() -> None:
    class Noticing(Echo):
        name = "noticing"

        @classmethod
        def user_input_hook(cls) -> UserContent | None:
            return UserContent(user_name="clock", date=0, content="it is late")  # type: ignore[arg-type]

    transport = ScriptedTransport([say("ok")])
    agent = Oturn(Path.cwd(), config(), tools=[Noticing], transport=transport)
    agent.enqueue_user_input_nowait(
        "hello", channel_headers={"X-Room": "12"}, platform_event_id="e1"
    )
    async with Session(agent) as session:
        await session.until("assistant_final")
    said = transport.requests[0].messages[0]["content"]
    assert "\nX-Room: 12\nX-Platform-Event-Id: e1\n\n[1]\nFrom: clock\n" in said
    assert said.endswith("it is late\n\nhello")


def test_a_blank_model_and_a_class_that_is_no_whole_tool_are_refused() -> None:
    with pytest.raises(ValueError, match="blank"):
        Oturn(Path.cwd(), config("  "))
    with pytest.raises(ValueError, match="SmallTool"):
        Oturn(Path.cwd(), config(), tools=[SmallTool])  # type: ignore[type-abstract]


async def test_the_newest_usage_is_found_and_strange_contexts_have_none() -> None:
    agent = scripted(say("a", usage={"total_tokens": 3}), say("b"))
    async with Session(agent) as session:
        await session.ask()
        await session.ask()
        session.context.append_compact("summary")
        assert agent.get_last_usage(session.context) == {"total_tokens": 3}
        (answer, *_) = [r for r in session.context.history if isinstance(r, Message) and r.usage]
        assert agent.get_last_usage(session.context) is answer.usage
    assert agent.get_last_usage(None) is None
    assert agent.get_last_total_tokens(object()) is None


async def test_a_usage_that_is_an_empty_dict_is_one() -> None:
    agent = scripted(say("a", usage={"total_tokens": 3}), say("b", usage={}))
    async with Session(agent) as session:
        await session.ask()
        await session.ask()
        assert agent.get_last_usage(session.context) == {}
        assert agent.get_last_total_tokens(session.context) is None


def test_a_context_that_raises_has_no_usage() -> None:
    class Unreadable:
        @property
        def history(self) -> list[Message]:
            raise OSError("the disk is gone")

    assert scripted().get_last_usage(Unreadable()) is None


class Rendered:
    def to_message_text(self) -> str:
        return "from a channel"


def test_an_input_is_taken_under_both_names_as_each_version_took_it() -> None:
    agent = scripted()
    assert agent.enqueue_user_input_nowait(Rendered())
    assert agent.enqueue_user_input_nowait(content=Rendered())
    assert agent.enqueue_user_input_nowait(42)
    assert agent.enqueue_user_input_nowait(None)
    assert not agent.enqueue_user_input_nowait(content=42)
    with pytest.raises(TypeError, match="not as both"):
        agent.enqueue_user_input_nowait("a", content="b")
    texts = [item["text"] for item in agent.get_input_queue_snapshot()]
    assert texts == ["from a channel", "from a channel", "42", ""]


async def test_a_context_of_a_programs_own_needs_only_a_history_and_appends() -> None:
    class Own:
        def __init__(self) -> None:
            self.history: list[Message] = []

        def append_message(self, message: Message) -> None:
            self.history.append(message)

    agent = scripted(say("hello"))
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    agent.subscribe(queue)
    agent.enqueue_user_input_nowait("hi")
    own = Own()
    run = asyncio.create_task(agent.run_queues(own))  # type: ignore[arg-type] # by its methods alone
    async with asyncio.timeout(PATIENCE):
        while (await queue.get())["type"] != "assistant_final":
            pass
    run.cancel()
    await asyncio.wait({run})
    assert [message.role for message in own.history] == ["user", "assistant"]


async def test_a_history_that_cannot_be_kept_is_told_and_the_loop_goes_on() -> None:
    class Full(Context):
        def append_message(self, message: Any) -> None:
            raise OSError("no space left")

    agent = scripted(say("hello"))
    session = Session(agent)
    session.context = Full(new_file())
    async with session:
        error, final = await session.ask()
        assert (error["type"], error["error"]) == ("error", "no space left")
        assert error["exception_type"] == "OSError"
        assert "append_message" in error["traceback"]
        assert final == {"type": "assistant_final", "text": "Error: no space left"}
        assert (await session.ask())[-1] == final


async def test_pending_events_are_noted_and_resolved() -> None:
    agent = scripted()
    await agent.add_pending_event({"future_id": "1"})
    await agent.add_pending_event({"other": "2"})
    assert await agent.get_pending_events() == [{"future_id": "1"}]
    await agent.resolve_pending_future_id("1")
    assert await agent.get_pending_events() == []
