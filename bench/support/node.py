"""A node for benchmarks: the real engine on a real store, in this process."""

from __future__ import annotations

from pathlib import Path

from oturn.transport.openai import OpenAITransport
from turnstone.core.engine import Engine
from turnstone.core.local_host import LocalHost
from turnstone.core.node import lock_server
from turnstone.core.store import SqliteStore
from turnstone.sandbox import find_sandbox
from turnstone.tools import load_tools


async def start_node(folder: Path, base_url: str) -> LocalHost:
    """Started in `folder`; the caller closes it."""
    workspace = folder / "workspace"
    workspace.mkdir(exist_ok=True)
    sandbox = await find_sandbox()
    engine = Engine(
        model=OpenAITransport(base_url),
        model_name="bench",
        tools=load_tools(sandbox),
        confinement=sandbox.confinement,
        workspace=workspace,
        context_window=32_768,
    )
    path = folder / "state" / "turnstone.db"
    path.parent.mkdir(exist_ok=True)
    return await LocalHost.start(await SqliteStore.open(path), engine, lock_server(path))
