"""Nodes for tests: the real engine on a real store, asking a scripted model over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelserver import ModelServer, Plan
from turnstone.core.endpoint import transport_to
from turnstone.core.engine import Engine
from turnstone.core.local_host import LocalHost
from turnstone.core.models import Models
from turnstone.core.node import NodeLock, lock_server
from turnstone.core.store import SqliteStore, Store
from turnstone.sandbox import find_sandbox
from turnstone.tools import load_tools


@dataclass
class Node:
    """A started node, and the model server that it asks (`model.requests` has what was sent)."""

    host: LocalHost
    model: ModelServer
    workspace: Path


@asynccontextmanager
async def local_node(folder: Path, plan: Plan, **engine: Any) -> AsyncIterator[Node]:
    """A node with its store and workspace in `folder`; started again there, it goes on.

    `engine` overrides fields of `Engine`.
    """
    with ModelServer(plan) as model:
        host = await start_host(folder, model.base_url, **engine)
        try:
            yield Node(host, model, host.engine.workspace)
        finally:
            await host.aclose()


@asynccontextmanager
async def local_host(folder: Path, plan: Plan, **engine: Any) -> AsyncIterator[LocalHost]:
    """The same, for tests that need nothing but the host."""
    async with local_node(folder, plan, **engine) as node:
        yield node.host


async def start_host(
    folder: Path,
    base_url: str,
    *,
    store: type[SqliteStore] = SqliteStore,
    url: str = "",
    node_id: str = "",
    **engine: Any,
) -> LocalHost:
    """A node that asks the model at `base_url`. The caller closes it.

    It keeps its journals in `folder`, or in the PostgreSQL at `url`. One that does not start
    leaves nothing open.
    `model`, `model_name`, `context_window`, `price` and `vision` make another one of it.
    """
    workspace = folder / "workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    sandbox = await find_sandbox()
    parts: dict[str, Any] = {
        "models": engine.pop("models", None)
        or Models.one(
            engine.pop("model", None) or transport_to(base_url),
            engine.pop("model_name", "scripted-model"),
            engine.pop("context_window", 32_768),
            engine.pop("price", None),
            vision=engine.pop("vision", False),
        ),
        "tools": load_tools(sandbox),
        "confinement": sandbox.confinement,
        "workspace": workspace.resolve(),
    }
    path = folder / "turnstone.db"
    lock = lock_server(path, node_id)
    async with AsyncExitStack() as on_failure:
        on_failure.callback(lock.release)
        opened = await (_shared(url, lock) if url else store.open(path))
        on_failure.push_async_callback(opened.aclose)
        host = await LocalHost.start(opened, Engine(**parts | engine), lock)
        on_failure.pop_all()
        return host


async def _shared(url: str, lock: NodeLock) -> Store:
    from turnstone.core.store.postgres import PostgresStore

    store = await PostgresStore.open(url)
    await store.be_present(lock.node_id)
    lock.elsewhere, lock.holds, lock.store_id = store.lives, store.holds, store.store_id
    return store
