"""Puts programs together: the only place that joins a node with the servers around it.

`serve` is `turnstone-server` and `turnstone up`; they differ in what happens when no model
endpoint is configured. Says what a person must know at the start, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator

from turnstone.api.token import make_token, token_path
from turnstone.api.token_file import TokenFile
from turnstone.core.config import Settings
from turnstone.core.engine import no_fence
from turnstone.core.errors import ConfigurationError
from turnstone.core.events import Event
from turnstone.core.host import CreateWorkstream, Host, WorkstreamInfo
from turnstone.core.local_host import LocalHost
from turnstone.core.metrics import Metrics, NodeFigures
from turnstone.core.permissions import notice_of_node
from turnstone.core.spans import TurnSpans
from turnstone.mq.check import check_node_name
from turnstone.mq.inspect_redis import RedisInspector
from turnstone.mq.keys import Keys
from turnstone.mq.lock import hold
from turnstone.mq.metrics import QueueFigures
from turnstone.mq.worker_start import WorkerFence, redis_address, start_worker
from turnstone.server.app import NodeApp
from turnstone.server.audit import Audit
from turnstone.server.audit_file import AuditFile
from turnstone.server.auth import CONFIGURED, LOCAL, Auth, Token
from turnstone.server.login_sessions import Sessions
from turnstone.server.run import collect_seldom, listen, serve_on, url_of
from turnstone.server.traces import Traces, check_installed
from turnstone.wiring import build_local_host, find_model, store_name

Say = Callable[[str], None]

#: The audit record, beside the store.
AUDIT = "audit.jsonl"


async def serve(settings: Settings, say: Say, *, or_practice: bool = False) -> None:
    """Run a node with its HTTP server until it is told to stop.

    `or_practice`: without a configured endpoint, look for one on this machine, and start with
    the practice model if there is none. Raises TurnstoneErrors, before anything runs.
    """
    if settings.traces.endpoint:
        check_installed()
    auth = _auth(settings)
    address = settings.server.host
    with contextlib.closing(listen(address, settings.server.port, auth)) as listener:
        endpoint = await find_model(settings, or_practice=or_practice)
        fence = WorkerFence() if takes_queue(settings) else None
        host = await build_local_host(settings, endpoint, "server", fence or no_fence)
        taken_up = host.at_work
        try:
            await _first_workstream(host)
            metrics, figures = Metrics(), NodeFigures()
            host.on_record = figures.saw
            metrics.add(figures.samples)
            app = NodeApp(
                host,
                auth,
                allowed_hosts=settings.server.allowed_hosts,
                metrics=metrics,
                public=("metrics",) if settings.metrics.public else (),
                trusted_proxies=settings.server.trusted_proxies,
                rate_limit=settings.server.rate_limit,
                anonymous_rate_limit=settings.server.anonymous_rate_limit,
                settings=settings,
                audit=Audit(AuditFile(settings.store.path.with_name(AUDIT)), host.engine.masking),
            )

            def ready(url: str) -> None:
                for line in _greeting(app, host, settings, url, taken_up):
                    say(line)
                collect_seldom()

            async with (
                _traced(host, settings),
                _working(host, settings, url_of(listener), fence, metrics),
            ):
                await serve_on(
                    listener,
                    app,
                    address,
                    ready=ready,
                    max_connections=settings.server.max_connections,
                )
            if host.at_work:
                say(f"Stopping: {host.at_work} workstream(s) are at work; the next start goes on.")
        finally:
            await host.aclose()


def takes_queue(settings: Settings) -> bool:
    """Whether this server works for the queue itself. A `[redis]` section alone does not ask
    for that: a server with a bridge beside it stays as it is."""
    return settings.server.queue or settings.source("redis.host").kind == "command line"


@contextlib.asynccontextmanager
async def _working(
    host: LocalHost, settings: Settings, url: str, fence: WorkerFence | None, metrics: Metrics
) -> AsyncIterator[None]:
    """Work for the queue while the server serves; does nothing without a fence."""
    if fence is None:
        yield
        return
    check_node_name(host.node_id)
    store = settings.store.path
    busy = ConfigurationError(
        f"Another process works from the queue for the store {store}.", hint="Stop that one."
    )
    with hold(store.with_name(f"{store.name}.queue.lock"), busy) as held:
        worker = await start_worker(
            host,
            settings,
            node_id=host.node_id,
            server_url=url,
            held=held,
            estate=host.heir,
            facts={
                "models": sorted({model.id for model in host.engine.models}),
                "sandbox": host.engine.confinement.level.name,
                **({"store_id": host.heir.store_id} if host.heir is not None else {}),
            },
        )
        fence.bind(worker)
        inspector = RedisInspector(redis_address(settings), settings.redis.prefix)
        metrics.add(QueueFigures(worker.figures, inspector).samples)
        host.timekeeper.share(worker.timers)
        try:
            async with asyncio.TaskGroup() as group:  # a worker that breaks ends the server too
                group.create_task(worker.run(), name="queue worker")
                yield
                host.timekeeper.share(None)
                await worker.aclose()
        except BaseExceptionGroup as broken:
            raise broken.exceptions[0] from None
        finally:
            await inspector.aclose()


@contextlib.asynccontextmanager
async def _traced(host: LocalHost, settings: Settings) -> AsyncIterator[None]:
    """Tell a collector of every turn; does nothing where none is named."""
    if not settings.traces.endpoint:
        yield
        return
    traces = Traces(settings.traces.endpoint, host.node_id)
    spans = TurnSpans(traces, host.engine.masking, contents=settings.traces.contents)
    counted = host.on_record

    def saw(event: Event, info: WorkstreamInfo) -> None:
        counted(event, info)
        spans.saw(event, info)

    host.on_record = saw
    try:
        yield
    finally:
        spans.end_all(host.engine.clock.now())
        await traces.aclose()


async def _first_workstream(host: Host) -> None:
    """A new node has one workstream, `default`, as a node of 0.2 has (contract, section 1.5)."""
    if not await host.list(limit=1):
        await host.create(CreateWorkstream(name="default"))


def _auth(settings: Settings) -> Auth:
    if not settings.auth.enabled:
        return Auth(enabled=False)
    state = settings.store.path.parent
    tokens = [Token(t.value.reveal(), t.role, name=t.name or t.role) for t in settings.auth.tokens]
    if settings.auth.token:
        tokens.append(Token(settings.auth.token.reveal(), "full", name=CONFIGURED))
    tokens.append(Token(make_token(state), "full", name=LOCAL))
    return Auth(tokens, file=TokenFile(state), sessions=Sessions(state / "sessions.json"))


def _token_shown(settings: Settings) -> str:
    """The token itself to a person at a terminal; to a log or a file, only where it is kept."""
    state = settings.store.path.parent
    return make_token(state) if sys.stdout.isatty() else f"in the file {token_path(state)}"


def _greeting(
    app: NodeApp, host: LocalHost, settings: Settings, url: str, taken_up: int
) -> Iterator[str]:
    engine = host.engine
    yield f"Turnstone listens on {url}"
    yield f"  log in      {app.login_link(url)}"
    if settings.auth.enabled:
        yield f"  token       {_token_shown(settings)}"
    for model in engine.models:
        name = "" if model is engine.models.default else f"{model.name}: "
        yield f"  model       {name}{model.told}"
    yield f"  workspace   {engine.workspace}"
    yield f"  sandbox     {engine.confinement.summary}"
    for note in engine.confinement.notes:
        yield f"              {note}"
    if notice := notice_of_node(engine):
        yield f"  permissions {notice}"
    if takes_queue(settings):
        inbound = Keys(settings.redis.prefix).inbound_of(host.node_id)
        yield f"  queue       Redis at {redis_address(settings)}"
        yield f"  node        {host.node_id}, whose own list is {inbound}"
    elif any(s.kind == "command line" for n, s in settings.sources.items() if n[:6] == "redis."):
        yield "  queue       none: add --redis-host, or [server] queue = true"
    if taken_up:
        yield f"  taken up    {taken_up} workstream(s) that were cut off at work"
    yield f"  store       {store_name(settings)}"
    if engine.models.default.id == "practice" and not settings.model.name:
        yield "No model was found on this machine. The practice model understands a few plain"
        yield 'requests ("list the files here", "read FILE"); name a real one with --base-url.'
