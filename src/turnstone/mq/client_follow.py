"""One turn over any way to its nodes: sent and followed, or followed again, to its end.

Yields what programs are told; what is known of the answer is in the reader, when it is over.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing

from turnstone.core.errors import NodeUnavailable, TurnstoneError, UnknownWorkstream
from turnstone.mq import protocol as p
from turnstone.mq.client_line import Line
from turnstone.mq.client_turn import TurnReader
from turnstone.mq.errors import QueueUnavailable, UnknownMessage
from turnstone.mq.results import StoredResult, TurnResult

#: Seconds between two looks for the turn of a message that no node has taken; and at most between
#: two for a message that is nowhere.
_LOOK, _LONGEST_LOOK = 0.25, 2.0

#: Seconds for a message to appear that is followed: as long as its sender may try to deliver it.
UNKNOWN_WAIT = 5.0


def reader_of(sent: p.SendMessage) -> TurnReader:
    fresh = not sent.ws_id
    ws_id = sent.ws_id or secrets.token_hex(4)
    return TurnReader(sent.correlation_id, ws_id, fresh=fresh)


async def turn(
    line: Line, sent: p.SendMessage, reader: TurnReader
) -> AsyncGenerator[p.OutboundEvent, None]:
    """Send, and yield what happens until the turn has ended."""
    ws_id = reader.result.ws_id
    try:
        place = await line.place(ws_id) if sent.ws_id else "0-0"
        await line.deliver(sent, new_ws_id="" if sent.ws_id else ws_id)
        reader.delivered = True
    except (QueueUnavailable, NodeUnavailable):
        raise
    except TurnstoneError as error:
        for one in reader.close(_refused(reader.result, error)):
            yield one
        return
    async with aclosing(followed(line, reader, place)) as events:
        async for one in events:
            yield one


async def again(
    line: Line, reader: TurnReader, place: str
) -> AsyncGenerator[p.OutboundEvent, None]:
    """The turn of a message that was sent before, behind `place`. Raises UnknownMessage."""
    cid, ws_id = reader.result.correlation_id, reader.result.ws_id
    await _there(line, cid, ws_id)
    stored = None
    while not ws_id and (stored := await line.result(cid)) is None:
        ws_id = await line.workstream_of(cid)
        if not ws_id:
            await asyncio.sleep(_LOOK)
    ws_id = ws_id or (stored.ws_id if stored is not None else "")
    reader.result.ws_id = ws_id
    try:
        if ws_id:
            async with aclosing(followed(line, reader, place or "0-0")) as events:
                async for one in events:
                    yield one
            return
    except UnknownWorkstream:  # closed: what is kept of it is all there is
        stored = await line.result(cid, ws_id)
        if stored is None:
            raise
    if stored is not None:
        for one in reader.close(stored):
            yield one


async def _there(line: Line, cid: str, ws_id: str) -> None:
    """Wait until there is such a message, for as long as its sender may try to deliver it."""
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + UNKNOWN_WAIT, _LOOK
    while not await line.knows(cid, ws_id):
        if loop.time() >= deadline:
            raise UnknownMessage(
                f"No node knows a message {cid!r}, and none waits in a list.",
                hint="Was it sent, and to this place? A message is remembered for three days after"
                " its end. One node alone knows those of a closed workstream by its ws_id only.",
            )
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_LOOK)


async def followed(
    line: Line, reader: TurnReader, place: str
) -> AsyncGenerator[p.OutboundEvent, None]:
    """What happens behind `place` until the turn has ended."""
    cid, ws_id = reader.result.correlation_id, reader.result.ws_id
    events = line.turn(cid, ws_id, place)
    async with aclosing(events) as happened:  # type: ignore[type-var]
        async for event in happened:
            told = reader.close(event) if isinstance(event, StoredResult) else reader.read(event)
            for one in told:
                yield one
            if reader.whole:
                return
    for one in reader.close(_unended(reader.result)):
        yield one


def _refused(result: TurnResult, error: TurnstoneError) -> StoredResult:
    return _without_answer(result, "refused", str(error))


def _unended(result: TurnResult) -> StoredResult:
    return _without_answer(result, "closed", f"Workstream {result.ws_id} was closed meanwhile.")


def _without_answer(result: TurnResult, outcome: str, why: str) -> StoredResult:
    return StoredResult(
        correlation_id=result.correlation_id, ws_id=result.ws_id, outcome=outcome, errors=[why]
    )
