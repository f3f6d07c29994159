"""`BaseTool.run` by itself: threads, exits, and events that come faster than they are taken."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from agent_session import PATIENCE
from oturn import ToolResult
from oturn.tools.emitter import ROOM
from tools_for_tests import SmallTool

WHO = contextvars.ContextVar("WHO", default="nobody")


def tool_of(function: Callable[..., Any]) -> type[SmallTool]:
    return type("Made", (SmallTool,), {"name": "made", "execute": staticmethod(function)})


async def test_a_plain_function_runs_in_a_thread_and_sees_the_callers_context() -> None:
    def look() -> tuple[str, bool]:
        return WHO.get(), threading.current_thread() is threading.main_thread()

    WHO.set("me")
    assert await tool_of(look).run({}) == ToolResult("success", ("me", False))


def leave() -> None:
    sys.exit(3)


async def leave_async() -> None:
    sys.exit(3)


def stop() -> None:
    raise StopIteration("no more")


@pytest.mark.parametrize("function", [leave, leave_async, stop])
async def test_a_tool_that_exits_has_failed_and_the_agent_lives(
    function: Callable[..., Any],
) -> None:
    result = await tool_of(function).run({})
    assert result.status == "failure"
    assert result.error


async def test_a_coroutine_function_under_a_plain_decorator_is_awaited() -> None:
    async def answer() -> int:
        return 42

    @functools.wraps(answer)
    def decorated() -> Any:
        return answer()

    del decorated.__wrapped__  # as a careless decorator leaves it
    assert await tool_of(decorated).run({}) == ToolResult("success", 42)


async def test_a_thread_that_says_more_than_is_taken_is_slowed_down_and_loses_nothing() -> None:
    count = 3 * ROOM
    said = 0
    let = asyncio.Event()
    taken: list[int] = []

    def talk(emit_event: Any) -> str:
        nonlocal said
        for number in range(count):
            emit_event({"number": number})
            said = number + 1
        return "done"

    async def publish(event: dict[str, Any]) -> None:
        await let.wait()
        taken.append(event["number"])

    run = asyncio.create_task(tool_of(talk).run({}, event_publish=publish))
    async with asyncio.timeout(PATIENCE):
        while said < ROOM:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)  # time in which it could say more, and must not
        assert said <= ROOM + 1
        let.set()
        assert (await run).content == "done"
    assert taken == list(range(count))


async def test_a_thread_that_talks_to_nobody_any_more_comes_to_its_end() -> None:
    ended = threading.Event()

    def talk(emit_event: Any) -> None:
        for number in range(3 * ROOM):
            emit_event(number)
        ended.set()

    async def publish(event: Any) -> None:
        await asyncio.Event().wait()

    run = asyncio.create_task(tool_of(talk).run({}, event_publish=publish))
    await asyncio.wait({run}, timeout=0.05)
    run.cancel()
    await asyncio.wait({run})
    assert await asyncio.to_thread(ended.wait, PATIENCE)


async def test_a_publisher_that_fails_ends_the_run_and_not_in_a_deadlock() -> None:
    def talk(emit_event: Any) -> None:
        for number in range(3 * ROOM):
            emit_event(number)

    async def publish(event: Any) -> None:
        raise OSError("the log is full")

    with pytest.raises(OSError, match="the log is full"):
        await asyncio.wait_for(tool_of(talk).run({}, event_publish=publish), PATIENCE)
