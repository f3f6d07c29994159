"""The `tool_call_debug` events of `debug_tools`: what was streamed, and what became of it.

They are published beside the ordinary events, and change none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oturn.events import (
    ev_tool_call_debug_assembled,
    ev_tool_call_debug_delta,
    ev_tool_call_debug_stage,
    ev_tool_call_debug_warning,
)
from oturn.questions import Publish
from oturn.signals import ToolCall
from oturn.tool_runtime_utils import summarize_tool_arguments
from oturn.transport.base import ToolCallDelta


@dataclass(frozen=True)
class ToolDebug:
    """Publishes them; there is none where `debug_tools` is off."""

    publish: Publish

    async def fragment(self, item: ToolCallDelta, model: str, place: int | None) -> None:
        """Before its `tool_call_delta`; with a warning where it was guessed whose it is."""
        if item.index is None and not item.id:
            warning = f"A tool call fragment without index and id was taken for call {place}."
            await self.publish(ev_tool_call_debug_warning(warning))
        known: dict[str, Any] = {
            "tool_call_id": item.id,
            "name": item.name,
            "arguments": item.arguments,
        }
        delta = {"type": "tool_call_delta", "output_index": item.index, "model": model}
        delta |= {name: value for name, value in known.items() if value}
        await self.publish(ev_tool_call_debug_delta(delta))

    async def assembled(self, calls: Sequence[ToolCall], places: Sequence[int]) -> None:
        """After the whole answer has come."""
        records = [
            {
                "index": place,
                "id": call.id,
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call, place in zip(calls, places, strict=True)
        ]
        await self.publish(ev_tool_call_debug_assembled(records))

    async def assembled_final(self, call: ToolCall, place: int) -> None:
        """Before its `tool_call`."""
        stage = ev_tool_call_debug_stage(
            stage="assembled_final",
            tool=call.name,
            id=call.id,
            index=place,
            args_summary=summarize_tool_arguments(call.arguments),
        )
        await self.publish(stage)
