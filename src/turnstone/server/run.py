"""Listening: a node's app on an address, until it is told to stop.

Refuses to be open to others without a token. Stops gently: no new requests, streams ended so
that their readers can come back, what is being answered is answered. Leaves the Host alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from turnstone.core.errors import ConfigurationError
from turnstone.server.app import NodeApp
from turnstone.server.auth import Auth
from turnstone.server.connection import HEAD_TIME, MAX_HEAD, protocol
from turnstone.server.guard import is_loopback

#: Seconds that requests may take to end when the server stops. Supervisors kill after ten.
GRACE = 5

#: Seconds for which an idle connection is kept: longer than clients of the common libraries
#: keep theirs, so that it is not closed under a request that is just being sent.
KEEP_ALIVE = 30

#: Of the three generations of Python's garbage. All is looked through only when so many objects
#: more are there than at the last time (the product, 350,000), which is some 50 MB of garbage at
#: most. That takes 0.6 µs of CPU for each that is there, and meanwhile nobody is served.
_GENERATIONS = (700, 10, 50)

_LAST_PORT = 65_535

#: Connections that may be open at a time, where nobody says otherwise.
MAX_CONNECTIONS = 10_000

#: Connections that may wait to be taken.
_BACKLOG = 2048


async def serve(
    app: NodeApp,
    host: str,
    port: int,
    *,
    ready: Callable[[str], None],
    max_connections: int = MAX_CONNECTIONS,
    head_time: float = HEAD_TIME,
) -> None:
    """Serve until SIGTERM, SIGINT or cancellation; port 0 takes a free one.

    `ready` is called once, with the base URL, when requests are taken. `head_time`: seconds for
    the head of a request. Raises ConfigurationError where listening is refused or impossible.
    """
    with contextlib.closing(listen(host, port, app.auth)) as listener:
        await serve_on(
            listener,
            app,
            host,
            ready=ready,
            max_connections=max_connections,
            head_time=head_time,
        )


def listen(host: str, port: int, auth: Auth) -> socket.socket:
    """The socket to serve on: taken first, so that nothing has begun where it is not to be had.

    Raises ConfigurationError where listening is refused or impossible.
    """
    check_exposure(host, auth)
    return _listen(host, port)


async def serve_on(
    listener: socket.socket,
    app: NodeApp,
    host: str,
    *,
    ready: Callable[[str], None],
    max_connections: int = MAX_CONNECTIONS,
    head_time: float = HEAD_TIME,
) -> None:
    """Serve on a socket from `listen`, as `serve` does. The caller closes it."""
    app.hosts.listen_on(host)
    config = uvicorn.Config(
        app,
        http=protocol(max_connections, head_time),
        h11_max_incomplete_event_size=MAX_HEAD,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,  # addresses of requests may carry login codes
        proxy_headers=False,  # whoever connects could say that it is somebody else
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
    server = _Server(config, app, lambda: ready(url_of(listener)))
    with _signals(server):
        running = asyncio.create_task(server.serve([listener]))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            server.should_exit = True
            await running
            raise


def collect_seldom() -> None:
    """For a process that does nothing else but serve, once it does: what was loaded is looked
    through for garbage no more, and the rest seldom."""
    gc.freeze()
    gc.set_threshold(*_GENERATIONS)


def check_exposure(host: str, auth: Auth) -> None:
    """Raises ConfigurationError if listening on `host` would let strangers in."""
    if is_loopback(host):
        return
    if not auth.enabled:
        raise ConfigurationError(
            f"The server will not listen on {host} while tokens are switched off: anybody who"
            " reaches it could run commands here.",
            hint="Remove `[auth] enabled = false`, or listen on 127.0.0.1.",
        )
    if not auth.has_tokens:
        raise ConfigurationError(
            f"The server will not listen on {host} without a token.",
            hint="Set TURNSTONE_AUTH_TOKEN or [[auth.tokens]], or listen on 127.0.0.1.",
        )


class _Server(uvicorn.Server):
    """uvicorn, with our signals, and with streams that are ended before it waits for them."""

    def __init__(self, config: uvicorn.Config, app: NodeApp, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._node_app = app
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._node_app.drain()
        await super().shutdown(sockets)

    def stop(self) -> None:
        """Stop gently; told twice, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None here: uvicorn would raise them again when it has stopped, and end the process."""
        yield


@contextlib.contextmanager
def _signals(server: _Server) -> Iterator[None]:
    """SIGTERM and SIGINT stop the server; in another thread than the first, nothing does."""
    loop = asyncio.get_running_loop()
    taken = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(ValueError, RuntimeError):
            loop.add_signal_handler(number, server.stop)
            taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= _LAST_PORT:
        raise ConfigurationError(
            f"{port} is no port.", hint="Ports go from 1 to 65535; 0 takes any free one."
        )
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        # One address only, and of `localhost` the one that all programs try.
        family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        # Handed on to every connection. asyncio sets it only where a socket names its protocol,
        # and without it each answer on a kept connection waits for an ACK, 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise _cannot_listen(host, port, error) from error


def _cannot_listen(host: str, port: int, error: OSError) -> ConfigurationError:
    match error.errno:
        case errno.EADDRINUSE:
            return ConfigurationError(
                f"Port {port} on {host} is taken by another program.",
                hint="If that is a Turnstone node, use it or stop it; or choose another --port.",
            )
        case errno.EACCES:
            return ConfigurationError(
                f"Port {port} on {host} needs more rights than this user has.",
                hint="Choose a --port of 1024 or above.",
            )
        case _:
            return ConfigurationError(
                f"The server cannot listen on {host}: {error.strerror or error}.",
                hint="Give --host an address of this machine, such as 127.0.0.1.",
            )


def url_of(listener: socket.socket) -> str:
    """The base URL of a server on this socket."""
    address, port = listener.getsockname()[:2]
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}"
