"""A Redis that cannot be used: what a program, or a person, is told, and what to do about it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from support.redis import redis_server
from turnstone.core.errors import ConfigurationError
from turnstone.mq import AsyncTurnstoneClient, RedisBroker
from turnstone.mq.check import check_node_name, check_prefix, look
from turnstone.mq.connection import RedisAddress, asking
from turnstone.mq.errors import QueueUnavailable
from turnstone.mq.keys import Keys


async def told(address: RedisAddress, seconds: float = 5.0) -> str:
    """What is said when this Redis is asked whether it is there."""
    client = address.client()
    try:
        with pytest.raises(QueueUnavailable) as unavailable:
            async with asking(address, seconds):
                await client.ping()
    finally:
        await client.aclose()
    return str(unavailable.value)


async def test_a_database_that_is_not_there_is_told_with_the_setting_or_the_argument() -> None:
    with redis_server() as redis:
        set_so = replace(redis.address, db=99)
        sentence = f"Redis at 127.0.0.1:{redis.port} has no database 99."
        assert f"{sentence} Choose another [redis] db" in await told(set_so)
        async with AsyncTurnstoneClient(host="127.0.0.1", port=redis.port, db=99) as client:
            for asked in (client.send("go"), client.send_and_wait("go"), client.result("c1")):
                with pytest.raises(QueueUnavailable, match=f"{sentence} Choose another db"):
                    await asked


async def test_a_redis_that_speaks_no_tls_is_told_where_tls_was_asked_for() -> None:
    with redis_server() as redis:
        address = replace(redis.address, tls=True)
        assert "leave out [redis] tls" in await told(address, 0.5)
        assert "leave out tls" in await told(replace(address, by_arguments=True), 0.5)
        assert "TLS" not in await told(RedisAddress("127.0.0.1", 1))


async def test_a_redis_that_ends_what_is_not_tls_is_told_as_perhaps_wanting_it() -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert "may want TLS: then set [redis] tls" in await told(RedisAddress("127.0.0.1", port))


@pytest.mark.parametrize(
    "client",
    [
        AsyncTurnstoneClient(host="127.0.0.1", port=1),
        AsyncTurnstoneClient(RedisBroker(host="127.0.0.1", port=1)),
    ],
    ids=["arguments", "broker"],
)
async def test_a_program_that_gave_arguments_is_told_of_arguments(
    client: AsyncTurnstoneClient,
) -> None:
    async with client:
        with pytest.raises(QueueUnavailable, match="or correct host and port"):
            await client.send("go")


async def test_a_socket_that_is_not_there_is_named_as_what_it_is() -> None:
    assert "correct unix_socket" in await told(
        RedisAddress(unix_socket="/nowhere/at/all", by_arguments=True)
    )


async def test_a_wrong_password_that_was_given_as_an_argument_is_told_as_one() -> None:
    with redis_server("--requirepass", "right") as redis:
        async with AsyncTurnstoneClient(port=redis.port, password="wrong") as client:
            with pytest.raises(QueueUnavailable, match="Correct password, and username if"):
                await client.send("go")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "x" * 129, "a:b", "a\n"])
def test_a_name_under_which_no_message_could_reach_a_node_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be the name of a node.*node_id"):
        check_node_name(name)


def test_names_of_all_letters_that_are_allowed_are_taken() -> None:
    for name in ("n", "server-12", "A.b_c-9", "x" * 128):
        check_node_name(name)


@pytest.mark.parametrize("prefix", ["", "a b", "x:*", "a?", "[a]", "a\\", "a\n"])
async def test_a_prefix_under_which_no_queue_can_be_kept_is_refused(prefix: str) -> None:
    refused = pytest.raises(ConfigurationError, match="cannot be the prefix of a queue")
    with refused:
        AsyncTurnstoneClient(prefix=prefix)
    with refused:
        AsyncTurnstoneClient(RedisBroker(prefix=prefix))
    with redis_server() as redis, refused:  # as nodes and bridges do before they begin
        await look(redis.address, Keys(prefix))


def test_prefixes_of_clusters_and_of_several_parts_are_taken() -> None:
    for prefix in ("turnstone", "{turnstone}", "team-a:turnstone"):
        check_prefix(prefix)
