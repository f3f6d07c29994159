"""What may stand in the query of an endpoint, as data; the rows of `endpoints` name these."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal["text", "number", "choice"]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """`choices` of a `choice`; `most` and `least` of a `number`; `many`: it may be repeated."""

    name: str
    about: str
    kind: Kind = "text"
    choices: tuple[str, ...] = ()
    least: int = 1
    most: int = 0  # 0: any
    required: bool = False
    many: bool = False


WS_ID = Query(name="ws_id", about="A workstream.", required=True)

#: A list is read page by page: at most `limit`, behind the place that the page before told as
#: its `next`.
NEXT = Query(name="after", about="The `next` of the page before.")


def limit(usual: str, most: int = 0) -> Query:
    return Query(name="limit", about=f"At most so many; {usual}.", kind="number", most=most)
