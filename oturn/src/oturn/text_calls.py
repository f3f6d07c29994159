"""Finds the tool calls that a model wrote into its text, as the text streams. Pure.

For servers that do not parse the format of their model. It stands between a decoder and its
reader: items in, items out. Text in which no call is found comes out unchanged, every
character in order. It never waits with text that cannot begin a call: from a beginning that
names one of the request's tools on, everything is held until the answer ends. Nothing is
looked for inside code (a fence of another language, or a backtick before the mark), nor in an
answer that has calls of the server's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from oturn.text_call_forms import Block, Tools, read_block
from oturn.text_call_marks import Form, begins
from oturn.transport.base import (
    Failed,
    Finished,
    ModelRequest,
    StreamItem,
    TextDelta,
    ToolCallDelta,
)


class TextCalls:
    """The filter for one answer to this request. `feed` it every item, then `close` it.

    With `on` false, or where nothing may be called, everything passes as it is.
    """

    def __init__(self, request: ModelRequest, *, on: bool = True) -> None:
        self._tools = _tools(request) if on else {}
        self._ids = _Ids(request.messages)
        self._place = _Place()
        self._off = not self._tools or request.params.get("tool_choice") == "none"
        self._begun = ""  # text that may begin a call
        self._held: list[str] = []  # text that does, and all behind it

    def feed(self, item: StreamItem) -> list[StreamItem]:
        """The items to hand on now."""
        if self._off:
            return [item]
        match item:
            case TextDelta():
                return self._text(item)
            case ToolCallDelta():
                self._off = True
                return [*self.close(), item]
            case Finished():
                return [*self._ended(cut=item.reason == "length"), item]
            case Failed():
                return [*self.close(), item]
        return [item]

    def feed_all(self, items: list[StreamItem]) -> list[StreamItem]:
        """The items to hand on now, of several; the list itself where nothing is looked for."""
        if self._off:
            return items
        made: list[StreamItem] = []
        for item in items:
            if type(item) is TextDelta and self._passes(item.text):  # as most do
                made.append(item)
            else:
                made += self.feed(item)
        return made

    def close(self) -> list[StreamItem]:
        """What is still held, as text: for an answer that broke off."""
        rest = "".join([self._begun, *self._held])
        self._begun, self._held = "", []
        return [TextDelta(rest)] if rest else []

    def _passes(self, text: str) -> bool:
        """Whether nothing begins in it; if so, it is passed."""
        return not (self._begun or self._held) and self._place.passes(text)

    def _text(self, item: TextDelta) -> list[StreamItem]:
        if self._held:
            self._held.append(item.text)
            return []
        text = self._begun + item.text
        at, form = self._place.find(text, 0, self._tools)
        if form is not None:
            self._begun, self._held = "", [text[at:]]
        else:
            self._begun = text[at:]
        if at == len(item.text) == len(text):
            return [item]
        return [TextDelta(text[:at])] if at else []

    def _ended(self, *, cut: bool) -> list[StreamItem]:
        if not self._held:
            return self.close()
        text = "".join(self._held)
        parts = list(self._parts(text, cut))
        calls = [call for part in parts if isinstance(part, Block) for call in part.calls]
        if not calls:
            return self.close()
        self._held = []
        items: list[StreamItem] = [
            TextDelta(part) for part in parts if isinstance(part, str) and part.strip()
        ]
        for index, call in enumerate(calls):
            items.append(ToolCallDelta(index, self._ids.make(), call.name, call.arguments))
        return items

    def _parts(self, text: str, cut: bool) -> Iterator[str | Block]:
        """The text between calls, and the calls, in order."""
        place = since = false_alarms = 0
        while place < len(text) and false_alarms < _MAX_FALSE_ALARMS:
            at, form = self._place.find(text, place, self._tools)
            if form is None:
                break
            block = read_block(form, text, at, self._tools, cut=cut)
            if block is None:
                self._place.go_on(text[at])
                place = at + 1
                false_alarms += 1
                continue
            yield text[since:at]
            yield block
            self._place.leave_call()
            place = since = block.end
        yield text[since:]


class _Place:
    """Where in an answer we are, as far as it decides whether a mark opens a call."""

    def __init__(self) -> None:
        self._answer_begun = False
        self._last = ""
        self._line = ""  # the first characters of the line, without indentation
        self._in_code = False

    def find(self, text: str, place: int, tools: Tools) -> tuple[int, Form | None]:
        """The place where a call begins, with its form; or, with None, where one may begin,
        or the end of the text. All text before that place is done with."""
        while True:
            marks = _MARKS if self._answer_begun else _FIRST
            mark = marks.search(text, place)
            if mark is None:
                self.go_on(text[place:])
                return len(text), None
            at = mark.start()
            self.go_on(text[place:at])
            found = {form: begins(form, text, at, tools) for form in self._forms(mark[0])}
            for form, verdict in found.items():
                if verdict:
                    return at, form
            if None in found.values():
                return at, None
            self.go_on(mark[0])
            place = at + 1

    def passes(self, text: str) -> bool:
        """Whether no mark is in this text, behind the beginning of the answer; if so, go on."""
        if not self._answer_begun or _MARKS.search(text):
            return False
        self.go_on(text)
        return True

    def go_on(self, text: str) -> None:
        """This text is passed, and calls nothing."""
        if not text:
            return
        self._answer_begun = self._answer_begun or not text.isspace()
        self._last = text[-1]
        if "\n" in text:
            *lines, text = (self._line + text).split("\n")
            for line in lines:
                if line.lstrip().startswith("```"):
                    self._in_code = not self._in_code
            self._line = ""
        if len(self._line) < _LINE:
            self._line = (self._line + text).lstrip()[:_LINE]

    def leave_call(self) -> None:
        """Calls are passed; what follows them is on a line that has begun."""
        self._last, self._line, self._answer_begun = ">", ">", True

    def _forms(self, mark: str) -> list[Form]:
        if self._in_code or (self._last == "`" and mark != "`"):
            return []
        forms = list(_FORMS.get(mark, ()))
        if mark == "`" and self._line:
            return []
        return forms if self._answer_begun or mark not in "{[" else [*forms, Form.WHOLE]


class _Ids:
    """`call_<n>`, as no other call in the history is named."""

    def __init__(self, messages: Sequence[Mapping[str, Any]]) -> None:
        calls = (call for message in messages for call in message.get("tool_calls") or ())
        self._taken = {call.get("id") for call in calls if isinstance(call, Mapping)}
        self._next = len(self._taken)

    def make(self) -> str:
        while (made := f"call_{self._next}") in self._taken:
            self._next += 1
        self._next += 1
        return made


def _tools(request: ModelRequest) -> dict[str, Mapping[str, Any]]:
    tools: dict[str, Mapping[str, Any]] = {}
    for tool in request.tools:
        function = tool.get("function")
        if isinstance(function, Mapping) and isinstance(function.get("name"), str):
            schema = function.get("parameters")
            tools[function["name"]] = schema if isinstance(schema, Mapping) else {}
    return tools


#: Beginnings in one answer that are none. Each may cost a look through all that follows.
_MAX_FALSE_ALARMS = 100
#: Characters of a line that tell whether it is a fence.
_LINE = 3
_MARKS = re.compile(r"[<\[`]")
_FIRST = re.compile(r"\S")
_FORMS = {
    "<": (Form.TAGGED, Form.FUNCTION, Form.PYTHON_TAG),
    "[": (Form.MISTRAL,),
    "`": (Form.FENCED,),
}
