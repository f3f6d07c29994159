"""Many senders at once: one order, each message once, whoever sends it again."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path

import pytest

from modelserver import hold, text
from modelserver.plans import echo, last_user_text
from support.nodes import local_node
from support.stores import journal
from support.watching import ending, send, until
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream, SendMessage


@pytest.mark.parametrize("seed", range(3))
async def test_turns_come_in_the_order_in_which_messages_were_accepted(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    async with local_node(tmp_path, echo) as node:
        ws = await node.host.create(CreateWorkstream())

        async def one(cid: str) -> None:
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
            accepted = await node.host.send(
                SendMessage(ws_id=ws.id, message=f"say {cid}", correlation_id=cid)
            )
            assert accepted.correlation_id == cid

        sent = [f"c{n % 12}" for n in range(36)]  # each of them three times
        chance.shuffle(sent)
        await asyncio.gather(*(one(cid) for cid in sent))
        texts = {cid: (await ending(node.host, ws.id, cid)).text for cid in set(sent)}
        records = await journal(tmp_path, ws.id)

    accepted = [r.correlation_id for r in records if isinstance(r, ev.MessageAccepted)]
    ended = [r.correlation_id for r in records if isinstance(r, ev.TurnEnded)]
    assert ended == accepted
    assert sorted(accepted) == sorted(set(sent))
    assert texts == {cid: f"say {cid}" for cid in set(sent)}


async def test_an_id_that_another_workstream_has_is_answered_with_the_first_one(
    tmp_path: Path,
) -> None:
    gate = threading.Event()
    async with local_node(tmp_path, lambda body: hold(text(last_user_text(body)), gate)) as node:
        one = await node.host.create(CreateWorkstream())
        other = await node.host.create(CreateWorkstream())
        await send(node.host, one.id, "first", "c1")
        again = await node.host.send(
            SendMessage(ws_id=other.id, message="first", correlation_id="c1")
        )
        gate.set()
        ended, _ = await until(node.host, one.id, ev.TurnEnded, "c1")
        records = await journal(tmp_path, other.id)

    assert (again.ws_id, again.correlation_id, again.duplicate) == (one.id, "c1", True)
    assert ended.text == "first"
    assert [r.type for r in records] == ["ws_created"]
