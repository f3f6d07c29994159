"""Named plans: what the scripted server answers, from the conversation alone. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from modelserver.replies import Reply, call, calls, text
from modelserver.server import Plan

#: What the logs plan searches for, and how much of the file it reads around the first hit.
LOG_QUERY = "ERROR"
LINES_BEFORE = 5
LINES_READ = 20

_HIT = re.compile(r"^(?P<path>[^:\n]+):(?P<line>\d+):(?P<text>.*)$", re.MULTILINE)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z|[+-]\d{2}:?\d{2})?")
_COMMAND = re.compile(r"^run:\s*(?P<command>.+)$", re.DOTALL)


def echo(body: dict[str, Any]) -> Reply:
    """Answers with the last words of the user."""
    return text(last_user_text(body))


def shell(body: dict[str, Any]) -> Reply:
    """`run: CMD` calls bash with CMD, and then answers with the tool's output. Else: echo."""
    results = tool_results(body)
    if results:
        return text(results[-1][1] or "(no output)")
    asked = _COMMAND.match(last_user_text(body).strip())
    if asked is None:
        return echo(body)
    return calls(call("bash", command=asked["command"]))


def logs(body: dict[str, Any]) -> Reply:
    """For "which service failed first, and why?": search, read around the earliest hit, answer.

    Every word of the answer comes from what the tools returned. Expects `search` to give
    `path:line:text` lines with ISO timestamps, and `read_file` the lines of the file.
    """
    results = tool_results(body)
    if not results:
        return calls(call("search", query=LOG_QUERY, path="."), text="Let me look at the logs.")
    first = _earliest(results[0][1])
    if first is None:
        return text(f"I found no line with {LOG_QUERY} and a time in the logs.")
    path, line, time = first
    if len(results) == 1:
        offset = max(1, line - LINES_BEFORE)
        return calls(call("read_file", path=path, offset=offset, limit=LINES_READ))
    cause = _line_with(results[1][1], time)
    if cause is None:
        return text(f"{path} did not show the line of {time} when I read it.")
    return text(f"The service {PurePosixPath(path).stem} failed first, at {time}. Cause: {cause}")


PLANS: Mapping[str, Plan] = {"echo": echo, "logs": logs, "shell": shell}


def last_user_text(body: Mapping[str, Any]) -> str:
    """The last user message, without the From/Date header that oturn puts before it."""
    said = [m for m in body["messages"] if m["role"] == "user"]
    if not said:
        return ""
    content = _content(said[-1])
    head, blank, rest = content.partition("\n\n")
    return rest if blank and head.startswith("From: ") else content


def tool_results(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, text) of every tool result since the last user message, in order."""
    names: dict[str, str] = {}
    results: list[tuple[str, str]] = []
    for message in body["messages"]:
        if message["role"] == "user":
            results = []
        for made in message.get("tool_calls") or ():
            names[made["id"]] = made["function"]["name"]
        if message["role"] == "tool":
            results.append((names.get(message["tool_call_id"], ""), _plain(_content(message))))
    return results


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return str(content)


def _plain(result: str) -> str:
    """The text of a tool result; oturn wraps it in an object with `data` and `error`."""
    try:
        value = json.loads(result)
    except ValueError:
        return result
    if not isinstance(value, dict) or "data" not in value:
        return result
    data = value["data"] if value.get("error") is None else value["error"]
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)


def _earliest(found: str) -> tuple[str, int, str] | None:
    hits: list[tuple[str, str, int]] = []
    for hit in _HIT.finditer(found):
        time = _TIME.search(hit["text"])
        if time is not None:
            hits.append((time[0], hit["path"], int(hit["line"])))
    if not hits:
        return None
    when, path, line = min(hits)
    return path, line, when


def _line_with(excerpt: str, time: str) -> str | None:
    """The line of that time that tells the error, from its time on (line numbers left out)."""
    for line in excerpt.splitlines():
        if time in line and LOG_QUERY in line:
            return line[line.index(time) :].strip()
    return None
