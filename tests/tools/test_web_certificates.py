"""Certificates: those of the name that was asked for, though the connection is to an address."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from support.needs import require
from support.web import WebServer, names, opened, redirect, reply, web_server
from turnstone.core.errors import BlockedDestination
from turnstone.tools.web.connecting import Unreachable
from turnstone.tools.web.fetching import Fetcher


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of good.example, and its key, in one file. It is its own authority."""
    path = tmp_path_factory.mktemp("tls") / "good.pem"
    command = [require("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=good"]
    command += ["-addext", "subjectAltName=DNS:good.example", "-keyout", str(path), "-out", "-"]
    made = subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + made.stdout)
    return path


@pytest.fixture
async def secure(certificate: Path) -> AsyncIterator[WebServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with web_server({"/": reply("secure")}, tls=context) as server:
        yield server


def asks(server: WebServer, trust: Path | None, **known: str) -> Callable[[str], Awaitable[bytes]]:
    context = ssl.create_default_context(cafile=trust) if trust else None
    fetcher = Fetcher(opened(server), resolve=names(**known), trust=context)

    async def ask(host: str) -> bytes:
        return (await fetcher.get(server.url(host=host, scheme="https"))).body

    return ask


async def test_the_certificate_is_that_of_the_name_though_an_address_is_asked(
    secure: WebServer, certificate: Path
) -> None:
    ask = asks(secure, certificate, good_example=secure.address, evil_example=secure.address)

    assert await ask("good.example") == b"secure"
    for host in ("evil.example", secure.address):
        with pytest.raises(Unreachable, match="(?i)certificate"):
            await ask(host)
    assert len(secure.requests) == 1


async def test_a_certificate_that_nobody_vouches_for_is_refused(secure: WebServer) -> None:
    with pytest.raises(Unreachable, match="(?i)certificate"):
        await asks(secure, None, good_example=secure.address)("good.example")
    assert secure.requests == []


async def test_a_redirect_from_https_to_http_is_refused(
    secure: WebServer, certificate: Path
) -> None:
    async with web_server({"/": reply("plain")}) as plain:
        secure.answers = {"/": redirect(plain.url(host="good.example"))}
        fetcher = Fetcher(
            opened(secure, plain),
            resolve=names(good_example=secure.address),
            trust=ssl.create_default_context(cafile=certificate),
        )
        with pytest.raises(BlockedDestination, match="from https to http"):
            await fetcher.get(secure.url(host="good.example", scheme="https"))

    assert plain.connections == 0
