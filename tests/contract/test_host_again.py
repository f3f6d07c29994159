"""Messages that come again under their correlation id, over every way to a node."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelserver.plans import echo
from support.nodes import local_node
from support.watching import ending, send
from turnstone.core.errors import CorrelationIdUsed, Erased, UnknownWorkstream
from turnstone.core.host import CreateWorkstream, Host, SendMessage


async def test_another_text_under_a_used_correlation_id_is_refused_and_told_where_it_was_used(
    host: Host,
) -> None:
    first, other = [await host.create(CreateWorkstream()) for _ in range(2)]
    await send(host, first.id, "one", "c1")
    for ws_id in (first.id, other.id):
        with pytest.raises(CorrelationIdUsed, match=f"'c1'.* in workstream {first.id}"):
            await send(host, ws_id, "two", "c1")
    await ending(host, first.id, "c1")

    assert not await host.knows(other.id, "c1")


async def test_the_same_text_sent_elsewhere_is_a_duplicate_of_the_first(host: Host) -> None:
    first, other = [await host.create(CreateWorkstream()) for _ in range(2)]
    await send(host, first.id, "one", "c1")

    again = await host.send(SendMessage(ws_id=other.id, message=" one ", correlation_id="c1"))

    assert (again.duplicate, again.ws_id) == (True, first.id)


async def test_a_text_with_half_a_character_is_the_same_when_it_comes_again(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as node:
        ws = await node.host.create(CreateWorkstream())
        asked = SendMessage(ws_id=ws.id, message="half \ud800", correlation_id="c1")
        await node.host.send(asked)
        assert (await node.host.send(asked)).duplicate


async def test_an_ending_that_will_never_come_is_told_from_one_that_may(host: Host) -> None:
    ws = await host.create(CreateWorkstream())
    await send(host, ws.id, "one", "c1")

    assert await host.knows(ws.id, "c1")
    assert not await host.knows(ws.id, "c2")
    assert await host.ending(ws.id, "c2") is None
    with pytest.raises(UnknownWorkstream):
        await host.knows("ffffffff", "c1")


async def test_a_message_sent_again_to_its_erased_workstream_is_told_that_it_is_erased(
    host: Host,
) -> None:
    ws = await host.create(CreateWorkstream())
    await send(host, ws.id, "one", "c1")
    await ending(host, ws.id, "c1")
    await host.erase(ws.id)

    with pytest.raises(Erased):
        await send(host, ws.id, "one", "c1")
    with pytest.raises(UnknownWorkstream):
        await send(host, ws.id, "one", "c2")
