"""A program: attacks on `web_fetch` in a network of its own, where every address is this machine.

Started by `support.web.world` through `unshare`. One server listens on all addresses and keeps
what reaches it, so that "no byte was sent there" can be seen for addresses that no test could
listen on otherwise. Prints one JSON object: what came of each case, with the guard and without.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import quote, unquote

import httpx2

from support.web_attacks import (
    ADDRESSES,
    BAD_REDIRECTS,
    GOOD_HOST,
    PUBLIC,
    PUBLIC_6,
    SPELLINGS,
    TRICKS,
    WAYS,
)
from turnstone.core.errors import BlockedDestination
from turnstone.tools.web.addresses import Reach
from turnstone.tools.web.connecting import resolve_by_system
from turnstone.tools.web.fetching import Fetcher, Page

GUARDED = Reach()
UNGUARDED = Reach(networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))


@dataclass
class World:
    """The server on every address, and the names that are known."""

    reached: list[tuple[str, bytes]] = field(default_factory=list)
    names: dict[str, list[list[str]]] = field(default_factory=dict)
    lookups: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here = writer.get_extra_info("sockname")[0]
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            self.reached.append((str(ip_address(here)), request))
            path = request.split(b" ")[1].decode()
            if path.startswith("/to/"):
                head = f"HTTP/1.1 302 Found\r\nLocation: {unquote(path[4:])}\r\nContent-Length: 0"
                writer.write(head.encode() + b"\r\n\r\n")
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n")
                writer.write(b"Content-Length: 6\r\n\r\nsecret")
            await writer.drain()
        writer.close()

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """The next answer that was scripted for the name; the last one for ever."""
        self.lookups += 1
        if host not in self.names:
            return await resolve_by_system(host, port)
        answers = self.names[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def told(self, url: str, reach: Reach, **names: list[list[str]]) -> dict[str, Any]:
        """What comes of a fetch: the outcome, where bytes arrived, how often a name was asked."""
        self.reached.clear()
        self.lookups = 0
        known = {name.replace("_", "."): answers for name, answers in names.items()}
        self.names = {GOOD_HOST: [[PUBLIC]], **known}
        fetcher = Fetcher(reach, resolve=self.resolve)
        return await self.outcome(lambda: fetcher.get(url))

    async def outcome(self, fetch: Callable[[], Awaitable[object]]) -> dict[str, Any]:
        outcome, words = "page", ""
        try:
            async with asyncio.timeout(10):
                page = await fetch()
            words = page.body.decode() if isinstance(page, Page) else ""
        except BlockedDestination as error:
            outcome, words = "blocked", str(error)
        except Exception as error:
            outcome, words = type(error).__name__, str(error)
        reached = [address for address, _ in self.reached]
        return {"outcome": outcome, "words": words, "reached": reached, "lookups": self.lookups}


def way_to(address: str, way: str) -> tuple[str, dict[str, list[list[str]]]]:
    """A URL that leads to the address in this way, and the names that it needs."""
    literal = f"http://[{address}]/" if ":" in address else f"http://{address}/"
    match way:
        case "literal":
            return literal, {}
        case "name":
            return "http://bad.example/", {"bad_example": [[address]]}
        case "one of several":
            return "http://bad.example/", {"bad_example": [[PUBLIC, PUBLIC_6, address]]}
        case "first of several":
            return "http://bad.example/", {"bad_example": [[address, PUBLIC, PUBLIC_6]]}
        case "redirect":
            return f"http://{GOOD_HOST}/to/{quote(literal, safe='')}", {}
        case "redirect to a name":
            target = quote("http://bad.example/", safe="")
            return f"http://{GOOD_HOST}/to/{target}", {"bad_example": [[address]]}
        case _:
            raise ValueError(way)


async def naive(world: World, url: str) -> dict[str, Any]:
    """The same address, by a client that takes what it is given."""
    world.reached.clear()
    world.names = {}

    async def fetch() -> object:
        async with httpx2.AsyncClient(trust_env=False, follow_redirects=True) as client:
            return await client.get(url)

    return await world.outcome(fetch)


async def rebound(world: World, reach: Reach) -> dict[str, dict[str, Any]]:
    there_and_back = quote("http://turns.example/", safe="")
    return {
        # Public when it is checked, loopback when somebody asks a second time.
        "between check and connection": await world.told(
            "http://turns.example/", reach, turns_example=[[PUBLIC], ["127.0.0.1"]]
        ),
        "between two redirects": await world.told(
            f"http://turns.example/to/{there_and_back}",
            reach,
            turns_example=[[PUBLIC], ["127.0.0.1"]],
        ),
    }


async def main() -> None:
    world = World()
    servers = [
        await asyncio.start_server(world.serve, "0.0.0.0", 80),
        await asyncio.start_server(world.serve, "::", 80, reuse_port=True),
    ]
    found: dict[str, Any] = {"guarded": {}, "unguarded": {}}
    for guard, reach in (("guarded", GUARDED), ("unguarded", UNGUARDED)):
        for address in (*ADDRESSES, PUBLIC, PUBLIC_6):
            for way in WAYS:
                url, names = way_to(address, way)
                found[guard][f"{way} {address}"] = await world.told(url, reach, **names)
        for target in BAD_REDIRECTS:
            url = f"http://{GOOD_HOST}/to/{quote(target, safe='')}"
            found[guard][f"redirect {target}"] = await world.told(url, reach)
        found[guard]["rebinding"] = await rebound(world, reach)
    for url in (*SPELLINGS, *TRICKS):
        found["guarded"][url] = await world.told(url, GUARDED)
        found["unguarded"][url] = await naive(world, url)
    for server in servers:
        server.close()
    print(json.dumps(found))


def all_addresses_are_here() -> None:
    for command in (
        "ip link set lo up",
        "ip route add local 0.0.0.0/0 dev lo",
        "ip -6 route add local ::/0 dev lo",
    ):
        subprocess.run(command.split(), check=True)


if __name__ == "__main__":
    all_addresses_are_here()
    asyncio.run(main())
    sys.stdout.flush()
