"""The rows of the page, of signing in, and of what programs look at first. Data only."""

from __future__ import annotations

from turnstone.api.bodies_node import HealthReply, LoginReply, LoginRequest, OkReply, SignedOutReply
from turnstone.api.parameters import Query
from turnstone.api.rows import Endpoint

ENTRY: tuple[Endpoint, ...] = (
    Endpoint(
        name="page",
        method="GET",
        path="/",
        role="public",
        summary="The page of the node, or for who is not signed in, that for signing in.",
    ),
    Endpoint(
        name="static",
        method="GET",
        path="/static/{path}",
        role="public",
        summary="The files that the pages are made of.",
        errors=(
            404,
            416,
        ),
    ),
    Endpoint(
        name="login_link",
        method="GET",
        path="/login",
        role="public",
        audit="login",
        summary="Exchanges the one-time `code` of a login link for a cookie; the page for signing in.",
        query=(Query(name="code", about="Of a login link."),),
        errors=(
            303,
            401,
            429,
        ),
    ),
    Endpoint(
        name="login",
        method="POST",
        path="/api/auth/login",
        role="public",
        audit="login",
        summary="Exchanges a token for a cookie.",
        request=LoginRequest,
        reply=LoginReply,
        errors=(401,),
    ),
    Endpoint(
        name="logout",
        method="POST",
        path="/api/auth/logout",
        role="public",
        audit="logout",
        summary="Takes the cookie back.",
        reply=OkReply,
    ),
    Endpoint(
        name="logout_everywhere",
        method="POST",
        path="/api/auth/logout-everywhere",
        role="read",
        audit="logout_everywhere",
        summary="Signs every browser out that signed in with the caller's token.",
        reply=SignedOutReply,
    ),
    Endpoint(
        name="health",
        method="GET",
        path="/health",
        role="public",
        summary="Whether the node is up; with a token: version, model, counts of workstreams, endpoints.",
        reply=HealthReply,
    ),
    Endpoint(
        name="openapi",
        method="GET",
        path="/openapi.json",
        role="read",
        summary="This table as an OpenAPI 3.1 document.",
    ),
    Endpoint(
        name="docs",
        method="GET",
        path="/docs",
        role="read",
        summary="This table as a page.",
    ),
    Endpoint(
        name="metrics",
        method="GET",
        path="/metrics",
        role="read",
        summary="Figures for Prometheus ([metrics](metrics.md)); public where `[metrics] public` says so.",
    ),
)
