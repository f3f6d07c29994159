"""The events of one turn on their way to a program: in time, with its callbacks called.

It sends nothing but the answers of those callbacks, and knows nothing of how events come.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import TypeAlias

from turnstone.core.errors import UnknownRequest
from turnstone.mq import protocol as p
from turnstone.mq.client_args import Mistakes
from turnstone.mq.client_asks import Asked, answer_to, refusal_of
from turnstone.mq.client_line import Line
from turnstone.mq.client_turn import TurnReader

_CUT = (
    "The turn has ended, but parts of its answer were missed, and the whole of it was not there in"
    " time: ask for it with result()."
)

OnEvent: TypeAlias = Callable[[p.OutboundEvent], Awaitable[None] | None]

Events: TypeAlias = AsyncGenerator[p.OutboundEvent, None]


async def in_time(
    events: Events,
    line: Line,
    reader: TurnReader,
    limit: float | None,
    sent: p.SendMessage | None = None,
) -> Events:
    """The events, as long as the turn ends within `limit` seconds. Raises TurnTimedOut, with what
    `reader` knows; never while the program deals with an event."""
    loop = asyncio.get_running_loop()
    deadline = None if limit is None else loop.time() + limit
    async with aclosing(events):
        while True:
            try:
                async with asyncio.timeout_at(deadline) as scope:
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not scope.expired():
                    raise
                break
            yield event
    result = reader.result
    result.timed_out = True
    result.errors += await why_late(line, reader, sent)
    result.checked()  # this raises


async def told(line: Line, events: Events, asked: Asked) -> Events:
    """The events up to the turn's completion; what is asked is answered behind each."""
    mistakes = Mistakes()
    async with aclosing(events):
        async for event in events:
            yield event
            if isinstance(event, p.TurnCompleteEvent):
                return
            await answer(line, asked, event, mistakes)


async def answer(line: Line, asked: Asked, event: p.OutboundEvent, mistakes: Mistakes) -> None:
    """Ask the callback that is for this event, if there is one, and send what it says."""
    if not asked.wants(event):
        return
    reply = refusal_of(event)
    with mistakes.logged(event):
        said = asked.of(event)
        reply = answer_to(event, await said if inspect.isawaitable(said) else said)
    if reply is not None:
        with suppress(UnknownRequest):  # somebody else was faster
            await line.respond(reply)


async def tell(on_event: OnEvent | None, event: p.OutboundEvent, mistakes: Mistakes) -> None:
    if on_event is None:
        return
    with mistakes.logged(event):
        said = on_event(event)
        if inspect.isawaitable(said):
            await said


async def why_late(line: Line, reader: TurnReader, sent: p.SendMessage | None) -> list[str]:
    """Why the answer has not come in time, as far as that can be seen from here."""
    why = [_CUT] if reader.ended else reader.questions()
    refused, silent = line.problem, "" if line.problem else await line.silence()
    if not reader.delivered:
        reason = (
            refused or f"{silent or 'That it has arrived was not confirmed.'} It may still come."
        )
        why.append(f"The message could not be delivered in time: {reason}")
    elif refused or silent:
        why.append(f"Not heard of in time: {refused or silent}")
    elif sent is not None and (nobody := await line.absence(sent)):
        why.append(f"Not done in time: {nobody}")
    return why
