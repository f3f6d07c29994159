"""Handlers for the endpoint table as a document: for programs, and as a plain page."""

from __future__ import annotations

import functools
import html
import time
from collections.abc import Iterator, Mapping

import msgspec
from starlette.types import ASGIApp

from turnstone import __version__
from turnstone.api import openapi as document
from turnstone.api.endpoints import ENDPOINTS, Endpoint
from turnstone.server.routes import Call, Handler, Node
from turnstone.server.static import TYPES, File

_STARTED = time.time()


async def openapi(_node: Node, _call: Call[None]) -> ASGIApp:
    return _document()


async def docs(_node: Node, _call: Call[None]) -> ASGIApp:
    return _page()


HANDLERS: Mapping[str, Handler] = {"openapi": openapi, "docs": docs}


@functools.cache
def _document() -> File:
    return File(msgspec.json.encode(document.document()), TYPES[".json"], _STARTED)


@functools.cache
def _page() -> File:
    return File("\n".join(_lines()).encode(), TYPES[".html"], _STARTED)


def _lines() -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield "<title>Turnstone: HTTP API</title>"
    yield '<link rel="stylesheet" href="/static/shared/base.css">\n</head>\n<body>\n<main>'
    yield f"<h1>HTTP API of a Turnstone node, {html.escape(__version__)}</h1>"
    yield '<p>For programs: <a href="/openapi.json">openapi.json</a>.</p>'
    for row in ENDPOINTS:
        yield from _section(row)
    yield "</main>\n</body>\n</html>"


def _section(row: Endpoint) -> Iterator[str]:
    yield f"<h2><code>{row.method} {html.escape(row.path)}</code></h2>"
    yield f"<p>{html.escape(row.summary)} Needs: {row.role}.</p>"
    if row.query:
        yield "<p>In the query:</p>\n<ul>"
        for query in row.query:
            needed = " It must be given." if query.required else ""
            yield f"<li><code>{query.name}</code>: {html.escape(query.about)}{needed}</li>"
        yield "</ul>"
    for said, kind in (("Body", row.request), ("Answer", row.reply)):
        if kind is not None:
            names = ", ".join(f"<code>{f.encode_name}</code>" for f in msgspec.structs.fields(kind))
            yield f"<p>{said}: {names or 'nothing'}</p>"
    found = ", ".join(str(status) for status in document.statuses(row))
    yield f"<p>Statuses: {found}</p>"
