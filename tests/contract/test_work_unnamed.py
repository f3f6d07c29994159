"""The contract of the queue's steps: messages that came without an id, and are given one."""

from __future__ import annotations

from support.queues import (
    Queue,
    plain,
    send,
    take_on,
    take_shared,
)


async def test_an_id_that_the_queue_gave_is_not_given_again_after_it_has_lost_everything(
    queue: Queue,
) -> None:
    given = []
    for _ in range(2):
        node = await queue.node("a", boot="one")
        await queue.push(send())
        given += [c.correlation_id for c in await take_shared(node)]
        await queue.lose_all()

    assert plain(given) == ["anon:1", "anon:1"]
    assert len(set(given)) == 2


async def test_a_sender_cannot_take_an_id_as_the_queue_gives_them(queue: Queue) -> None:
    node = await queue.node("a")
    await queue.push(send())
    (unnamed,) = await take_shared(node)
    await take_on(node, unnamed)
    ear = await queue.listen(queue.keys.events_global)
    await queue.push(send(unnamed.correlation_id, "another"))

    (refused,) = await take_shared(node)

    assert refused.correlation_id == ""
    assert "correlation_id must be an id that does not begin with anon:" in refused.problem
    await node.bury(refused, refused.problem)
    assert (await ear.next())["message"] == refused.problem
    assert (await queue.record(unnamed.correlation_id))["s"] == "accepted"
