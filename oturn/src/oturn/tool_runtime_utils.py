"""The argument text of a tool call: read, and summed up for a debug event. Pure.

What is wrong with a text, as a sentence for the model, is told by
`oturn.agent_stream_state.parse_arguments`; here it is only a yes or no.
"""

from __future__ import annotations

from typing import Any, TypeAlias, TypedDict

from oturn.agent_stream_state import parse_arguments

JsonValue: TypeAlias = Any
JsonObject: TypeAlias = dict[str, JsonValue]

#: Characters of each end of an argument text that a summary shows.
PREVIEW_CHARS = 120


class ToolArgsSummary(TypedDict):
    length: int
    parse_ok: bool
    head: str
    tail: str


def parse_tool_arguments_with_status(text: str | None) -> tuple[JsonObject, bool]:
    """(the object, True), or ({}, False) for what is no JSON object. Blank is an empty object."""
    parsed, _ = parse_arguments(text or "")
    return ({}, False) if parsed is None else (parsed, True)


def parse_tool_arguments(text: str | None) -> JsonObject:
    """The object, or {} for what is none."""
    return parse_tool_arguments_with_status(text)[0]


def summarize_tool_arguments(
    text: str | None, preview_chars: int = PREVIEW_CHARS
) -> ToolArgsSummary:
    """Its length, whether it can be read, and both its ends (`tail` only where they differ)."""
    whole = text or ""
    return {
        "length": len(whole),
        "parse_ok": parse_tool_arguments_with_status(whole)[1],
        "head": whole[:preview_chars],
        "tail": whole[len(whole) - preview_chars :] if len(whole) > preview_chars else "",
    }
