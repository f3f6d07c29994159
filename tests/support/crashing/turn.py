"""The turn that is killed over and over: two reads, a write, a question, two commands, an answer.

Its model is strict: it refuses a history that a provider would refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from oturn.transport.base import ModelRequest
from oturn.transport.scripted import Reply, ScriptedCall, ScriptedTransport, call, call_tools, say

WS, CID = "aaaa0001", "the-message"
NOTES, WRITTEN = "remember the milk\n", "line of the file\n" * 200
FILE, EFFECTS = "made.txt", "effects"
ANSWER = "All of it is done, and this is the answer."

#: What each command appends to the file of effects, by its call.
LINES = {"call_one": "one", "call_two": "two"}

_STEPS = (
    (
        ("call_notes", call("read_file", path="notes")),
        ("call_again", call("read_file", path="notes")),
        ("call_write", call("write_file", path=FILE, content=WRITTEN)),
    ),
    tuple(
        (call_id, call("bash", command=f"echo {line} >> {EFFECTS}"))
        for call_id, line in LINES.items()
    ),
)


def strict_model(refused: Callable[[str], None]) -> ScriptedTransport:
    """The model of the turn. `refused` is told what is wrong with a history."""

    def reply(request: ModelRequest) -> Reply:
        if wrong := faults(request.messages):
            refused("; ".join(wrong))
        answered = sum(m["role"] == "tool" for m in request.messages)
        done = 0
        for step in _STEPS:
            if answered == done:
                return call_tools(*(_with_id(c, call_id) for call_id, c in step), text="First.")
            done += len(step)
        return say(ANSWER)

    return ScriptedTransport(reply)


def faults(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a strict provider would say of a history: every call answered once, in its place."""
    found: list[str] = []
    due: list[str] = []
    known: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            call_id = message["tool_call_id"]
            if not due or due.pop(0) != call_id:
                found.append(f"a result of {call_id}, which is not due")
            continue
        if due:
            found.append(f"no result of {', '.join(due)} before a message of {message['role']}")
        due = [made["id"] for made in message.get("tool_calls", ())]
        found += [f"{call_id} is there twice" for call_id in due if call_id in known]
        known.update(due)
    return [*found, *(f"no result of {call_id}" for call_id in due)]


def _with_id(made: ScriptedCall, call_id: str) -> ScriptedCall:
    return ScriptedCall(made.name, made.arguments, call_id)
