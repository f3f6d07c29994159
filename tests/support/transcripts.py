"""What a strict provider says of a conversation, and conversations of any form to try it with."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import strategies as st

from turnstone.core.conversation import Conversation
from turnstone.core.events import ToolCallRecord, ToolFinished, ToolStatus

words = st.sampled_from(["go on", "no, the other file", "x" * 700, "日本語のメモ" * 40, "a {b} %s"])
statuses: st.SearchStrategy[ToolStatus] = st.sampled_from(["ok", "error", "denied", "unknown"])
outputs = st.sampled_from(["", "done", "line of a log 12:00:01\n" * 60, "{}" * 4000])
tools = st.sampled_from(["read_file", "write_file", "bash", "plan"])

#: What happens in a conversation: a person speaks, the node notes something, the model answers
#: (with calls, whose results follow), or a process dies before the results are there.
steps = st.one_of(
    st.tuples(st.just("person"), words),
    st.tuples(st.just("note"), st.just("[Left of the budget: 3 tool calls.]")),
    st.tuples(st.just("answer"), words),
    st.tuples(
        st.just("calls"), st.lists(st.tuples(tools, statuses, outputs), min_size=1, max_size=3)
    ),
)


def conversation(done: list[Any], *, open_calls: bool = False) -> Conversation:
    """A conversation in which all of this was done; with calls at its end that still run."""
    made = Conversation()
    numbers = itertools.count()
    for kind, what in done:
        match kind:
            case "person":
                made.say("user", what)
            case "note":
                made.note(what)
            case "answer":
                made.say("assistant", what)
            case "calls":
                calls = [_call(next(numbers), name) for name, _, _ in what]
                made.say("assistant", "", calls)
                made.returned(
                    ToolFinished(call_id=call.id, name=call.name, status=status, output=output)
                    for call, (_, status, output) in zip(calls, what, strict=True)
                )
    if open_calls:
        made.say("assistant", "", [_call(next(numbers), "bash")])
    return made


def _call(number: int, name: str) -> ToolCallRecord:
    return ToolCallRecord(f"call_{number}", name, json.dumps({"path": f"src/file{number}.py"}))
