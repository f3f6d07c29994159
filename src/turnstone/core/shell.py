"""Bash as text: which commands a script holds, as words. Pure; runs and expands nothing.

Two readings. `plain_words` is for what permits: one command without anything that the shell
would change, and nothing else is read at all. `read` is for what forbids: every command in the
script, wherever it stands, with None for what cannot be known before it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

#: A word as the program will get it; None: any number of any words.
Word: TypeAlias = str | None

#: Characters of a script that is read at all.
MAX_SCRIPT = 32_768

_BARE = r"[A-Za-z0-9_./:@%+,=~^-]+"
_SINGLE = r"'[ -&(-~]*'"
_DOUBLE = r'"[ #%-\[\]^_a-~]*"'
_PART = re.compile(f"(?P<bare>{_BARE})|(?P<quoted>{_SINGLE}|{_DOUBLE})")
_PROGRAM = re.compile(r"[A-Za-z0-9_./+-]+")
_BRACE_OR_GLOB = re.compile(r"(?<!\\)[*?\[{}]")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPE_IN_QUOTES = re.compile(r'\\([$`"\\\n])')
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_CONTINUED = "\\\n"

#: What bash may expand in ways that the parser does not follow.
_EXPANDED = frozenset({"expansion", "subscript", "arithmetic_expansion", "ansi_c_string"})
_UNFOLLOWED = _EXPANDED | {"heredoc_redirect", "variable_assignment"}
_SUBSTITUTION = re.compile(r"`|\$\(")

#: Variables that name programs, or change which are found and what they are given.
_TELLING = re.compile(
    r"PATH|PAGER|EDITOR|VISUAL|COMMAND|DIFF|SHELL|ENV|^LD_|^DYLD|^GIT_|^BASH|OPT|FLAGS|^IFS$|^PS\d"
    r"|SSH|ASKPASS|BROWSER|WRAPPER|^CC$|^CXX$|^AR$|^AS$|^LD$|RUNNER|PYTHON|PERL|RUBY|NODE|CONFIG"
    r"|HOME|^LESS|_RSH$|^RSYNC_|^HG|^RUST|^CARGO_|LINKER|^GCC_|^MAKE|^GOROOT$|^npm_config_|^WGETRC$"
    r"|^INPUTRC$|^ZDOTDIR$"
)

#: Names that are given a value without an assignment: `${A:=x}`, `((A=1))`.
_SET_BY_DEFAULT = re.compile(r"\$\{!?(\w+)(?:\[.*\])?:?=", re.DOTALL)
_SET_TO_NUMBER = re.compile(r"\b([A-Za-z_]\w*)\s*[-+*/%&|^]?=(?!=)|\+\+|--")
_ARITHMETIC = ("compound_statement", "c_style_for_statement", "arithmetic_expansion")

_COMMANDS = frozenset({"command", "declaration_command", "unset_command", "test_command"})


def plain_words(script: str) -> tuple[str, ...] | None:
    """The words of a script that is exactly one command of plain words; else None.

    Plain is what reaches the program as it is written: printable ASCII, bare or in quotes, with
    no expansion, glob, tilde, escape, assignment, redirection, comment or second line.
    """
    text = script.removesuffix("\n").strip(" ")
    words: list[str] = []
    for written in _split(text):
        word = plain_word(written, first=not words)
        if word is None:
            return None
        words.append(word)
    # Two readers that agree: what one of them gets wrong, the other one stops.
    if not words or tuple(words) != _only_command(text):
        return None
    return tuple(words)


@dataclass(frozen=True, slots=True)
class Script:
    """The words of each command in a script, at any depth; `whole` if there can be no others.
    `assigned`: what variables are given, as it is written."""

    commands: tuple[tuple[Word, ...], ...] = ()
    whole: bool = False
    assigned: tuple[str, ...] = ()


def read(script: str) -> Script:
    """Every command of the script; none, and not whole, if it cannot be parsed."""
    if len(script) > MAX_SCRIPT or _CONTROL.search(script):
        return Script()
    texts = [script]
    if _CONTINUED in script:  # the parser takes it for a space, and bash for nothing
        texts.append(script.replace(_CONTINUED, ""))
    found: dict[tuple[Word, ...], None] = {}
    assigned: list[str] = []
    whole = True
    for text in texts:
        root = _parser().parse(text.encode("utf-8", "surrogatepass")).root_node
        if root.has_error:
            return Script()
        looked_at = 0  # what lies within such a node was looked at with it
        for node in _nodes(root):
            if node.type in _UNFOLLOWED and node.start_byte >= looked_at:
                whole = whole and not _hides_commands(node)
                looked_at = 0 if node.type == "heredoc_redirect" else node.end_byte
            whole = whole and not _sets(node)
            if node.type == "variable_assignment":
                assigned.append(_text(node).partition("=")[2])
            if words := _words(node):
                found[words] = None
    return Script(tuple(found), whole, tuple(assigned))


def is_telling(word: str) -> bool:
    """Whether this is the name of a variable that says which programs run, behind an option
    or not."""
    name = re.sub(r"^-[A-Za-z]+?(?=[A-Z])", "", word)
    return name.isidentifier() and _TELLING.search(name) is not None


@cache
def _parser() -> Parser:
    """Loaded when the first command is looked at: it takes as long as the rest of a start."""
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))


def _split(text: str) -> Iterator[list[tuple[str, bool]]]:
    """The words of plain text as parts, each with whether it was quoted; an empty one ends it."""
    at, word = 0, list[tuple[str, bool]]()
    while at < len(text):
        if text[at] == " ":
            if word:
                yield word
            at, word = at + 1, []
            continue
        part = _PART.match(text, at)
        if part is None:
            yield []
            return
        quoted = part["quoted"]
        word.append((quoted[1:-1], True) if quoted is not None else (part["bare"], False))
        at = part.end()
    if word:
        yield word


def plain_word(parts: list[tuple[str, bool]], *, first: bool) -> str | None:
    """The word of these parts, each with whether it was quoted, if the shell changes nothing
    in it; else None. The `first` word is a program, and never quoted."""
    whole = "".join(text for text, _ in parts)
    bare = "".join(text for text, quoted in parts if not quoted)
    if not parts:
        return None
    if first:
        return whole if bare == whole and _PROGRAM.fullmatch(whole) else None
    if "=" in bare and not parts[0][0].startswith("-"):
        return None
    # A revision, as HEAD~3 or main^: never at the start, after ":" or after "=".
    revision = bare == whole and not re.search(r"[:=]|(?<![A-Za-z0-9~^])[~^]", bare)
    return None if re.search(r"[~^]", bare) and not revision else whole


def _only_command(text: str) -> tuple[Word, ...] | None:
    root = _parser().parse(text.encode()).root_node
    nodes = list(_nodes(root))
    if root.has_error or [n.type for n in nodes if n.type in _COMMANDS] != ["command"]:
        return None
    if len(root.children) != 1 or root.children[0].type != "command":
        return None
    known = {"command_name", "word", "number", "string", "raw_string", "concatenation"}
    if any(child.type not in known for child in root.children[0].children):
        return None
    return _words(root.children[0])


def _nodes(root: Node) -> Iterator[Node]:
    left = [root]
    while left:
        node = left.pop()
        yield node
        left.extend(reversed(node.children))


def _hides_commands(node: Node) -> bool:
    """Whether the parser may have left a command within this node unread."""
    if node.type in _EXPANDED:
        return bool(_SUBSTITUTION.search(_text(node)))
    if node.type == "heredoc_redirect":
        start = next((_text(n) for n in node.children if n.type == "heredoc_start"), "")
        return start.isalnum() and bool(_SUBSTITUTION.search(_text(node)))
    name, _, value = _text(node).partition("=")
    return bool(_TELLING.search(name) or _SUBSTITUTION.search(value) or is_telling(value))


def _sets(node: Node) -> bool:
    """Whether such a variable gets a value here, otherwise than by an assignment."""
    text = _text(node)
    if node.type in _ARITHMETIC and text.startswith(("((", "for", "$((", "$[")):
        head = text.partition(";" if node.type == "c_style_for_statement" else "\0")[0]
        return any(map(is_telling, _SET_TO_NUMBER.findall(head)))
    if node.type == "expansion":
        found = _SET_BY_DEFAULT.match(text)
        return found is not None and is_telling(found[1])
    if node.type in ("for_statement", "select_statement"):
        named = (child for child in node.children if child.type == "variable_name")
        return any(is_telling(_text(child)) for child in named)
    return False


def _words(node: Node) -> tuple[Word, ...]:
    """The words of a command, without its redirections and the assignments before it."""
    if node.type not in _COMMANDS:
        return ()
    if node.type != "command":
        rest = [_value(child) for child in node.children[1:]]
        return (_text(node.children[0]), *rest)
    words: list[Word] = []
    for child in node.children:
        if child.type == "command_name":
            words.append(_value(child.children[0]) if len(child.children) == 1 else None)
        elif child.type != "variable_assignment" and not child.type.endswith("_redirect"):
            words.append(_value(child))
    return tuple(words)


def _value(node: Node) -> Word:
    """What the shell makes of this word, where that is known."""
    text = _text(node)
    match node.type:
        case "word":
            return None if _BRACE_OR_GLOB.search(text) else _ESCAPE.sub(r"\1", text)
        case "number":
            return text
        case "raw_string":
            return text[1:-1]
        case "ansi_c_string":
            return None if "\\" in text else text[2:-1]
        case "string":
            if any(child.type not in ('"', "string_content") for child in node.children):
                return None
            return _ESCAPE_IN_QUOTES.sub(r"\1", text[1:-1])
        case "concatenation":
            parts = [_value(child) for child in node.children]
            known = [part for part in parts if part is not None]
            return "".join(known) if len(known) == len(parts) else None
        case _:
            return None


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
