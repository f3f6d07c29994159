"""The practice model: carries out a few plain requests with the real tools. Not a model.

It answers where no model endpoint was found, so that tools, approvals and streaming can be
seen before there is one. It understands sentences of a handful of shapes and says so about
everything else; it never guesses, never opens a connection, and puts its label before every
answer. A transport like any other: what it does is decided from the request alone.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from oturn.transport.base import Finished, ModelRequest, StreamItem, TextDelta, ToolCallDelta

#: The name of the model, wherever one is shown.
MODEL_NAME = "practice"
#: What every answer begins with.
LABEL = "[practice model]"

#: Seconds before each word: an answer that can be seen to stream, at a good reader's pace.
DELAY = 0.015
#: Characters of a request that are looked at: a plain request is a sentence or two, and the
#: patterns below are not meant for more.
LONGEST_REQUEST = 2_000
#: Lines of a tool's result that an answer repeats, and characters of each.
LINES_SHOWN = 10
LINE_LENGTH = 160

HELP = """I am not a language model. I carry out a few plain requests with the real tools, so that \
you can see tools, approvals and streaming before a model is set up:

  list the files here            list the files in DIR
  read FILE                      search for WORD [in PATH]
  run COMMAND                    write TEXT to FILE

Join several with "then": read notes.txt then search for TODO.
For answers to real questions, start turnstone with --base-url and the address of a model server."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do: a tool, its arguments, and the same in words."""

    tool: str
    arguments: Mapping[str, Any]
    words: str


@dataclass(frozen=True, slots=True)
class Say:
    """One answer, whole."""

    text: str
    call: Action | None = None
    call_id: str = ""


Message: TypeAlias = Mapping[str, Any]


class PracticeTransport:
    """A `ModelTransport`. `delay`: seconds before each word that is streamed."""

    def __init__(self, *, delay: float = DELAY) -> None:
        self._delay = delay

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
        answer = reply(request.messages, _offered(request))
        for word in _words(f"{LABEL} {answer.text}"):
            await asyncio.sleep(self._delay)
            yield TextDelta(word)
        if answer.call is not None:
            arguments = json.dumps(dict(answer.call.arguments), ensure_ascii=False)
            yield ToolCallDelta(0, answer.call_id, answer.call.tool, arguments)
        yield Finished("stop" if answer.call is None else "tool_calls", MODEL_NAME)

    async def aclose(self) -> None:
        pass


def reply(messages: Sequence[Message], offered: frozenset[str]) -> Say:
    """The answer to a conversation, given the names of the tools that may be called."""
    turn = _turn(messages)
    actions = parse(turn.request)
    if not actions:
        return Say(HELP)
    done = turn.results[: len(actions)]
    stopped = next((place for place, result in enumerate(done) if _not_run(result)), None)
    if stopped is not None or len(done) == len(actions):
        return Say(_report(actions, done, turn.remarks))
    action = actions[len(done)]
    if action.tool not in offered:
        said = f"To {action.words} I would need the tool {action.tool}, which is not offered here."
        return Say(f"{_report(actions, done, turn.remarks)}\n\n{said}" if done else said)
    first = "I will" if not done else "Next I will"
    return Say(f"{first} {action.words}.", action, f"practice_{_calls_so_far(messages) + 1}")


def parse(text: str) -> list[Action]:
    """What a plain request asks for, in order; nothing if any part of it is not understood."""
    if len(text) > LONGEST_REQUEST:
        return []
    actions = []
    for part in _THEN.split(text.strip()):
        action = _action(part.strip())
        if action is None:
            return []
        actions.append(action)
    return actions


_VERBS = "list|ls|show|read|open|cat|search|grep|look|find|run|execute|write|save"
#: "then" joins requests only where a request follows: "write now and then to a.txt" is one.
_THEN = re.compile(rf"[,;.]?\s+(?:and\s+)?then,?\s+(?=(?:{_VERBS})\b)", re.IGNORECASE)
# Groups begin and end with what is no blank, so that runs of blanks cost no backtracking.
_COURTESY = re.compile(r"^(?:(?:please|can you|could you|would you)\s+)+", re.IGNORECASE)
_LIST = re.compile(
    r"(?:list|show|ls)(?:\s+me)?(?:\s+all)?(?:\s+the)?(?:\s+files?)?"
    r"(?:\s+(?:in|of|under)\s+(?P<where>\S.*)|\s+here)?",
    re.IGNORECASE | re.DOTALL,
)
_READ = re.compile(
    r"(?:read|show|open|cat)(?:\s+me)?(?:\s+the)?(?:\s+file)?\s+(?P<file>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_SEARCH = re.compile(
    r"(?:search|grep|look|find)(?:\s+for)?\s+"
    r"(?P<query>\"[^\"]+\"|'[^']+'|`[^`]+`|\S.*?)(?:\s+in\s+(?P<where>\S.*))?",
    re.IGNORECASE | re.DOTALL,
)
_RUN = re.compile(
    r"(?:run|execute)(?:\s+the\s+command)?\s+(?P<command>\S.*)", re.IGNORECASE | re.DOTALL
)
_WRITE = re.compile(
    r"(?:write|save)\s+(?P<text>\S(?:.*\S)?)\s+(?:to|into)\s+(?P<file>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_HERE = re.compile(
    r"(?:here|(?:this|the)\s+(?:current\s+)?(?:folder|directory|workspace)|(?:the\s+|these\s+)?files)",
    re.IGNORECASE,
)
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "«": "»"}


def _action(part: str) -> Action | None:
    part = _COURTESY.sub("", part)
    if asked := _RUN.fullmatch(part):
        return _run(_command(asked["command"]))
    if asked := _WRITE.fullmatch(part):
        file, content = _name(asked["file"]), _unquoted(asked["text"])
        if not file:
            return None
        return Action("write_file", {"path": file, "content": f"{content}\n"}, f"write {file}")
    if asked := _LIST.fullmatch(part.rstrip(" .!?")):
        return _list(_place(asked["where"] or ""))
    if asked := _READ.fullmatch(part):
        file = _name(asked["file"])
        return Action("read_file", {"path": file}, f"read {file}") if file else None
    if asked := _SEARCH.fullmatch(part):
        return _search(_name(asked["query"]), _place(asked["where"] or ""))
    return None


def _run(command: str) -> Action | None:
    return Action("bash", {"command": command}, f"run `{command}`") if command else None


def _list(where: str) -> Action:
    """A name that begins with a dash would be taken for an option."""
    target = f"./{where}" if where.startswith("-") else where
    command = f"ls -la {shlex.quote(target)}" if where else "ls -la"
    return Action("bash", {"command": command}, f"list the files with `{command}`")


def _search(query: str, where: str) -> Action | None:
    if not query:
        return None
    arguments = {"query": query} | ({"path": where} if where else {})
    return Action("search", arguments, f"search for {query}" + (f" in {where}" if where else ""))


def _place(text: str) -> str:
    """A folder or file as a person names it; empty for the place where one is."""
    text = text.strip()
    if _HERE.fullmatch(text.rstrip(" .!?,")):
        return ""
    return _name(
        re.sub(r"^(?:the\s+)?(?:(?:folder|directory|file)\s+)?", "", text, flags=re.IGNORECASE)
    )


def _name(text: str) -> str:
    """A name without its quotes, or without the punctuation of the sentence around it."""
    text = text.strip()
    bare = _unquoted(text)
    if bare != text:
        return bare
    ends = text.rstrip("!?,;:")
    return ends[:-1] if re.search(r"\w\.$", ends) else ends


def _command(text: str) -> str:
    """A command as typed; only the full stop of a sentence is not part of it."""
    text = text.strip()
    bare = _unquoted(text)
    if bare != text:
        return bare
    return text[:-1] if re.search(r"\w\.$", text) else text


def _unquoted(text: str) -> str:
    """What stands between quotes that open at the beginning and close at the very end."""
    inner = text.strip().rstrip(".!?")
    if len(inner) >= 2 and _QUOTES.get(inner[0]) == inner[-1] and inner[-1] not in inner[1:-1]:
        return inner[1:-1]
    return text


@dataclass(frozen=True, slots=True)
class _Turn:
    request: str
    results: list[str]  # of the tools, since the request
    remarks: list[str]  # said with an approval, after a result


def _turn(messages: Sequence[Message]) -> _Turn:
    """The request that is being answered, and what the tools have returned since.

    A user's message behind a tool's result was said with an approval, unless it is itself a
    request: then the turn before it was stopped, and this is a new one.
    """
    turn = _Turn("", [], [])
    before = ""
    for message in messages:
        role, content = message.get("role"), message.get("content")
        text = content if isinstance(content, str) else ""
        if role == "tool":
            turn.results.append(text)
        elif role == "user" and before == "tool" and not parse(text):
            turn.remarks.append(text)
            continue
        elif role == "user":
            turn = _Turn(text, [], [])
        before = str(role)
    return turn


#: How the engine begins the result of a call that was not carried out, or not surely.
_BEGUN = ("Outcome unknown", "Stopped while it ran")
_REFUSALS = ("Not run", *_BEGUN)


def _not_run(result: str) -> bool:
    return result.startswith(_REFUSALS)


def _report(actions: Sequence[Action], results: Sequence[str], remarks: Sequence[str]) -> str:
    parts = [_told(action, result) for action, result in zip(actions, results, strict=False)]
    if results and _not_run(results[-1]) and len(results) < len(actions):
        parts.append("So I stopped there, and did not do the rest.")
    parts += [f"You said: {_cut(remark)} (I cannot act on that.)" for remark in remarks]
    return "\n\n".join(parts)


def _told(action: Action, result: str) -> str:
    """One result in plain words: how much came back, and its beginning."""
    lines = result.strip("\n").splitlines()
    if result.startswith(_BEGUN):
        return f"I began to {action.words}. {_cut(result)}"
    if _not_run(result):
        return f"I wanted to {action.words}, and could not. {_cut(result)}"
    if not lines:
        return f"I asked {action.tool} to {action.words}. It returned nothing."
    count = "1 line" if len(lines) == 1 else f"{len(lines)} lines"
    shown = "\n".join(f"  {_cut(line)}" for line in lines[:LINES_SHOWN])
    more = f"\n  … and {len(lines) - LINES_SHOWN} more" if len(lines) > LINES_SHOWN else ""
    return f"I asked {action.tool} to {action.words}. It returned {count}:\n\n{shown}{more}"


def _cut(line: str) -> str:
    return line if len(line) <= LINE_LENGTH else f"{line[: LINE_LENGTH - 1]}…"


def _calls_so_far(messages: Sequence[Message]) -> int:
    return sum(len(message.get("tool_calls") or ()) for message in messages)


def _offered(request: ModelRequest) -> frozenset[str]:
    if request.params.get("tool_choice") == "none":
        return frozenset()
    return frozenset(str(tool.get("function", {}).get("name")) for tool in request.tools)


def _words(text: str) -> list[str]:
    """The text in pieces of a word with the blanks behind it. Joined, they are the text."""
    return re.findall(r"\S+\s*|\s+", text)
