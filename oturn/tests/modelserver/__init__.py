"""A scripted model server for tests: real HTTP, real SSE, answers from a plan. Never a model.

with ModelServer(lambda body: text("hello")) as server:
    ...  # speak chat-completions to server.base_url; server.requests has what was asked
"""

from __future__ import annotations

from modelserver.replies import (
    Call,
    Reply,
    call,
    calls,
    die_after,
    error,
    hold,
    raw,
    raw_call,
    text,
)
from modelserver.server import ModelServer, Plan

__all__ = [
    "Call",
    "ModelServer",
    "Plan",
    "Reply",
    "call",
    "calls",
    "die_after",
    "error",
    "hold",
    "raw",
    "raw_call",
    "text",
]
