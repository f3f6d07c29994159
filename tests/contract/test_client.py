"""The contract of the clients: the same through Redis and straight to one node by its URL."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelserver import Plan, Reply, hold, text
from modelserver.plans import echo, last_user_text, shell
from support.nodes import local_node
from support.redis import RedisServer, redis_server
from support.servers import FULL, serving
from support.workers import working_node
from turnstone.mq import (
    AsyncTurnstoneClient,
    MessageRefused,
    TurnFailed,
    TurnResult,
    TurnstoneClient,
    TurnTimedOut,
)
from turnstone.mq import protocol as p

PATIENCE = 60.0

#: Fast turns, one after the other.
FAST = {"ci": 50, "default": 50, "long": 10_000}[os.environ.get("TURNSTONE_TEST_SIZE", "default")]


@dataclass
class Way:
    """A node, and how a program reaches it."""

    arguments: dict[str, Any]

    def client(self) -> AsyncTurnstoneClient:
        return AsyncTurnstoneClient(**self.arguments)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


Open = Callable[[Plan], Any]


@pytest.fixture(params=["redis", "url"])
async def to(request: pytest.FixtureRequest, tmp_path: Path, redis: RedisServer) -> Open:
    @asynccontextmanager
    async def opened(plan: Plan) -> AsyncIterator[Way]:
        if request.param == "url":
            async with local_node(tmp_path, plan) as node, serving(node.host) as served:
                yield Way({"url": served.url, "token": FULL})
            return
        with redis.client() as connection:
            connection.flushall()
        async with working_node(tmp_path, plan, redis.address, "n1"):
            yield Way({"host": "127.0.0.1", "port": redis.port})

    return opened


@pytest.mark.parametrize(
    ("reply", "ran", "told"),
    [(True, True, ""), (False, False, ""), ("Not on a Monday.", False, "Not on a Monday.")],
)
async def test_a_callback_answers_what_a_turn_asks(
    to: Open, tmp_path: Path, reply: bool | str, ran: bool, told: str
) -> None:
    asked: list[str] = []

    async def answer(event: p.ApprovalRequestEvent) -> bool | str:
        asked.append(event.items[0]["func_name"])
        return reply

    async with to(shell) as way, way.client() as client:
        result = await client.send_and_wait(
            "run: echo did > done.txt", auto_approve=False, timeout=PATIENCE, on_approval=answer
        )

    assert asked == ["bash"]
    assert (tmp_path / "workspace" / "done.txt").exists() is ran
    assert told in result.content


async def test_a_callback_that_raises_has_said_no_and_the_turn_goes_on(
    to: Open, tmp_path: Path
) -> None:
    def answer(event: p.ApprovalRequestEvent) -> bool:
        raise ZeroDivisionError

    async with to(shell) as way, way.client() as client:
        events = [event async for event in client.stream("run: touch done.txt", on_approval=answer)]

    assert events[-1].type == "turn_complete"
    assert not (tmp_path / "workspace" / "done.txt").exists()


async def test_a_question_that_a_callback_leaves_open_may_be_answered_by_hand(
    to: Open, tmp_path: Path
) -> None:
    async with to(shell) as way, way.client() as client:
        async for event in client.stream("run: touch done.txt", on_approval=lambda _: None):
            if event.type == "approval_request":
                await client.approve(event.correlation_id, event.ws_id)

    assert (tmp_path / "workspace" / "done.txt").exists()


async def test_a_callback_of_a_program_with_threads_runs_in_its_own_thread(
    to: Open, tmp_path: Path
) -> None:
    threads: list[threading.Thread] = []

    def answer(event: p.ApprovalRequestEvent) -> bool:
        threads.append(threading.current_thread())
        return True

    def program(arguments: dict[str, Any]) -> tuple[threading.Thread, TurnResult]:
        with TurnstoneClient(**arguments) as client:
            result = client.send_and_wait(
                "run: echo hi", auto_approve=False, timeout=PATIENCE, on_approval=answer
            )
            return threading.current_thread(), result

    async with to(shell) as way:
        mine, result = await asyncio.to_thread(program, way.arguments)

    assert threads == [mine]
    assert "hi" in result.content


async def test_a_turn_that_runs_is_cancelled_by_its_id_and_so_is_one_that_waits_behind_it(
    to: Open,
) -> None:
    gate = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        return hold(text("late"), gate) if last_user_text(body) != "third" else text("whole")

    try:
        async with to(plan) as way, way.client() as client:
            first = asyncio.create_task(finished(client, "first"))
            ws_id = (await first_event(client, first, "first")).ws_id
            waits = await client.send("second", ws_id)
            third = await client.send("third", ws_id)
            assert await client.cancel(waits, ws_id)
            assert await client.cancel(SENT["first"])
            result = await first
            assert await ended(client, third, ws_id) == ("done", "whole")
            assert (await ended(client, waits, ws_id))[0] == "cancelled"
            assert not await client.cancel(third)
    finally:
        gate.set()

    assert (result.outcome, result.ok) == ("cancelled", False)
    with pytest.raises(TurnFailed, match="cancelled") as failed:
        result.checked()
    assert failed.value.result is result


SENT: dict[str, str] = {}
EVENTS: dict[str, asyncio.Queue[p.OutboundEvent]] = {}


async def finished(client: AsyncTurnstoneClient, said: str) -> TurnResult:
    events = EVENTS.setdefault(said, asyncio.Queue())
    return await client.send_and_wait(said, timeout=PATIENCE, on_event=events.put_nowait)


async def first_event(
    client: AsyncTurnstoneClient, turn: asyncio.Task[TurnResult], said: str
) -> p.OutboundEvent:
    async with asyncio.timeout(PATIENCE):
        event = await EVENTS.setdefault(said, asyncio.Queue()).get()
    del EVENTS[said]
    SENT[said] = event.correlation_id
    return event


async def ended(client: AsyncTurnstoneClient, cid: str, ws_id: str = "") -> tuple[str, str]:
    async with asyncio.timeout(PATIENCE):
        while (found := await client.result(cid, ws_id)) is None:
            await asyncio.sleep(0.02)  # the result is the state that is waited for
    return found.outcome, found.content


async def test_what_runs_in_a_workstream_is_cancelled_by_its_id(to: Open) -> None:
    gate = threading.Event()
    try:
        async with to(lambda body: hold(text("late"), gate)) as way, way.client() as client:
            turn = asyncio.create_task(finished(client, "go"))
            ws_id = (await first_event(client, turn, "go")).ws_id
            async with asyncio.timeout(PATIENCE):
                while not await client.cancel(ws_id=ws_id):
                    await asyncio.sleep(0.02)  # that it runs is the state that is waited for
            assert (await turn).outcome == "cancelled"
    finally:
        gate.set()


async def test_a_program_that_was_started_again_goes_on_behind_the_last_event_it_dealt_with(
    to: Open,
) -> None:
    gate = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        return shell(body) if "run:" in last_user_text(body) else hold(text("late"), gate)

    async with to(plan) as way:
        async with way.client() as before:
            seen = []
            async for event in before.stream("run: echo one"):
                seen.append(event)
                if event.type == "approval_request":
                    break
        cid = seen[0].correlation_id
        async with way.client() as client:
            rest = [e async for e in client.follow(cid, seen[-2].cursor, on_approval=answer_yes)]
            again = [e async for e in client.follow(cid, ws_id=seen[0].ws_id)]

    assert all(event.cursor for event in seen)
    assert rest[0] == seen[-1]
    assert not {event.cursor for event in rest} & {event.cursor for event in seen[:-1]}
    assert [event.type for event in rest if event.type == "tool_result"] == ["tool_result"]
    assert rest[-1].type == "turn_complete"
    assert "".join(getattr(e, "text", "") for e in rest if e.type == "content") == "one"
    assert not [event for event in rest if event.type == "info"]
    kinds = [event.type for event in again]
    assert kinds.index("approval_request") < kinds.index("tool_result")
    assert kinds[-1] == "turn_complete"


def answer_yes(event: p.ApprovalRequestEvent) -> bool:
    return True


async def test_a_turn_that_this_client_has_not_sent_is_found_by_its_id_alone(to: Open) -> None:
    async with to(echo) as way:
        async with way.client() as sender:
            cid = await sender.send("who am I")
        async with way.client() as client:
            async with asyncio.timeout(PATIENCE):
                events = [event async for event in client.follow(cid)]
            result = await client.result(cid)
            unknown = await client.result("0123456789ab")

    assert "".join(getattr(e, "text", "") for e in events if e.type == "content") == "who am I"
    assert result is not None
    assert (result.content, result.outcome, result.ok) == ("who am I", "done", True)
    assert unknown is None


async def test_a_result_of_several_steps_is_whole_for_a_client_that_comes_later(to: Open) -> None:
    async with to(shell) as way:
        async with way.client() as sender:
            own = await sender.send_and_wait(
                "run: echo hi", auto_approve=False, timeout=PATIENCE, on_approval=answer_yes
            )
        async with way.client() as client:
            later = await client.result(own.correlation_id)

    assert later is not None
    assert (later.content, later.ws_id) == (own.content, own.ws_id)
    assert [name for name, _ in later.tool_results] == ["bash"]


@pytest.mark.parametrize("cursor", ["x", "1-0", ":1-0", "ws:one", "ws:"])
async def test_what_is_no_cursor_is_refused(to: Open, cursor: str) -> None:
    async with to(echo) as way, way.client() as client:
        with pytest.raises(ValueError, match="is no cursor"):
            [event async for event in client.follow("c1", cursor)]


async def test_a_result_that_is_none_is_an_error_of_its_own_kind(to: Open) -> None:
    gate = threading.Event()
    try:
        async with to(lambda body: hold(text("late"), gate)) as way, way.client() as client:
            late = await client.send_and_wait("go", timeout=0.2)
            refused = await client.send_and_wait("go", ws_id="0badc0de", timeout=PATIENCE)
    finally:
        gate.set()

    with pytest.raises(TurnTimedOut):
        late.checked()
    with pytest.raises(MessageRefused, match="0badc0de"):
        refused.checked()
    good = TurnResult(content_parts=["yes"], outcome="done")
    assert good.checked() is good


async def test_sixteen_threads_wait_on_one_client_at_once(to: Open) -> None:
    together = threading.Barrier(16)

    def program(arguments: dict[str, Any]) -> list[tuple[str, str]]:
        with TurnstoneClient(**arguments) as client, ThreadPoolExecutor(16) as threads:

            def one(number: int) -> tuple[str, str]:
                together.wait(PATIENCE)
                said = f"thread {number}"
                return said, client.send_and_wait(said, timeout=PATIENCE).checked().content

            return list(threads.map(one, range(16)))

    async with to(echo) as way:
        pairs = await asyncio.to_thread(program, way.arguments)

    assert len(pairs) == 16
    assert all(said == answer for said, answer in pairs)


async def test_fast_turns_have_whole_answers_every_time(to: Open) -> None:
    def program(arguments: dict[str, Any]) -> list[tuple[str, str]]:
        with TurnstoneClient(**arguments) as client:
            pairs: list[tuple[str, str, str]] = []
            ws_id = ""
            for number in range(FAST):
                ws_id = ws_id if number % 50 else ""
                said = f"turn {number}, whole"
                result = client.send_and_wait(said, ws_id=ws_id, timeout=PATIENCE)
                if not number % 50 and pairs:
                    client.close_workstream(pairs[-1][2])
                ws_id = result.ws_id
                pairs.append((said, result.content, ws_id))
            return [(said, answer) for said, answer, _ in pairs]

    async with to(echo) as way:
        pairs = await asyncio.to_thread(program, way.arguments)

    assert [said for said, _ in pairs] == [answer for _, answer in pairs]
    assert len(pairs) == FAST
