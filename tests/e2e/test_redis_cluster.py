"""Turns through a cluster of Redis, through Sentinel, with TLS, and as a user with few rights."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.resources import files as files_of
from pathlib import Path
from typing import Any

import pytest

from modelserver.plans import echo, last_user_text
from support.redis import RedisServer, redis_server
from support.redis_groups import (
    Certificates,
    Cluster,
    Watched,
    certificates,
    redis_cluster,
    redis_watched,
)
from support.redis_rights import restrict, rule
from support.workers import WorkingNode, working_node
from turnstone.core.errors import ConfigurationError
from turnstone.mq import AsyncTurnstoneClient
from turnstone.mq.connection import RedisAddress, asking
from turnstone.mq.errors import QueueRefuses, QueueUnavailable
from turnstone.mq.redis_work import RedisWork

PATIENCE = 45.0
TAGGED = "{turnstone}"

#: What a program gives a client of an address.
_GIVEN = ("sentinels", "sentinel_name", "sentinel_password", "tls", "username", "password")
_FILES = ("tls_ca_file", "tls_cert_file", "tls_key_file")


def client_of(address: RedisAddress, prefix: str = "turnstone", **more: Any) -> Any:
    given = {name: getattr(address, name) for name in (*_GIVEN, *_FILES)}
    return AsyncTurnstoneClient(prefix=prefix, host=address.host, port=address.port, **given | more)


@asynccontextmanager
async def node_at(
    folder: Path, address: RedisAddress, prefix: str = "turnstone"
) -> AsyncIterator[WorkingNode]:
    work = {"prefix": prefix, "lease": 3.0}
    async with working_node(folder, echo, address, "n1", work=work, beat_every=1.0) as node:
        yield node


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)  # the condition is the state that is waited for


async def told_by(address: RedisAddress) -> str:
    """What is said when this Redis is asked for something, once."""
    client = address.client()
    try:
        with pytest.raises(QueueUnavailable) as unavailable:
            async with asking(address):
                await client.ping()
    finally:
        await client.aclose()
    return str(unavailable.value)


async def answered(client: Any, *said: str) -> None:
    """Each of these comes back, whole."""
    results = await asyncio.gather(*(client.send_and_wait(each, timeout=PATIENCE) for each in said))
    assert [(r.content, r.errors) for r in results] == [(each, []) for each in said]


def asked(node: WorkingNode) -> Counter[str]:
    return Counter(last_user_text(body) for body in node.model.requests)


# A cluster.


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with redis_cluster() as running:
        yield running


async def test_turns_go_through_a_cluster_whichever_of_its_masters_is_named(
    tmp_path: Path, cluster: Cluster
) -> None:
    said = [f"by {server.port}" for server in cluster.servers]
    async with node_at(tmp_path, cluster.servers[1].address, TAGGED) as node:
        for server, words in zip(cluster.servers, said, strict=True):
            async with client_of(server.address, TAGGED) as client:
                await answered(client, words)
                assert [one["node_id"] for one in await client.list_nodes()] == ["n1"]

    assert asked(node) == Counter(said)


async def test_a_prefix_that_spreads_its_keys_over_a_cluster_is_refused_on_both_sides(
    cluster: Cluster,
) -> None:
    address = cluster.servers[0].address
    with pytest.raises(ConfigurationError, match=r"spreads them\. Set \[redis\] prefix"):
        await RedisWork.open(address, "n1")
    async with client_of(address) as client:
        with pytest.raises(QueueUnavailable, match=r"spreads them\. Put prefix in braces"):
            await client.send("go")
        with pytest.raises(QueueUnavailable, match="spreads them"):
            await client.send_and_wait("go", timeout=PATIENCE)


async def test_turns_go_on_while_a_cluster_is_down_and_after_its_keys_have_moved(
    tmp_path: Path, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="turnstone.mq")
    first, second, keeper = cluster.servers
    async with (
        node_at(tmp_path, first.address, TAGGED) as node,
        client_of(second.address, TAGGED) as client,
    ):
        await answered(client, "before")
        with keeper.client() as hand:
            # One slot that nobody has is enough: a cluster of the default settings stops.
            hand.execute_command("CLUSTER", "DELSLOTS", 16383)
            during = asyncio.create_task(answered(client, "during"))
            await until(lambda: "waits for its queue" in caplog.text)
            hand.execute_command("CLUSTER", "ADDSLOTS", 16383)
        await during
        await asyncio.to_thread(cluster.move, keeper, first)
        try:
            await answered(client, "after")
        finally:
            await asyncio.to_thread(cluster.move, first, keeper)
        await answered(client, "and back")
        assert not node.running.done()

    assert "The hash slot is not served" in caplog.text or "cluster is down" in caplog.text
    assert asked(node) == Counter(["before", "during", "after", "and back"])


# Sentinel.


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with redis_watched() as running:
        yield running


async def test_no_turn_is_lost_or_doubled_when_the_primary_dies(
    tmp_path: Path, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="turnstone.mq")
    said = [f"message {number}" for number in range(40)]
    before = watched.primary
    async with (
        node_at(tmp_path, watched.address) as node,
        client_of(watched.address, wait_ms=200) as client,
    ):
        await answered(client, "before")
        turns = [asyncio.create_task(client.send_and_wait(each, timeout=PATIENCE)) for each in said]
        await until(lambda: sum(turn.done() for turn in turns) >= 5)
        before.kill()
        await until(lambda: watched.primary is not before)
        results = await asyncio.gather(*turns)
        await answered(client, "after")
        await asyncio.to_thread(before.start)
        await until(lambda: watched.replicas() == 1)

    assert [(r.content, r.errors) for r in results] == [(each, []) for each in said]
    assert asked(node) == Counter(["before", *said, "after"])


async def test_a_message_that_no_replica_confirms_is_told_and_one_that_does_is_sent(
    watched: Watched,
) -> None:
    replica = watched.replica
    async with client_of(watched.address, wait_ms=100) as client:
        await client.send("confirmed")
        replica.pause()
        try:
            with pytest.raises(QueueUnavailable, match=r"only 0 confirmed it, and not 1"):
                await client.send("not confirmed")
        finally:
            replica.wake()
    async with client_of(watched.address, wait_replicas=0) as client:
        await client.send("never asked about")
    with watched.primary.client() as hand:
        hand.flushall()


async def test_a_sentinel_that_is_gone_or_silent_is_passed_over(watched: Watched) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        places = (f"127.0.0.1:{port}", "127.0.0.1:1", *watched.address.sentinels)
        async with client_of(watched.address, sentinels=places) as client:
            assert isinstance(await client.list_nodes(), list)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"sentinel_name": "other"}, "knows no primary of the name other"),
        ({"sentinels": ("127.0.0.1:1",)}, "127.0.0.1:1 says"),
        ({"sentinel_password": "wrong"}, "password"),
    ],
)
async def test_what_is_wrong_with_the_sentinels_is_told(
    watched: Watched, wrong: dict[str, Any], told: str
) -> None:
    sentence = await told_by(replace(watched.address, **wrong))
    assert told in sentence
    assert "correct [redis] sentinels and [redis] sentinel_name" in sentence


def test_the_address_of_a_sentinel_is_a_host_and_a_port() -> None:
    with pytest.raises(ConfigurationError, match="'a b:1', which is no address"):
        RedisAddress(sentinels=("a b:1",)).client()
    with pytest.raises(TypeError, match="a list of texts"):
        AsyncTurnstoneClient(sentinels="one:26379")


# TLS.


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure(files: Certificates) -> Iterator[RedisServer]:
    with redis_server("--tls-port", "0", *files.options) as probe:
        port = probe.port
    # One port for TLS alone; the socket is for the test.
    with redis_server(*files.options, "--tls-port", str(port)) as server:
        yield server


def by_tls(server: RedisServer) -> RedisAddress:
    return replace(server.address, port=int(server.options[-1]))


async def test_turns_go_through_tls_with_certificates_on_both_sides(
    tmp_path: Path, secure: RedisServer, files: Certificates
) -> None:
    address = files.shown(by_tls(secure))
    async with node_at(tmp_path, address), client_of(address) as client:
        await answered(client, "said in secret")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"tls_ca_file": None}, r"is not trusted.* tls_ca_file"),
        ({"tls_cert_file": None, "tls_key_file": None}, "cannot be reached|certificate"),
    ],
)
async def test_what_is_wrong_with_certificates_is_told_by_the_other_side(
    secure: RedisServer, files: Certificates, wrong: dict[str, Any], told: str
) -> None:
    sentence = await told_by(replace(files.shown(by_tls(secure)), **wrong))
    assert re.search(told, sentence), sentence


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"tls_ca_file": "/no/such.pem"}, r"tls_ca_file cannot be used: /no/such\.pem: No such"),
        ({"tls_cert_file": "/no/such.pem"}, r"tls_cert_file cannot be used: /no/such\.pem \(with"),
        ({"tls_cert_file": None}, "tls_key_file is set without the certificate"),
        ({"tls": False}, r"TLS is not asked for\. Set tls too"),
    ],
)
def test_files_that_cannot_be_used_are_told_before_anything_is_sent(
    secure: RedisServer, files: Certificates, wrong: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        client_of(files.shown(by_tls(secure)), **wrong)


# A user with few rights.


async def test_turns_go_through_a_user_with_the_rights_of_the_page(tmp_path: Path) -> None:
    with redis_server() as server, server.client() as hand:
        address = restrict(hand, server.address)
        async with node_at(tmp_path, address) as node, client_of(address) as client:
            await answered(client, "one", "two")
            [info, _] = await node.host.list()
            again = await client.send_and_wait("three", ws_id=info.id, timeout=PATIENCE)
            assert (again.content, again.errors) == ("three", [])
            async with asyncio.timeout(PATIENCE):
                while (kept := await client.result(again.correlation_id)) is None:
                    await asyncio.sleep(0.02)  # it is stored a moment after the last event
            assert kept.content == "three"
            assert [one["node_id"] for one in await client.list_nodes()] == ["n1"]
        refused = [entry["object"] for entry in hand.acl_log() if entry["reason"] != "auth"]
        async with client_of(address, prefix="other") as client:
            with pytest.raises(QueueRefuses, match="may not do this"):
                await client.send("go")

    assert set(refused) <= {"client|setinfo"}, refused


def test_every_command_of_the_queue_is_among_the_rights_of_the_page() -> None:
    allowed = {word[1:].partition("|")[0] for word in rule() if word.startswith("+")}
    folder = files_of("turnstone.mq")
    sources = [*folder.joinpath("scripts").iterdir(), *folder.iterdir()]
    called: set[str] = set()
    for path in sources:
        if path.name.endswith((".lua", ".py")):
            text = path.read_text("utf-8")
            called |= set(re.findall(r"redis\.p?call\(\s*'([A-Za-z]+)'", text))
            called |= set(re.findall(r"(?:_ask|execute_command)\(\s*\"([A-Z]+)\"", text))

    # Sentinels have users of their own.
    assert {name.lower() for name in called} - {"sentinel"} <= allowed
