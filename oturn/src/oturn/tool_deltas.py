"""The tool calls of the current step as far as they have been streamed, by `delta_id`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class _Delta:
    known: dict[str, Any] = field(default_factory=dict)  # index, tool_call_id, preview: the latest
    tool: list[str] = field(default_factory=list)
    args: list[str] = field(default_factory=list)


class ToolCallDeltas:
    """Fragments are kept as they come, and joined when somebody asks."""

    def __init__(self) -> None:
        self._deltas: dict[str, _Delta] = {}

    def clear(self) -> None:
        """Forget all: a new step begins."""
        self._deltas.clear()

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one `tool_call_delta` event."""
        delta = self._deltas.setdefault(str(event.get("delta_id") or ""), _Delta())
        delta.tool.append(str(event.get("tool") or ""))
        delta.args.append(str(event.get("args") or ""))
        for name in ("index", "tool_call_id", "preview"):
            if event.get(name) is not None:
                delta.known[name] = event[name]

    def all(self) -> list[dict[str, Any]]:
        """Each call, joined as far as it has come, as a `tool_call_delta` event."""
        return [_joined(delta_id, delta) for delta_id, delta in self._deltas.items()]

    def get(self, delta_id: str) -> dict[str, Any] | None:
        """One of them; None for an unknown `delta_id`."""
        delta = self._deltas.get(delta_id)
        return None if delta is None else _joined(delta_id, delta)


def _joined(delta_id: str, delta: _Delta) -> dict[str, Any]:
    return {
        "type": "tool_call_delta",
        "delta_id": delta_id,
        "tool": "".join(delta.tool),
        "args": "".join(delta.args),
        **delta.known,
    }
