"""`turnstone erase`: a workstream, with all its records, out of the store.

Where a server runs that owns it, that server is asked to; else it is done here. Nothing is
erased that works, unless that was asked for.
"""

from __future__ import annotations

from turnstone.api.http_host import HttpHost
from turnstone.api.token import find_token
from turnstone.core.config import Settings
from turnstone.core.erasure import at_work, erasable
from turnstone.core.errors import NodeUnavailable, NotOwner
from turnstone.core.node import lock_process
from turnstone.core.outputs import outputs_beside, remove_outputs
from turnstone.wiring import open_store

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}

_READ = (
    "Its records are deleted. Another process was reading the store, so their bytes are wiped "
    "from its files by the next sweep of a node."
)


async def erase(settings: Settings, ws_id: str, *, force: bool) -> str:
    """What to tell the person. Raises UnknownWorkstream, WorkstreamBusy, NotOwner."""
    try:
        wiped = await _erase_here(settings, ws_id, force=force)
    except NotOwner as error:
        return await _erase_there(settings, ws_id, error, force=force)
    return f"Workstream {ws_id} is erased." + ("" if wiped else f" {_READ}")


async def _erase_here(settings: Settings, ws_id: str, *, force: bool) -> bool:
    lock = lock_process(settings.store.path)
    try:
        store = await open_store(settings, lock)
        try:
            row = await erasable(store, ws_id, lock.node_id, lock.lives)
            if row.open_turns and not force:
                raise at_work(ws_id)
            await store.erase(ws_id, row.epoch)
            await remove_outputs(outputs_beside(settings.store.path), ws_id)
            return await store.scrub()
        finally:
            await store.aclose()
    finally:
        lock.release()


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
