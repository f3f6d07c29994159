"""A transport that makes another one's answers go wrong, by a seed: to try what an agent endures.

    transport = ChaoticTransport(EchoTransport(), seed=7)

It keeps the contract of `oturn.transport.base` itself: one ending, and nothing behind it. Only
`disturbed`, which works on the bytes of a server, breaks every rule there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from random import Random

from oturn.errors import ModelError
from oturn.transport.base import (
    Failed,
    Finished,
    ModelRequest,
    ModelTransport,
    StreamItem,
    ToolCallDelta,
)
from oturn.transport.closing import closing
from oturn.transport.echo import Sleep


class Fault(StrEnum):
    """What may go wrong with one answer."""

    RATE_LIMIT = "rate_limit"  # refused with 429 before anything came
    SERVER_ERROR = "server_error"  # refused with 500 before anything came
    EMPTY = "empty"  # finished, with nothing in it
    DROP = "drop"  # the connection breaks somewhere in the middle
    GARBAGE = "garbage"  # somewhere in the middle comes what is no JSON
    STALL = "stall"  # silence somewhere in the middle
    CUT_CALL = "cut_call"  # the arguments of tool calls stop short, and the answer finishes
    SPOIL_CALL = "spoil_call"  # the arguments of tool calls are no JSON
    LOSE_PLACE = "lose_place"  # fragments of tool calls without index, or without id
    DUPLICATE = "duplicate"  # fragments that come twice
    SHUFFLE = "shuffle"  # fragments in another order than they were sent


#: How likely each fault is in one answer: about every second answer suffers from something.
DEFAULT_RATE = 0.06
#: Faults in the middle of an answer happen before this many of its items have come.
REACH = 12
#: How likely a fragment suffers, in an answer whose fragments do.
EACH = 0.3
#: How many items a shuffling answer holds back.
WINDOW = 3
#: Seconds of silence of an answer that stalls.
STALL_SECONDS = 1.0

_NO_JSON = ("{", '"', ",}", "\u0000", "nul", "}{")


class ChaoticTransport:
    """A `ModelTransport` around `inner`. The same seed and requests give the same faults.

    `rate`: the probability of each of `faults` in an answer, 0 to 1. `stall`: seconds.
    `happened` lists the faults of each answer so far, in the order of the requests.
    """

    def __init__(
        self,
        inner: ModelTransport,
        *,
        seed: int,
        rate: float = DEFAULT_RATE,
        faults: Collection[Fault] = tuple(Fault),
        stall: float = STALL_SECONDS,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if not 0 <= rate <= 1:
            raise ValueError(f"rate is {rate}: it is a probability, from 0 to 1.")
        self.happened: list[tuple[Fault, ...]] = []
        self._inner = inner
        self._seed = seed
        self._rate = rate
        self._faults = tuple(fault for fault in Fault if fault in faults)
        self._stall = stall
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"ChaoticTransport({self._inner!r}, seed={self._seed}, rate={self._rate})"

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
        # Each answer has a source of its own, so that answers at the same time do not mix.
        random = Random(f"{self._seed}/{len(self.happened)}")  # noqa: S311 nothing is kept secret by it
        faults = tuple(fault for fault in self._faults if random.random() < self._rate)
        self.happened.append(faults)
        refusal = _refusal(faults)
        if refusal is not None:
            await self._sleep(0)
            yield refusal
            return
        disturbance = Disturbance(faults, random)
        silent_at = random.randrange(REACH) if Fault.STALL in faults else None
        place = 0
        async with closing(self._inner.stream(request)) as items:
            async for item in items:
                if place == silent_at:
                    await self._sleep(self._stall)
                place += 1
                for made in disturbance.feed(item):
                    yield made
                if disturbance.ended:
                    return

    async def aclose(self) -> None:
        await self._inner.aclose()


class Disturbance:
    """The faults of one answer, item by item. Waits for nothing; `ended` is set with the ending."""

    def __init__(self, faults: Collection[Fault], random: Random) -> None:
        self.ended = False
        self._faults = faults
        self._random = random
        breaks = Fault.DROP in faults or Fault.GARBAGE in faults
        self._breaks_at = random.randrange(REACH) if breaks else None
        self._arguments_left = random.randrange(REACH) if Fault.CUT_CALL in faults else None
        self._held: list[StreamItem] = []
        self._place = 0

    def feed(self, item: StreamItem) -> list[StreamItem]:
        """What comes in place of this item; nothing any more once it has ended."""
        if self.ended:
            return []
        if isinstance(item, Finished | Failed):
            return self._end(item)
        if self._place == self._breaks_at:
            return self._end(_broken(garbage=Fault.GARBAGE in self._faults))
        self._place += 1
        made: list[StreamItem] = self._call(item) if isinstance(item, ToolCallDelta) else [item]
        if Fault.DUPLICATE in self._faults:
            made = [m for m in made for _ in range(1 + self._strikes())]
        return self._shuffled(made) if Fault.SHUFFLE in self._faults else made

    def _end(self, ending: StreamItem) -> list[StreamItem]:
        self.ended = True
        held, self._held = self._held, []
        self._random.shuffle(held)
        return [*held, ending]

    def _call(self, delta: ToolCallDelta) -> list[StreamItem]:
        if delta.arguments and self._arguments_left is not None:
            if not self._arguments_left:
                return []
            self._arguments_left -= 1
        if delta.arguments and Fault.SPOIL_CALL in self._faults and self._strikes():
            delta = replace(delta, arguments=delta.arguments + self._random.choice(_NO_JSON))
        if Fault.LOSE_PLACE in self._faults and self._strikes():
            lost = self._random.choice(("index", "id"))
            delta = replace(delta, index=None) if lost == "index" else replace(delta, id=None)
        return [delta]

    def _shuffled(self, made: Sequence[StreamItem]) -> list[StreamItem]:
        self._held += made
        out = []
        while len(self._held) > WINDOW:
            out.append(self._held.pop(self._random.randrange(len(self._held))))
        return out

    def _strikes(self) -> bool:
        return self._random.random() < EACH


def disturbed(payloads: Sequence[bytes], seed: int) -> list[bytes]:
    """The bytes of a server's stream, as a bad network and a bad server would deliver them.

    Cut anywhere, with pieces lost, doubled, changed in order or spoilt, and perhaps without the
    end. The same seed gives the same bytes. Pure.
    """
    random = Random(seed)  # noqa: S311 nothing is kept secret by it
    changed = list(_spoilt(payloads, random))
    if random.random() < EACH:
        first = random.randrange(len(changed) + 1)
        random.shuffle(tail := changed[first:])
        changed[first:] = tail
    whole = b"".join(changed)
    if random.random() < EACH:
        whole = whole.replace(b"\n", random.choice((b"\r\n", b"\r")))
    if random.random() < EACH:
        whole = whole[: random.randrange(len(whole) + 1)]
    return list(_cut(whole, random))


def _spoilt(payloads: Sequence[bytes], random: Random) -> Iterator[bytes]:
    for payload in payloads:
        match random.randrange(30):
            case 0:
                continue
            case 1:
                yield payload
                yield payload
            case 2:
                yield payload[: random.randrange(len(payload) + 1)]
            case 3:
                yield b": keep-alive\n\n" + payload
            case 4:
                yield random.randbytes(random.randrange(20)) + payload
            case 5:
                yield payload.replace(b'"', b"", 1)
            case _:
                yield payload


def _cut(whole: bytes, random: Random) -> Iterator[bytes]:
    while whole:
        size = random.randint(1, 40)
        yield whole[:size]
        whole = whole[size:]


def _refusal(faults: Collection[Fault]) -> StreamItem | None:
    if Fault.RATE_LIMIT in faults:
        text = "The model server allows no more requests for now (HTTP 429). Try again in 1 s."
        return Failed(ModelError("rate_limited", text, 429, 1.0))
    if Fault.SERVER_ERROR in faults:
        text = "The model server failed with HTTP 500: try again."
        return Failed(ModelError("server", text, 500))
    return Finished("stop") if Fault.EMPTY in faults else None


def _broken(*, garbage: bool) -> Failed:
    what = "sent something that is no JSON" if garbage else "broke off in the middle of its answer"
    return Failed(ModelError("broken", f"The model server {what}: try again."))
