"""The contract of `oturn.transport.base`, over every transport there is."""

from __future__ import annotations

import asyncio
import contextlib
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
from oturn.transport.chaotic import ChaoticTransport
from oturn.transport.echo import EchoTransport
from oturn.transport.litellm import (
    LiteLLMTransport,
    get_global_litellm_prewarm_error,
    litellm_is_installed,
    start_global_litellm_prewarm,
)
from oturn.transport.openai import OpenAITransport
from oturn.transport.retry import ONE_REQUEST
from oturn.transport.scripted import ScriptedTransport

#: What is said here is what `EchoTransport` answers; the others answer what they are told to.
SAID = "Hello, you there."
REQUEST = ModelRequest("openai/m", [{"role": "user", "content": SAID}])
#: Seconds that a test waits for what must come; LiteLLM imports much at its first request.
PATIENCE = 20.0

Answer: TypeAlias = tuple[modelserver.Reply, scripted.Reply]
"""One answer in the words of the scripted server, and of the scripted transport."""

Maker: TypeAlias = Callable[..., ModelTransport]

COUNTS = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}

WORDS: Answer = (
    modelserver.text("Hello, you there.", reasoning="a greeting", usage=COUNTS),
    scripted.say("Hello, you there.", reasoning="a greeting", usage=COUNTS),
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


#: LiteLLM is large, and not part of a plain installation. Its own warnings are not ours to mend.
WITH_LITELLM = [
    pytest.mark.skipif(
        not litellm_is_installed(), reason='LiteLLM is not installed: pip install "oturn[litellm]"'
    ),
    pytest.mark.filterwarnings("default"),
]
EVERY_SCRIPTABLE = ["http", "scripted", "chaotic", pytest.param("litellm", marks=WITH_LITELLM)]


@pytest.fixture(params=EVERY_SCRIPTABLE)
def transport_for(request: pytest.FixtureRequest) -> Iterator[Maker]:
    """Makes a transport that gives these answers, one to each request."""
    with making(request.param) as maker:
        yield maker


@pytest.fixture(params=[*EVERY_SCRIPTABLE, "echo"])
def words_for(request: pytest.FixtureRequest) -> Iterator[Maker]:
    """The same for `WORDS` alone, which the echo takes from the request."""
    with making(request.param) as maker:
        yield maker


@contextlib.contextmanager
def making(kind: str) -> Iterator[Maker]:
    servers: list[modelserver.ModelServer] = []

    def served(*answers: Answer, delay: float) -> str:
        replies = iter([reply for reply, _ in answers])
        server = modelserver.ModelServer(lambda _: next(replies), token_delay=delay)
        servers.append(server.__enter__())
        return server.base_url

    def over_http(*answers: Answer, delay: float = 0.0) -> ModelTransport:
        return OpenAITransport(served(*answers, delay=delay), timeout=PATIENCE, retry=ONE_REQUEST)

    def through_litellm(*answers: Answer, delay: float = 0.0) -> ModelTransport:
        assert start_global_litellm_prewarm(blocking=True), get_global_litellm_prewarm_error()
        base_url = served(*answers, delay=delay)
        once = {"max_retries": 0}
        return LiteLLMTransport(
            model="openai/m", api_base=base_url, api_key="k", timeout=PATIENCE, extra_body=once
        )

    def from_script(*answers: Answer, delay: float = 0.0) -> ModelTransport:
        return ScriptedTransport([reply for _, reply in answers], delay=delay)

    def chaotic_at_rest(*answers: Answer, delay: float = 0.0) -> ModelTransport:
        return ChaoticTransport(from_script(*answers, delay=delay), seed=1, rate=0)

    def echo(*_: Answer, delay: float = 0.0) -> ModelTransport:
        return EchoTransport(delay=delay)

    makers: dict[str, Maker] = {
        "http": over_http,
        "scripted": from_script,
        "chaotic": chaotic_at_rest,
        "litellm": through_litellm,
        "echo": echo,
    }
    try:
        yield makers[kind]
    finally:
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
    (report,) = [i for i in items if isinstance(i, UsageReport)]
    assert report.usage.items() >= COUNTS.items()
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


async def test_streams_may_run_at_the_same_time(words_for: Maker) -> None:
    transport = words_for(*[WORDS] * 10, delay=0.001)
    answers = await asyncio.gather(*(all_of(transport.stream(REQUEST)) for _ in range(10)))
    assert all(isinstance(items[-1], Finished) for items in answers)
    await transport.aclose()


async def test_cancellation_passes_and_the_transport_can_be_used_again(
    words_for: Maker,
) -> None:
    transport = words_for(WORDS, WORDS, delay=0.01)
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


async def test_closing_twice_does_no_harm(words_for: Maker) -> None:
    transport = words_for(WORDS)
    await all_of(transport.stream(REQUEST))
    await transport.aclose()
    await transport.aclose()
