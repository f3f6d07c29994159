"""The rows of conversations: back, beside, found again, taken elsewhere. Data only."""

from __future__ import annotations

from turnstone.api.bodies_workstreams import (
    ExportReply,
    ForkReply,
    ForkRequest,
    ImportRequest,
    RenameRequest,
    ResumeRequest,
    RewindReply,
    RewindRequest,
    SearchReply,
    SessionsReply,
    WorkstreamReply,
)
from turnstone.api.parameters import NEXT, Query, limit
from turnstone.api.rows import Endpoint
from turnstone.core.host import Imported

#: Bytes of a request that brings a whole session.
MAX_IMPORT = 32 * 1024 * 1024

SESSIONS: tuple[Endpoint, ...] = (
    Endpoint(
        name="rewind",
        method="POST",
        path="/api/workstreams/rewind",
        role="full",
        audit="rewind",
        summary="Makes the conversation what it was just before a message.",
        request=RewindRequest,
        reply=RewindReply,
        errors=(
            404,
            409,
        ),
    ),
    Endpoint(
        name="fork",
        method="POST",
        path="/api/workstreams/fork",
        role="full",
        audit="fork",
        summary="Goes on from here, or from before a message, in a new workstream.",
        request=ForkRequest,
        reply=ForkReply,
        errors=(404, 409, 429),
        idempotency="kept",
    ),
    Endpoint(
        name="rename",
        method="POST",
        path="/api/workstreams/rename",
        role="full",
        audit="rename",
        summary="Gives a workstream a name, and its session an alias.",
        request=RenameRequest,
        reply=WorkstreamReply,
        errors=(
            404,
            409,
        ),
    ),
    Endpoint(
        name="sessions",
        method="GET",
        path="/api/sessions",
        role="read",
        summary="Conversations, open and closed, newest first: `limit=`, `after=` a `ws_id`.",
        reply=SessionsReply,
        query=(
            limit("50 without", 500),
            NEXT,
        ),
        errors=(404,),
    ),
    Endpoint(
        name="resume",
        method="POST",
        path="/api/sessions/resume",
        role="full",
        audit="resume",
        summary="Opens a session again, or finds the one that is open.",
        request=ResumeRequest,
        reply=WorkstreamReply,
        errors=(
            404,
            409,
            429,
        ),
    ),
    Endpoint(
        name="export",
        method="GET",
        path="/api/sessions/export",
        role="read",
        summary="A session as a file: `session=`, `format=` `json` or `markdown`.",
        reply=ExportReply,
        query=(
            Query(name="session", about="An alias, or an id.", required=True),
            Query(
                name="format", about="`json` without.", kind="choice", choices=("json", "markdown")
            ),
        ),
        errors=(404,),
    ),
    Endpoint(
        name="import",
        method="POST",
        path="/api/sessions/import",
        role="full",
        audit="import",
        summary="Takes the session of an exported file over, closed, to be resumed.",
        request=ImportRequest,
        reply=Imported,
        max_body=MAX_IMPORT,
        errors=(409, 429),
        idempotency="kept",
    ),
    Endpoint(
        name="search",
        method="GET",
        path="/api/search",
        role="read",
        summary="Where all words of `query=` were said: `limit=`, `ws_id=`.",
        reply=SearchReply,
        query=(
            Query(name="query", about="Words; all of them must occur."),
            limit("20 without", 100),
            NEXT,
            Query(name="ws_id", about="In this workstream only."),
        ),
        errors=(404,),
    ),
)
