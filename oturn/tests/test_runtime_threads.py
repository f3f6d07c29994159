"""Answering, cancelling and asking from a thread that is not the loop's."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from agent_session import LONG, PATIENCE, SHORT, Echo, Session, kinds, resolve, scripted
from oturn.inputs import InputQueue, UserInput
from oturn.questions import Question, new_future
from oturn.transport.scripted import call, call_tools, say


def in_a_thread(work: Callable[[], Any]) -> Any:
    """What it gives, while this thread waits, and so the loop too."""
    given: list[Any] = []
    thread = threading.Thread(target=lambda: given.append(work()))
    thread.start()
    thread.join(PATIENCE)
    return given[0]


async def test_an_answer_from_another_thread_wakes_the_turn() -> None:
    agent = scripted(call_tools(call("echo", words="x")), say("ok"), tools=[Echo], grace=LONG)
    answers: list[bool] = []

    def react(event: dict[str, Any]) -> None:
        if event["type"] == "tool_call":
            request_id = event["request_id"]
            answers.extend(in_a_thread(lambda: agent.answer(request_id)) for _ in range(2))

    async with Session(agent, react) as session:
        assert (await session.ask())[-1]["text"] == "ok"
    assert answers == [True, False]


async def test_an_answer_that_was_taken_counts_whatever_the_loop_hears_first() -> None:
    question = Question({"type": "approval_request", "id": "appr_1", "future": new_future()}, LONG)
    settling = asyncio.create_task(question.settled())
    await asyncio.sleep(0)
    assert in_a_thread(lambda: question.answer(False))
    dict.__getitem__(question, "future").set_result(True)  # the loop has not heard of the answer
    settled = await asyncio.wait_for(settling, PATIENCE)
    assert settled is not None
    assert settled.result() is False


async def test_an_answer_on_its_way_is_not_given_up() -> None:
    question = Question({"type": "tool_call", "tool": "t", "future": new_future()}, SHORT)
    answers: list[bool] = []
    settling = asyncio.create_task(question.settled())
    await asyncio.sleep(0)

    def answer() -> None:
        answers.append(in_a_thread(lambda: question.answer(False)))

    # Both timers are due in the same pass of the loop: the grace is over, and then an answer
    # is taken, before the task that waited for the grace has heard of either.
    asyncio.get_running_loop().call_later(SHORT, answer)
    threading.Event().wait(SHORT * 2)
    assert await asyncio.wait_for(settling, PATIENCE) is not None
    assert answers == [True]
    assert question.refused


async def test_a_cancel_from_another_thread_stops_the_turn_at_once() -> None:
    agent = scripted(call_tools(call("echo")), tools=[Echo], grace=LONG)

    def react(event: dict[str, Any]) -> None:
        if event["type"] == "tool_call":
            in_a_thread(agent.request_cancel_tool)

    async with Session(agent, react) as session:
        assert kinds(await session.ask())[-2:] == ["run_aborted", "assistant_final"]


async def test_inputs_from_many_threads_all_wake_the_run() -> None:
    agent = scripted(*[say("ok")] * 20)
    async with Session(agent) as session:
        await asyncio.sleep(0)  # it waits for an input
        for number in range(20):
            threading.Thread(target=agent.enqueue_user_input_nowait, args=(str(number),)).start()
        for _ in range(20):
            assert (await session.until("assistant_final"))[-1]["text"] == "ok"


def test_a_queue_goes_on_in_a_second_loop_with_what_came_in_between() -> None:
    queue = InputQueue()
    queue.put(UserInput("before"))

    async def take() -> str:
        queue.bind()
        return (await asyncio.wait_for(queue.take(), PATIENCE)).text

    assert asyncio.run(take()) == "before"
    queue.put(UserInput("between"))
    assert asyncio.run(take()) == "between"


async def test_a_taken_question_that_stays_open_is_named_once_with_how_to_answer_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    event = {"type": "tool_call", "tool": "rm", "future": new_future()}
    question = Question(event, SHORT, reminder=SHORT)
    settling = asyncio.create_task(question.settled())
    taken = dict(question)["future"]  # as a logger does
    async with asyncio.timeout(PATIENCE):
        while not caplog.records:
            await asyncio.sleep(0.01)
    taken.set_result(None)
    assert await settling is taken
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"tool_call of rm ({question.request_id}) has been open" in record.getMessage()
    assert f"Oturn.answer('{question.request_id}'" in record.getMessage()


async def test_a_turn_that_ended_takes_no_answer_from_a_thread() -> None:
    agent = scripted(call_tools(call("echo")), say("ok"), tools=[Echo])
    ids: list[str] = []

    def react(event: dict[str, Any]) -> None:
        if event["type"] == "tool_call":
            ids.append(event["request_id"])
        resolve(None)(event)

    async with Session(agent, react) as session:
        await session.ask()
        assert in_a_thread(lambda: agent.answer(ids[0], True)) is False
