"""Builds a local node from settings: the only place that names concrete parts.

Whoever needs a node in this process calls `build_local_host`. Everything that can be wrong
with a setting, a model endpoint, a store or a sandbox is raised here, before anything runs.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from turnstone.core.config import Settings
from turnstone.core.endpoint import Endpoint, connect, look_around, practice
from turnstone.core.engine import Engine
from turnstone.core.errors import ConfigurationError
from turnstone.core.local_host import LocalHost
from turnstone.core.node import lock_process, lock_server
from turnstone.core.sandbox import Level, Sandbox
from turnstone.core.store import SqliteStore
from turnstone.core.tool import SEED_TOOLS
from turnstone.sandbox import find_sandbox
from turnstone.tools import load_tools

Role: TypeAlias = Literal["server", "process"]
"""A server keeps its node id and takes up what it left; a process is gone when it ends."""

#: Characters of a token, on average, for turning a window into a limit of output.
_CHARACTERS_PER_TOKEN = 4


async def build_local_host(settings: Settings, endpoint: Endpoint, role: Role) -> LocalHost:
    """A started node. Raises ConfigurationError and StoreError with a sentence each."""
    sandbox = await _sandbox(settings)
    engine = _engine(settings, endpoint, sandbox)
    path = settings.store.path
    lock = lock_server(path, settings.bridge.node_id) if role == "server" else lock_process(path)
    try:
        store = await SqliteStore.open(path)
    except BaseException:
        lock.release()
        raise
    return await LocalHost.start(store, engine, lock)


async def find_model(settings: Settings, *, or_practice: bool = False) -> Endpoint:
    """The model that the settings name.

    With `or_practice`, and no endpoint configured, one on this machine, else the practice
    model. Raises ModelUnavailable and ConfigurationError with a sentence each.
    """
    if settings.model.name == "practice":
        return practice()
    if or_practice and not settings.given("api.base_url"):
        return await look_around(settings.server.port)
    key = settings.api.api_key.reveal()
    return await connect(settings.api.base_url, key, settings.model.name)


async def _sandbox(settings: Settings) -> Sandbox:
    # A command must not read the token, the journals or the keys in the configuration.
    hidden = [settings.store.path.parent, *([settings.file.parent] if settings.file else [])]
    sandbox = await find_sandbox(hidden=hidden)
    if settings.sandbox.required and sandbox.confinement.level is Level.L0:
        notes = " ".join(sandbox.confinement.notes)
        raise ConfigurationError(
            f"[sandbox] required is set, and commands cannot be confined here. {notes}".strip(),
            hint="Install bubblewrap, or unset it.",
        )
    return sandbox


def _engine(settings: Settings, endpoint: Endpoint, sandbox: Sandbox) -> Engine:
    workspace = settings.tools.workspace.resolve()
    if not workspace.is_dir():
        raise ConfigurationError(
            f"The workspace {workspace} is not a directory.", hint="Name another with --workspace."
        )
    if not _is_utf8(str(workspace)):
        raise ConfigurationError(
            f"The name of the workspace {str(workspace)!r} is not UTF-8.",
            hint="Name another with --workspace.",
        )
    window = settings.model.context_window
    if endpoint.context_window and not settings.given("model.context_window"):
        window = endpoint.context_window
    tools = load_tools(sandbox)
    unknown = [
        name for name in settings.tools.auto_approve_tools if name not in {*tools, *SEED_TOOLS}
    ]
    if unknown:
        raise ConfigurationError(
            f"[tools] auto_approve_tools names {unknown[0]!r}, and there is no such tool.",
            hint=f"The tools are {', '.join(tools)}.",
        )
    return Engine(
        model=endpoint.transport,
        model_name=endpoint.model,
        tools=tools,
        confinement=sandbox.confinement,
        workspace=workspace,
        params={
            "temperature": settings.model.temperature,
            "max_tokens": min(settings.model.max_tokens, max(1, window // 2)),
        },
        context_window=window,
        max_steps=settings.tools.max_steps,
        max_workstreams=settings.server.max_workstreams,
        tool_timeout=float(settings.tools.timeout),
        max_output=settings.tools.truncation or window * _CHARACTERS_PER_TOKEN // 2,
        auto_approve=settings.tools.skip_permissions,
        auto_approve_tools=frozenset(settings.tools.auto_approve_tools),
        instructions=settings.session.instructions,
    )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
