"""Builds a local node from settings: the only place that names concrete parts.

Whoever needs a node in this process calls `build_local_host`. Everything that can be wrong
with a setting, a model endpoint, a store or a sandbox is raised here, before anything runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

from oturn.transport.openai import OpenAITransport
from turnstone.core.config import Settings
from turnstone.core.endpoint import Endpoint, connect, look_around, practice
from turnstone.core.engine import Engine, Fence, no_fence
from turnstone.core.errors import ConfigurationError
from turnstone.core.events import Budget
from turnstone.core.limits import Limits
from turnstone.core.local_host import LocalHost
from turnstone.core.logs import mask_logs
from turnstone.core.masking import Masking, secrets_of
from turnstone.core.model_setup import set_up
from turnstone.core.models import Models
from turnstone.core.node import NodeLock, lock_process, lock_server
from turnstone.core.outputs import outputs_beside
from turnstone.core.policy_rules import Parts, Rule, RuleError, Rules, idle, parse
from turnstone.core.practice import MODEL_NAME as PRACTICE
from turnstone.core.sandbox import Confinement, Level, Sandbox
from turnstone.core.sensitive import store_files
from turnstone.core.store import SqliteStore, Store
from turnstone.core.tool import SEED_TOOLS, Tool, ToolSpec
from turnstone.sandbox import find_sandbox
from turnstone.tools import load_tools
from turnstone.tools.web.access import WebAccess, read_reach
from turnstone.tools.web.services import ProviderSearch, SearchService, SearXNG, Tavily

Role: TypeAlias = Literal["server", "process"]
"""A server keeps its node id and takes up what it left; a process is gone when it ends."""

#: Where a setting may come from: the later, the more urgent.
_SOURCES = ("default", "file", "environment", "command line")


async def build_local_host(
    settings: Settings, endpoint: Endpoint, role: Role, fence: Fence = no_fence
) -> LocalHost:
    """A started node. Raises ConfigurationError and StoreError with a sentence each."""
    workspace, hidden = _workspace(settings), _hidden(settings)
    sandbox = await _sandbox(settings, hidden)
    tools = load_tools(sandbox, hidden=hidden, web=web_access(settings, endpoint))
    _check_names(settings, tools)
    rules = read_rules(settings, {name: tool.spec for name, tool in tools.items()})
    models = await set_up(settings, endpoint)
    engine = _engine(settings, models, sandbox.confinement, tools, workspace, fence)
    masking = Masking([*settings.secrets(), *secrets_of(os.environ)])
    mask_logs(masking)
    path = settings.store.path
    engine = replace(engine, rules=rules, masking=masking, outputs=outputs_beside(path))
    lock = lock_server(path, settings.bridge.node_id) if role == "server" else lock_process(path)
    async with AsyncExitStack() as on_failure:
        on_failure.callback(lock.release)
        store = await open_store(settings, lock)
        on_failure.push_async_callback(store.aclose)
        host = await LocalHost.start(store, engine, lock)
        on_failure.pop_all()
        return host


async def open_store(settings: Settings, lock: NodeLock) -> Store:
    """The store that the settings name, for the process that holds this id. Raises StoreError."""
    url = store_url(settings)
    if not url:
        return await SqliteStore.open(settings.store.path)
    from turnstone.core.store.postgres import PostgresStore

    store = await PostgresStore.open(url)
    try:
        await store.be_present(lock.node_id)
    except BaseException:
        await store.aclose()
        raise
    lock.elsewhere, lock.holds, lock.store_id = store.lives, store.holds, store.store_id
    return store


def store_url(settings: Settings) -> str:
    """Where the PostgreSQL is that keeps everything; empty: it is the file. Never to be shown.

    Raises ConfigurationError where a file was named later, and so more urgently, than it.
    """
    url = settings.store.url.reveal()
    if url and _rank(settings, "store.path") > _rank(settings, "store.url"):
        raise ConfigurationError(
            f"The store is named twice: {settings.source('store.path')} says "
            f"{settings.store.path}, and {settings.source('store.url')} names a PostgreSQL.",
            hint="For the file, say --store-url '' too; for PostgreSQL, leave --store out.",
        )
    return url


def store_name(settings: Settings) -> str:
    """Where everything is kept, as a person may be shown it."""
    url = store_url(settings)
    if not url:
        return str(settings.store.path)
    from turnstone.core.store.postgres import shown

    return shown(url)


def _rank(settings: Settings, name: str) -> int:
    return _SOURCES.index(settings.source(name).kind)


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


async def _sandbox(settings: Settings, hidden: Sequence[Path]) -> Sandbox:
    sandbox = await find_sandbox(hidden=hidden)
    if settings.sandbox.required and sandbox.confinement.level is Level.L0:
        notes = " ".join(sandbox.confinement.notes)
        raise ConfigurationError(
            f"[sandbox] required is set, and commands cannot be confined here. {notes}".strip(),
            hint="Install bubblewrap, or unset it.",
        )
    return sandbox


def _workspace(settings: Settings) -> Path:
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
    folder = settings.store.path.parent.resolve()
    # The token lies beside the store: whoever may write there may write anything.
    if workspace != folder and workspace.is_relative_to(folder):
        raise ConfigurationError(
            f"The workspace {workspace} lies in the folder of the store, {folder}, where the "
            "token is that commands must not reach.",
            hint="Put the store into another folder with --store, or name another --workspace.",
        )
    if workspace == folder:
        raise ConfigurationError(
            f"The store {settings.store.path} lies in the workspace {workspace}, where commands "
            "could change it.",
            hint="Put it into another folder with --store, or name another --workspace.",
        )
    return workspace


def _hidden(settings: Settings) -> list[Path]:
    """What no tool may see: token, journals, and the keys in the configuration."""
    store = settings.store.path
    hidden = [store.parent, *store_files(store)]
    if settings.file is not None:
        hidden.append(settings.file)
        folder = settings.file.parent
        if not settings.tools.workspace.resolve().is_relative_to(folder.resolve()):
            hidden.append(folder)
    return hidden


def web_access(settings: Settings, endpoint: Endpoint) -> WebAccess:
    """What the web tools may use. Raises ConfigurationError for a [web] that cannot be."""
    try:
        reach = read_reach(settings.web.allow_private, settings.web.ports)
    except ValueError as error:
        raise ConfigurationError(f"[web] {error}") from None
    return WebAccess(reach, _search_service(settings, endpoint))


def _search_service(settings: Settings, endpoint: Endpoint) -> SearchService | None:
    key, url = settings.api.tavily_key.reveal(), settings.web.searxng_url
    wanted = settings.web.search
    if wanted == "auto":
        wanted = "tavily" if key else "searxng"
    elif (wanted == "tavily" and not key) or (wanted == "searxng" and not url):
        missing = "[api] tavily_key" if wanted == "tavily" else "[web] searxng_url"
        raise ConfigurationError(f"[web] search is {wanted}, and {missing} is not set.")
    if wanted == "provider":
        if not isinstance(endpoint.transport, OpenAITransport):
            raise ConfigurationError(
                "[web] search is provider, and there is no provider: the model is not asked over HTTP.",
                hint="Name an endpoint with [api] base_url, or another search.",
            )
        model = settings.web.search_model or endpoint.model
        return ProviderSearch(endpoint.transport.complete, model, endpoint.transport.url)
    if wanted == "tavily":
        return Tavily(key)
    return SearXNG(url) if url else None


def _check_names(settings: Settings, tools: Mapping[str, Tool]) -> None:
    known = {*tools, *SEED_TOOLS}
    unknown = [name for name in settings.tools.auto_approve_tools if name not in known]
    if unknown:
        raise ConfigurationError(
            f"[tools] auto_approve_tools names {unknown[0]!r}, and there is no such tool.",
            hint=f"The tools are {', '.join(tools)}.",
        )


def read_rules(settings: Settings, tools: Mapping[str, ToolSpec]) -> Rules:
    """The rules of [policy]. Raises ConfigurationError: a sentence for each that is wrong."""
    problems: list[str] = []
    read: dict[str, list[Rule]] = {}
    for key in ("allow", "ask", "deny"):
        read[key] = []
        for text in getattr(settings.policy, key):
            try:
                read[key].append(parse(text, tools, _home()))
            except RuleError as error:
                problems.append(_wrong_rule(settings, key, text, str(error)))
    rules = Rules(**{key: tuple(found) for key, found in read.items()})
    for key, rule, why in idle(rules, tools, _resolved):
        problems.append(_wrong_rule(settings, key, rule.text, why))
    if problems:
        raise ConfigurationError(
            " ".join(problems),
            hint='A rule is "tool", "tool(path)" as "read_file(docs/**)", or "bash(command)" as'
            ' "bash(git log *)".',
        )
    return rules


def _wrong_rule(settings: Settings, key: str, text: str, why: str) -> str:
    place = str(settings.source(f"policy.{key}")).removeprefix("file: ")
    return f"[policy] {key} has the rule {text!r} ({place}): {why}."


def _resolved(path: Parts) -> Parts:
    return Path(os.path.realpath(Path(*path))).parts


def _home() -> Parts | None:
    """What `~` is in a rule; None if that cannot be told."""
    try:
        home = Path("~").expanduser()
    except RuntimeError:
        return None
    return _resolved(home.parts) if home.is_absolute() else None


def _engine(
    settings: Settings,
    models: Models,
    confinement: Confinement,
    tools: Mapping[str, Tool],
    workspace: Path,
    fence: Fence,
) -> Engine:
    return Engine(
        models=models,
        tools=tools,
        confinement=confinement,
        workspace=workspace,
        params={
            "temperature": settings.model.temperature,
            "max_tokens": settings.model.max_tokens,
        },
        max_steps=settings.tools.max_steps,
        agent_max_steps=max(0, settings.tools.agent_max_turns),
        agent_depth=settings.tools.agent_depth,
        budget=Budget(
            tokens=settings.budget.tokens,
            seconds=settings.budget.seconds,
            tool_calls=settings.budget.tool_calls,
            money=settings.budget.money,
        ),
        limits=Limits(float(settings.tools.turn_timeout), settings.tools.turn_max_tokens),
        max_workstreams=settings.server.max_workstreams,
        idle_timeout=settings.server.workstream_idle_timeout * 60.0,
        retention=settings.session.retention_days * 86_400.0,
        tool_timeout=float(settings.tools.timeout),
        max_output=settings.tools.truncation,
        auto_approve=settings.tools.skip_permissions,
        auto_approve_tools=frozenset(settings.tools.auto_approve_tools),
        effort=settings.model.reasoning_effort if settings.given("model.reasoning_effort") else "",
        titles=settings.session.titles and models.default.id != PRACTICE,
        auto_compact=settings.session.auto_compact_pct,
        compact_max_tokens=settings.session.compact_max_tokens,
        persona=settings.session.persona,
        instructions=settings.session.instructions,
        fence=fence,
    )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
