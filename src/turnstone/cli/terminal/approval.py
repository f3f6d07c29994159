"""A question about tool calls: what would happen, where, by which rule; and its answer by key. Pure.

Calls that are asked about together are answered together or one by one. Nothing is an answer
but a key that the last line names, and an answer holds for the hash of what was shown. What an
answer means, and whether a changed call is allowed at all, is the node's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from turnstone.cli.plain import one_line
from turnstone.cli.terminal import changing
from turnstone.cli.terminal.paint import crop, is_diff
from turnstone.cli.terminal.seams import Asked, Dialog, Edit, Fragment, Key, Line, Settled
from turnstone.cli.terminal.sheet import (
    NARROWEST,
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
from turnstone.core.host import Answer

#: Who answered, in the record and in what the model is told.
PERSON = "the person at the terminal"

Doing: TypeAlias = Literal["keys", "yes, but", "no, because", "always"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was said of one call."""

    allowed: bool
    always: bool = False
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """`said` is what was said of the calls so far, where they are answered one by one: the next
    one is asked about. `ticked`: what *always* is to permit, where there is more than one thing.
    """

    asked: ev.ApprovalAsked
    single: bool = False
    said: tuple[Verdict, ...] = ()
    doing: Doing = "keys"
    typed: Typed = field(default_factory=Typed)
    ticked: frozenset[str] = frozenset()
    note: str = ""
    scroll: Scroll = field(default_factory=Scroll)

    @property
    def requests(self) -> tuple[str, ...]:
        return (self.asked.request_id,)

    @property
    def _all(self) -> list[ev.ToolItem]:
        return [item for item in self.asked.items if item.needs_approval]

    @property
    def _calls(self) -> list[ev.ToolItem]:
        """The calls that the next key is about."""
        return self._all[len(self.said) :][:1] if self.single else self._all

    @property
    def _grants(self) -> list[str]:
        """What *always* would permit, each once, in the node's own words."""
        return list(dict.fromkeys(item.grant for item in self._calls if item.grant))

    # Keys

    def on_key(self, key: Key) -> Dialog | Settled | Edit:
        if self.doing == "always":
            return self._tick(key)
        if self.doing != "keys":
            return self._type(key)
        if scroll := self.scroll.on_key(key):
            return replace(self, scroll=scroll)
        if key.name == "left" and self.said:
            return replace(self, said=self.said[:-1], note="", scroll=Scroll())
        return self._answer(key.text) if key.name == "text" else self

    def _answer(self, letter: str) -> Dialog | Settled | Edit:
        match letter:
            case "y":
                return self._say(Verdict(allowed=True))
            case "n":
                return self._say(Verdict(allowed=False))
            case "a" if len(self._grants) == 1:
                return self._say(Verdict(allowed=True, always=True))
            case "a" if self._grants:
                return replace(self, doing="always", ticked=frozenset(self._grants))
            case "Y":
                return replace(self, doing="yes, but", typed=Typed())
            case "f":
                return replace(self, doing="no, because", typed=Typed())
            case "e":
                return self._change()
            case "o" if len(self._all) > 1:
                return replace(self, single=not self.single, said=(), note="", scroll=Scroll())
        return self

    def _type(self, key: Key) -> Dialog | Settled:
        if key.name == "escape":
            return replace(self, doing="keys")
        if key.name != "enter":
            return replace(self, typed=self.typed.on_key(key))
        remark = self.typed.text.strip()
        if not remark:
            return replace(self, doing="keys")
        return self._say(Verdict(self.doing == "yes, but", remark=remark))

    def _tick(self, key: Key) -> Dialog | Settled:
        if key.name in ("left", "backspace"):
            return replace(self, doing="keys")
        if key.name == "enter" and self.ticked:
            return self._say(Verdict(allowed=True, always=True))
        if key.text.isdecimal() and 1 <= int(key.text) <= len(self._grants):
            return replace(self, ticked=self.ticked ^ {self._grants[int(key.text) - 1]})
        return self

    def _say(self, verdict: Verdict) -> Dialog | Settled:
        """An answer; or, one by one, the next call, until all are answered."""
        if not self.single:
            return Settled((self._together(verdict),))
        said = (*self.said, verdict)
        if len(said) == len(self._all):
            return Settled((self._one_by_one(said),))
        return replace(self, said=said, doing="keys", note="", scroll=Scroll())

    def _together(self, verdict: Verdict) -> Answer:
        less = verdict.always and self.doing == "always"
        of = [item for item in self._calls if item.grant in self.ticked] if less else []
        return Answer(
            ws_id=self.asked.ws_id,
            request_id=self.asked.request_id,
            args_hash=self.asked.args_hash,
            approved=verdict.allowed,
            always=verdict.always,
            grants=[grant for item in of for grant in item.grants] if less else None,
            feedback=verdict.remark,
            by=PERSON,
        )

    def _one_by_one(self, said: Sequence[Verdict]) -> Answer:
        each = list(zip(self._all, said, strict=True))
        always = [grant for item, verdict in each if verdict.always for grant in item.grants]
        refused = [item.call_id for item, verdict in each if not verdict.allowed]
        remarks = [f"{item.header}: {v.remark}" for item, v in each if v.remark]
        return Answer(
            ws_id=self.asked.ws_id,
            request_id=self.asked.request_id,
            args_hash=self.asked.args_hash,
            approved=len(refused) < len(each),
            refused=refused if len(refused) < len(each) else [],
            always=bool(always),
            grants=always or None,
            feedback="\n".join(remarks),
            by=PERSON,
        )

    # The editor

    def _change(self) -> Dialog | Edit:
        """The call that is looked at, in the editor; of several, one has to be looked at."""
        if len(self._calls) > 1:
            return replace(self, single=True, said=(), note="Which one? e changes it.")
        if self.said:
            return replace(self, note="First answer them all: a change asks about all anew.")
        why_not = changing.why_not(self._calls[0])
        if why_not:
            return replace(self, note=why_not)
        text, suffix = changing.text_of(self._calls[0])
        return Edit(text, suffix)

    def edited(self, text: str | None) -> Dialog | Settled:
        item = self._calls[0]
        if text is None:
            return replace(self, note="Nothing was changed.")
        try:
            arguments = changing.arguments_of(item, text)
        except ValueError as error:
            return replace(self, note=f"Nothing was changed: {error}.")
        if arguments == item.arguments:
            return replace(self, note="Nothing was changed.")
        changed = Answer(
            ws_id=self.asked.ws_id,
            request_id=self.asked.request_id,
            args_hash=self.asked.args_hash,
            edited={item.call_id: arguments},
            by=PERSON,
        )
        return Settled((changed,))

    def without(self, request_id: str) -> Dialog | None:
        return None if request_id == self.asked.request_id else self

    def with_more(self, asked: Asked) -> Dialog:
        """What comes later is asked about later: a yes is for what stood there."""
        return self

    # Drawing

    def lines(self, width: int, height: int, *, focus: bool) -> Sequence[Line]:
        return fitted(self._sheet(width, focus=focus), width, height, self.scroll)

    def cursor(self, width: int, height: int) -> tuple[int, int] | None:
        sheet = self._sheet(width, focus=True)
        return cursor_in(sheet, width, fitted(sheet, width, height, self.scroll))

    def _sheet(self, width: int, *, focus: bool) -> Sheet:
        body = [line for item in self._calls for line in _call(item, width)]
        if len(self._calls) > 1:  # nobody has to scroll to see how many things a yes is for
            body = [*_contents(self._calls, width), *body]
        others = len(self.asked.items) - len(self._all)
        if others and not self.single:
            body += sentence(f"{_count(others)} of this step: not asked about", width, "note")
        typing = self.typed if self.doing in ("yes, but", "no, because") else None
        return Sheet(self._title(), body, self._foot(width, focus=focus), typing)

    def _title(self) -> Line:
        title: list[Fragment] = [("title", "◆ May this be done?")]
        if self.single:
            title.append(("note", f" {len(self.said) + 1} of {len(self._all)}"))
        elif len(self._all) > 1:
            title.append(("note", f" {len(self._all)} calls together"))
        if self.asked.origin is not None:
            title += [("note", " from the sub-agent "), ("ws", one_line(self.asked.origin.name))]
        return title

    def _foot(self, width: int, *, focus: bool) -> list[Line]:
        note = sentence(one_line(self.note), width, "warn") if self.note else []
        match self.doing:
            case "yes, but":
                return [*note, *sentence("Yes, and say (Enter sends, Esc goes back):", width)]
            case "no, because":
                return [*note, *sentence("No, and do what instead? (Enter sends)", width)]
            case "always":
                return [*note, *self._ticks(width)]
        named = [("y", "once"), ("n", "no"), ("f", "no, and say why"), ("Y", "yes, and say")]
        if self._grants:
            named.insert(1, ("a", "always" if len(self._grants) == 1 else "always …"))
        named.append(("e", "edit"))
        if len(self._all) > 1:
            named.append(("o", "together" if self.single else "one by one"))
        if self.said:
            named.append(("←", "back"))
        return [*note, *self._always(width), *keys(named, width, focus=focus)]

    def _always(self, width: int) -> list[Line]:
        """Exactly what *always* is about, before somebody strikes its key; of several things its
        key shows a list."""
        if len(self._grants) != 1:
            return []
        where = "this sub-agent" if self.asked.origin is not None else "this workstream"
        return sentence(f"always, in {where}: {one_line(self._grants[0])}", width, "note")

    def _ticks(self, width: int) -> list[Line]:
        lines = sentence("Always allow what is ticked (Enter; a number ticks; ← back):", width)
        for number, grant in enumerate(self._grants, start=1):
            tick = "x" if grant in self.ticked else " "
            lines += sentence(f"{number} [{tick}] {one_line(grant)}", width)
        return lines


def _call(item: ev.ToolItem, width: int) -> list[Line]:
    """What would happen, exactly; where; and why it is asked."""
    lines = sentence(one_line(item.header), width, "strong")
    if item.error:
        lines += sentence(one_line(item.error), width, "bad")
    for place in _places(item):
        lines += sentence(f"where: {one_line(place)}", width, "note")
    if item.rule:
        lines += sentence(f"asked because: {one_line(item.rule)}", width, "note")
    if item.preview:
        lines += quoted(item.preview, width, diff=is_diff(item.preview))
    return lines


def _contents(calls: Sequence[ev.ToolItem], width: int) -> list[Line]:
    told = (f"{number}. {one_line(item.header)}" for number, item in enumerate(calls, start=1))
    return [[("", "  "), ("strong", crop(each, max(width - 2, NARROWEST)))] for each in told]


def _places(item: ev.ToolItem) -> list[str]:
    """Where it would happen, as the node resolved it."""
    told = [
        ", ".join(word for word in (grant.path, grant.confined) if word) for grant in item.grants
    ]
    return [place for place in dict.fromkeys(told) if place]


def _count(others: int) -> str:
    return "1 more call" if others == 1 else f"{others} more calls"
