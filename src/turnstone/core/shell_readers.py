"""Programs that only read, and the options with which they do: what a wildcard may cover. Pure.

Turned the safe way round: what is not listed here is not covered. So no option is here that
writes a file, runs a program, reads names of files from a file, follows what it reads, or waits.
Nothing that goes through folders and reads hidden files either: `.env` must not be shown unasked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from turnstone.core.sensitive import is_secret
from turnstone.core.shell_options import GIT_TEXT


@dataclass(frozen=True, slots=True)
class Reader:
    """`short`: letters, which may stand together and before a number. `long`: whole names,
    never cut short. `words`: after one dash."""

    short: str = ""
    long: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()


def _reader(short: str = "", long: str = "", words: str = "") -> Reader:
    return Reader(short, frozenset(long.split()), frozenset(words.split()))


_GREP = _reader(
    "abcHhiIlLnoqsTUvwxyzABCeEFGPmZ",
    "ignore-case line-number count files-with-matches files-without-match only-matching "
    "invert-match word-regexp line-regexp fixed-strings extended-regexp perl-regexp max-count "
    "quiet no-messages with-filename no-filename context after-context before-context regexp "
    "color",
)
_SUM = _reader("bt", "binary tag zero")
_ENDS = _reader("cnqvz", "lines bytes quiet verbose")

#: By the bare name; the same in /bin and /usr/bin.
_READERS = {
    "ls": _reader(
        "aAbBcCdfFgGhHiIklLmnNopqQrRsStTuUvwxXZ1",
        "all almost-all human-readable color size sort time reverse recursive directory classify "
        "inode full-time time-style group-directories-first",
    ),
    "cat": _reader("AbeEnstTuv", "number number-nonblank show-all squeeze-blank"),
    "head": _ENDS,
    "tail": _ENDS,
    "wc": _reader("clmLw", "lines words chars bytes max-line-length"),
    "grep": _GREP,
    "egrep": _GREP,
    "fgrep": _GREP,
    # By itself it leaves out hidden and ignored files; a glob would bring them back.
    "rg": _reader(
        "bcFHIilmnNopqSstTvwxABCe",
        "ignore-case smart-case case-sensitive line-number no-line-number count "
        "files-with-matches files-without-match only-matching invert-match word-regexp "
        "line-regexp fixed-strings max-count quiet with-filename no-filename context "
        "after-context before-context regexp color type type-not type-list no-heading heading "
        "column sort stats trim no-config files",
    ),
    "find": _reader(
        words="name iname path ipath wholename regex iregex type maxdepth mindepth size mtime mmin "
        "ctime cmin atime amin newer not o or a and print print0 prune empty perm user group links "
        "depth mount xdev ls true false daystart readable writable executable P",
    ),
    "sort": _reader(
        "bdfghiMnRrVcCkstuz",
        "numeric-sort reverse unique key field-separator ignore-case human-numeric-sort "
        "version-sort general-numeric-sort month-sort stable check zero-terminated",
    ),
    "diff": _reader(
        "abBcdeEiNnpqstTuUwyW",
        "unified context brief ignore-all-space ignore-space-change ignore-blank-lines "
        "ignore-case side-by-side width color minimal strip-trailing-cr label",
    ),
    "stat": _reader("cfLt", "format printf terse dereference file-system"),
    "du": _reader(
        "abcdhHkLlmsSx0t",
        "max-depth summarize human-readable all total apparent-size bytes one-file-system",
    ),
    "df": _reader("hTkiPl", "human-readable inodes print-type local"),
    "file": _reader("bihkLN", "brief mime mime-type mime-encoding dereference"),
    "cut": _reader(
        "bcdfsz",
        "fields delimiter characters bytes complement only-delimited output-delimiter",
    ),
    "tree": _reader("adfiLIPpsughDFrtnCAqNcUvQx", "dirsfirst noreport"),
    "echo": _reader("neE"),
    "pwd": _reader("LP"),
    "basename": _reader("asz", "multiple suffix zero"),
    "dirname": _reader("z", "zero"),
    "realpath": _reader("emsqz", "relative-to relative-base"),
    "readlink": _reader("femnqsvz"),
    "cmp": _reader("bils", "print-bytes verbose silent quiet bytes"),
    "comm": _reader("123z"),
    "nl": _reader("bdfhilnpsvw"),
    "tac": _reader("brs"),
    "paste": _reader("dsz"),
    "fold": _reader("bsw"),
    "od": _reader("ANjtvwaCbcdfilosx"),
    "seq": _reader("fsw"),
    "uname": _reader("asnrvmpio", "all"),
    "id": _reader("ugnGr"),
    "which": _reader("as"),
    "md5sum": _SUM,
    "sha1sum": _SUM,
    "sha256sum": _SUM,
    "sha512sum": _SUM,
    "cksum": _reader(),
    "whoami": _reader(),
    "nproc": _reader(),
}

#: Of git only these subcommands, and these options of all of them together. Not `-O`, which
#: opens a program in `git grep`; not `-f` and `-X`, which read a file of orders.
_GIT_SUBCOMMANDS = frozenset(
    (
        "status log show diff blame shortlog describe rev-parse rev-list ls-files ls-tree cat-file "
        "name-rev grep"
    ).split()
)
_GIT = _reader(
    "abcdeghijklmnopqrstuvwzABCDEFGHILMPRSTUW",
    "oneline stat shortstat numstat name-only name-status no-color color patch no-patch raw graph "
    "decorate no-decorate all branches tags remotes since until after before author committer grep "
    "pretty format date abbrev-commit abbrev max-count skip reverse follow merges no-merges "
    "first-parent cached staged word-diff ignore-all-space ignore-space-change ignore-blank-lines "
    "unified short porcelain branch long untracked-files ignored null show-toplevel abbrev-ref "
    "verify quiet is-inside-work-tree others exclude-standard modified deleted stage full-name "
    "line-number count ignore-case fixed-strings extended-regexp perl-regexp word-regexp "
    "files-with-matches context after-context before-context show-function function-context "
    "summary minimal patience histogram diff-filter find-renames find-copies diff-algorithm "
    "topo-order date-order left-right boundary relative no-renames exit-code check full-index root "
    "contains always dirty exact-match numbered email line-porcelain no-ext-diff no-textconv",
)

_FOLDERS = ("", "/bin/", "/usr/bin/")

_OUTSIDE = re.compile(r"(?:^|[=:,]|^-{1,2}\w+)/|(?:^|[/=:,]|^-\w)\.\.(?:/|$)|(?:^|[=:])~")

#: A setting, `CC=x`, or a file of further arguments, `@file`. Quotes do not matter for these.
_SETTING = re.compile(r"[^-].*=|@.", re.DOTALL)

#: Between the parts of a word that may be paths: `HEAD:.env`, `--x=.env`, `:!.env`.
_PARTS = re.compile(r"[=:,!()]")


def why_not(words: Sequence[str]) -> str:
    """Why no wildcard may follow these words of a rule; empty if one may."""
    program = _name(words[0])
    if program == "git":
        if len(words) < 2 or words[1] not in _GIT_SUBCOMMANDS:
            listed = ", ".join(sorted(_GIT_SUBCOMMANDS))
            return f"of git, * may follow {listed}; write other commands out"
    elif program not in _READERS:
        return (
            f"{words[0]} is not among the programs that only read; write the command out, without *"
        )
    for word in words[1:]:
        if word.startswith("-") and not _is_known(program, word):
            return f"{word} is not among the options with which {program} only reads; leave out *"
    return ""


def is_harmless(words: Sequence[str], word: str) -> bool:
    """Whether a wildcard may stand for this word of a command for which `why_not` knows nothing.

    A path that leads out of the workspace or names a secret is not harmless, nor is a setting
    of a variable.
    """
    if _OUTSIDE.search(word) or _SETTING.match(word):
        return False
    if any(is_secret(part.split("/")) for part in _PARTS.split(word)):
        return False
    program = _name(words[0])
    if program == "git" and any(text in word for text in GIT_TEXT):
        return False
    return not word.startswith("-") or _is_known(program, word)


def _name(program: str) -> str:
    folder, slash, name = program.rpartition("/")
    return name if folder + slash in _FOLDERS else program


def _is_known(program: str, option: str) -> bool:
    reader = _GIT if program == "git" else _READERS[program]
    if option in {"-", "--"}:
        return True
    if option.startswith("--"):
        return option[2:].partition("=")[0] in reader.long
    if option[1:] in reader.words:
        return True
    return bool(reader.short) and all(c in reader.short or c.isdigit() for c in option[1:])
