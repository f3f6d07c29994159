"""The workstream that a terminal begins in: a new one, or a session that is gone on with."""

from __future__ import annotations

from turnstone.core.errors import UnknownSession
from turnstone.core.host import CreateWorkstream, Host, WorkstreamInfo


async def begin(host: Host, create: CreateWorkstream, resume: str | None = None) -> WorkstreamInfo:
    """`resume`: the session that was asked for, by alias, id or beginning of one.

    Raises UnknownSession where there is none, or nothing was said in it, and what `Host.create`
    and `Host.resume` raise.
    """
    if resume is None:
        return await host.create(create)
    info = await host.resume(resume)
    if not await host.search("", 1, info.id):
        raise UnknownSession(f"Nothing was said in session {info.session_id} yet.")
    return info
