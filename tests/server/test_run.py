"""Listening and stopping: who is let in at all, and how a server ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import httpx2
import pytest

from modelserver.plans import echo
from support.nodes import local_node
from support.servers import PATIENCE, serving, three_roles
from turnstone.core.errors import ConfigurationError
from turnstone.core.local_host import LocalHost
from turnstone.server.app import NodeApp
from turnstone.server.auth import Auth
from turnstone.server.guard import AllowedHosts, is_loopback
from turnstone.server.run import check_exposure, serve


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "[::]", "192.0.2.1", "node.example"])
def test_an_address_that_others_reach_needs_tokens(address: str) -> None:
    check_exposure(address, three_roles())
    with pytest.raises(ConfigurationError, match="without a token"):
        check_exposure(address, Auth())
    with pytest.raises(ConfigurationError, match="tokens are switched off"):
        check_exposure(address, Auth(enabled=False))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_loopback_needs_none(address: str) -> None:
    assert is_loopback(address)
    check_exposure(address, Auth(enabled=False))


def test_off_loopback_any_address_is_a_good_name_and_no_foreign_name_is() -> None:
    from starlette.datastructures import Headers

    from turnstone.api.problems import ForeignHost

    hosts = AllowedHosts()
    with pytest.raises(ForeignHost):
        hosts.check(Headers({"host": "192.0.2.7:8080"}))
    hosts.listen_on("0.0.0.0")
    hosts.check(Headers({"host": "192.0.2.7:8080"}))
    hosts.check(Headers({"host": f"{socket.gethostname().upper()}:1"}))
    with pytest.raises(ForeignHost, match="allowed_hosts"):
        hosts.check(Headers({"host": "evil.example"}))


async def test_a_server_that_may_not_listen_does_not(host: LocalHost) -> None:
    app = NodeApp(host, Auth(enabled=False))
    with pytest.raises(ConfigurationError):
        await serve(app, "0.0.0.0", 0, ready=pytest.fail)


async def test_a_taken_port_is_named_with_what_to_do(host: LocalHost) -> None:
    async with serving(host) as node:
        with pytest.raises(ConfigurationError, match=rf"Port {node.port} .*--port"):
            await serve(NodeApp(host, three_roles()), "127.0.0.1", node.port, ready=pytest.fail)


@pytest.mark.parametrize(
    ("address", "port", "told"),
    [
        ("127.0.0.1", 65536, "65536 is no port"),
        ("192.0.2.1", 0, "cannot listen on 192.0.2.1"),
        ("no-such-name.invalid", 0, "cannot listen on no-such-name.invalid"),
    ],
)
async def test_an_address_that_cannot_be_listened_on_is_told(
    host: LocalHost, address: str, port: int, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        await serve(NodeApp(host, three_roles()), address, port, ready=pytest.fail)


async def test_the_port_is_free_again_at_once(host: LocalHost) -> None:
    async with serving(host) as node:
        port = node.port
        async with node.client() as client:
            await client.get("/health")
    async with serving(host, port=port) as again, again.client() as client:
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_streams_and_then_the_server(
    host: LocalHost, number: signal.Signals
) -> None:
    async with serving(host) as node, node.client() as client:
        async with client.stream("GET", "/api/events/global") as stream:
            os.kill(os.getpid(), number)
            async with asyncio.timeout(PATIENCE):
                read = b"".join([piece async for piece in stream.aiter_raw()])
                assert read == b"retry: 2000\n\n"
                await node.running
        with pytest.raises(httpx2.ConnectError):
            await client.get("/health")


async def test_a_request_that_is_being_answered_is_answered(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as inner, serving(inner.host) as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(b"POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\n")
        writer.write(b"Content-Type: application/json\r\nContent-Length: 13\r\n\r\n")
        async with asyncio.timeout(PATIENCE), node.client() as client:
            await client.get("/health")  # a round trip later, the head of the other has arrived
            os.kill(os.getpid(), signal.SIGTERM)
            writer.write(b'{"token": ""}')
            assert (await reader.read()).startswith(b"HTTP/1.1 401 ")
            await node.running
        writer.close()
