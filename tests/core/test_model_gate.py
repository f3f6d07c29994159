"""One gate before an endpoint: a limit that is shared fairly, and one back-off for all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Reply, call, calls, die_after, error, hold, text
from modelserver.plans import last_user_text
from oturn.errors import ModelError
from oturn.transport.base import Failed, Finished, ModelRequest, StreamItem, TextDelta
from support.nodes import local_node, start_host
from support.watching import ending, send, until
from turnstone.core import events as ev
from turnstone.core.clock import SystemClock
from turnstone.core.endpoint import transport_to
from turnstone.core.host import CreateWorkstream
from turnstone.core.model_gate import Gate
from turnstone.core.models import Model, Models
from turnstone.tools.task import Task

PATIENCE = 60.0


class Endpoint:
    """A transport whose answers a test lets go one by one; `asked` has who asked, in order.

    The first `refusals` of them are refused, all together when the last one has come.
    """

    def __init__(self, refusals: int = 0, wait: float | None = 0.05) -> None:
        self.asked: list[str] = []
        self.at: list[float] = []
        self.let_go = asyncio.Semaphore(0)
        self._refusals, self._wait = refusals, wait
        self._together = asyncio.Barrier(max(1, refusals))

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
        self.asked.append(request.model)
        self.at.append(time.monotonic())
        if len(self.asked) <= self._refusals:
            await self._together.wait()
            yield Failed(ModelError("rate_limited", "slow down", 429, self._wait))
            return
        await self.let_go.acquire()
        yield TextDelta(request.model)
        yield Finished()

    async def aclose(self) -> None:
        pass


class Asking:
    """Requests through one gate, each under the name of its holder and a number."""

    def __init__(self, gate: Gate, endpoint: Endpoint) -> None:
        self.gate, self.endpoint = gate, endpoint
        self.told: list[str] = []
        self._number = 0

    def ask(self, holder: str) -> asyncio.Task[list[StreamItem]]:
        self._number += 1
        return asyncio.create_task(self._items(holder, f"{holder}{self._number}"))

    async def _items(self, holder: str, name: str) -> list[StreamItem]:
        request = ModelRequest(name, [])
        stream = self.gate.stream(self.endpoint, request, holder, self.told.append)
        async with asyncio.timeout(PATIENCE), aclosing(stream) as items:
            return [item async for item in items]

    async def until_asked(self, number: int) -> None:
        """The endpoint has been asked so often in all."""
        await self.until(lambda: len(self.endpoint.asked) == number)

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not reached():
                await asyncio.sleep(0)


async def test_no_more_are_under_way_than_the_limit_and_holders_take_turns() -> None:
    asking = Asking(Gate("http://x", 2), Endpoint())
    tasks = [asking.ask(holder) for holder in "aaaabbc"]
    await asking.until(lambda: len(asking.endpoint.asked) == 2)
    health = asking.gate.health()
    assert (health.in_flight, health.waiting, health.limit) == (2, 5, 2)
    assert set(asking.told) == {"waits for its turn: 2 requests at a time go to this model"}
    for done in range(1, 6):
        asking.endpoint.let_go.release()
        await asking.until_asked(2 + done)
        assert asking.gate.health().in_flight == 2
    asking.endpoint.let_go.release()
    asking.endpoint.let_go.release()
    await asyncio.gather(*tasks)
    assert asking.endpoint.asked == ["a1", "a2", "a3", "b5", "c7", "a4", "b6"]
    assert asking.gate.health().in_flight == 0


async def test_requests_that_are_cancelled_leave_no_trace() -> None:
    asking = Asking(Gate("http://x", 1), Endpoint())
    first, *waiting = [asking.ask(holder) for holder in "abcd"]
    await asking.until(lambda: asking.gate.health().waiting == 3)
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    assert asking.gate.health().waiting == 2
    first.cancel()  # the one that is under way makes room at once
    await asking.until(lambda: asking.endpoint.asked == ["a1", "c3"])
    asking.endpoint.let_go.release()
    waiting[2].cancel()  # it may have been let in already, and not know yet
    await asyncio.gather(first, *waiting, return_exceptions=True)
    health = asking.gate.health()
    assert (health.in_flight, health.waiting) == (0, 0)
    asking.endpoint.let_go.release()
    assert await asking.ask("e")


async def test_one_that_is_cancelled_just_when_it_is_let_in_gives_its_place_back() -> None:
    gate, endpoint = Gate("http://x", 1), Endpoint()
    asking = Asking(gate, endpoint)
    stream = gate.stream(endpoint, ModelRequest("first", []), "first", asking.told.append)
    assert isinstance(await _first_item(stream, endpoint), TextDelta)
    second = asking.ask("a")
    await asking.until(lambda: gate.health().waiting == 1)
    await stream.aclose()  # lets the second one in, whose task has not gone on yet
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert endpoint.asked == ["first"]
    assert gate.health().in_flight == 0
    endpoint.let_go.release()
    assert await asking.ask("b")


async def _first_item(stream: AsyncIterator[StreamItem], endpoint: Endpoint) -> StreamItem:
    endpoint.let_go.release()
    return await anext(stream)


async def test_one_refusal_holds_all_and_the_refused_are_sent_again_in_their_order() -> None:
    asking = Asking(Gate("http://x"), Endpoint(refusals=20, wait=0.3))
    asking.endpoint.let_go = asyncio.Semaphore(100)
    tasks = [asking.ask("abcde"[n % 5]) for n in range(20)]
    await asking.until(lambda: len(asking.endpoint.asked) == 20)
    late = asking.ask("late")
    answers = await asyncio.gather(*tasks, late)
    assert all(isinstance(items[-1], Finished) for items in answers)
    first = asking.endpoint.asked[:20]
    assert asking.endpoint.asked[20:] == [*first, "late21"]
    assert asking.endpoint.at[20] - asking.endpoint.at[19] >= 0.3
    assert "waits 1 s: the provider asks for it" in asking.told


async def test_after_a_hold_they_are_let_in_little_by_little() -> None:
    asking = Asking(Gate("http://x"), Endpoint(refusals=8))
    tasks = [asking.ask(str(n)) for n in range(8)]
    sent = 8
    for more in (1, 2, 4, 1):
        sent += more
        await asking.until_asked(sent)
        assert asking.gate.health().in_flight == more
        for _ in range(more):
            asking.endpoint.let_go.release()
    await asyncio.gather(*tasks)


async def test_what_was_seen_of_an_answer_is_never_asked_for_again() -> None:
    class Breaking(Endpoint):
        async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
            self.asked.append(request.model)
            yield TextDelta("Hel")
            yield Failed(ModelError("rate_limited", "slow down", 429, 0.1))

    asking = Asking(Gate("http://x"), Breaking())
    items = await asking.ask("a")
    assert len(asking.endpoint.asked) == 1
    assert isinstance(items[-1], Failed)
    assert asking.gate.health().last_error == "slow down"


@pytest.mark.parametrize("wait", [3600.0, float("inf")])
async def test_a_wait_that_no_turn_would_wait_for_ends_all_at_once(wait: float) -> None:
    asking = Asking(Gate("http://x"), Endpoint(refusals=1, wait=wait))
    for holder in "ab":
        [item] = await asking.ask(holder)
        assert isinstance(item, Failed)
        assert "no turn waits for that long" in item.error.message
    assert asking.endpoint.asked == ["a1"]
    assert asking.gate.health().waiting == 0


class Refusing:
    """A provider that takes nothing for a while from the first request on, and then refuses the
    first one that comes once more. By its own clock it notes who came before it was told to."""

    def __init__(self) -> None:
        self.early: list[str] = []
        self.refused: list[str] = []
        self.answered: list[str] = []
        self.probe = ""
        self._opens = 0.0

    def __call__(self, body: dict[str, Any]) -> Reply:
        now = time.monotonic()
        name = last_user_text(body)
        self._opens = self._opens or now + 1.5
        if now < self._opens:
            # Those that came at once know nothing yet; whoever comes again has been told.
            if self.probe or name in self.refused:
                self.early.append(name)
            return self._not_before(self._opens, name)
        if not self.probe:
            self.probe, self._opens = name, now + 0.7
            return self._not_before(self._opens, name)
        self.answered.append(name)
        return text(f"to {name}")

    def _not_before(self, moment: float, name: str) -> Reply:
        self.refused.append(name)
        left = moment - time.monotonic()
        return error(429, "slow down", {"retry-after": f"{left:.6f}"})


async def test_twenty_workstreams_that_are_refused_at_once_all_end_and_none_asks_too_early(
    tmp_path: Path,
) -> None:
    plan = Refusing()
    async with local_node(tmp_path, plan) as node:
        streams = [await node.host.create(CreateWorkstream(name=f"w{n}")) for n in range(20)]
        cids = await asyncio.gather(*(send(node.host, ws.id, ws.name) for ws in streams))
        ends = await asyncio.gather(
            *(ending(node.host, ws.id, cid) for ws, cid in zip(streams, cids, strict=True))
        )
        waited = next(ws for ws in streams if ws.name == plan.refused[0])
        _, seen = await until(node.host, waited.id, ev.TurnEnded)
        [endpoint] = (await node.host.health()).endpoints
    assert [end.text for end in ends] == [f"to {ws.name}" for ws in streams]
    assert plan.early == []
    assert sorted(plan.answered) == sorted(ws.name for ws in streams)
    assert plan.answered[0] == plan.probe  # the one that came first of all goes first
    assert len(plan.refused) == len(set(plan.refused)) + 1
    told = [event.message for event in seen if isinstance(event, ev.Info)]
    assert any("the provider asks for it" in message for message in told)
    assert (endpoint.in_flight, endpoint.waiting) == (0, 0)
    assert "slow down" in endpoint.last_error
    assert endpoint.last_success >= endpoint.last_error_at > 0


async def test_a_turn_that_waits_for_its_provider_can_be_cancelled(tmp_path: Path) -> None:
    async with local_node(tmp_path, lambda _: error(429, "no", {"retry-after": "200"})) as node:
        ws = await node.host.create(CreateWorkstream())
        cid = await send(node.host, ws.id, "hello")
        await until(node.host, ws.id, ev.Info)
        assert await node.host.cancel(ws.id)
        assert (await ending(node.host, ws.id, cid)).outcome == "cancelled"
        [endpoint] = (await node.host.health()).endpoints
        assert endpoint.waiting == 0
        assert endpoint.held_seconds > 100
    assert len(node.model.requests) == 1


REFUSES_A_FIELD = "Unsupported parameter: 'temperature' is not supported with this model."


@pytest.mark.parametrize("first_answer", [(500, "oops"), (400, REFUSES_A_FIELD)])
async def test_what_is_sent_again_is_not_sent_before_the_endpoint_may_be_asked(
    tmp_path: Path, first_answer: tuple[int, str]
) -> None:
    gate, asked = threading.Event(), threading.Event()
    came: dict[str, list[float]] = {"fails": [], "is refused": []}
    opens: list[float] = []

    def plan(body: dict[str, Any]) -> Reply:
        name, now = last_user_text(body), time.monotonic()
        came[name].append(now)
        if len(came[name]) > 1:
            return text("done")
        if name == "fails":
            asked.set()
            return hold(error(*first_answer), gate)
        opens.append(now + 2.0)
        return error(429, "slow down", {"retry-after": "2"})

    async with local_node(tmp_path, plan, params={"temperature": 0.5}) as node:
        one = await node.host.create(CreateWorkstream())
        other = await node.host.create(CreateWorkstream())
        first = await send(node.host, one.id, "fails")
        assert await asyncio.to_thread(asked.wait, PATIENCE)
        second = await send(node.host, other.id, "is refused")
        async with asyncio.timeout(PATIENCE):
            while not (await node.host.health()).endpoints[0].held_seconds:
                await asyncio.sleep(0)
        gate.set()
        assert (await ending(node.host, one.id, first)).outcome == "done"
        assert (await ending(node.host, other.id, second)).outcome == "done"

    assert [len(times) for times in came.values()] == [2, 2]
    assert all(times[-1] >= opens[0] for times in came.values())


async def test_a_lost_connection_is_asked_for_again_and_then_told() -> None:
    class Lost(Endpoint):
        async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
            self.asked.append(request.model)
            yield Failed(ModelError("broken", "the line broke", lost=True))

    asking = Asking(Gate("http://x", 1, chance=lambda: 1.0), Lost())
    [item] = await asking.ask("a")
    assert isinstance(item, Failed)
    assert asking.endpoint.asked == ["a1"] * 3
    health = asking.gate.health()
    assert (health.in_flight, health.waiting, health.last_error) == (0, 0, "the line broke")


async def test_a_tree_of_sub_agents_takes_turns_with_others_as_one(tmp_path: Path) -> None:
    order: list[str] = []
    let_go = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        said = last_user_text(body)
        if said == "tree":
            work = [call("task", prompt=f"below {n}") for n in range(6)]
            return text("done") if body["messages"][-1]["role"] == "tool" else calls(*work)
        order.append(said)
        return hold(text("done"), let_go) if len(order) == 1 else text("done")

    gate = Gate(limit=1)
    with ModelServer(plan) as server:
        model = Model("default", "one", transport_to(server.base_url), gate=gate)
        host = await start_host(tmp_path, "", models=Models(model), tools={"task": Task()})
        try:
            tree = await host.create(CreateWorkstream(auto_approve_tools=["task"]))
            other = await host.create(CreateWorkstream())
            cids = {tree.id: await send(host, tree.id, "tree")}
            async with asyncio.timeout(PATIENCE):
                while gate.health().waiting < 5:
                    await asyncio.sleep(0)
                cids[other.id] = await send(host, other.id, "other")
                while gate.health().waiting < 6:
                    await asyncio.sleep(0)
            let_go.set()
            for ws_id, cid in cids.items():
                assert (await ending(host, ws_id, cid)).outcome == "done"
        finally:
            await host.aclose()

    assert len(order) == 7
    assert order.index("other") <= 2


async def test_a_connection_that_breaks_before_the_first_word_is_made_again(tmp_path: Path) -> None:
    replies = [die_after(text("Hel"), 0), text("Hello")]
    async with local_node(tmp_path, lambda _: replies.pop(0)) as node:
        ws = await node.host.create(CreateWorkstream())
        ended = await ending(node.host, ws.id, await send(node.host, ws.id, "hello"))
    assert (ended.outcome, ended.text) == ("done", "Hello")
    assert replies == []


async def test_what_an_endpoint_refuses_for_a_field_is_sent_without_it_and_so_is_what_follows(
    tmp_path: Path,
) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        if "temperature" in body or "top_p" in body:
            field = "temperature" if "temperature" in body else "top_p"
            return error(400, REFUSES_A_FIELD.replace("temperature", field))
        return text("done")

    params = {"temperature": 0.5, "top_p": 0.5}
    async with local_node(tmp_path, plan, params=params) as node:
        ws = await node.host.create(CreateWorkstream())
        for asked in (3, 4):
            assert (
                await ending(node.host, ws.id, await send(node.host, ws.id, "x"))
            ).text == "done"
            assert len(node.model.requests) == asked
        [endpoint] = (await node.host.health()).endpoints
    assert (endpoint.in_flight, endpoint.last_error) == (0, "")


async def test_an_endpoint_that_refuses_a_field_whatever_is_sent_is_asked_a_few_times(
    tmp_path: Path,
) -> None:
    params = {"temperature": 0.5}
    refused = error(400, REFUSES_A_FIELD)
    async with local_node(tmp_path, lambda _: refused, params=params) as node:
        ws = await node.host.create(CreateWorkstream())
        for asked in (2, 4):
            ended = await ending(node.host, ws.id, await send(node.host, ws.id, "x"))
            assert "'temperature' is not supported" in ended.reason
            assert len(node.model.requests) == asked


class Jumping(SystemClock):
    """Goes on by itself, and by as much as it is told besides."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


async def test_a_request_that_is_refused_again_and_again_has_patience_once() -> None:
    clock = Jumping()

    class Slow(Endpoint):
        async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
            self.asked.append(request.model)
            clock.ahead += 110.0
            yield Failed(ModelError("rate_limited", "slow down", 429, 0.01))

    asking = Asking(Gate("http://x", clock=clock), Slow())
    [item] = await asking.ask("a")
    assert isinstance(item, Failed)
    assert item.error.message == "slow down It was asked again and again for 300 s."
    assert asking.endpoint.asked == ["a1"] * 3
