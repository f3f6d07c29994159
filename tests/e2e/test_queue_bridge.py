"""The bridge: the same queue, in front of a server that is reached over HTTP."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Plan, Reply, call, calls, hold, text
from modelserver.plans import echo, last_user_text, shell, tool_results
from support.nodes import local_node, start_host
from support.redis import RedisServer, redis_server
from support.servers import FULL, serving
from support.workers import running_worker
from turnstone.api.http_host import HttpHost
from turnstone.core.config import load_settings
from turnstone.mq import AsyncTurnstoneClient
from turnstone.mq.bridge import run_bridge
from turnstone.mq.errors import AnotherWorker
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.work import Seat
from turnstone.mq.worker_start import refuse_second

PATIENCE = 40.0


@asynccontextmanager
async def bridged(
    folder: Path, plan: Plan, redis: RedisServer, **worker: Any
) -> AsyncIterator[Any]:
    """A served node with a worker before it that knows nothing but its URL."""
    async with local_node(folder, plan) as node, serving(node.host) as served:
        host = HttpHost(served.url, FULL)
        try:
            async with running_worker(host, redis.address, "n1", in_process=False, **worker):
                yield node
        finally:
            await host.aclose()


async def test_messages_through_the_bridge_are_answered(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with (
            bridged(tmp_path, echo, redis) as node,
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            first = await client.send_and_wait("one", timeout=PATIENCE)
            again = await client.send_and_wait("two", ws_id=first.ws_id, timeout=PATIENCE)
            many = await asyncio.gather(
                *(client.send_and_wait(f"many {n}", timeout=PATIENCE) for n in range(20))
            )

    assert (first.content, again.content) == ("one", "two"), (first, again)
    assert [result.content for result in many] == [f"many {n}" for n in range(20)]
    asked = [last_user_text(body) for body in node.model.requests]
    assert len(asked) == len(set(asked)) == 22


async def test_a_question_is_answered_through_the_bridge(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with (
            bridged(tmp_path, shell, redis),
            AsyncTurnstoneClient(port=redis.port) as client,
        ):

            async def on_event(event: Any) -> None:
                if event.type == "approval_request":
                    await client.approve(event.correlation_id)

            result = await client.send_and_wait(
                "run: echo bridged", auto_approve=False, timeout=PATIENCE, on_event=on_event
            )

    assert (result.ok, "bridged" in result.content) == (True, True), result


async def test_a_second_worker_for_a_server_is_refused(tmp_path: Path) -> None:
    with redis_server() as redis:
        seat = Seat("server-1")
        async with bridged(tmp_path, echo, redis, work={"seat": seat}, beat_every=0.2):
            second = await RedisWork.open(redis.address, "another", seat=Seat("server-1"))
            other = await RedisWork.open(redis.address, "another", seat=Seat("server-2"))
            namesake = await RedisWork.open(redis.address, "n1", seat=Seat("server-3"))
            try:
                with pytest.raises(AnotherWorker, match="server-1 already, as node n1"):
                    await refuse_second(second, "server-1")
                await refuse_second(other, "server-2")
                with pytest.raises(AnotherWorker, match="The name n1 is used already, by another"):
                    await refuse_second(namesake, "server-3")
            finally:
                await second.aclose()
                await other.aclose()
                await namesake.aclose()


PROGRAM = """
import logging, sys
from turnstone.core.errors import TurnstoneError
from turnstone.mq.bridge import Bridge
from turnstone.mq import RedisBroker
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
try:
    broker = RedisBroker(port=int(sys.argv[2]))
    Bridge(sys.argv[1], broker, auth_token=sys.argv[3], node_id=sys.argv[4]).run()
except TurnstoneError as error:
    sys.exit(str(error))
"""


async def bridge(
    url: str, redis: RedisServer, token: str, node_id: str = "", state: Path | None = None
) -> asyncio.subprocess.Process:
    """`state`: where it keeps its lock; else that of this machine."""
    own = {} if state is None else {"XDG_DATA_HOME": str(state)}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        url,
        str(redis.port),
        token,
        node_id,
        env={**os.environ, **own},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_bridge_program_works_stops_gently_and_is_the_only_one(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with (
            local_node(tmp_path, echo) as node,
            serving(node.host) as served,
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            first = await bridge(served.url, redis, FULL)
            try:
                result = await client.send_and_wait("through the program", timeout=PATIENCE)
                [entry] = await client.list_nodes()
                second = await bridge(served.url, redis, FULL)
                _, complaint = await asyncio.wait_for(second.communicate(), PATIENCE)
                first.terminate()
                code = await asyncio.wait_for(first.wait(), PATIENCE)
            finally:
                if first.returncode is None:
                    first.kill()
                await first.communicate()

    assert result.content == "through the program"
    assert entry["node_id"] == node.host.node_id
    assert entry["server_url"] == served.url
    assert "on this machine already" in complaint.decode()
    assert code == 0


async def test_the_bridge_program_says_when_the_server_does_not_know_its_token(
    tmp_path: Path,
) -> None:
    with redis_server() as redis:
        async with local_node(tmp_path, echo) as node, serving(node.host) as served:
            process = await bridge(served.url, redis, "some-other-token")
            _, complaint = await asyncio.wait_for(process.communicate(), PATIENCE)

    assert "token" in complaint.decode()
    assert "Traceback" not in complaint.decode()
    assert process.returncode == 1


async def ended(process: asyncio.subprocess.Process) -> str:
    """What a process complained of, once it has ended."""
    _, complaint = await asyncio.wait_for(process.communicate(), PATIENCE)
    return complaint.decode()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same-machine", "another-machine"])
async def test_a_bridge_under_another_url_is_refused_and_follows_one_that_was_killed(
    tmp_path: Path, elsewhere: bool
) -> None:
    gate = threading.Event()
    with redis_server() as redis:
        async with (
            local_node(tmp_path, lambda body: hold(echo(body), gate)) as node,
            serving(node.host) as served,
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            other = served.url.replace("127.0.0.1", "localhost")
            state = tmp_path / "b" if elsewhere else tmp_path / "a"
            first = await bridge(served.url, redis, FULL, state=tmp_path / "a")
            try:
                waiting = asyncio.create_task(client.send_and_wait("kept", timeout=3 * PATIENCE))
                with redis.client() as connection:
                    inflight = f"turnstone:x:inflight:{node.host.node_id}"
                    async with asyncio.timeout(PATIENCE):
                        while not connection.hlen(inflight):
                            await asyncio.sleep(0.01)  # Redis is the state that is waited for
                refused = await ended(await bridge(other, redis, FULL, state=state))
                renamed = await ended(await bridge(other, redis, FULL, "renamed", state))
                first.kill()
                await first.communicate()
                gate.set()
                second = await bridge(other, redis, FULL, state=state)
                try:
                    result = await waiting
                finally:
                    second.kill()
                    await second.communicate()
            finally:
                if first.returncode is None:
                    first.kill()
                    await first.communicate()

    for complaint in (refused, renamed):
        assert node.host.node_id in complaint
        assert "already" in complaint
        assert "Traceback" not in complaint
    assert (result.ok, result.content) == (True, "kept"), result


async def test_a_bridge_that_misses_both_its_server_and_redis_names_both(tmp_path: Path) -> None:
    with redis_server() as redis:
        redis.kill()
        complaint = await ended(await bridge("http://127.0.0.1:9", redis, FULL))

    assert f"Redis at localhost:{redis.port} cannot be reached" in complaint
    assert "No node answers at http://127.0.0.1:9" in complaint


async def test_a_bridge_that_waits_for_its_server_has_looked_at_redis(tmp_path: Path) -> None:
    with redis_server() as redis:
        with redis.client() as connection:
            connection.set("turnstone:inbound", "of another program")
        complaint = await ended(await bridge("http://127.0.0.1:9", redis, FULL))

    assert (
        "has a string under the name turnstone:inbound, where the queue needs a list" in complaint
    )


async def test_what_is_kept_is_the_whole_answer_though_the_bridge_was_killed_between_two_steps(
    tmp_path: Path,
) -> None:
    gate = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        if tool_results(body):
            return hold(text("The second part."), gate)
        return calls(call("search", query="x", path="."), text="The first part.")

    with redis_server() as redis:
        async with (
            local_node(tmp_path, plan) as node,
            serving(node.host) as served,
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            first = await bridge(served.url, redis, FULL, state=tmp_path)
            try:
                with redis.client() as connection:
                    connection.rpush(
                        "turnstone:inbound",
                        '{"type": "send", "correlation_id": "c1", "message": "go"}',
                    )
                async with asyncio.timeout(PATIENCE):
                    while len(node.model.requests) < 2:
                        await asyncio.sleep(0.01)  # what the model was asked is the state
            finally:
                first.kill()
                await first.communicate()
            second = await bridge(served.url, redis, FULL, state=tmp_path)
            try:
                gate.set()
                async with asyncio.timeout(PATIENCE):
                    while (result := await client.result("c1")) is None:
                        await asyncio.sleep(0.05)  # the result is the state that is waited for
            finally:
                second.kill()
                await second.communicate()

    assert result.ok, result
    assert result.content == "The first part.\n\nThe second part."
    assert [name for name, _ in result.tool_results] == ["search"]


async def test_a_turn_that_ends_after_its_server_was_away_is_told_though_the_bridge_went_on(
    tmp_path: Path,
) -> None:
    gate = threading.Event()
    with redis_server() as redis, ModelServer(lambda body: hold(echo(body), gate)) as model:
        host = await start_host(tmp_path, model.base_url)
        async with AsyncExitStack() as first, AsyncTurnstoneClient(port=redis.port) as client:
            first.push_async_callback(host.aclose)
            served = await first.enter_async_context(serving(host))
            there = HttpHost(served.url, FULL)
            async with running_worker(there, redis.address, "n1", in_process=False):
                waiting = asyncio.create_task(client.send_and_wait("kept", timeout=PATIENCE))
                async with asyncio.timeout(PATIENCE):
                    while not model.requests:
                        await asyncio.sleep(0.01)  # what the model was asked is the state
                await first.aclose()
                gate.set()
                again = await start_host(tmp_path, model.base_url)
                try:
                    async with asyncio.timeout(PATIENCE):
                        while any(info.state != "idle" for info in await again.list()):
                            await asyncio.sleep(0.01)  # the turn ends while nobody can follow
                    async with serving(again, port=served.port):
                        result = await waiting
                finally:
                    await again.aclose()
            await there.aclose()

    assert (result.ok, result.content) == (True, "kept"), result


async def test_a_bridge_gives_a_node_up_after_the_time_that_its_settings_say(
    tmp_path: Path,
) -> None:
    with redis_server() as redis:
        async with (
            local_node(tmp_path, echo) as node,
            serving(node.host) as served,
            AsyncTurnstoneClient(port=redis.port) as client,
        ):
            with redis.client() as connection:
                connection.zadd("turnstone:x:seen", {"away": time.time()})
                connection.rpush(
                    "turnstone:inbound:away",
                    '{"type": "send", "correlation_id": "c1", "message": "go"}',
                )
            flags = {
                "bridge.server_url": served.url,
                "redis.port": redis.port,
                "auth.token": FULL,
                "queue.node_lost_after": 1,
            }
            env = {"HOME": str(tmp_path)}
            settings = load_settings("turnstone-bridge", flags=flags, env=env)
            running = asyncio.create_task(run_bridge(settings, lambda text: None))
            try:
                async with asyncio.timeout(PATIENCE):
                    while (result := await client.result("c1")) is None:
                        await asyncio.sleep(0.05)  # the result is the state that is waited for
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    assert "The node away was lost" in " ".join(result.errors)
