"""`turnstone-bridge`: a queue worker beside a server, in a process of its own.

It reaches the server over HTTP, and so passes no fence: a message that it takes is bound to this
node first, and the server accepts the same one only once. It keeps no state but a lock, which
sees to it that a server has one bridge on this machine; that it has no other anywhere is seen
to in Redis. A server is known by the name that it gives itself, not by the URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from turnstone.api.http_host import HttpHost
from turnstone.api.token import find_token, token_path
from turnstone.core.config import Settings
from turnstone.core.errors import ConfigurationError, NodeUnavailable
from turnstone.mq.broker import RedisBroker
from turnstone.mq.check import check_node_name, look
from turnstone.mq.connection import RedisAddress
from turnstone.mq.errors import QueueUnavailable
from turnstone.mq.keys import Keys
from turnstone.mq.lock import Hold, hold
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.worker import SLOTS, Worker
from turnstone.mq.worker_start import Options, open_alone, options_of, redis_address

log = logging.getLogger(__name__)

#: Seconds before a server that is not there (yet) is asked again.
PAUSE = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What a bridge needs to know."""

    server_url: str
    redis: RedisAddress
    prefix: str = "turnstone"
    node_id: str = ""
    slots: int = SLOTS
    approval_timeout: float = 300.0
    auto_approve: bool = True
    options: Options = field(default_factory=Options)
    token: str | None = None
    token_from: str = ""
    state: Path


class Bridge:
    """The bridge of the 0.2 API. `heartbeat_ttl` is taken and has no use: the lease of the queue
    decides when a node is gone. Without `auth_token` that of this machine is looked for."""

    def __init__(
        self,
        server_url: str = "http://localhost:8080",
        broker: RedisBroker | None = None,
        approval_timeout: float = 300,
        prefix: str = "turnstone",
        node_id: str = "",
        heartbeat_ttl: int = 60,
        auth_token: str = "",
    ) -> None:
        state = _state_dir()
        self._plan = _Plan(
            server_url=server_url.rstrip("/"),
            redis=replace(broker.address if broker else RedisAddress(), by_arguments=True),
            prefix=broker.keys.prefix if broker is not None else prefix,
            node_id=node_id,
            approval_timeout=approval_timeout,
            token=auth_token or find_token(state),
            token_from="auth_token" if auth_token else f"the file {token_path(state)}",
            state=state,
        )

    def run(self) -> None:
        """Work until SIGTERM or SIGINT. Raises what `run_bridge` raises."""
        asyncio.run(_run(self._plan, log.info))


async def run_bridge(settings: Settings, say: Say) -> None:
    """Work for the server that the settings name, until SIGTERM or SIGINT.

    Raises QueueUnavailable where Redis does not answer or refuses, NotAuthenticated for a token
    that the server does not know, and ConfigurationError where the server has a worker already.
    A server that is not there yet is waited for, if Redis is.
    """
    state = settings.store.path.parent
    await _run(
        _Plan(
            server_url=settings.bridge.server_url,
            redis=redis_address(settings),
            prefix=settings.redis.prefix,
            node_id=settings.bridge.node_id,
            slots=settings.queue.slots,
            approval_timeout=settings.bridge.approval_timeout,
            auto_approve=settings.queue.auto_approve,
            options=options_of(settings),
            token=settings.auth.token.reveal() or find_token(state),
            token_from=str(settings.source("auth.token"))
            if settings.auth.token
            else f"the file {token_path(state)}",
            state=state,
        ),
        say,
    )


async def _run(plan: _Plan, say: Say) -> None:
    host = HttpHost(plan.server_url, plan.token, token_from=plan.token_from)
    try:
        found = await _server_id(plan, host, say)
        node_id, server_id = plan.node_id or found, found or plan.server_url
        if not node_id:
            raise ConfigurationError(
                f"The server at {plan.server_url} does not say its node id.",
                hint="Name this node with --node-id.",
            )
        check_node_name(node_id)
        with _only_one(plan, server_id) as held:
            work = await open_alone(
                plan.redis, node_id, plan.prefix, server_id, held, **plan.options
            )
            worker = _worker(plan, host, work)
            say(f"Work from Redis at {plan.redis} goes to {plan.server_url}, node {node_id}")
            await _until_told(worker)
    finally:
        await host.aclose()


def _worker(plan: _Plan, host: HttpHost, work: RedisWork) -> Worker:
    return Worker(
        host,
        work,
        slots=plan.slots,
        approval_timeout=plan.approval_timeout,
        auto_approve=plan.auto_approve,
        in_process=False,
        metadata={"server_url": plan.server_url},
        state=plan.state,
    )


async def _server_id(plan: _Plan, host: HttpHost, say: Say) -> str:
    """The server's own name for itself, once it can be asked; Redis is looked at before that is
    waited for. Raises QueueUnavailable, which says it too if the server is missing as well."""
    found = await _asked(host)
    try:
        await look(plan.redis, Keys(plan.prefix))
    except QueueUnavailable as error:
        if isinstance(found, NodeUnavailable):
            both = f"{error.message} {found.message}"
            raise QueueUnavailable(both, hint=f"{error.hint} {found.hint}") from error
        raise
    if isinstance(found, NodeUnavailable):
        say(f"Redis at {plan.redis} answers. Waiting for the server: {found}")
    while isinstance(found, NodeUnavailable):
        await asyncio.sleep(PAUSE)
        found = await _asked(host)
    return found


async def _asked(host: HttpHost) -> str | NodeUnavailable:
    try:
        return (await host.health()).node_id
    except NodeUnavailable as error:
        return error


async def _until_told(worker: Worker) -> None:
    """Run, and stop gently on SIGTERM and SIGINT."""
    loop = asyncio.get_running_loop()
    stopping: set[asyncio.Task[None]] = set()
    taken = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(ValueError, RuntimeError):  # another thread than the first
            loop.add_signal_handler(number, lambda: stopping.add(loop.create_task(worker.aclose())))
            taken.append(number)
    try:
        await worker.run()
        await asyncio.gather(*stopping)
    finally:
        for number in taken:
            loop.remove_signal_handler(number)


def _only_one(plan: _Plan, server_id: str) -> AbstractContextManager[Hold]:
    """The lock of this server's bridge on this machine. Raises as `lock.hold`."""
    name = hashlib.sha256(server_id.encode()).hexdigest()[:12]
    busy = ConfigurationError(
        f"A bridge for the server {server_id} runs on this machine already.",
        hint="One is enough: stop that one, or do not start this one.",
    )
    return hold(plan.state / f"bridge-{name}.lock", busy)


def _state_dir() -> Path:
    """Where the token of this machine is, for a program that has read no settings."""
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base else Path.home() / ".local/share") / "turnstone"
