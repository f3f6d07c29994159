"""`turnstone erase`: a session, with all its records, out of the store.

Where a server runs that owns it, that server is asked to; else it is done here. Nothing is
erased that works, unless that was asked for. With `--compact` the store's file is written anew.
"""

from __future__ import annotations

from turnstone.api.http_host import HttpHost
from turnstone.api.token import find_token
from turnstone.cli.opened import opened
from turnstone.core.config import Settings
from turnstone.core.erasure import at_work, erasable
from turnstone.core.errors import (
    ConfigurationError,
    NodeUnavailable,
    NotOwner,
    StoreError,
    UnknownSession,
    UnknownWorkstream,
)
from turnstone.core.outputs import outputs_beside, remove_outputs
from turnstone.core.sessions import found_whole
from turnstone.core.store import SqliteStore, Store, WorkstreamRow
from turnstone.wiring import store_name, store_url

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}

_READ = (
    "Its records are deleted. Another process was reading the store, so their bytes are wiped "
    "from its files by the next sweep of a node."
)


async def erase(settings: Settings, name: str, *, force: bool) -> str:
    """What to tell the person. `name`: an alias, or the whole id of a session or workstream.

    Raises UnknownWorkstream, InvalidRequest for the beginning of an id, WorkstreamBusy, NotOwner.
    """
    try:
        ws_id = await _named(settings, name)
        wiped = await _erase_here(settings, ws_id, force=force)
    except NotOwner as error:
        return await _erase_there(settings, ws_id, error, force=force)
    except (UnknownSession, UnknownWorkstream) as error:
        raise UnknownWorkstream(
            f"There is no session or workstream {name} in the store {store_name(settings)}.",
            hint="Name the store that has it with --store; --host, --port and --auth-token are "
            "for the server of that store.",
        ) from error
    return f"Workstream {ws_id} is erased." + ("" if wiped else f" {_READ}")


async def compact(settings: Settings) -> str:
    """Write the file of the store anew, and so all that was erased out of it; what to tell the
    person. Others wait to write meanwhile. Raises StoreError, ConfigurationError."""
    path = settings.store.path
    if store_url(settings):
        raise ConfigurationError(
            "The store is a PostgreSQL database, which does this by itself.",
            hint="To have it done now, use VACUUM FULL there.",
        )
    if not path.is_file():
        raise StoreError(f"There is no store {path}.", hint="Name it with --store.")
    before = path.stat().st_size
    store = await SqliteStore.open(path)
    try:
        done = await store.scrub(anew=True)
    finally:
        await store.aclose()
    if not done:
        raise StoreError(
            f"The store {path} could not be written anew: another process was using it, or its "
            f"disk has no room for a second copy ({before / 1e6:,.1f} MB).",
            hint="Nothing is lost. Try again while no turn runs.",
        )
    after = path.stat().st_size
    return f"The store {path} was written anew: {after / 1e6:,.1f} MB, {before / 1e6:,.1f} before."


async def _named(settings: Settings, name: str) -> str:
    async with opened(settings) as (store, _):
        return (await found_whole(store, name)).row.ws_id


async def _erase_here(settings: Settings, ws_id: str, *, force: bool) -> bool:
    async with opened(settings) as (store, lock):
        row = await erasable(store, ws_id, lock.node_id, lock.lives)
        if row.open_turns and not force:
            raise at_work(ws_id)
        below = await _all_below(store, ws_id)
        await store.erase(ws_id, row.epoch, [(one.ws_id, one.epoch) for one in below])
        for one in (*below, row):
            await remove_outputs(outputs_beside(settings.store.path), one.ws_id)
        return await store.scrub()


async def _all_below(store: Store, ws_id: str) -> list[WorkstreamRow]:
    """Its sub-agents and theirs, the lowest first."""
    found: list[WorkstreamRow] = []
    for row in await store.below(ws_id):
        found += [*await _all_below(store, row.ws_id), row]
    return found


async def _erase_there(settings: Settings, ws_id: str, owned: NotOwner, *, force: bool) -> str:
    """By the server of this store, under the address that the settings name."""
    token = settings.auth.token.reveal() or find_token(settings.store.path.parent) or ""
    address = _ANY_ADDRESS.get(settings.server.host, settings.server.host)
    bare = f"[{address}]" if ":" in address else address
    host = HttpHost(f"http://{bare}:{settings.server.port}", token)
    try:
        await host.erase(ws_id, force=force)
    except NodeUnavailable:
        raise owned from None
    finally:
        await host.aclose()
    return f"Workstream {ws_id} is erased, by the server at {host.base_url}."
