"""The contract of `oturn.transport.base`, over every transport there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeAlias

import pytest

import modelserver
from oturn.transport import scripted
from oturn.transport.base import (
    Failed,
    Finished,
    ModelRequest,
    ModelTransport,
    ReasoningDelta,
    StreamItem,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from oturn.transport.openai import OpenAITransport
from oturn.transport.scripted import ScriptedTransport

REQUEST = ModelRequest("m", [{"role": "user", "content": "hi"}])
#: Seconds that a test waits for what must come.
PATIENCE = 5.0

Answer: TypeAlias = tuple[modelserver.Reply, scripted.Reply]
"""One answer in the words of the scripted server, and of the scripted transport."""

Maker: TypeAlias = Callable[..., ModelTransport]

WORDS: Answer = (
    modelserver.text("Hello, you there.", reasoning="a greeting", usage={"total_tokens": 7}),
    scripted.say("Hello, you there.", reasoning="a greeting", usage={"total_tokens": 7}),
)
TOOLS: Answer = (
    modelserver.calls(modelserver.call("clock", zone="UTC"), modelserver.call("look"), text="Hm."),
    scripted.call_tools(scripted.call("clock", zone="UTC"), scripted.call("look"), text="Hm."),
)
REFUSED: Answer = (
    modelserver.error(429, "slow down"),
    scripted.fail("rate_limited", "slow down"),
)
CUT: Answer = (
    modelserver.die_after(modelserver.text("Hello, you there."), 3),
    scripted.fail("broken", "cut", after="Hello, you there."),
)


@pytest.fixture(params=["http", "scripted"])
def transport_for(request: pytest.FixtureRequest) -> Iterator[Maker]:
    """Makes a transport that gives these answers, one to each request."""
    servers: list[modelserver.ModelServer] = []

    def over_http(*answers: Answer, delay: float = 0.0) -> ModelTransport:
        replies = iter([reply for reply, _ in answers])
        server = modelserver.ModelServer(lambda _: next(replies), token_delay=delay)
        servers.append(server.__enter__())
        return OpenAITransport(server.base_url, timeout=PATIENCE)

    def from_script(*answers: Answer, delay: float = 0.0) -> ModelTransport:
        return ScriptedTransport([reply for _, reply in answers], delay=delay)

    yield over_http if request.param == "http" else from_script
    for server in servers:
        server.__exit__(None, None, None)


async def all_of(stream: AsyncIterator[StreamItem]) -> list[StreamItem]:
    async with asyncio.timeout(PATIENCE):
        return [item async for item in stream]


@pytest.mark.parametrize("answer", [WORDS, TOOLS, REFUSED, CUT])
async def test_every_stream_ends_with_one_ending(transport_for: Maker, answer: Answer) -> None:
    transport = transport_for(answer)
    items = await all_of(transport.stream(REQUEST))
    endings = [item for item in items if isinstance(item, Finished | Failed)]
    assert endings == [items[-1]]
    await transport.aclose()


async def test_words_reasoning_and_usage_arrive_whole(transport_for: Maker) -> None:
    transport = transport_for(WORDS)
    items = await all_of(transport.stream(REQUEST))
    assert "".join(i.text for i in items if isinstance(i, TextDelta)) == "Hello, you there."
    assert "".join(i.text for i in items if isinstance(i, ReasoningDelta)) == "a greeting"
    assert [i for i in items if isinstance(i, UsageReport)] == [UsageReport({"total_tokens": 7})]
    assert sum(isinstance(i, TextDelta) for i in items) > 1
    await transport.aclose()


async def test_tool_calls_arrive_whole_with_ids_that_no_other_request_has(
    transport_for: Maker,
) -> None:
    transport = transport_for(TOOLS, TOOLS)
    ids: list[str] = []
    for _ in range(2):
        items = await all_of(transport.stream(REQUEST))
        fragments = [i for i in items if isinstance(i, ToolCallDelta)]
        assert [i.name for i in fragments if i.name] == ["clock", "look"]
        first = "".join(i.arguments or "" for i in fragments if i.index == 0)
        assert first == '{"zone": "UTC"}'
        ids += [i.id for i in fragments if i.id]
    assert len(set(ids)) == 4
    await transport.aclose()


async def test_a_refusal_is_a_value_with_a_kind_and_a_sentence(transport_for: Maker) -> None:
    transport = transport_for(REFUSED)
    (item,) = await all_of(transport.stream(REQUEST))
    assert isinstance(item, Failed)
    assert item.error.kind == "rate_limited"
    assert "slow down" in item.error.message
    await transport.aclose()


async def test_a_stream_that_breaks_off_keeps_what_came_before(transport_for: Maker) -> None:
    transport = transport_for(CUT)
    items = await all_of(transport.stream(REQUEST))
    assert any(isinstance(item, TextDelta) for item in items)
    assert isinstance(items[-1], Failed)
    assert items[-1].error.kind == "broken"
    await transport.aclose()


async def test_streams_may_run_at_the_same_time(transport_for: Maker) -> None:
    transport = transport_for(*[WORDS] * 10, delay=0.001)
    answers = await asyncio.gather(*(all_of(transport.stream(REQUEST)) for _ in range(10)))
    assert all(isinstance(items[-1], Finished) for items in answers)
    await transport.aclose()


async def test_cancellation_passes_and_the_transport_can_be_used_again(
    transport_for: Maker,
) -> None:
    transport = transport_for(WORDS, WORDS, delay=0.01)
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in transport.stream(REQUEST):
            begun.set()

    reader = asyncio.create_task(read())
    await asyncio.wait_for(begun.wait(), PATIENCE)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert isinstance((await all_of(transport.stream(REQUEST)))[-1], Finished)
    await transport.aclose()


async def test_closing_twice_does_no_harm(transport_for: Maker) -> None:
    transport = transport_for(WORDS)
    await all_of(transport.stream(REQUEST))
    await transport.aclose()
    await transport.aclose()
