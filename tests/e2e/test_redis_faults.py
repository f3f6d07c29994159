"""Redis in all its moods: whole turns before, during and after each; nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, hold, text
from modelserver.plans import last_user_text
from support.redis import RedisServer, redis_server
from support.redis_faults import FAULTS, garbler_before
from support.workers import WorkingNode, working_node
from turnstone.mq import AsyncTurnstoneClient
from turnstone.mq.connection import RedisAddress

#: Seconds for a turn, or a state, on a machine that is busy with other tests.
PATIENCE = 45.0

LONG = os.environ.get("TURNSTONE_TEST_SIZE") == "long"

#: Seconds between two beats, so that a test sees several.
BEAT = 1.0


class Held:
    """A model that says back what it was told, and holds back the answer to `held`."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def plan(self, body: dict[str, Any]) -> Reply:
        said = last_user_text(body)
        reply = text(said)
        return hold(reply, self.gate, before=1) if said == "held" else reply


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)  # the condition is the state that is waited for


def asked(node: WorkingNode) -> Counter[str]:
    return Counter(last_user_text(body) for body in node.model.requests)


def told(log: pytest.LogCaptureFixture) -> Counter[str]:
    """How often a worker said what."""
    return Counter(
        record.getMessage() for record in log.records if record.name == "turnstone.mq.worker_link"
    )


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="turnstone.mq")


def beating() -> dict[str, Any]:
    return {"work": {"lease": 3 * BEAT}, "beat_every": BEAT}


async def settled(server: RedisServer, prefix: str = "turnstone") -> None:
    """Nothing is on its way any more."""
    with server.client() as client:
        async with asyncio.timeout(PATIENCE):
            while any(
                client.keys(f"{prefix}:{name}")
                for name in ("inbound*", "x:stage", "x:dstage:*", "x:p[sd]:*", "x:inflight:*")
            ):
                await asyncio.sleep(0.02)  # empty lists are the state that is waited for


@pytest.mark.parametrize("name", FAULTS)
async def test_turns_before_during_and_after_a_fault_of_redis_end_once(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    fault, model = FAULTS[name], Held()
    wanted = ["before", "held", "after", *(["during"] if fault.sends else [])]
    with redis_server(*fault.options) as server, server.client() as hand:
        async with (
            working_node(tmp_path, model.plan, server.address, "n1", **beating()) as node,
            AsyncTurnstoneClient(port=server.port) as client,
        ):

            def send(said: str) -> asyncio.Task[Any]:
                return asyncio.create_task(client.send_and_wait(said, timeout=PATIENCE))

            sent = {"before": send("before")}
            await sent["before"]
            sent["held"] = send("held")
            await until(lambda: asked(node)["held"])
            hand.ping()
            async with fault.begin(server, hand):
                if fault.sends:
                    sent["during"] = send("during")
                model.gate.set()
                await until(lambda: re.search(fault.told, "\n".join(told(caplog))))
            sent["after"] = send("after")
            results = {said: await task for said, task in sent.items()}
            assert not node.running.done()
        await settled(server)

    assert {said: (r.ok, r.content) for said, r in results.items()} == {
        said: (True, said) for said in wanted
    }, {said: r.errors for said, r in results.items()}
    assert asked(node) == Counter(wanted)
    assert [words for words, times in told(caplog).items() if times > 1] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (b":7\r\n", "makes no sense"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "does not speak as Redis does"),
        (b"\x00\xff\x16\x03\x01\r\n", "does not speak as Redis does"),
        (b":x\r\n", "does not speak as Redis does"),
        *([(b"*1000\r\n$5\r\nab", ""), (b"+OK\r\n", "")] if LONG else []),  # each waits 10 s
        (b"-ERR upstream failure\r\n", "upstream failure"),
    ],
)
async def test_what_is_no_answer_of_redis_ends_no_worker(
    tmp_path: Path, words: bytes, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = Held()
    with redis_server() as server:
        async with garbler_before(server.port) as between:
            address = RedisAddress("127.0.0.1", between.port)
            async with (
                working_node(tmp_path, model.plan, address, "n1", **beating()) as node,
                AsyncTurnstoneClient(port=server.port) as client,
            ):
                held = asyncio.create_task(client.send_and_wait("held", timeout=PATIENCE))
                await until(lambda: asked(node)["held"])
                async with between.says(words, unasked=said != "makes no sense"):
                    model.gate.set()
                    await until(
                        lambda: (
                            node.running.done()
                            or re.search(said or "waits", "\n".join(told(caplog)))
                        )
                    )
                    assert not node.running.done()
                results = [await held, await client.send_and_wait("after", timeout=PATIENCE)]
                assert not node.running.done()

    assert [(r.ok, r.content) for r in results] == [(True, "held"), (True, "after")]
    assert asked(node) == Counter(["held", "after"])


async def test_a_policy_that_throws_work_away_is_told_when_it_is_set_and_when_it_is_mended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server() as server, server.client() as hand:
        hand.execute_command("ACL", "SETUSER", "default", "-config")
        address = server.address
        with server.client() as other:
            other.execute_command("ACL", "SETUSER", "boss", "on", ">pw", "+@all", "~*", "&*")
        boss = replace(address, username="boss", password="pw")
        work: dict[str, Any] = {"work": {"lease": 0.06}, "beat_every": 0.02}
        async with working_node(tmp_path, Held().plan, address, "n1", **work):
            client: Any = boss.client()
            await client.config_set("maxmemory-policy", "allkeys-lru")
            await until(lambda: "its maxmemory-policy is allkeys-lru" in caplog.text)
            await client.config_set("maxmemory-policy", "noeviction")
            await until(lambda: "this is over: Redis at" in caplog.text)
            await client.aclose()

    assert caplog.text.count("work may be lost") == 1
