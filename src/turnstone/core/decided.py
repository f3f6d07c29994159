"""What was decided about tool calls, from the records of a workstream: by which rule, or whom. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from turnstone.core.events import (
    ApprovalAsked,
    CallsDecided,
    Event,
    StepFinished,
    ToolItem,
    ToolStarted,
)
from turnstone.core.host import Decided


def decisions(records: Iterable[Event]) -> list[Decided]:
    """One for each call that was judged, the newest first."""
    found: list[Decided] = []
    places: dict[str, int] = {}  # of the last decision about each call; ids may come again
    tools: dict[str, str] = {}
    items: dict[str, ToolItem] = {}
    for record in records:
        match record:
            case StepFinished():
                tools = {call.id: call.name for call in record.tool_calls}
                items = {}
            case ApprovalAsked(origin=None):
                items |= {item.call_id: item for item in record.items}
            case CallsDecided():
                for decision in record.decisions:
                    item = items.get(decision.call_id)
                    places[decision.call_id] = len(found)
                    found.append(
                        Decided(
                            call_id=decision.call_id,
                            tool=tools.get(decision.call_id, item.name if item else ""),
                            header=item.header if item else "",
                            verdict=decision.verdict,
                            rule=decision.rule,
                            reason=decision.reason,
                            timestamp=record.timestamp,
                        )
                    )
            case ToolStarted(item=ToolItem() as item) if record.call_id in places:
                place = places[record.call_id]
                found[place] = _headed(found[place], item.header)
            case _:
                pass
    return found[::-1]


def _headed(decided: Decided, header: str) -> Decided:
    return msgspec.structs.replace(decided, header=header)
