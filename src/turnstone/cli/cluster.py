"""`turnstone cluster` and `/cluster`: the nodes of a cluster and their workstreams.

The nodes are those that Redis knows; each is asked for its workstreams. One that does not answer is
shown as such. Changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from turnstone.cli.plain import one_line
from turnstone.cli.reaching import host_at
from turnstone.cli.tables import cut, json_of, table
from turnstone.core.config import Settings
from turnstone.core.errors import ConfigurationError, InvalidRequest, TurnstoneError
from turnstone.core.host import WorkstreamInfo
from turnstone.mq.registry import NodeSeen, RedisRegistry
from turnstone.mq.worker_start import redis_address

#: What a line of `/cluster` may say, as in the table of commands.
USAGE = "status | nodes | workstreams [STATE] [node=…] [search=…] | node ID"

#: States in the order of how soon somebody should look.
STATES = ("attention", "running", "thinking", "error", "idle")

#: Seconds for the answer of one node, and nodes that are asked at a time.
_PATIENCE, _AT_ONCE = 5.0, 50

#: Rows of a list.
_ROWS = 50

_NO_REDIS = "No Redis is configured, and the nodes of a cluster are known there."
_TO_DO = (
    "Say where it is with [redis] host, or TURNSTONE_REDIS_HOST. A console that could be asked in "
    "its place is not part of this version."
)


@dataclass(frozen=True, slots=True)
class Member:
    """A node, and what it answered: `why` not, if it did not."""

    seen: NodeSeen
    workstreams: Sequence[WorkstreamInfo] = ()
    owned: int = 0  # as Redis says
    why: str = ""

    @property
    def count(self) -> int:
        return self.owned if self.why else len(self.workstreams)


@dataclass(frozen=True, slots=True)
class _Filter:
    """Which workstreams are shown; empty: all."""

    state: str = ""
    node: str = ""
    search: str = ""

    def takes(self, node: str, info: WorkstreamInfo) -> bool:
        said = f"{info.name}\n{info.title}\n{node}".casefold()
        return (
            self.state in ("", info.state)
            and self.node in ("", node)
            and self.search.casefold() in said
        )


@dataclass(frozen=True, slots=True)
class _Cluster:
    members: Sequence[Member]
    waiting: int  # messages in the queue

    @property
    def states(self) -> Counter[str]:
        return Counter(info.state for member in self.members for info in member.workstreams)


async def answer(settings: Settings, words: Sequence[str], *, as_json: bool = False) -> str:
    """What to show for the words behind `cluster`: see USAGE.

    Raises InvalidRequest for other words, ConfigurationError without a Redis, QueueUnavailable.
    """
    what, *rest = words or ["status"]
    match what, rest:
        case "status", []:
            return _status(await _look(settings), as_json=as_json)
        case "nodes", []:
            return _nodes(await _look(settings), as_json=as_json)
        case (("workstreams" | "ws"), filters):
            wanted = _filter(filters)
            return _workstreams(await _look(settings), wanted, as_json=as_json)
        case "node", [name]:
            return _node(await _look(settings), name, as_json=as_json)
    raise InvalidRequest(f"cluster knows no {' '.join(words)!r}.", hint=f"It takes: {USAGE}")


def _filter(words: Sequence[str]) -> _Filter:
    given: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            name, value = "state", word
        if name not in ("state", "node", "search"):
            raise InvalidRequest(f"{word!r} is no filter.", hint=f"cluster takes: {USAGE}")
        given[name] = value
    if given.get("state", STATES[0]) not in STATES:
        raise InvalidRequest(
            f"{given['state']!r} is no state.", hint=f"The states are {', '.join(STATES)}."
        )
    return _Filter(**given)


async def _look(settings: Settings) -> _Cluster:
    if not (settings.server.queue or settings.given("redis.host")):
        raise ConfigurationError(_NO_REDIS, hint=_TO_DO)
    registry = RedisRegistry(redis_address(settings), settings.redis.prefix)
    try:
        seen, owners, view = await registry.nodes(), await registry.owners(), await registry.view()
    finally:
        await registry.aclose()
    owned = Counter(owners.values())
    slots = asyncio.Semaphore(_AT_ONCE)
    members = await asyncio.gather(*(_ask(settings, one, owned[one.node], slots) for one in seen))
    return _Cluster(members, view.waiting)


async def _ask(settings: Settings, seen: NodeSeen, owned: int, slots: asyncio.Semaphore) -> Member:
    if not seen.server_url.startswith(("http://", "https://")):
        return Member(seen, owned=owned, why="it tells no address that could be asked")
    try:
        async with slots, asyncio.timeout(_PATIENCE):
            host = host_at(seen.server_url, settings)
            try:
                return Member(seen, await host.list(), owned)
            finally:
                await host.aclose()
    except TimeoutError:
        return Member(seen, owned=owned, why=f"no answer within {_PATIENCE:.0f} s")
    except TurnstoneError as error:
        return Member(seen, owned=owned, why=error.message)


def _status(cluster: _Cluster, *, as_json: bool) -> str:
    silent = [member for member in cluster.members if member.why]
    tokens = sum(info.tokens for member in cluster.members for info in member.workstreams)
    count = sum(member.count for member in cluster.members)
    counts = cluster.states
    if as_json:
        return json_of(
            {
                "nodes": len(cluster.members),
                "silent": [member.seen.node for member in silent],
                "workstreams": count,
                "states": {state: counts[state] for state in STATES},
                "tokens": tokens,
                "waiting": cluster.waiting,
            }
        )
    states = ", ".join(f"{counts[s]} {s}" for s in STATES if counts[s])
    lines = [
        f"nodes        {len(cluster.members)}",
        f"workstreams  {count}{f': {states}' if states else ''}",
        f"tokens       {tokens:,}",
        f"waiting      {cluster.waiting} message(s) in the queue",
    ]
    return "\n".join([*lines, *map(_silence, silent)])


def _nodes(cluster: _Cluster, *, as_json: bool) -> str:
    if as_json:
        return json_of([_described(member) for member in cluster.members])
    if not cluster.members:
        return "There are no nodes."
    rows = []
    for member in cluster.members:
        states = Counter(info.state for info in member.workstreams)
        busy = states["running"] + states["thinking"]
        facts = member.seen.facts
        named = (str(facts.get("sandbox", "")), str(facts.get("load", "")))
        counts = (str(member.count), str(busy), str(states["attention"]))
        rows.append((member.seen.node, member.seen.server_url, *counts, *named))
    heads = ("node", "address", "workstreams", "busy", "attention", "sandbox", "load")
    silent = [_silence(member) for member in cluster.members if member.why]
    return "\n".join([table(heads, rows), *silent])


def _workstreams(cluster: _Cluster, wanted: _Filter, *, as_json: bool) -> str:
    found = [
        (member.seen.node, info)
        for member in cluster.members
        for info in member.workstreams
        if wanted.takes(member.seen.node, info)
    ]
    found.sort(key=lambda one: (STATES.index(one[1].state), one[0], one[1].id))
    if as_json:
        return json_of([msgspec.to_builtins(info) | {"node": node} for node, info in found])
    silent = [_silence(member) for member in cluster.members if member.why]
    if not found:
        return "\n".join(["There are no such workstreams.", *silent])
    rows = [
        (info.id, info.state, node, f"{info.tokens:,}", cut(info.title or info.name, 60))
        for node, info in found[:_ROWS]
    ]
    more = [f"… and {len(found) - _ROWS} more"] if len(found) > _ROWS else []
    return "\n".join(
        [table(("workstream", "state", "node", "tokens", "title"), rows), *more, *silent]
    )


def _node(cluster: _Cluster, name: str, *, as_json: bool) -> str:
    member = next((one for one in cluster.members if one.seen.node == name), None)
    if member is None:
        known = ", ".join(one.seen.node for one in cluster.members) or "none"
        raise InvalidRequest(f"There is no node {name!r}.", hint=f"The nodes are: {known}.")
    if as_json:
        return json_of(_described(member))
    seen = member.seen
    lines = [f"node         {one_line(seen.node)}", f"address      {one_line(seen.server_url)}"]
    lines += [f"{one_line(name):<12} {_fact(value)}" for name, value in sorted(seen.facts.items())]
    lines += [_silence(member)] if member.why else []
    return "\n".join([*lines, "", _workstreams(_Cluster([member], 0), _Filter(), as_json=False)])


def _fact(value: object) -> str:
    return one_line(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def _described(member: Member) -> dict[str, object]:
    return {
        "node": member.seen.node,
        "server_url": member.seen.server_url,
        "reachable": not member.why,
        "why": member.why,
        "owned": member.owned,
        "workstreams": msgspec.to_builtins(list(member.workstreams)),
        "facts": member.seen.facts,
    }


def _silence(member: Member) -> str:
    return f"{one_line(member.seen.node)} does not tell its workstreams: {one_line(member.why)}"
