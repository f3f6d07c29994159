"""What of a conversation is kept word for word when its oldest messages are archived. Pure.

The person's own words (what was said with a refusal too), the plan and the names of the files in work. All of it is found anew in
the whole history each time, so that no number of compactions can wear it away; where there is
more of it than fits, the oldest of the long remarks are cut first, and each cut is told.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from turnstone.core import tokens
from turnstone.core.events import HistoryMessage

#: A remark with more characters is a long one: it is cut to about so many, where room is short.
LONG = 400

#: The share of the room that goal, plan and requests may take: the rest is for remarks.
_CORE = 0.7

#: The share of the room that the names of files may take, beside it.
_FILES = 0.1

#: Tools whose calls put a file to work, and whether they change it.
_FILE_TOOLS = {"read_file": False, "write_file": True, "edit_file": True}

#: How a call ends that was never made, or that has done nothing.
_NOT_DONE = frozenset({"denied", "expired", "invalid", "cancelled"})

#: Characters that are left of a text that is cut; below them the mark alone stands.
_LEAST = 16


@dataclass(frozen=True, slots=True)
class Carried:
    """Each text word for word, but for what `fitted` had to cut."""

    goal: str = ""  # the first request of the conversation
    remarks: tuple[str, ...] = ()  # what else the person has said, oldest first
    left_out: int = 0  # the oldest remarks, for which there was no room
    cut: int = 0  # of goal, plan, remarks and requests, how many `fitted` has cut
    plan: str = ""
    requests: tuple[str, ...] = ()  # of the turn in progress
    read: tuple[str, ...] = ()  # files, the latest last
    written: tuple[str, ...] = ()

    def size(self) -> float:
        """Tokens, uncorrected."""
        texts = [self.goal, *self.remarks, self.plan, *self.requests]
        return sum(map(tokens.of_text, texts)) + _size_of_names((*self.read, *self.written))


def gather(history: Sequence[HistoryMessage], end: int, requests: Sequence[str]) -> Carried:
    """What must be kept of `history[:end]`. `requests`: what the turn in progress is to answer."""
    said = [at for at in range(end) if history[at].role == "user"]
    asked = _last_places(history, said, requests)
    first = next((at for at, one in enumerate(history) if one.role == "user"), -1)
    plan, place = _plan(history)
    others = []
    for at, message in enumerate(history[:end]):
        if message.role == "user" and at not in asked and at != first:
            others.append(message.content)
        elif message.said and not (plan and at == place):  # the plan is kept with what was said
            others.append(message.said)
    read, written = _files(history[:end])
    return Carried(
        goal=history[first].content if 0 <= first < end and first not in asked else "",
        remarks=_once(others),
        plan=plan if place < end else "",
        requests=tuple(history[at].content for at in asked),
        read=read,
        written=written,
    )


def fitted(carried: Carried, room: float) -> Carried:
    """The same, in about this many tokens.

    First the oldest of the long remarks are cut, then the oldest are left out. Goal, plan and
    requests are cut last, the longest of them first.
    """
    core = levelled([carried.goal, carried.plan, *carried.requests], room * _CORE)
    left = room - sum(map(tokens.of_text, core))
    remarks = list(carried.remarks)
    excess = sum(map(tokens.of_text, remarks)) - left
    for at, text in enumerate(remarks):
        if excess > 0 and len(text) > LONG:
            remarks[at] = cut(text, tokens.of_text(text) * LONG / len(text))
            excess -= tokens.of_text(text) - tokens.of_text(remarks[at])
    dropped = 0
    while excess > 0 and dropped < len(remarks):
        excess -= tokens.of_text(remarks[dropped])
        dropped += 1
    texts = (carried.goal, carried.plan, *carried.requests, *carried.remarks[dropped:])
    kept = (*core, *remarks[dropped:])
    written = _latest(carried.written, room * _FILES)
    read = _latest(carried.read, room * _FILES - _size_of_names(written))
    return replace(
        carried,
        goal=core[0],
        plan=core[1],
        requests=tuple(core[2:]),
        remarks=tuple(remarks[dropped:]),
        left_out=carried.left_out + dropped,
        cut=sum(one != other for one, other in zip(kept, texts, strict=True)),
        read=read,
        written=written,
    )


def stand_in(
    carried: Carried, account: str, template: str, notes: Mapping[str, str]
) -> dict[str, Any]:
    """The message that stands for those that are archived. `notes`: more that goes into it."""
    values = {
        "goal": carried.goal,
        "remarks": "\n".join(f"<said>\n{text}\n</said>" for text in carried.remarks),
        "left_out": f"{carried.left_out:,}" if carried.left_out else "",
        "plan": carried.plan,
        "requests": "\n\n".join(carried.requests),
        "read": "\n".join(carried.read),
        "written": "\n".join(carried.written),
        "account": account,
    }
    return {"role": "user", "content": filled(template, {**values, **notes})}


def filled(template: str, values: Mapping[str, str]) -> str:
    """The paragraphs of a template with what is named in them; one that gets nothing for a name
    is left out."""
    kept = [part for part in template.split("\n\n") if _has_all(part, values)]
    return "\n\n".join(part.format(**values) for part in kept)


def levelled(texts: Sequence[str], room: float) -> list[str]:
    """The texts in about this many tokens together: the longest are cut, all to one size."""
    sizes = [tokens.of_text(text) for text in texts]
    left, level = room, float("inf")
    for number, size in enumerate(sorted(sizes)):
        share = max(0.0, left) / (len(sizes) - number)
        if size > share:
            level = share
            break
        left -= size
    return [
        text if size <= level else cut(text, level) for text, size in zip(texts, sizes, strict=True)
    ]


def cut(text: str, size: float) -> str:
    """The text in about this many tokens: its middle is left out, and that is told. A text
    that is no longer than what tells it is left whole."""
    whole = tokens.of_text(text)
    if whole <= size:
        return text
    keep = int(len(text) * size / whole)
    while keep > _LEAST:
        shorter = _without_middle(text, keep)
        if tokens.of_text(shorter) <= size:
            return shorter
        keep = keep * 4 // 5
    shorter = _without_middle(text, 0)
    return shorter if len(shorter) < len(text) else text


def _without_middle(text: str, keep: int) -> str:
    head, tail = keep - keep // 3, keep // 3
    mark = f"[… {len(text) - keep:,} characters are left out here …]"
    return "\n".join(part for part in (text[:head], mark, text[len(text) - tail :]) if part)


def _has_all(part: str, values: Mapping[str, str]) -> bool:
    names = [name for _, name, _, _ in string.Formatter().parse(part) if name]
    return all(values[name] for name in names)


def _last_places(
    history: Sequence[HistoryMessage], said: Sequence[int], requests: Sequence[str]
) -> list[int]:
    """Where these texts were said last, each at a place of its own, in the order of the history."""
    wanted = list(requests)
    places: list[int] = []
    for at in reversed(said):
        if history[at].content in wanted:
            wanted.remove(history[at].content)
            places.insert(0, at)
    return places


def _once(texts: Sequence[str]) -> tuple[str, ...]:
    """Without those that are said again, word for word, later on."""
    return tuple(reversed(dict.fromkeys(reversed(texts))))


def _plan(history: Sequence[HistoryMessage]) -> tuple[str, int]:
    """The newest plan and its place; no plan has the place 0 and no text."""
    names: dict[str, str] = {}
    plan, place = "", 0
    for at, message in enumerate(history):
        names.update({call.id: call.name for call in message.tool_calls})
        made = message.role == "tool" and names.get(message.tool_call_id) == "plan"
        if made and message.status == "ok":
            plan, place = message.content, at
    return plan, place


def _files(history: Iterable[HistoryMessage]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The files that were only read, and those that were written, each in order of last use."""
    used: dict[str, bool] = {}
    calls: dict[str, tuple[str, bool]] = {}
    for message in history:
        for call in message.tool_calls:
            if call.name in _FILE_TOOLS and (path := _path(call.arguments)):
                calls[call.id] = path, _FILE_TOOLS[call.name]
        if message.role == "tool" and message.tool_call_id in calls:
            path, writes = calls.pop(message.tool_call_id)
            if message.status not in _NOT_DONE:
                used[path] = used.pop(path, False) or writes
    return (
        tuple(path for path, written in used.items() if not written),
        tuple(path for path, written in used.items() if written),
    )


def _path(arguments: str) -> str:
    try:
        path = json.loads(arguments).get("path")
    except (ValueError, AttributeError, RecursionError):
        return ""
    return path if isinstance(path, str) else ""


def _latest(names: Sequence[str], room: float) -> tuple[str, ...]:
    kept: list[str] = []
    for name in reversed(names):
        room -= _size_of_names([name])
        if room < 0:
            break
        kept.insert(0, name)
    return tuple(kept)


def _size_of_names(names: Iterable[str]) -> float:
    return sum(tokens.of_text(f"{name}\n") for name in names)
