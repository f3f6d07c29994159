"""What a producer puts into lists, so that a failover does not take it back: pushed, and waited
for until replicas have it, where there are any.

It never pushes a second time: that is for whoever called, under the same id.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import redis.asyncio

from turnstone.mq.connection import PATIENCE, RedisAddress, asking
from turnstone.mq.errors import QueueRefuses, QueueUnavailable

log = logging.getLogger(__name__)

#: Seconds for which the number of replicas is taken to be what it was.
_FRESH = 5.0

#: How often a message is waited for before its sender is told.
_WAITS = 4


class Pushes:
    """Those of one client. `wait_replicas` of the address says how many replicas must have each,
    as far as there are so many; 0 is none. `wait_ms`: for how long one wait lasts."""

    def __init__(self, address: RedisAddress, client: redis.asyncio.Redis) -> None:
        self._address = address
        self._client: Any = client
        self._replicas, self._asked = 0, float("-inf")
        self._told = False

    async def push(self, name: str, raw: bytes) -> None:
        """At the end of this list. Raises as `asking`, and QueueUnavailable where too few
        replicas confirm it: it may come all the same."""
        wanted = min(self._address.wait_replicas, await self._there())
        if wanted <= 0:
            async with asking(self._address, PATIENCE):
                await self._client.execute_command("RPUSH", name, raw)
            return
        wait = self._address.wait_ms
        # WAIT is about what its own connection has written.
        limit = PATIENCE + _WAITS * wait / 1000
        async with asking(self._address, limit), self._client.client() as one:
            await one.execute_command("RPUSH", name, raw)
            for _ in range(_WAITS):
                confirmed = int(await one.execute_command("WAIT", wanted, wait))
                if confirmed >= wanted:
                    return
        self._asked = float("-inf")
        raise QueueUnavailable(
            f"Redis at {self._address} has the message, but of its replicas only {confirmed}"
            f" confirmed it, and not {wanted}.",
            hint="It is run, unless this Redis is lost now. Look whether its replicas keep up.",
        )

    async def _there(self) -> int:
        """How many replicas there are, as far as one may ask."""
        if not self._address.wait_replicas:
            return 0
        now = asyncio.get_running_loop().time()
        if now - self._asked > _FRESH:
            try:
                async with asking(self._address):
                    info = await self._client.info("replication")
            except QueueRefuses as error:
                if not self._told:
                    log.warning("replicas are not waited for: %s", error)
                self._told, info = True, {}
            self._replicas, self._asked = int(info.get("connected_slaves", 0)), now
        return self._replicas
