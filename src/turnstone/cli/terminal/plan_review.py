"""A plan that waits for a person: read, accepted, changed, remarked on, rejected. Pure.

The node takes a remark on a plan, and not a plan: one that was changed goes back as a remark
that says so, with the whole text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from turnstone.cli.plain import one_line
from turnstone.cli.terminal.approval import PERSON
from turnstone.cli.terminal.seams import Asked, Dialog, Edit, Fragment, Key, Line, Settled
from turnstone.cli.terminal.sheet import (
    Scroll,
    Sheet,
    cursor_in,
    fitted,
    keys,
    quoted,
    sentence,
)
from turnstone.cli.terminal.typed import Typed
from turnstone.core import events as ev
from turnstone.core.host import PlanReply

REJECT = "reject"
CHANGED = "The plan was changed. Carry out this version of it, and no other:\n\n"

_KEYS = (("y", "accept"), ("n", "reject"), ("f", "say what to change"), ("e", "change it oneself"))


@dataclass(frozen=True, slots=True)
class PlanReview:
    asked: ev.PlanAsked
    typing: bool = False
    typed: Typed = field(default_factory=Typed)
    note: str = ""
    scroll: Scroll = field(default_factory=Scroll)

    @property
    def requests(self) -> tuple[str, ...]:
        return (self.asked.request_id,)

    def on_key(self, key: Key) -> Dialog | Settled | Edit:
        if self.typing:
            return self._type(key)
        if scroll := self.scroll.on_key(key):
            return replace(self, scroll=scroll)
        match key.text if key.name == "text" else "":
            case "y":
                return self._reply("")
            case "n":
                return self._reply(REJECT)
            case "f":
                return replace(self, typing=True, typed=Typed())
            case "e":
                return Edit(self.asked.content, ".md")
        return self

    def edited(self, text: str | None) -> Dialog | Settled:
        if text is None or text.strip() == self.asked.content.strip():
            return replace(self, note="Nothing was changed.")
        if not text.strip():
            return replace(self, note="There is no text in it: n rejects a plan.")
        return self._reply(CHANGED + text.strip())

    def without(self, request_id: str) -> Dialog | None:
        return None if request_id == self.asked.request_id else self

    def with_more(self, asked: Asked) -> Dialog:
        return self

    def lines(self, width: int, height: int, *, focus: bool) -> Sequence[Line]:
        return fitted(self._sheet(width, focus=focus), width, height, self.scroll)

    def cursor(self, width: int, height: int) -> tuple[int, int] | None:
        sheet = self._sheet(width, focus=True)
        return cursor_in(sheet, width, fitted(sheet, width, height, self.scroll))

    def _type(self, key: Key) -> Dialog | Settled:
        if key.name == "escape":
            return replace(self, typing=False)
        if key.name != "enter":
            return replace(self, typed=self.typed.on_key(key))
        remark = self.typed.text.strip()
        return self._reply(remark) if remark else replace(self, typing=False)

    def _reply(self, feedback: str) -> Settled:
        return Settled(
            (
                PlanReply(
                    ws_id=self.asked.ws_id,
                    request_id=self.asked.request_id,
                    feedback=feedback,
                    by=PERSON,
                ),
            )
        )

    def _sheet(self, width: int, *, focus: bool) -> Sheet:
        title: list[Fragment] = [("title", "◆ A plan to be reviewed")]
        if self.asked.path:
            title.append(("note", f", in {one_line(self.asked.path)}"))
        if self.asked.origin is not None:
            title += [("note", " from the sub-agent "), ("ws", one_line(self.asked.origin.name))]
        foot = sentence(one_line(self.note), width, "warn") if self.note else []
        if self.typing:
            foot += sentence("What is to be changed? (Enter sends, Esc goes back)", width)
        else:
            foot += keys(_KEYS, width, focus=focus)
        typing = self.typed if self.typing else None
        return Sheet(title, quoted(self.asked.content, width), foot, typing)
