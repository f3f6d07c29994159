"""Who is in the cluster, as Redis knows it: the nodes' heartbeats, and whose a workstream is.

Looks, and changes nothing.
"""

from __future__ import annotations

import json

import msgspec

from turnstone.mq.inspect_redis import RedisInspector


class NodeSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A node whose heartbeat has not run out. `facts`: whatever else it says of itself."""

    node: str
    server_url: str = ""
    facts: dict[str, object] = {}


class RedisRegistry(RedisInspector):
    """Methods raise QueueUnavailable."""

    async def nodes(self) -> list[NodeSeen]:
        """By name."""
        beginning = self.keys.node("")
        found = []
        for name, text in (await self._texts_below(beginning)).items():
            facts = _facts(text)
            url = facts.pop("server_url", "")
            found.append(NodeSeen(node=name, server_url=str(url), facts=facts))
        return sorted(found, key=lambda seen: seen.node)

    async def owners(self) -> dict[str, str]:
        """By id of a workstream, the node that owns it."""
        return await self._texts_below(self.keys.owner(""))

    async def _texts_below(self, beginning: str) -> dict[str, str]:
        """The strings whose names begin so, by the rest of the name."""
        found = {}
        async for name in self._names(beginning, "*"):
            text = await self._ask("GET", name)
            if text is not None:  # it may have run out since
                found[name.removeprefix(beginning)] = text.decode(errors="replace")
        return found


def _facts(text: str) -> dict[str, object]:
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}
