"""What may be erased, and what goes with it: the same rules for a node, and for a command beside
it. Deletes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from turnstone.core.errors import NotOwner, UnknownWorkstream, WorkstreamBusy
from turnstone.core.store import Store, WorkstreamRow


async def erasable(
    store: Store, ws_id: str, node_id: str, lives: Callable[[str], Awaitable[bool]]
) -> WorkstreamRow:
    """The row of a workstream that no other living process than `node_id` owns.

    It may be closed, and have turns open. Raises UnknownWorkstream, NotOwner, StoreError.
    """
    row = await store.row(ws_id)
    if row is None:
        raise UnknownWorkstream(f"There is no workstream {ws_id} in this store.")
    if row.owner != node_id and await lives(row.owner):
        raise NotOwner(
            f"Workstream {ws_id} belongs to node {row.owner}, which runs.",
            hint="Erase it there, or stop that process first.",
        )
    return row


def parents_first(rows: Iterable[WorkstreamRow]) -> list[WorkstreamRow]:
    """The rows, each sub-agent behind the workstream above it."""
    left: dict[str, WorkstreamRow] = {row.ws_id: row for row in rows}
    sorted_: list[WorkstreamRow] = []
    while left:
        ready = [row for row in left.values() if row.summary.get("parent", "") not in left]
        sorted_ += [left.pop(row.ws_id) for row in ready]
    return sorted_


def at_work(ws_id: str) -> WorkstreamBusy:
    """The refusal to erase one that works."""
    return WorkstreamBusy(
        f"Workstream {ws_id} is at work; it was not erased.",
        hint="Cancel its turn first, or erase it with force.",
    )
