"""The OpenAPI 3.1 document of a node, made from the endpoint table. Pure, and always the same.

What all answers have in common is told once: the shape of errors, and the statuses that every
request of its kind may get.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from turnstone import __version__
from turnstone.api.endpoints import ENDPOINTS, Endpoint
from turnstone.api.parameters import Query
from turnstone.api.problems import ErrorBody
from turnstone.core.events import AnyEvent

#: What each status means where it is an error; the answer has the one shape of errors.
MEANINGS: dict[int, str] = {
    400: "It is empty, or no HTTP; or as 0.2 had it, the workstream is not there.",
    401: "It needs a token that the node knows.",
    403: "The role does not cover it, or a page of another site made the request.",
    404: "What is named is not there.",
    408: "The body did not come in time.",
    409: "It does not fit to how things stand.",
    410: "It was erased.",
    413: "The body is too long.",
    415: "The body is not declared as JSON.",
    416: "There is no such part.",
    421: "The node is not reached under this name.",
    422: "A field or parameter is wrong; the error names it.",
    429: "Too many, or too often.",
    500: "The node itself failed.",
    503: "The node is stopping, or its store cannot be used.",
}

_ALWAYS = (400, 421, 429, 500, 503)
_PLACE = re.compile(r"\{(\w+)\}")
_REF = "#/components/schemas/{name}"

_BODY = "$response.body#/"

#: What an answer names that later requests are about, as they call it; what they must name first.
_MADE: dict[str, dict[str, str]] = {
    "new": {"ws_id": f"{_BODY}ws_id"},
    "fork": {"ws_id": f"{_BODY}workstream/id"},
    "send": {"correlation_id": f"{_BODY}correlation_id", "ws_id": f"{_BODY}ws_id"},
    "set_timer": {"timer_id": f"{_BODY}timer_id"},
    "remember": {"key": f"{_BODY}key", "scope": f"{_BODY}scope"},
}


def statuses(row: Endpoint) -> list[int]:
    """Every status that this endpoint may answer with."""
    found = {200, *_ALWAYS, *row.errors}
    if row.role != "public":
        found |= {401, 403}
    if row.method != "GET":
        found.add(403)
    if row.request is not None:
        found |= {408, 413, 415, 422}
    if row.query or "{" in row.path:
        found.add(422)
    if row.idempotency:
        found |= {409, 422}
    if row.name in ("page", "static", "docs", "openapi"):
        found |= {206, 304, 416}
    return sorted(found)


def document() -> dict[str, Any]:
    kinds: list[Any] = [ErrorBody, AnyEvent]
    kinds += [kind for row in ENDPOINTS for kind in (row.request, row.reply) if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    shown = dict(zip(map(id, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for row in ENDPOINTS:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, shown)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Turnstone node",
            "version": __version__,
            "description": "docs/api-reference.md says more of each.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "turnstone_auth"},
            },
        },
        "security": [{"bearer": []}, {"cookie": []}],
    }


def _operation(row: Endpoint, shown: dict[int, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": row.name,
        "summary": row.summary,
        "x-role": row.role,
        "responses": {str(status): _response(row, status, shown) for status in statuses(row)},
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PLACE.findall(row.path)
    ] + [_parameter(query) for query in row.query]
    if row.stream:
        parameters.append(_header("Last-Event-ID", "The last id that was seen."))
    if row.idempotency:
        parameters.append(
            _header("Idempotency-Key", "The same request under the same key is carried out once.")
        )
    if parameters:
        told["parameters"] = parameters
    if row.request is not None:
        told["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": shown[id(row.request)]}},
        }
    if row.role == "public":
        told["security"] = []
    return told


def _header(name: str, about: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "description": about,
        "schema": {"type": "string"},
    }


def _parameter(query: Query) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    match query.kind:
        case "number":
            schema = {"type": "integer", "minimum": query.least}
            if query.most:
                schema["maximum"] = query.most
        case "choice":
            schema["enum"] = list(query.choices)
        case "text" if query.required:
            schema["minLength"] = 1
    if query.many:
        schema = {"type": "array", "items": schema}
    return {
        "name": query.name,
        "in": "query",
        "description": query.about,
        "required": query.required,
        "schema": schema,
    }


def _response(row: Endpoint, status: int, shown: dict[int, Any]) -> dict[str, Any]:
    if status == 200:
        done: dict[str, Any] = {"description": "Done.", "content": _content(row, shown)}
        links = _links(row)
        return done | ({"links": links} if links else {})
    if status == 206:
        return {"description": "A part of the file.", "content": _content(row, shown)}
    if status in (303, 304):
        return {"description": "Signed in: see /." if status == 303 else "Not changed."}
    told: dict[str, Any] = {"description": MEANINGS[status]}
    if row.name == "login_link" and status == 401:
        told["content"] = {"text/html": {"schema": {"type": "string"}}}
    elif status != 416:
        told["content"] = {"application/json": {"schema": shown[id(ErrorBody)]}}
    return told


def _links(row: Endpoint) -> dict[str, Any]:
    """What can be asked of what was just made."""
    made = _MADE.get(row.name, {})
    links: dict[str, Any] = {}
    for other in ENDPOINTS:
        body = made.keys() & (_fields(other.request) if other.request is not None else set())
        query = made.keys() & {*(query.name for query in other.query), *_PLACE.findall(other.path)}
        if other.name in (row.name, "new") or next(iter(made), "") not in body | query:
            continue
        link: dict[str, Any] = {"operationId": other.name}
        if body:
            link["requestBody"] = {name: made[name] for name in made if name in body}
        if query:
            link["parameters"] = {name: made[name] for name in made if name in query}
        links[other.name] = link
    return links


def _fields(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def _content(row: Endpoint, shown: dict[int, Any]) -> dict[str, Any]:
    if row.stream:
        return {"text/event-stream": {"schema": {"type": "string"}}}
    if row.reply is not None:
        return {"application/json": {"schema": shown[id(row.reply)]}}
    if row.name == "openapi":
        return {"application/json": {"schema": {"type": "object"}}}
    if row.name == "metrics":
        return {"text/plain": {"schema": {"type": "string"}}}
    if row.name == "image":
        return {"image/*": {"schema": {"type": "string"}}}
    if row.name == "static":
        return {"*/*": {"schema": {"type": "string"}}}
    return {"text/html": {"schema": {"type": "string"}}}
