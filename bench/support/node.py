"""A node for benchmarks: the real engine on a real store, in this process."""

from __future__ import annotations

from pathlib import Path

from turnstone.core.endpoint import transport_to
from turnstone.core.engine import Engine, Fence, no_fence
from turnstone.core.local_host import LocalHost
from turnstone.core.models import Models
from turnstone.core.node import lock_server
from turnstone.core.store import SqliteStore
from turnstone.sandbox import find_sandbox
from turnstone.tools import load_tools


async def start_node(folder: Path, base_url: str, fence: Fence = no_fence) -> LocalHost:
    """Started in `folder`; the caller closes it."""
    workspace = folder / "workspace"
    workspace.mkdir(exist_ok=True)
    sandbox = await find_sandbox()
    engine = Engine(
        models=Models.one(transport_to(base_url), "bench", 32_768),
        tools=load_tools(sandbox),
        confinement=sandbox.confinement,
        workspace=workspace,
        fence=fence,
    )
    path = folder / "state" / "turnstone.db"
    path.parent.mkdir(exist_ok=True)
    return await LocalHost.start(await SqliteStore.open(path), engine, lock_server(path))
