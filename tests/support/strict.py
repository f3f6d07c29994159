"""What the strictest provider asks of a conversation that it is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def faults(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """What it would refuse, in words; `messages` begin with the system message or behind it."""
    found: list[str] = []
    open_calls: list[str] = []
    for place, message in enumerate(messages):
        role = message.get("role")
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                found.append(f"{place}: a result of no call, or a second one")
            else:
                open_calls.remove(message["tool_call_id"])
        elif open_calls:
            found.append(f"{place}: calls without results before it: {open_calls}")
            open_calls = []
        if role == "system" and place:
            found.append(f"{place}: a system message that is not the first")
        if role not in ("system", "user", "assistant", "tool"):
            found.append(f"{place}: the role {role!r}")
        if not isinstance(message.get("content"), str):
            found.append(f"{place}: content that is no text")
        calls = message.get("tool_calls", [])
        if role == "assistant" and not message.get("content") and not calls:
            found.append(f"{place}: an answer that says nothing")
        found += [f"{place}: {fault}" for call in calls for fault in _of_call(call)]
        ids = [call.get("id") for call in calls]
        if len(set(ids)) < len(ids):
            found.append(f"{place}: two calls of one id")
        open_calls = open_calls or ids
    if open_calls:
        found.append(f"at the end: calls without results: {open_calls}")
    spoken = [m["role"] for m in messages if m.get("role") != "system"]
    if spoken and spoken[0] != "user":
        found.append(f"it begins with {spoken[0]}")
    return found


def _of_call(call: Mapping[str, Any]) -> list[str]:
    found = [] if call.get("id") and call.get("type") == "function" else ["a call without an id"]
    try:
        arguments = json.loads(call["function"]["arguments"])
    except (KeyError, TypeError, ValueError):
        return [*found, "arguments that are no JSON"]
    return found if isinstance(arguments, dict) else [*found, "arguments that are no object"]
