"""The steps of `RedisWork` for workstreams: whose they are, what they say, what they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from turnstone.mq import keys as limits
from turnstone.mq.keys import Keys


class RedisEvents:
    """What `RedisWork` has of it."""

    node_id: str
    keys: Keys

    async def own(self, ws_id: str, epoch: int) -> int:
        keys = [self.keys.owner(ws_id), self.keys.epoch(ws_id)]
        return int(await self._run("own", [*keys, self.keys.floor], self.node_id, epoch))

    async def owner(self, ws_id: str) -> str:
        return (await self._ask("GET", self.keys.owner(ws_id)) or b"").decode()

    async def disown(self, ws_id: str) -> None:
        keys = [self.keys.owner(ws_id), self.keys.epoch(ws_id)]
        await self._run("disown", keys, self.node_id, limits.CID_TTL)

    async def emit(
        self, ws_id: str, event_id: str, envelope: bytes, wire: Sequence[bytes], epoch: int = 0
    ) -> int:
        keys = [self.keys.event_stream(ws_id), self.keys.epoch(ws_id)]
        size = (limits.EVENTS_MAX, limits.EVENTS_TTL)
        channel = self.keys.events(ws_id)
        return int(await self._run("emit", keys, channel, event_id, envelope, epoch, *size, *wire))

    async def events(
        self, ws_id: str, after: str = "", limit: int = 1_000
    ) -> list[tuple[str, bytes]]:
        start = f"({after}" if after else "-"
        stream = self.keys.event_stream(ws_id)
        found = await self._ask("XRANGE", stream, start, "+", "COUNT", limit)
        return [(event_id.decode(), values[b"envelope"]) for event_id, values in found]

    async def last_event(self, ws_id: str) -> str:
        stream = self.keys.event_stream(ws_id)
        found = await self._ask("XREVRANGE", stream, "+", "-", "COUNT", 1)
        return found[0][0].decode() if found else ""

    async def publish(self, channel: str, message: bytes) -> int:
        return int(await self._ask("PUBLISH", self.keys.events(channel), message))

    async def listeners(self, ws_id: str) -> int:
        _, count = await self._ask("PUBSUB", "NUMSUB", self.keys.events(ws_id))
        return int(count)

    async def respond(self, request_id: str, answer: bytes) -> None:
        keys = [self.keys.responses(request_id)]
        await self._run("respond", keys, answer, limits.RESPONSE_TTL)

    async def responses(self, request_id: str) -> bytes | None:
        found: bytes | None = await self._ask("LINDEX", self.keys.responses(request_id), 0)
        return found

    async def drop_response(self, request_id: str, answer: bytes) -> None:
        await self._ask("LREM", self.keys.responses(request_id), 1, answer)

    async def _run(self, name: str, keys: Sequence[str], *values: Any) -> Any:
        raise NotImplementedError

    async def _ask(self, *command: Any) -> Any:
        raise NotImplementedError
