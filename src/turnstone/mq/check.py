"""Whether a Redis can keep a queue at all: looked at once, when a process opens it.

It changes nothing there, and says in one sentence what must be set otherwise.
"""

from __future__ import annotations

import re
from typing import Any

import redis.asyncio

from turnstone.core.errors import ConfigurationError
from turnstone.mq.connection import TAGGED, RedisAddress, asking
from turnstone.mq.entry import NAME
from turnstone.mq.keys import Keys

#: The first version with LMOVE and BLMOVE.
OLDEST = (6, 2)

_NUMBER = re.compile(r"\d+")

_PREFIX = re.compile(r"[^\s*?\[\]\\]+")


def check_node_name(name: str) -> None:
    """Raises ConfigurationError for a name under which no message could reach a node."""
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be the name of a node: it has 1 to 128 letters, digits, points,"
            " hyphens or underscores.",
            hint="Set [bridge] node_id to another (with the bridge also --node-id).",
        )


def check_prefix(prefix: object) -> None:
    """Raises ConfigurationError for what no queue can be kept under."""
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            f"{prefix!r} cannot be the prefix of a queue: it is a text that is not empty, without"
            " blanks and without * ? [ ] \\.",
            hint="Correct [redis] prefix or TURNSTONE_REDIS_PREFIX, or in a program the argument"
            " prefix.",
        )


async def look(address: RedisAddress, keys: Keys) -> None:
    """See from outside that this Redis is there, and can keep a queue. Raises QueueUnavailable
    and ConfigurationError."""
    client = address.client()
    try:
        async with asking(address):
            await check(client, address, keys)
    finally:
        await client.aclose()


async def check(client: redis.asyncio.Redis, address: RedisAddress, keys: Keys) -> None:
    """Raises ConfigurationError, and what the driver raises where Redis cannot be asked."""
    check_prefix(keys.prefix)
    info: dict[str, Any] = await client.info()
    _check_version(str(info.get("redis_version", "")), address)
    if info.get("cluster_enabled") and not TAGGED.search(keys.prefix):
        raise ConfigurationError(
            f"Redis at {address} is a cluster, where all keys of a queue must be in one slot;"
            f" the prefix {keys.prefix!r} spreads them.",
            hint=f'Set {address.named("prefix")} = "{{{keys.prefix}}}" in every program that uses the queue.',
        )
    await _check_types(client, address, keys)
    problem = unsafe(info, address)
    if problem is not None:
        raise problem


def unsafe(info: dict[str, Any], address: RedisAddress) -> ConfigurationError | None:
    """Why a Redis that says this of itself (INFO, which is permitted where CONFIG is not) would
    lose work; None if it keeps it."""
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction":
        return None
    return ConfigurationError(
        f"Redis at {address} may throw queued work away: its maxmemory-policy is {policy}.",
        hint="Set it with: redis-cli CONFIG SET maxmemory-policy noeviction",
    )


def _check_version(version: str, address: RedisAddress) -> None:
    found = tuple(int(number) for number in _NUMBER.findall(version)[:2])
    if found < OLDEST:
        raise ConfigurationError(
            f"Redis at {address} is version {version or 'unknown'}, which is too old for the queue.",
            hint="Use Redis 6.2 or newer, or Valkey.",
        )


async def _check_types(client: redis.asyncio.Redis, address: RedisAddress, keys: Keys) -> None:
    """The names that every queue has: whatever else is there would stop it sooner or later."""
    wanted = {keys.inbound: "list", keys.stage: "list", keys.alive: "zset", keys.dead: "stream"}
    for name, kind in wanted.items():
        kind_there: Any = await client.type(name)
        found = kind_there.decode()
        if found not in {kind, "none"}:
            raise ConfigurationError(
                f"Redis at {address} has a {found} under the name {name}, where the queue needs"
                f" a {kind}.",
                hint=f"Another program uses it: set a {address.named('prefix')} or db of Turnstone's"
                " own.",
            )
