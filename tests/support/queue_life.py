"""One life of a node that works from the queue, or of a bridge before one, in a forked process.

Its tool counts what was done in a file that all nodes share; its store may die at a record, and
its host at a message that kills. All else is the real thing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from support.nodes import start_host
from turnstone.api.http_host import HttpHost
from turnstone.core.engine import no_fence
from turnstone.core.errors import ConfigurationError
from turnstone.core.events import Event
from turnstone.core.host import Accepted, Host, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.core.store import Appended, SqliteStore
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult, ToolSpec
from turnstone.mq import AsyncTurnstoneClient
from turnstone.mq.connection import RedisAddress
from turnstone.mq.lock import Hold, hold
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.work import Seat
from turnstone.mq.worker import Worker
from turnstone.mq.worker_start import WorkerFence
from turnstone.server.app import NodeApp
from turnstone.server.auth import Auth
from turnstone.server.run import serve

#: What a message begins with that kills the process which takes it on.
POISON = "poison"

#: The file of effects, beside the folders of the nodes.
EFFECTS = "effects"

Tell = Callable[[str, int], None]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to be: a node with its worker, a node that only serves on `http`, or (with `bridge`)
    the worker of that; or a client that `says` all this at once, and waits for the answers. Seconds, as for `RedisWork`. `deadly`: the type of a record, and `before`
    or `after`; `about` the correlation id that it must have. `ahead`: by how much the process' own clock is
    wrong."""

    folder: str
    redis_port: int
    model_url: str = ""
    prefix: str = "turnstone"
    node_id: str = "n1"
    lease: float = 0.9
    grace: float = 0.3
    lost_after: float = 600.0
    max_tries: int = 5
    slots: int = 8
    http: int = 0
    bridge: bool = False
    deadly: tuple[str, str] = ("", "")
    about: str = ""
    says: tuple[str, ...] = ()
    ahead: float = 0.0


def live(order: Order, tell: Tell) -> None:
    """Until it is killed. A failure is in its log."""
    right = time.time
    time.time = lambda: right() + order.ahead
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s %(message)s")
    try:
        asyncio.run((_client if order.says else _bridge if order.bridge else _node)(order, tell))
    except BaseException:
        traceback.print_exc()
        raise


async def _node(order: Order, tell: Tell) -> None:
    folder = Path(order.folder)
    deadly = type("Deadly", (DeadlyStore,), {"deadly": order.deadly, "about": order.about})
    serves = bool(order.http)
    fence = WorkerFence()
    host = await start_host(
        folder,
        order.model_url,
        store=deadly,
        node_id=order.node_id,
        tools={"count": CountingTool(folder.parent / EFFECTS)},
        fence=no_fence if serves else fence,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(_watch(host, tell))
        if serves:
            app = NodeApp(host, Auth(enabled=False))
            started = asyncio.Event()
            group.create_task(serve(app, "127.0.0.1", order.http, ready=lambda url: started.set()))
            await started.wait()
            tell("ready", 0)
            return
        with _held(order) as held:
            worker = await _worker(order, MortalHost(host), held)
            fence.bind(worker)
            await _work(worker, tell)


async def _bridge(order: Order, tell: Tell) -> None:
    host = HttpHost(f"http://127.0.0.1:{order.http}", "")
    with _held(order) as held:
        await _work(await _worker(order, MortalHost(host), held), tell)


async def _client(order: Order, tell: Tell) -> None:
    tell("ready", 0)
    async with AsyncTurnstoneClient(port=order.redis_port, prefix=order.prefix) as client:
        wanted = [client.send_and_wait(said, timeout=None) for said in order.says]
        results = await asyncio.gather(*wanted)
    pairs = zip(results, order.says, strict=True)
    tell("answers", sum(result.content == f"done {said}" for result, said in pairs))


async def _worker(order: Order, host: Host, held: Hold) -> Worker:
    address = RedisAddress(host="127.0.0.1", port=order.redis_port)
    work = await RedisWork.open(
        address,
        order.node_id,
        prefix=order.prefix,
        boot=held.boot,
        seat=Seat(order.node_id, held.dead),
        lease=order.lease,
        grace=order.grace,
        lost_after=order.lost_after,
        max_tries=order.max_tries,
    )
    return Worker(
        host,
        work,
        slots=order.slots,
        beat_every=order.lease / 3,
        in_process=not order.bridge,
        target_wait=1.0,
    )


async def _work(worker: Worker, tell: Tell) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await worker.ready.wait()
        tell("ready", 0)


def _held(order: Order) -> Any:
    busy = ConfigurationError("Another process works for this node.")
    return hold(Path(order.folder) / "queue.lock", busy)


async def _watch(host: LocalHost, tell: Tell) -> None:
    """Tell again and again whether the node rests."""
    while True:
        found = await host.list()
        rests = all(info.state in {"idle", "error"} and not info.queued for info in found)
        tell("rests", int(rests))
        await asyncio.sleep(0.05)


class CountingTool:
    """Called with a `key`: that is one line more in the file of effects. Runs unasked."""

    def __init__(self, effects: Path) -> None:
        self._effects = effects
        self.spec = ToolSpec(
            name="count",
            description="Counts.",
            parameters={"type": "object", "properties": {"key": {"type": "string"}}},
            effect="effect",
            auto_approve=True,
        )

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        key = str(arguments["key"])
        return Prepared(tool="count", arguments={"key": key}, effect="effect", header=key)

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        effects = os.open(self._effects, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(effects, f"{prepared.arguments['key']}\n".encode())
        finally:
            os.close(effects)
        return ToolResult("ok", "counted")

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return None


class DeadlyStore(SqliteStore):
    """Kills its process before or after a record of a type is written."""

    deadly = ("", "")
    about = ""

    async def append(
        self,
        ws_id: str,
        epoch: int,
        events: Sequence[Event],
        summary: dict[str, Any] | None = None,
    ) -> Appended:
        self._pass(events, "before")
        appended = await super().append(ws_id, epoch, events, summary)
        self._pass(events, "after")
        return appended

    def _pass(self, events: Sequence[Event], when: str) -> None:
        for event in events:
            kind = str(event.__struct_config__.tag)
            if (kind, when) == self.deadly and self.about in event.correlation_id:
                _die()


class MortalHost:
    """A host, of which a message that begins with `POISON` is the death."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def send(self, message: SendMessage) -> Accepted:
        if message.message.startswith(POISON):
            _die()
        return await self._host.send(message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
