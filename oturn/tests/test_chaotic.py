"""The transport that makes answers go wrong: what it does to them, and what it never does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserver.replies import event
from oturn.transport import scripted
from oturn.transport.base import (
    Failed,
    Finished,
    ModelRequest,
    StreamItem,
    TextDelta,
    ToolCallDelta,
)
from oturn.transport.chaotic import ChaoticTransport, Disturbance, Fault, disturbed
from oturn.transport.chat_completions import ChatDecoder
from oturn.transport.scripted import ScriptedTransport

REQUEST = ModelRequest("m", [{"role": "user", "content": "hi"}])
ANSWER = scripted.call_tools(
    scripted.call("clock", zone="Europe/Berlin", exact=True),
    scripted.call("look", at="the sky"),
    text="Let me look at it.",
    chunk=4,
)
ENDINGS = (Finished, Failed)
SEEDS = st.integers(0, 2**32)


async def no_time(_: float) -> None:
    await asyncio.sleep(0)


def chaotic(seed: int, *faults: Fault, rate: float = 1.0) -> ChaoticTransport:
    inner = ScriptedTransport(lambda _: ANSWER)
    return ChaoticTransport(
        inner, seed=seed, rate=rate, faults=faults or tuple(Fault), sleep=no_time
    )


async def answer(transport: ChaoticTransport) -> list[StreamItem]:
    return [item async for item in transport.stream(REQUEST)]


def text_of(items: Collection[StreamItem]) -> str:
    return "".join(item.text for item in items if isinstance(item, TextDelta))


def arguments_of(items: Collection[StreamItem]) -> str:
    return "".join(i.arguments or "" for i in items if isinstance(i, ToolCallDelta))


@given(seed=SEEDS, rate=st.floats(0, 1), faults=st.sets(st.sampled_from(Fault), min_size=1))
async def test_whatever_goes_wrong_there_is_one_ending_and_it_is_the_last(
    seed: int, rate: float, faults: set[Fault]
) -> None:
    items = await answer(chaotic(seed, *faults, rate=rate))
    assert [item for item in items if isinstance(item, ENDINGS)] == [items[-1]]


@given(seed=SEEDS)
async def test_the_same_seed_makes_the_same_faults(seed: int) -> None:
    one, other = chaotic(seed, rate=0.3), chaotic(seed, rate=0.3)
    assert [await answer(one) for _ in range(3)] == [await answer(other) for _ in range(3)]
    assert one.happened == other.happened


async def test_the_answers_of_one_seed_differ_in_their_faults() -> None:
    transport = chaotic(2, rate=0.3)
    for _ in range(10):
        await answer(transport)
    assert len(set(transport.happened)) > 3


async def test_answers_at_the_same_time_do_not_change_each_others_faults() -> None:
    alone, together = chaotic(5, rate=0.3), chaotic(5, rate=0.3)
    expected = [await answer(alone) for _ in range(5)]
    assert list(await asyncio.gather(*(answer(together) for _ in range(5)))) == expected


async def test_without_faults_the_answer_is_that_of_the_transport_inside() -> None:
    untouched = await answer(chaotic(1, rate=0))
    assert untouched == [item async for item in ScriptedTransport([ANSWER]).stream(REQUEST)]


@given(seed=SEEDS)
async def test_a_refusal_comes_before_anything_else(seed: int) -> None:
    for fault, status in ((Fault.RATE_LIMIT, 429), (Fault.SERVER_ERROR, 500)):
        (item,) = await answer(chaotic(seed, fault))
        assert isinstance(item, Failed)
        assert item.error.status == status
    assert await answer(chaotic(seed, Fault.EMPTY)) == [Finished("stop")]


@given(seed=SEEDS)
async def test_a_dropped_answer_is_the_beginning_of_the_whole_one(seed: int) -> None:
    whole = await answer(chaotic(seed, rate=0))
    for fault in (Fault.DROP, Fault.GARBAGE):
        *begun, last = await answer(chaotic(seed, fault))
        assert begun == whole[: len(begun)]
        assert isinstance(last, Failed)
        assert last.error.kind == "broken"


@given(seed=SEEDS)
async def test_cut_calls_stop_short_in_an_answer_that_finishes(seed: int) -> None:
    whole = await answer(chaotic(seed, rate=0))
    cut = await answer(chaotic(seed, Fault.CUT_CALL))
    assert arguments_of(whole).startswith(arguments_of(cut))
    assert arguments_of(whole) != arguments_of(cut)
    assert cut[-1] == whole[-1]


@given(seed=SEEDS)
async def test_shuffled_items_are_the_same_items(seed: int) -> None:
    whole = await answer(chaotic(seed, rate=0))
    shuffled = await answer(chaotic(seed, Fault.SHUFFLE))
    assert sorted(map(repr, shuffled)) == sorted(map(repr, whole))
    assert shuffled[-1] == whole[-1]


@pytest.mark.parametrize(
    "fault", [Fault.DUPLICATE, Fault.SHUFFLE, Fault.SPOIL_CALL, Fault.LOSE_PLACE]
)
async def test_each_fault_of_fragments_is_seen_with_some_seed(fault: Fault) -> None:
    whole = await answer(chaotic(0, rate=0))
    assert any([await answer(chaotic(seed, fault)) != whole for seed in range(5)])
    assert all([(await answer(chaotic(seed, fault)))[-1] == whole[-1] for seed in range(5)])


async def test_an_answer_that_stalls_waits_once_and_then_goes_on() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    inner = ScriptedTransport([ANSWER])
    stalling = ChaoticTransport(inner, seed=3, rate=1, faults=[Fault.STALL], stall=9.0, sleep=sleep)
    assert text_of(await answer(stalling)) == "Let me look at it."
    assert waited == [9.0]


async def test_the_seed_is_shown_so_that_a_failure_can_be_repeated() -> None:
    assert "seed=77" in repr(chaotic(77))
    with pytest.raises(ValueError, match="probability"):
        chaotic(1, rate=2)


async def test_an_answer_that_breaks_closes_the_stream_inside() -> None:
    closed: list[bool] = []

    class Endless:
        async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
            try:
                while True:
                    yield TextDelta("x")
            finally:
                closed.append(True)

        async def aclose(self) -> None:
            closed.append(False)

    transport = ChaoticTransport(Endless(), seed=1, rate=1, faults=[Fault.DROP])
    assert isinstance((await answer(transport))[-1], Failed)
    assert closed == [True]
    await transport.aclose()
    assert closed == [True, False]


def test_nothing_comes_behind_the_ending_of_a_disturbed_answer() -> None:
    disturbance = Disturbance([], Random(1))
    assert disturbance.feed(Finished()) == [Finished()]
    assert disturbance.feed(TextDelta("late")) == []


def payloads() -> list[bytes]:
    delta = [{"content": "Hello"}, {"content": " you — there"}, {"reasoning": "hm"}]
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x": 1}'}}
    deltas = [*delta, {"tool_calls": [call]}]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": one, "finish_reason": None}]} for one in deltas
    ]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    end = [event(last), event({"usage": {"total_tokens": 1}}), event("[DONE]")]
    return [*map(event, chunks * 5), *end]


@given(seed=SEEDS)
def test_whatever_bytes_come_the_codec_gives_one_ending_and_never_raises(seed: int) -> None:
    decoder = ChatDecoder()
    items = [item for piece in disturbed(payloads(), seed) for item in decoder.feed(piece)]
    items += [] if decoder.ended else decoder.close()
    assert [item for item in items if isinstance(item, ENDINGS)] == [items[-1]]


def test_disturbed_bytes_depend_on_the_seed_alone() -> None:
    results = {seed: disturbed(payloads(), seed) for seed in range(20)}
    assert results == {seed: disturbed(payloads(), seed) for seed in range(20)}
    whole = {b"".join(pieces) for pieces in results.values()}
    assert len(whole) > 10
