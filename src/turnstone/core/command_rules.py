"""Patterns for commands, `git log *`: which commands one permits, and which it is about. Pure.

What permits is read narrowly: one command of plain words, or exactly the text of the rule. What
forbids is read widely: every command in the script, wrapped, quoted or by its path; and where
that cannot be told, the answer is "maybe". Which rule wins is not decided here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from turnstone.core import shell
from turnstone.core.shell import Word
from turnstone.core.shell_options import (
    is_read,
    runs_from_options,
    shell_text,
    without_global_options,
)
from turnstone.core.shell_programs import (
    ALWAYS_OPAQUE,
    EVALUATORS,
    INTERPRETERS,
    LOGINS,
    MODULES_THAT_RUN,
    PLAIN,
    READERS,
    SHELLS,
    SUBCOMMANDS_THAT_RUN,
    TEXT_RUNNERS,
    WRAPPERS,
    base_name,
)
from turnstone.core.shell_readers import is_harmless, why_not

#: Shell text within the arguments of a command is read to this depth; what is deeper is unknown.
MAX_DEPTH = 4

#: Suffixes of a wrapper's words that are looked at as commands; of longer ones nothing is known.
MAX_WRAPPED = 64

_WORD = re.compile(r"(?:'[^']*'|\"[^\"]*\"|[^\s'\"])+")
_PIECE = re.compile(r"'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\"|(?P<star>\*)|(?P<bare>[^'\"*]+)")
_NAME = re.compile(r"[^\s;&|(){}'\"=,<>`\[\]!%]+")

#: What code has, in whichever language, and a sentence or a name has not.
_CODE = re.compile(r"[(){}|&<>`\[\]!\\$%=,]")
_UNPLAIN = re.compile(r"[^A-Za-z0-9_./:@%+,=~^-]")


class PatternError(Exception):
    """The text cannot be a pattern for commands; the message says why, in a sentence."""


class Match(IntEnum):
    NO = 0
    MAYBE = 1  # what the command runs cannot be told before it runs
    YES = 2


@dataclass(frozen=True, slots=True)
class PatternWord:
    """One word of a pattern: `regex` for the whole word; `wild` if it has a wildcard."""

    regex: str
    wild: bool

    def fits(self, word: str) -> bool:
        return re.fullmatch(self.regex, word, re.DOTALL) is not None

    @property
    def literal(self) -> str:
        """The word itself, where it has no wildcard."""
        return re.sub(r"\\(.)", r"\1", self.regex, flags=re.DOTALL)


@dataclass(frozen=True, slots=True)
class CommandPattern:
    """A pattern, read. `words` is empty where the text is no list of plain words: then it is
    about exactly this text. `rest`: any number of words may follow."""

    text: str
    words: tuple[PatternWord, ...] = ()
    rest: bool = False

    @property
    def exact(self) -> bool:
        return not self.rest and not any(word.wild for word in self.words)

    def permits(self, command: str) -> bool:
        """Whether all that this command does is what the pattern says."""
        if self.exact and command == self.text:
            return True
        if not self.words or self.never_permits():
            return False
        words = shell.plain_words(command)
        if words is None or len(words) < len(self.words):
            return False
        if len(words) > len(self.words) and not self.rest:
            return False
        if not all(p.fits(word) for p, word in zip(self.words, words, strict=False)):
            return False
        covered = [w for p, w in zip(self.words, words, strict=False) if p.wild]
        return all(is_harmless(words, word) for word in (*covered, *words[len(self.words) :]))

    def never_permits(self) -> str:
        """Why a rule that permits cannot be written so; empty if it can."""
        if self.exact:
            return ""
        if self.words[0].wild:
            return "to permit commands, name the program without *"
        written = itertools.takewhile(lambda word: not word.wild, self.words)
        return why_not([word.literal for word in written])

    def about(self, command: str) -> Match:
        """Whether any command in this script is, or may be, one that the pattern is about."""
        if command == self.text:
            return Match.YES
        if not self.words:
            return Match.MAYBE
        commands, known, assigned = _found(command)
        least = Match.MAYBE if not known or any(map(self._is_in, assigned)) else Match.NO
        return max((self._matches(words) for words in commands), default=Match.NO) or least

    def _matches(self, words: tuple[Word, ...]) -> Match:
        if words[0] is None:
            return Match.MAYBE
        if not self._names(words[0]):
            return Match.MAYBE if self._may_start(words) else Match.NO
        return _arguments(self.words[1:], without_global_options(words)[1:])

    def _names(self, program: str) -> bool:
        """Whether the pattern is about this program, with whatever arguments."""
        first = self.words[0]
        return any(
            first.fits(name) or _folded(first).fits(name.casefold())
            for name in (program, program.rpartition("/")[2], base_name(program))
        )

    def _is_in(self, text: str) -> bool:
        """Whether this text names the program: a variable that holds it may be run by others."""
        return any(map(self._names, _NAME.findall(text)))

    def _may_start(self, words: tuple[Word, ...]) -> bool:
        """Whether the program, of which that is not known, may run such a command that stands
        among its arguments: in words of their own, or as shell text."""
        if words[0] is None or base_name(words[0]) in PLAIN:
            return False
        for at, word in enumerate(words[1:], 1):
            if word is None:
                continue
            said = word.partition("=")[2] if re.match("-.*=", word) else word
            if self._names(said):
                after = without_global_options((said, *words[at + 1 :]))[1:]
                if at > MAX_WRAPPED or _arguments(self.words[1:], after) is not Match.NO:
                    return True
            elif self._is_in(said):
                if at > MAX_WRAPPED or _CODE.search(said):
                    return True
                programs = (found[0] for found in _found(said)[0])
                if any(name is not None and self._names(name) for name in programs):
                    return True
        return False


def parse_pattern(text: str) -> CommandPattern:
    """Read what stands in `bash(…)`. Raises PatternError."""
    if not text:
        raise PatternError("its command is empty; write the tool alone for every command")
    if not text.isascii() or not text.isprintable():
        raise PatternError("its command has a character that is not printable ASCII")
    if _WORD.sub("", text).strip(" "):
        raise PatternError("its command has a quote that is not closed")
    written = _WORD.findall(text)
    rest = len(written) > 1 and written[-1] == "*"
    words = [_pattern_word(w, first=not n) for n, w in enumerate(written[: -1 if rest else None])]
    found = [word for word in words if word is not None]
    if len(found) < len(words):
        if any("*" in piece for piece in _bare(text)):
            raise PatternError(
                "a command with * may have plain words and quotes beside it, and nothing that"
                " means something to the shell"
            )
        return CommandPattern(text)
    return CommandPattern(text, tuple(found), rest)


def _bare(text: str) -> Iterator[str]:
    for piece in _PIECE.finditer(text):
        if piece["single"] is None and piece["double"] is None:
            yield piece[0]


def _pattern_word(text: str, *, first: bool) -> PatternWord | None:
    """One word; None if it has something that means more to the shell than itself."""
    regex, wild = "", False
    parts: list[tuple[str, bool]] = []
    for piece in _PIECE.finditer(text):
        if piece["star"]:
            regex, wild = regex + ".*", True
            parts.append(("x", False))
        elif piece["bare"] is None:
            quoted = piece["single"] if piece["single"] is not None else piece["double"]
            if piece["double"] is not None and re.search(r"[$`\\!]", quoted):
                return None
            regex += re.escape(quoted)
            parts.append((quoted, True))
        elif _UNPLAIN.search(piece["bare"]):
            return None
        else:
            regex += re.escape(piece["bare"])
            parts.append((piece["bare"], False))
    return None if shell.plain_word(parts, first=first) is None else PatternWord(regex, wild)


def _folded(word: PatternWord) -> PatternWord:
    """The pattern in lower case: to some file systems RM is rm."""
    return PatternWord(word.regex.casefold(), word.wild)


def _arguments(wanted: Sequence[PatternWord], words: Sequence[Word]) -> Match:
    """Whether these arguments hold what the pattern wants, in any order of the options.

    More arguments than the pattern has do not help: what forbids a command forbids it with
    more options too.
    """
    known = [word for word in words if word is not None]
    unknown = len(known) < len(words)
    options = [word for word in known if word.startswith("-")]
    others = [word for word in known if not word.startswith("-")]
    wanted_options = [p for p in wanted if p.literal.startswith("-")]
    wanted_others = [p for p in wanted if not p.literal.startswith("-")]
    if not all(_has_option(p, options) for p in wanted_options):
        # A long name for the same thing, or its beginning, may be there.
        other_way = unknown or any(word.startswith("--") for word in options)
        return Match.MAYBE if other_way else Match.NO
    if len(others) >= len(wanted_others) and all(
        p.fits(word) for p, word in zip(wanted_others, others, strict=False)
    ):
        return Match.YES
    left = iter(others)
    among = all(any(p.fits(word) for word in left) for p in wanted_others)
    return Match.MAYBE if unknown or among else Match.NO


def _has_option(wanted: PatternWord, options: Sequence[str]) -> bool:
    if any(wanted.fits(option) for option in options):
        return True
    name = wanted.literal
    if wanted.wild:
        return False
    if name.startswith("--"):
        return any(
            len(option) > 2 and name.startswith(option.partition("=")[0])
            for option in options
            if option.startswith("--")
        )
    letters = {letter for o in options if not o.startswith("--") for letter in o[1:]}
    return set(name[1:]) <= letters


@lru_cache(maxsize=8)
def _found(script: str) -> tuple[tuple[tuple[Word, ...], ...], bool, tuple[str, ...]]:
    """Every command that this script is known to run, whether those are all it may run, and
    what it gives to variables."""
    assigned: list[str] = []
    commands: dict[tuple[Word, ...], None] = {}
    known = True
    read_before: set[str] = set()
    left = [(script, 0)]
    while left:
        text, depth = left.pop()
        if text in read_before:
            continue
        read_before.add(text)
        if depth > MAX_DEPTH:
            known = False
            continue
        read = shell.read(text)
        known &= read.whole
        assigned += read.assigned
        for words in read.commands:
            known &= len(words) <= MAX_WRAPPED or words[0] is None or not _wraps(words[0])
            for started in _started(words):
                commands[started] = None
                texts, clear = _texts(started)
                known &= clear
                left += [(inner, depth + 1) for inner in texts]
    return tuple(commands), known, tuple(assigned)


def _started(words: tuple[Word, ...]) -> Iterator[tuple[Word, ...]]:
    """The command, and whatever it may run if it is one that runs its arguments."""
    yield words
    if words[0] is None or not _wraps(words[0]):
        return
    reads: tuple[Word, ...] = (None,) if base_name(words[0]) in READERS else ()
    for at in range(1, min(len(words), MAX_WRAPPED)):
        yield (None,) if words[at] is None else words[at:] + reads
    last = words[-1]
    if reads and last is not None and (_wraps(last) or last.startswith("-")):
        yield (None,)


def _wraps(program: str) -> bool:
    return base_name(program) in WRAPPERS


def _texts(words: tuple[Word, ...]) -> tuple[list[str], bool]:
    """Shell text that this command is given to run, and whether there can be no other."""
    if words[0] is None:
        return [], True  # matches every pattern as it is
    program, arguments = base_name(words[0]), words[1:]
    literal = [word for word in arguments if word is not None]
    clear = len(literal) == len(arguments)
    if program in SHELLS:
        return shell_text(program, arguments)
    if program in LOGINS and sum(not word.startswith("-") for word in literal) <= (
        program == "ssh"  # whose first word is where to log in
    ):
        return [], False
    if program in TEXT_RUNNERS:
        texts = [word for word in literal if not word.startswith("-") and re.search(r"\W", word)]
        if program == "eval":
            texts = [" ".join(literal)]
        attached = any(re.match(r"-.*\s", word, re.DOTALL) for word in literal)
        return texts, clear and not attached and not runs_from_options(words)
    if program in ALWAYS_OPAQUE or runs_from_options(words):
        return [], False
    if program in INTERPRETERS:
        return [], _is_file_run(program, arguments)
    if program in EVALUATORS:
        sets = any("$(" in word or "`" in word or shell.is_telling(word) for word in literal)
        return [], clear and not sets
    return [], True


def _is_file_run(program: str, arguments: Sequence[Word]) -> bool:
    """Whether what an interpreter runs is a file, or a module that runs nothing it is given."""
    first, second = [*arguments, None, None][:2]
    if first is None or is_read(first):
        return False
    if program in ("deno", "bun") and first in SUBCOMMANDS_THAT_RUN:
        return False
    if first == "-m":
        name = (second or "").partition(".")[0]
        stdin = any(word is not None and is_read(word) for word in arguments)
        return second is not None and name not in MODULES_THAT_RUN and not stdin
    return not first.startswith("-") and second != "-"
