"""The rules that people write about tool calls: from their text to what they match. Pure.

A rule is `tool`, `tool(path)`, `bash(command)` or `web_fetch(host)`. The tool may be a pattern
(`*`, `?`). The path is one too: `**` is any number of folders, `*` and `?` stay within a name; it
starts from the workspace, from `/` or from `~`. Rules judge resolved paths, and look at nothing
themselves: whoever has a file system says where a link leads. What a pattern for commands matches
is in `core.command_rules`. Which rule wins is not decided here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import takewhile
from typing import TypeAlias

from turnstone.core.command_rules import CommandPattern, Match, PatternError, parse_pattern
from turnstone.core.tool import PathUse, Prepared, ToolSpec

#: An absolute path, as `pathlib` gives its parts: the first is `/`.
Parts: TypeAlias = tuple[str, ...]

#: Resolves a path, links followed; what does not exist is left as it is.
Resolve: TypeAlias = Callable[[Parts], Parts]

_RULE = re.compile(r"(?P<tool>[\w.*?-]+)(?:\((?P<about>.*)\))?", re.DOTALL)
_ANY = "**"
_WILD = re.compile(r"[*?\[]")
_ESCAPED = re.compile(r"\[([*?\[])\]")
_HOST = re.compile(r"\.?[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\]")


class RuleError(Exception):
    """The rule cannot be one, or can match nothing; the message says why, in a sentence."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, read and placed. `path` is absolute, in components; None: whatever the paths.

    `behind` is the same path with the links in it followed, where that is another one. A rule
    with a `command` or a `host` is about calls of these only.
    """

    text: str  # as it was written
    tool: str
    path: Parts | None = None
    relative: bool = False
    behind: Parts | None = None
    command: CommandPattern | None = None
    host: str | None = None

    def names(self, tool: str) -> bool:
        return fnmatchcase(tool, self.tool)

    def touches(self, prepared: Prepared) -> bool:
        """Whether the call may use anything that the rule is about: for rules that forbid.

        Case and Unicode form do not matter, since to some file systems they do not; and of a
        folder that is searched, everything in it counts.
        """
        if not self.names(prepared.tool):
            return False
        if self.command is not None:
            return any(self.command.about(text) is Match.YES for text in prepared.commands)
        if self.host is not None:
            return any(_is_host(self.host, host) for host in prepared.hosts)
        return self.path is None or any(
            _reaches(pattern, use) or _reaches(_folded(pattern), use, folded=True)
            for pattern in (self.path, self.behind)
            if pattern is not None
            for use in prepared.paths
        )

    def may_touch(self, prepared: Prepared) -> bool:
        """Whether it cannot be told that the call stays clear of what the rule is about.

        A command may open any path and reach any host; and what it runs is not always known.
        """
        if not self.names(prepared.tool):
            return False
        if self.command is not None:
            return any(self.command.about(text) is not Match.NO for text in prepared.commands)
        if self.host is not None:
            return prepared.network and not prepared.hosts
        return self.path is not None and bool(prepared.commands)

    def covers(self, prepared: Prepared, use: PathUse | None) -> bool:
        """Whether the rule is about all of this use of a path: for rules that permit.

        A rule without a path is about the workspace, without what is sensitive there, and about
        calls that use no path (None). What is sensitive is permitted only by its whole name.
        """
        if not self.names(prepared.tool):
            return False
        if self.command is not None:
            commands = prepared.commands
            if use is not None or not commands or prepared.directory is not None:
                return False  # its words mean something else in another folder
            return all(map(self.command.permits, commands))
        if self.host is not None:
            hosts = prepared.hosts
            return use is None and bool(hosts) and all(_is_host(self.host, h) for h in hosts)
        if self.path is None or use is None:
            return self.path is None and (use is None or use.inside)
        if use.sensitive and any(map(_is_wild, self.path)):
            return False
        whole = not use.tree or self.path[-1] == _ANY
        return whole and _matches(self.path, use.path.parts)


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules of a node. Their order means nothing."""

    allow: tuple[Rule, ...] = ()
    ask: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()

    def placed(self, workspace: Parts, resolve: Resolve) -> Rules:
        """The rules as they are in this workspace.

        Links in a path are followed for rules that forbid. For rules that permit they are not:
        a tool may have made the link.
        """
        return Rules(
            tuple(_in(rule, workspace, None) for rule in self.allow),
            tuple(_in(rule, workspace, resolve) for rule in self.ask),
            tuple(_in(rule, workspace, resolve) for rule in self.deny),
        )


def parse(text: str, tools: Mapping[str, ToolSpec], home: Parts | None) -> Rule:
    """Read one rule. `home`, resolved, stands for `~`. Raises RuleError."""
    found = _RULE.fullmatch(text.strip())
    if found is None:
        raise RuleError('a rule is written as "tool", "tool(path)" or "bash(command)"')
    tool, about = found["tool"], found["about"]
    named = [spec for name, spec in tools.items() if fnmatchcase(name, tool)]
    if not named:
        raise RuleError(f"there is no tool {tool!r}; the tools are {', '.join(sorted(tools))}")
    if about is None:
        return Rule(text.strip(), tool)
    if any(map(takes_path, named)):
        return _with_path(text.strip(), tool, about.strip(), home)
    if any(_takes(spec, "command") for spec in named):
        try:
            return Rule(text.strip(), tool, command=parse_pattern(about.strip()))
        except PatternError as error:
            raise RuleError(str(error)) from None
    if any(_takes(spec, "url") for spec in named):
        return Rule(text.strip(), tool, host=_host(about.strip()))
    raise RuleError(f"it can never match: {tool} uses no path, command or host; write it alone")


def idle(
    rules: Rules, tools: Mapping[str, ToolSpec], resolve: Resolve
) -> Iterator[tuple[str, Rule, str]]:
    """The rules that can never hold: where each stands, and the reason in a sentence."""
    commands = [name for name, spec in tools.items() if _takes(spec, "command")]
    for rule in rules.allow:
        if rule.command is not None and (why := rule.command.never_permits()):
            yield "allow", rule, f"it can never hold: {why}"
        if rule.path is not None and not rule.relative:
            behind = _behind(rule.path, resolve)
            if behind is not None:
                real = "/".join(map(_plain, behind[1:]))
                why = f"it can never match: rules go by the resolved path, which is /{real}"
                yield "allow", rule, why
    for key, some in (("ask", rules.ask), ("deny", rules.deny)):
        for rule in some:
            if rule.command is not None and not rule.command.words:
                yield key, rule, "it must be one command of plain words, as bash(git push *)"
    for key, weaker, what, stronger in (
        ("ask", rules.ask, "deny", rules.deny),
        ("allow", rules.allow, "deny", rules.deny),
        ("allow", rules.allow, "ask", rules.ask),
    ):
        for rule in weaker:
            winner = next((other for other in stronger if _hides(other, rule, tools)), None)
            if winner is not None:
                yield key, rule, f"it can never hold: {what} has {winner.text!r}, and {what} wins"
    for rule in rules.allow:
        named = [tool for tool in tools if rule.names(tool)]
        for key, some in (("ask", rules.ask), ("deny", rules.deny)):
            about = (r for r in some if r.path is not None and all(map(r.names, named)))
            if set(named) <= set(commands) and (other := next(about, None)) is not None:
                yield "allow", rule, _asked_always(key, other)


def _asked_always(key: str, rule: Rule) -> str:
    return (
        f"it can never hold: {key} has {rule.text!r}, which names commands too; a command may open"
        " any path, so each one is asked. Name the tools that are meant, as read_file"
    )


def _hides(stronger: Rule, weaker: Rule, tools: Collection[str]) -> bool:
    about = (stronger.path, stronger.relative, stronger.command, stronger.host)
    if about not in (
        (None, False, None, None),
        (weaker.path, weaker.relative, weaker.command, weaker.host),
    ):
        return False
    return all(stronger.names(tool) for tool in tools if weaker.names(tool))


def takes_path(spec: ToolSpec) -> bool:
    """Whether calls of this tool name a path."""
    return _takes(spec, "path")


def _takes(spec: ToolSpec, argument: str) -> bool:
    return argument in spec.parameters.get("properties", {})


def _host(text: str) -> str:
    host = text.lower()
    if not host:
        raise RuleError("its host is empty; write the tool alone for every host")
    if not host.isascii():
        raise RuleError("its host is not ASCII; write it as the network knows it, xn--…")
    if not _HOST.fullmatch(host):
        raise RuleError(
            "it is no host; write a name as docs.python.org, or .python.org for it and all below"
        )
    return host


def _is_host(wanted: str, host: str) -> bool:
    """Whether the host is the one of the rule; `.name` is `name` and whatever ends with it."""
    name = host.lower().removesuffix(".")
    if wanted.startswith("."):
        return name == wanted[1:] or name.endswith(wanted)
    return name.strip("[]") == wanted.strip("[]")


def _with_path(text: str, tool: str, path: str, home: Parts | None) -> Rule:
    if not path:
        raise RuleError(f"its path is empty; write {tool} alone")
    if not path.isprintable():
        raise RuleError("its path has a character that is not to be seen")
    if path.endswith("/") and path != "/":
        raise RuleError(f"its path ends with a slash; write {path}** for all that is in there")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise RuleError('its path has a "..", and resolved paths have none')
    for part in parts:
        if _ANY in part and part != _ANY:
            raise RuleError('"**" stands for folders, alone between two slashes')
        if _has_open_set(part):
            raise RuleError('it has a "[" without its "]"; write [[] for the character itself')
    if path.startswith("/"):
        return Rule(text, tool, ("/", *parts))
    if not path.startswith("~"):
        return Rule(text, tool, parts, relative=True)
    if parts[0] != "~":
        raise RuleError("only ~ itself, and what begins with ~/, is known as a home")
    if home is None:
        raise RuleError("~ stands for HOME, which is not set")
    return Rule(text, tool, (*_escaped(home), *parts[1:]))


def _has_open_set(part: str) -> bool:
    at = part.find("[")
    while at >= 0:
        first = at + 2 if part.startswith("!", at + 1) else at + 1
        end = part.find("]", first + 1)  # one that comes first is of the set
        if end < 0:
            return True
        at = part.find("[", end)
    return False


def _in(rule: Rule, workspace: Parts, resolve: Resolve | None) -> Rule:
    if rule.path is None:
        return rule
    path = (*_escaped(workspace), *rule.path) if rule.relative else rule.path
    behind = _behind(path, resolve) if resolve else None
    return replace(rule, path=path, behind=behind, relative=False)


def _behind(pattern: Parts, resolve: Resolve) -> Parts | None:
    """The pattern with the links before its first wildcard followed; None if there are none."""
    named = tuple(takewhile(lambda part: not _is_wild(part), pattern))
    path = tuple(map(_plain, named))
    real = resolve(path)
    return None if real == path else (*_escaped(real), *pattern[len(named) :])


def _escaped(path: Parts) -> Parts:
    return tuple(_WILD.sub(r"[\g<0>]", part) for part in path)


def _is_wild(part: str) -> bool:
    return _WILD.search(_ESCAPED.sub("", part)) is not None


def _plain(part: str) -> str:
    return _ESCAPED.sub(r"\1", part)


def _folded(pattern: Parts) -> Parts:
    return tuple(unicodedata.normalize("NFC", part).casefold() for part in pattern)


def _reaches(pattern: Parts, use: PathUse, *, folded: bool = False) -> bool:
    parts = _folded(use.path.parts) if folded else use.path.parts
    left = _after(pattern, parts)
    return bool(left) if use.tree else len(pattern) in left


def _matches(pattern: Parts, parts: Parts) -> bool:
    return len(pattern) in _after(pattern, parts)


def _after(pattern: Parts, parts: Parts) -> set[int]:
    """How far the pattern can have been used up by these components: all ways at once."""
    places = _open(pattern, {0})
    for part in parts:
        used = {
            place if pattern[place] == _ANY else place + 1
            for place in places
            if place < len(pattern)
            and (pattern[place] == _ANY or fnmatchcase(part, pattern[place]))
        }
        places = _open(pattern, used)
    return places


def _open(pattern: Parts, places: set[int]) -> set[int]:
    """`**` may be no folder at all."""
    found = set(places)
    for place in sorted(places):
        following = place
        while following < len(pattern) and pattern[following] == _ANY:
            following += 1
            found.add(following)
    return found
