"""The tool `recall`: what is remembered, and what was said, in any conversation.

Text of conversations that have read from outside is fenced, and marks the one that reads it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from turnstone.core.errors import InvalidRequest, ToolRefused
from turnstone.core.memory import Hit, Opened, Recalled
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.core.untrusted import fenced
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.memory_call import memory_of
from turnstone.tools.spec import load_spec
from turnstone.tools.text import cut_middle, one_line

#: Passages of conversations: if nothing was said about it, and at most.
_DEFAULT, _MOST = 20, 50

_SPEAKERS = {"user": "user", "assistant": "you", "tool": "a tool's output", "title": "title"}


class _Arguments(msgspec.Struct, frozen=True):
    query: str = ""
    limit: int = _DEFAULT
    message: str = ""


class Recall:
    def __init__(self) -> None:
        self.spec = load_spec("recall")

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        wanted = parse_arguments("recall", _Arguments, arguments)
        memory_of("recall", context)
        if wanted.query.strip() and wanted.message.strip():
            raise ToolRefused("recall: give `query` or `message`, not both.")
        return Prepared(
            tool="recall",
            arguments={
                "query": wanted.query.strip(),
                "limit": max(1, min(wanted.limit, _MOST)),
                "message": wanted.message.strip(),
            },
            effect="pure",
            header=one_line(f"recall: {wanted.message or wanted.query or 'all memories'}"),
        )

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        memory, wanted = memory_of("recall", context), prepared.arguments
        if wanted["message"]:
            try:
                opened = await memory.read(str(wanted["message"]))
            except InvalidRequest as error:
                return ToolResult("error", f"recall: {error}")
            if opened is None:
                return ToolResult("error", f"There is no message {wanted['message']}.")
            return ToolResult("ok", _whole(opened, context.max_output), opened.tainted)
        query = str(wanted["query"])
        recalled = await memory.recall(query, int(wanted["limit"]))
        told = "\n\n".join(_sections(recalled)) or _nothing(query)
        return ToolResult("ok", cut_middle(told, context.max_output), recalled.tainted)

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return None  # it changes nothing, and is run again


def _sections(recalled: Recalled) -> list[str]:
    sections: list[str] = []
    if recalled.memories:
        kept = [
            f"- {m.key}: {m.value}" + ("" if m.scope == "user" else "  (in this workspace)")
            for m in recalled.memories
        ]
        sections.append("\n".join(["Memories:", *kept]))
    if recalled.hits:
        told = [_passage(hit) for hit in recalled.hits]
        sections.append("\n\n".join(["Conversations:", *told]))
    return sections


def _passage(hit: Hit) -> str:
    found = hit.found
    text = _fenced(found.snippet, hit.outside)
    return f"[{found.message}] {_speaker(found.role)}, {_day(found.timestamp)}:\n{text}"


def _whole(opened: Opened, limit: int) -> str:
    passage = opened.passage
    text = _fenced(cut_middle(passage.text, limit), opened.outside)
    beside = [
        f"{which} it: {name}"
        for which, name in (("before", passage.before), ("after", passage.after))
        if name
    ]
    head = f"[{passage.message}] {_speaker(passage.role)}, {_day(passage.timestamp)}"
    return f"{'; '.join([head, *beside])}\n{text}"


def _fenced(text: str, outside: str) -> str:
    return fenced(text, outside, secrets.token_hex(6)) if outside else text


def _speaker(role: str) -> str:
    return _SPEAKERS.get(role, role)


def _day(timestamp: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(timestamp))


def _nothing(query: str) -> str:
    return f"[nothing is remembered or was said about {query}]" if query else "[no memories]"
