"""`turnstone queue` on a real Redis, as a person types it and as a program reads it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from support.queues import RedisQueue, send, take_shared
from support.redis import RedisServer, redis_server
from turnstone.main import turnstone


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(autouse=True)
async def queue(server: RedisServer) -> Any:
    opened = RedisQueue(server)
    await opened.redis.flushall()
    yield opened
    await opened.aclose()


@pytest.fixture
def typed(server: RedisServer, tmp_path: Path) -> Any:
    def run(*words: str, port: int = server.port, **options: Any) -> Result:
        place = ["--redis-host", "127.0.0.1", "--redis-port", str(port)]
        env = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "TURNSTONE_CONFIG": ""}
        result = CliRunner().invoke(turnstone, ["queue", *words, *place], env=env, **options)
        assert "Traceback" not in result.output
        return result

    return run


async def bury(queue: RedisQueue, raw: bytes, why: str = "No.") -> None:
    node = await queue.node("n1", boot="one")
    await queue.push(raw)
    (claimed,) = await take_shared(node)
    await node.bury(claimed, why)


async def in_thread(typed: Any, *words: str, **options: Any) -> Result:
    """The command has an event loop of its own."""
    found: Result = await asyncio.to_thread(typed, *words, **options)
    return found


async def test_status_and_lists_say_what_waits(queue: RedisQueue, typed: Any) -> None:
    await queue.node("n1", boot="one", labels=("gpu=a",))
    await queue.push(send("c1"))
    await queue.push(send("c2"), "n2")

    status = await in_thread(typed, "status")
    assert status.exit_code == 0, status.output
    assert "waiting      2" in status.output
    assert "n1|one" in status.output
    assert "labels gpu=a" in status.output
    assert "nobody takes work" not in status.output
    told = json.loads((await in_thread(typed, "status", "--json")).output)
    assert (told["waiting"], told["dead"], told["labels"]) == (2, 0, {"n1": "gpu=a"})
    assert "turnstone:inbound:n2" in (await in_thread(typed, "ls")).output
    listed = json.loads((await in_thread(typed, "ls", "--json")).output)
    assert [one["name"] for one in listed] == ["turnstone:inbound", "turnstone:inbound:n2"]


async def test_a_dead_letter_is_listed_shown_and_sent_again(queue: RedisQueue, typed: Any) -> None:
    await bury(queue, send("c1", "hello \x1b[31mred"), "There is no \x1b[2J node x.")

    listed = await in_thread(typed, "dead")
    assert "c1" in listed.output
    assert "\x1b" not in listed.output
    (letter,) = json.loads((await in_thread(typed, "dead", "--json")).output)
    shown = await in_thread(typed, "show", letter["id"])
    assert "hello" in shown.output
    assert "\x1b" not in shown.output
    told = json.loads((await in_thread(typed, "show", letter["id"], "--json")).output)
    assert json.loads(told["text"])["correlation_id"] == "c1"

    sent = await in_thread(typed, "replay", letter["id"])
    assert sent.exit_code == 0
    (entry,) = await queue.entries("turnstone:inbound")
    assert json.loads(entry)["correlation_id"] in sent.output
    again = await in_thread(typed, "replay", letter["id"])
    assert again.exit_code == 1
    assert f"There is no dead letter {letter['id']}" in again.output


async def test_what_is_not_signed_is_sent_again_on_ones_word_alone(
    queue: RedisQueue, typed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURNSTONE_QUEUE_SIGNING_SECRET", "correct-horse-battery-staple")
    await bury(queue, send("c1", auto_approve=True))
    (letter,) = json.loads((await in_thread(typed, "dead", "--json")).output)

    refused = await in_thread(typed, "replay", letter["id"])
    assert refused.exit_code == 1
    assert "The message is not signed" in refused.output
    assert "--trust" in refused.output
    assert await queue.entries("turnstone:inbound") == []

    sent = await in_thread(typed, "replay", letter["id"], "--trust")
    assert sent.exit_code == 0
    (entry,) = await queue.entries("turnstone:inbound")
    assert {"auto_approve", "signature"} & json.loads(entry).keys() == {"signature"}


async def test_what_is_forgotten_is_asked_about_first(queue: RedisQueue, typed: Any) -> None:
    for n in range(3):
        await bury(queue, send(f"c{n}"))
    (first, *_) = json.loads((await in_thread(typed, "dead", "--json")).output)

    for words in (["drop", first["id"]], ["purge"]):
        refused = await in_thread(typed, *words)
        assert refused.exit_code == 2
        assert "--yes" in refused.output
    assert len(await queue.dead()) == 3

    assert (await in_thread(typed, "drop", first["id"], "--yes")).output == "Forgotten: 1\n"
    assert (await in_thread(typed, "purge", "--yes")).output == "Forgotten: 2\n"
    assert (await in_thread(typed, "dead")).output == "There are no dead letters.\n"
    assert (await in_thread(typed, "ls")).output == "Nothing waits.\n"


async def test_a_redis_that_is_away_is_told_in_a_sentence(typed: Any) -> None:
    told = await in_thread(typed, "status", port=1)
    assert told.exit_code == 1
    assert "Redis at 127.0.0.1:1 cannot be reached" in told.output


async def test_a_wrong_prefix_is_told_with_those_that_there_are(
    server: RedisServer, typed: Any
) -> None:
    other = RedisQueue(server, "{team}")
    try:
        await other.push(send("c1"))
        told = await in_thread(typed, "status")
    finally:
        await other.aclose()
    assert told.exit_code == 1
    assert "no queue under the prefix 'turnstone'" in told.output
    assert "'{team}'" in told.output


async def test_a_letter_whose_text_was_cut_stays_and_says_so(queue: RedisQueue, typed: Any) -> None:
    await bury(queue, send("c1", "x" * 70_000))
    (letter,) = json.loads((await in_thread(typed, "dead", "--json")).output)
    assert letter["cut"] is True

    told = await in_thread(typed, "replay", letter["id"])
    assert told.exit_code == 1
    assert "only the first 65536 are kept" in told.output
    assert len(await queue.dead()) == 1


async def test_a_prefix_that_is_a_pattern_is_refused(
    typed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURNSTONE_REDIS_PREFIX", "turn*")
    result = await in_thread(typed, "status")

    assert result.exit_code != 0
    assert "'turn*' cannot be the prefix of a queue" in result.output


async def test_status_of_a_queue_in_which_nobody_works_says_so(
    queue: RedisQueue, typed: Any, server: RedisServer
) -> None:
    await queue.push(send("c1"))
    status = await in_thread(typed, "status")

    place = f"Redis at 127.0.0.1:{server.port}, db 0, prefix turnstone"
    assert f"nodes        0: nobody takes work here ({place})" in status.output
