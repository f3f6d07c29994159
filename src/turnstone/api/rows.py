"""What a row of the endpoint table says, and what roles there are. Data only."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from turnstone.api.parameters import Query

Role: TypeAlias = Literal["public", "read", "approve", "full"]

#: Each includes those before it.
ROLES: tuple[Role, ...] = ("public", "read", "approve", "full")


def covers(role: Role, needed: Role) -> bool:
    """Whether a token of this role may do what needs that one."""
    return ROLES.index(role) >= ROLES.index(needed)


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One row. Without `reply` the answer is no JSON: a page, or a stream of events."""

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    role: Role
    summary: str
    request: type[msgspec.Struct] | None = None
    reply: type[msgspec.Struct] | None = None
    stream: bool = False
    query: tuple[Query, ...] = ()
    errors: tuple[int, ...] = ()  # statuses of its own, besides those of its kind
    #: Where an `Idempotency-Key` goes: a field of the body, or `kept` with the answer.
    idempotency: str = ""
    max_body: int = 0  # bytes; 0: as of all others
    audit: str = ""  # what the audit record calls it; every row that changes something has one
