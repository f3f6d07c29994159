"""`turnstone cluster` and `/cluster`: nodes that Redis knows, asked over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from modelserver.plans import echo
from support.nodes import local_host
from support.redis import RedisServer, redis_server
from support.servers import FULL, serving
from support.turns import turn
from turnstone.cli.cluster import answer
from turnstone.core.config import Settings, load_settings
from turnstone.core.errors import ConfigurationError, InvalidRequest
from turnstone.core.host import CreateWorkstream
from turnstone.main import turnstone
from turnstone.mq.errors import QueueUnavailable


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def settings(port: int, folder: Path) -> Settings:
    flags = {"redis.host": "127.0.0.1", "redis.port": str(port), "auth.token": FULL}
    return load_settings("turnstone cluster", flags=flags, env={}, home=folder)


async def test_the_nodes_and_their_workstreams_are_shown(
    server: RedisServer, tmp_path: Path
) -> None:
    given = settings(server.port, tmp_path)
    async with local_host(tmp_path, echo) as host, serving(host) as served:
        info = await host.create(CreateWorkstream(name="mine\x1b[2J"))
        other = await host.create(CreateWorkstream(name="other"))
        await turn(host, info.id, "hello")
        alive = {"server_url": served.url, "sandbox": "L3", "models": ["a", "b"], "load": 0.5}
        with server.client() as redis:
            redis.set("turnstone:node:n1", json.dumps(alive))
            redis.set("turnstone:node:n2", json.dumps({"server_url": "http://127.0.0.1:9"}))
            redis.set("turnstone:node:n3", "{no json\x1b")
            for ws_id, node in ((info.id, "n1"), (other.id, "n1"), ("aaaaaaaa", "n2")):
                redis.set(f"turnstone:ws:{ws_id}", node)
            redis.rpush("turnstone:inbound", "{}")

        status = await answer(given, [])
        nodes = (await answer(given, ["nodes"])).splitlines()
        every = (await answer(given, ["workstreams"])).splitlines()
        one = (await answer(given, ["ws", "idle", "node=n1", "search=OTHER"])).splitlines()
        none = await answer(given, ["ws", "state=attention"])
        elsewhere = await answer(given, ["ws", "node=n2"])
        node = await answer(given, ["node", "n1"])
        told = json.loads(await answer(given, ["status"], as_json=True))
        listed = json.loads(await answer(given, ["nodes"], as_json=True))
        rows = json.loads(await answer(given, ["workstreams"], as_json=True))

    assert status.startswith("nodes        3\nworkstreams  3: 2 idle\n")
    assert "waiting      1 message(s)" in status
    assert "n2 does not tell its workstreams: " in status and "127.0.0.1:9" in status
    assert "n3 does not tell its workstreams: it tells no address" in status
    assert nodes[0].split() == "node address workstreams busy attention sandbox load".split()
    assert nodes[1].split() == ["n1", served.url, "2", "0", "0", "L3", "0.5"]
    assert nodes[2].split() == ["n2", "http://127.0.0.1:9", "1", "0", "0"]
    assert {line.split()[0] for line in every[1:3]} == {info.id, other.id}
    assert [line.split()[0] for line in one[1:2]] == [other.id]
    assert none.startswith("There are no such workstreams.")
    assert elsewhere.startswith("There are no such workstreams.")
    assert "models       a, b" in node and info.id in node and "mine␛[2J" in node
    assert told["nodes"] == 3 and told["silent"] == ["n2", "n3"]
    assert told["states"] == {"attention": 0, "running": 0, "thinking": 0, "error": 0, "idle": 2}
    assert [one["reachable"] for one in listed] == [True, False, False]
    assert {row["id"] for row in rows} == {info.id, other.id}
    assert not set(status + node + "".join([*nodes, *every])) & set("\x1b")


async def test_words_that_mean_nothing_are_told(server: RedisServer, tmp_path: Path) -> None:
    given = settings(server.port, tmp_path)
    for words in (["nodess"], ["status", "now"], ["ws", "busy"], ["ws", "name=x"], ["node"]):
        with pytest.raises(InvalidRequest):
            await answer(given, words)
    with pytest.raises(InvalidRequest, match="There is no node 'lost'"):
        await answer(given, ["node", "lost"])


async def test_without_redis_it_says_what_is_missing(tmp_path: Path) -> None:
    given = load_settings("turnstone cluster", flags={}, env={}, home=tmp_path)
    with pytest.raises(ConfigurationError, match="No Redis is configured"):
        await answer(given, ["status"])
    with pytest.raises(QueueUnavailable):
        await answer(settings(9, tmp_path), ["status"])


def test_the_command_says_the_same(server: RedisServer, tmp_path: Path) -> None:
    place = ["--redis-host", "127.0.0.1", "--redis-port", str(server.port)]
    env = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "TURNSTONE_CONFIG": ""}
    wrong = CliRunner().invoke(turnstone, ["cluster", "workstreams", "busy", *place], env=env)
    bare = CliRunner().invoke(turnstone, ["cluster", "status"], env=env)
    assert wrong.exit_code == bare.exit_code == 1
    assert "error: 'busy' is no state." in wrong.output
    assert "error: No Redis is configured" in bare.output
