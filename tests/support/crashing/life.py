"""One life of a node: it opens its store, takes up what it finds, and carries the turn to its end.

Runs in a process that may be killed at any moment. What its reader sees, it tells to a log
that outlives it; the next life's reader resumes behind the last event in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

from support.crashing.log import SharedLog
from support.crashing.stores import (
    AtWrite,
    KillingPostgres,
    KillingSqlite,
    KillingStore,
    LateStore,
)
from support.crashing.stuck import stuck
from support.crashing.turn import CID, NOTES, WS, strict_model
from turnstone.core import events as ev
from turnstone.core.engine import Engine
from turnstone.core.errors import UnknownRequest
from turnstone.core.host import Answer, CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.core.models import Models
from turnstone.core.node import lock_server
from turnstone.core.store import Store
from turnstone.core.store.postgres import PostgresStore
from turnstone.sandbox import Unconfined
from turnstone.tools import load_tools

#: Seconds for a whole life; more is a failure.
PATIENCE = 60.0


@dataclass(frozen=True)
class Scene:
    """Where the node lives. `url`: of its PostgreSQL, empty for SQLite. `late`: `LateStore`."""

    folder: Path
    log: SharedLog
    url: str = ""
    late: bool = False
    attempts: int = 1000

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def lay_out(self) -> None:
        self.workspace.mkdir(parents=True)
        (self.workspace / "notes").write_text(NOTES)

    async def open_store(self, node_id: str) -> Store:
        if self.late:
            return await LateStore.open(self.folder / "turnstone.db")
        store = await self.killing_store()
        if isinstance(store, PostgresStore):
            # As every node does: it waits for what a killed process has told the server to
            # commit. Who reads before that would miss it.
            await store.be_present(node_id)
        return store

    async def killing_store(self) -> KillingStore:
        if self.url:
            return await KillingPostgres.open(self.url)
        return await KillingSqlite.open(self.folder / "turnstone.db")


def live(scene: Scene, deadly: AtWrite | None = None) -> None:
    """Returns when the turn has ended and the node is closed. `deadly`: die at this write."""
    asyncio.run(_live(scene, deadly))


async def _live(scene: Scene, deadly: AtWrite | None) -> None:
    life = asyncio.create_task(_lived(scene, deadly), name="life")
    if not (await asyncio.wait({life}, timeout=PATIENCE))[0]:
        scene.log.tell("fault", f"a life does not end:\n{stuck(scene.url)}")
        raise TimeoutError
    await life


async def _lived(scene: Scene, deadly: AtWrite | None) -> None:
    lock = lock_server(scene.folder / "turnstone.db", "node")
    store = await scene.open_store(lock.node_id)
    if isinstance(store, KillingStore):
        store.deadly = deadly
    host = await LocalHost.start(store, _engine(scene), lock)
    await host.create(CreateWorkstream(ws_id=WS, auto_approve_tools=["write_file"]))
    await host.send(SendMessage(ws_id=WS, message="Do it.", correlation_id=CID))
    await _read_to_the_end(host, scene.log)
    await host.aclose()
    if isinstance(store, KillingStore):
        scene.log.tell("writes", store.writes)


def _engine(scene: Scene) -> Engine:
    sandbox = Unconfined()
    return Engine(
        models=Models.one(
            strict_model(lambda fault: scene.log.tell("fault", f"the model is sent: {fault}")),
            "strict",
        ),
        tools=load_tools(sandbox),
        confinement=sandbox.confinement,
        workspace=scene.workspace.resolve(),
        max_attempts=scene.attempts,
    )


async def _read_to_the_end(host: LocalHost, log: SharedLog) -> None:
    """Follow from the last id seen, and say yes to what is asked."""
    seen = log.told("seen")
    kinds = [kind for _, kind in seen]
    if "turn_ended" in kinds:
        return  # it was killed behind the end
    if kinds.count("approval_asked") > kinds.count("approval_answered"):
        with suppress(UnknownRequest):  # the answer may have been taken, and not been told
            await host.approve(Answer(ws_id=WS, approved=True, by="tester"))
    events = host.follow(WS, ev.EventId.parse(seen[-1][0]) if seen else None)
    assert isinstance(events, AsyncGenerator)
    async with aclosing(events):
        async for event in events:
            log.tell("seen", [event.id, event.type])
            if isinstance(event, ev.ApprovalAsked):
                answer = Answer(ws_id=WS, request_id=event.request_id, approved=True, by="tester")
                await host.approve(answer)
            if isinstance(event, ev.TurnEnded):
                return
