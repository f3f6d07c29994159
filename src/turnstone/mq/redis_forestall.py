"""The step of `RedisWork` that ends a message which no node has taken: `Work.forestall`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from turnstone.mq import keys as limits
from turnstone.mq.keys import Keys


class RedisForestall:
    """What `RedisWork` has of it."""

    node_id: str
    keys: Keys

    async def forestall(
        self, correlation_id: str, ws_id: str, result: bytes, final: Sequence[bytes]
    ) -> bool:
        ending = json.dumps([message.decode() for message in final])
        values = (self.node_id, ws_id, result, ending, limits.CID_TTL)
        return bool(await self._run("forestall", [self.keys.message(correlation_id)], *values))

    async def _run(self, name: str, keys: Sequence[str], *values: Any) -> Any:
        raise NotImplementedError
