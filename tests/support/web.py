"""Servers for `web_fetch` that answer byte for byte as a test says, and keep what reached them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeAlias

from support.needs import give_up, require
from turnstone.tools.web.addresses import Reach
from turnstone.tools.web.connecting import Resolver

Answer: TypeAlias = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]

_TESTS = Path(__file__).parents[1]
_PROGRAM = "import runpy; runpy.run_module('support.web_world', run_name='__main__')"


def world() -> dict[str, dict[str, Any]]:
    """What came of every attack in `web_attacks`, guarded and unguarded. Takes seconds."""
    command = [require("unshare"), "--map-root-user", "--net", "--kill-child"]
    require("ip")
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode != 0:
        give_up("this machine gives no network namespaces")
    done = subprocess.run(
        [*command, sys.executable, "-c", _PROGRAM],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_TESTS), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


@dataclass
class WebServer:
    """`answers` by path; requests as they came, head and all."""

    address: str
    port: int
    answers: Mapping[str, Answer] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)  # of the requests that have one
    connections: int = 0

    def url(self, path: str = "/", *, host: str = "", scheme: str = "http") -> str:
        return f"{scheme}://{host or self.address}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._answer(reader, writer)
            writer.close()
        finally:  # cancelled, perhaps in the middle of an answer without end
            if not writer.is_closing():
                writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(request)
            if length := re.search(r"(?i)\r\ncontent-length: (\d+)", request):
                self.bodies.append(await reader.readexactly(int(length[1])))
            answer = self.answers.get(request.split(" ")[1], reply(status="404 Not Found"))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)


@asynccontextmanager
async def web_server(
    answers: Mapping[str, Answer] | None = None,
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[WebServer]:
    server = WebServer(address, 0, answers or {})
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(server.serve(reader, writer)))

    listener = await asyncio.start_server(accept, address, port, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def reply(
    body: bytes | str = b"", *, kind: str = "text/plain", status: str = "200 OK", **headers: str
) -> bytes:
    """A whole answer; names of headers with `_` for `-`."""
    content = body.encode() if isinstance(body, str) else body
    lines = {"Content-Type": kind, "Content-Length": str(len(content))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + content


def redirect(target: str, status: str = "302 Found") -> bytes:
    return reply(status=status, Location=target)


def names(**known: str | Sequence[str]) -> Resolver:
    """A name service that knows these names, `_` for the dot, and no others."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        found = known.get(host.replace(".", "_"))
        if found is None:
            raise OSError("no such name")
        return [found] if isinstance(found, str) else found

    return resolve


def opened(*servers: WebServer, ports: Sequence[int] = ()) -> Reach:
    """As far as these servers, and to nothing else that is not public."""
    networks = tuple(ip_network(server.address) for server in servers)
    return Reach(frozenset({*(server.port for server in servers), *ports}), networks)
