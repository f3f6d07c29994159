"""Which messages a conversation does without, once it is too long for its model. Pure.

The oldest are archived: readers still see them, the model is sent one message in their place
(`core.carried`). The newest stay as they are. A cut never parts a tool call from its result;
where the newest exchange alone is too long, its results are sent shortened. The system prompt
and the tools are no business of this.

All tokens here are uncorrected estimates (`core.tokens`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from turnstone.core import attachments, tokens
from turnstone.core.carried import Carried, cut, fitted, gather, levelled
from turnstone.core.events import HistoryMessage, Shortened

#: Shares of the room: what is carried word for word may take, and the account of the rest.
_WORDS, ACCOUNT = 0.4, 0.12

#: In a small room those words come first: they may take so many tokens, up to this share of it.
_LEAST_WORDS, _MOST_WORDS = 2_000.0, 0.5

#: To what share of the room a compaction brings the messages; with the newest exchange, which
#: is only shortened where it must be, it may be more.
_AIM, _AIM_WITH_LAST = 0.5, 0.7

#: What the newest messages may take however much is carried.
_LEAST_TAIL = 0.1

#: Tokens of the words around what is carried.
_FRAME = 150.0

#: The share of the window that is kept for the answer, at most.
_ANSWER = 0.25

#: Characters of one message that whoever sums up is given: of a text, and of a tool's result.
_TOLD_TEXT, _TOLD_RESULT, _TOLD_ARGUMENTS = 4_000, 1_500, 500

#: The same of what stands for a conversation that this one was made of.
_TOLD_EARLIER = 16_000

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Plan:
    """`archived`: how many messages, from the first on. `kept`: tokens of the others, as they
    are then sent."""

    archived: int
    carried: Carried = field(default_factory=Carried)
    shortened: tuple[Shortened, ...] = ()
    kept: float = 0.0


def due_at(window: int, answer: int, share: float) -> int:
    """Tokens of a request above which its conversation is compacted; 0 if the window is unknown.

    `answer`: the most tokens of one. `share`: of the window, as the settings say.
    """
    if window <= 0:
        return 0
    return max(1, min(int(window * share), window - min(answer, int(window * _ANSWER))))


def plan(
    messages: Messages,
    history: Sequence[HistoryMessage],
    requests: Sequence[str],
    *,
    room: float,
    compacted: bool = False,
) -> Plan | None:
    """What to archive, and what to carry; None where nothing would be gained.

    `requests`: the texts that the turn in progress is to answer. `room`: what all messages may
    have. `compacted`: the first message stands for others already.
    """
    sizes = [tokens.of_message(message) for message in messages]
    aim = min(room, sum(sizes))  # where all would fit, and somebody asks, more goes than must
    where = places(messages, history)
    for_words = max(room * _WORDS, min(room * _MOST_WORDS, _LEAST_WORDS))
    words = fitted(gather(history, len(history), requests), for_words).size()
    most = words + aim * ACCOUNT + _FRAME
    tail = max(aim * _LEAST_TAIL, aim * _AIM - most)
    archived = _first_kept(messages, sizes, tail)
    shortened: tuple[Shortened, ...] = ()
    last = _last_exchange(messages)
    if last is not None and last < archived:
        longer = max(aim * _LEAST_TAIL, aim * _AIM_WITH_LAST - most)
        found = _shorter(messages, sizes, last, longer)
        if found is not None:
            archived, shortened = last, found
    if compacted and archived == 1 and sizes[0] <= room * _AIM_WITH_LAST:
        archived = 0  # only what stands for others already, and that is short enough
    if not archived and not shortened:
        return None
    end = min((at for at in where[archived:] if at is not None), default=len(history))
    carried = fitted(gather(history, end, requests), for_words)
    kept = sum(sizes[archived:]) - _saved(messages, shortened)
    account = min(room * ACCOUNT, sum(sizes[:archived]) / 2)
    after = kept + (carried.size() + account + _FRAME if archived else 0.0)
    return Plan(archived, carried, shortened, kept) if after < sum(sizes) else None


def places(messages: Messages, history: Sequence[HistoryMessage]) -> list[int | None]:
    """Where each message stands in the history. None: the node itself has said it."""
    found: list[int | None] = [None] * len(messages)
    last = len(history) - 1
    for at in range(len(messages) - 1, -1, -1):
        if last >= 0 and _same(messages[at], history[last]):
            found[at] = last
            last -= 1
    return found


def stretch(
    messages: Messages, history: Sequence[HistoryMessage], archived: int, *, known: bool
) -> list[str]:
    """The first `archived` messages in words, for whoever sums them up: long ones shortened, and
    without what the node has said. `known`: what the first one stands for is known already."""
    names: dict[str, str] = {}
    told: list[str] = []
    where = places(messages, history)
    if archived and where[0] is None and not known:
        told.append(f"FROM EARLIER: {_short(str(messages[0].get('content') or ''), _TOLD_EARLIER)}")
    for message, place in zip(messages[:archived], where, strict=False):
        text = str(message.get("content") or "")
        names |= {call["id"]: call["function"]["name"] for call in message.get("tool_calls", ())}
        match message["role"]:
            case "user" if place is not None:
                told.append(f"THE PERSON: {_short(text, _TOLD_TEXT)}")
            case "assistant":
                told += [f"THE MODEL: {_short(text, _TOLD_TEXT)}"] if text else []
                told += [_told_call(call) for call in message.get("tool_calls", ())]
            case "tool":
                name = names.get(message["tool_call_id"], "a tool")
                told.append(f"RESULT OF {name}: {_short(text, _TOLD_RESULT)}")
    return told


def next_part(told: Sequence[str], room: float) -> tuple[str, int]:
    """As much of it, from the first on, as has at most this many tokens; and how many pieces
    that is. A piece that alone has more is cut."""
    taken = [told[0] if tokens.of_text(told[0]) <= room else cut(told[0], room)]
    left = room - tokens.of_text(taken[0])
    for text in told[1:]:
        left -= tokens.of_text(text) + 1
        if left < 0:
            break
        taken.append(text)
    return "\n\n".join(taken), len(taken)


def _first_kept(messages: Messages, sizes: Sequence[float], room: float) -> int:
    """From where on the messages fit, at a place where a cut parts no call from its results."""
    best = _latest_cut(messages)
    kept = sum(sizes[best:])
    for at in range(best - 1, -1, -1):
        kept += sizes[at]
        if kept > room:
            break
        if messages[at]["role"] != "tool":
            best = at
    return best


def _latest_cut(messages: Messages) -> int:
    """Behind all, unless calls at the end wait for results."""
    due: set[str] = set()
    opened = len(messages)
    for at, message in enumerate(messages):
        if message["role"] == "tool":
            due.discard(message["tool_call_id"])
        elif calls := message.get("tool_calls"):
            due, opened = {call["id"] for call in calls}, at
    return opened if due else len(messages)


def _last_exchange(messages: Messages) -> int | None:
    """Where the model has called tools, if it has said nothing since."""
    for at in range(len(messages) - 1, -1, -1):
        if messages[at]["role"] == "assistant":
            return at if messages[at].get("tool_calls") else None
    return None


def _shorter(
    messages: Messages, sizes: Sequence[float], first: int, room: float
) -> tuple[Shortened, ...] | None:
    """The results from `first` on, shortened so that all from there on fits; None if it cannot."""
    results = [at for at in range(first, len(messages)) if messages[at]["role"] == "tool"]
    texts = [str(messages[at].get("content") or "") for at in results]
    others = sum(sizes[first:]) - sum(map(tokens.of_text, texts))
    if others > room / 2:
        return None
    shorter = levelled(texts, room - others)
    return tuple(
        Shortened(at, short)
        for at, text, short in zip(results, texts, shorter, strict=True)
        if len(short) < len(text)
    )


def _saved(messages: Messages, shortened: Iterable[Shortened]) -> float:
    return sum(
        tokens.of_text(str(messages[one.at].get("content") or "")) - tokens.of_text(one.content)
        for one in shortened
    )


def _same(message: Mapping[str, Any], shown: HistoryMessage) -> bool:
    if message["role"] != shown.role:
        return False
    if shown.role == "tool":
        return bool(message["tool_call_id"] == shown.tool_call_id)
    return (message.get("content") or "") == attachments.told(
        shown.content, shown.shown.attachments
    )


def _told_call(call: Mapping[str, Any]) -> str:
    function = call["function"]
    return f"THE MODEL CALLS {function['name']}: {_short(function['arguments'], _TOLD_ARGUMENTS)}"


def _short(text: str, characters: int) -> str:
    return (
        text
        if len(text) <= characters
        else cut(text, tokens.of_text(text) * characters / len(text))
    )
