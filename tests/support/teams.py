"""Agents and sub-agents for tests: what each of them does is told by its message.

A message is a line of steps, `do step; do step`: `ask X` calls `touch` with the key X, which is
asked for; `look X` calls `look`, which is not; `sub [...]` gives the words in brackets to a
sub-agent, `plan […]` has a plan made, `bash CMD` runs a command, and `say WORDS` ends with these
words. Several calls of one step are joined by ` & `. Results are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from modelserver import Call, Reply, call, calls, text
from support.held_tools import HeldTool
from turnstone.core import events as ev
from turnstone.core.events import EffectClass
from turnstone.core.host import Host, WorkstreamInfo
from turnstone.core.tool import ToolSpec

_CALLS: dict[str, Callable[[str], Call]] = {
    "ask": lambda words: call("touch", key=words),
    "look": lambda words: call("look", key=words),
    "sub": lambda words: call("task", prompt=words),
    "plan": lambda words: call("plan", prompt=words),
    "bash": lambda words: call("bash", command=words),
}


def team(body: dict[str, Any]) -> Reply:
    """The model of all of them."""
    said = [m for m in body["messages"] if m["role"] == "user"]
    steps = _steps(_content(said[-1]), ";")
    place = len(body["messages"]) - 1
    while body["messages"][place] is not said[-1]:
        place -= 1
    done = sum(m["role"] == "assistant" for m in body["messages"][place:])
    step = steps[done] if done < len(steps) else ""
    if step.partition(" ")[0] not in _CALLS:
        return text(step.removeprefix("say ") or "done")
    made = []
    for one in _steps(step, "&"):
        verb, _, words = one.partition(" ")
        made.append(_CALLS[verb](words.removeprefix("[").removesuffix("]")))
    return calls(*made)


def _content(message: dict[str, Any]) -> str:
    return str(message["content"])


def _steps(line: str, mark: str) -> list[str]:
    """The parts between marks that stand in no brackets."""
    parts, depth = [""], 0
    for char in line:
        depth += (char == "[") - (char == "]")
        if char == mark and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


class Touch(HeldTool):
    """Its calls run until they are let go. `touch` is asked for, `look` is not, both in
    sub-agents."""

    def __init__(
        self, name: str = "touch", effect: EffectClass = "effect", *, asked: bool = True
    ) -> None:
        super().__init__(name, effect)
        self.spec = ToolSpec(
            name=name,
            description="",
            parameters=self.spec.parameters,
            effect=effect,
            auto_approve=not asked,
            agent=True,
        )


async def children(host: Host, ws_id: str) -> list[WorkstreamInfo]:
    return await host.list(parent=ws_id)


def of_kind(events: Sequence[ev.Event], kind: type[ev.EventT]) -> list[ev.EventT]:
    return [event for event in events if isinstance(event, kind)]
