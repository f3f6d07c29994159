"""Which options make a program run another one, or take its orders from what it reads. Pure.

Tables and look-ups only, and no boundary: see `shell_programs`. For compilers, and for the
subcommands of git, the tables say what is harmless, since what is not is without end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from turnstone.core.shell_programs import SHELLS, base_name

#: Of every program: names that run programs or write files wherever they are known.
_COMMON = tuple(
    (
        "exec execdir ok-command to-command use-compress-program compress-program checkpoint-action "
        "rsh-command rsh pager editor shell output output-file output-document output-directory "
        "outfile pre preprocessor plugin eval config config-file init-file rcfile require import"
    ).split()
)

#: Of these, most programs mean something harmless, and all who say `--o` mean it.
_OFTEN_HARMLESS = ("--out", "--config", "--import", "--require")

#: The same of git, for which a name may be cut short too.
_OF_GIT = tuple(
    (
        "ext-diff textconv filters open-files-in-pager upload-pack receive-pack exec-path config-env "
        "template edit edit-description interactive patch-edit no-index gpg-sign sign local-user "
        "strategy paginate git-dir work-tree namespace show-signature verify-signatures contents "
        "file pathspec-from-file help trailer"
    ).split()
)

#: In a word for git: a format that has signatures checked by a program; a remote helper.
GIT_TEXT = ("%G", "::")

#: Options of git itself, before the subcommand, that take the next word.
_GIT_VALUES = frozenset("-C -c --git-dir --work-tree --namespace --exec-path --config-env".split())

#: Subcommands of git that run nothing which their words name, options apart. Whatever is not
#: here runs other programs, or is an alias, or a program called git-something.
_GIT_OWN = frozenset(
    (
        "add am apply archive blame branch bundle cat-file check-ignore checkout cherry cherry-pick "
        "clean clone commit count-objects describe diff diff-files diff-index diff-tree fetch "
        "for-each-ref format-patch fsck gc grep hash-object init log ls-files ls-remote ls-tree "
        "merge merge-base mv name-rev notes prune pull push range-diff read-tree reflog remote "
        "repack reset restore rev-list rev-parse revert rm shortlog show show-branch show-ref "
        "sparse-checkout stash status switch symbolic-ref tag update-index update-ref version "
        "verify-commit whatchanged worktree write-tree"
    ).split()
)

#: Those of them to which no word at all is a program: what is put together at run time may stay.
_GIT_PLAIN = frozenset(
    (
        "add branch checkout cherry-pick clean commit merge mv reset restore revert rm stash status "
        "switch tag"
    ).split()
)

#: Those that take the address of another repository, which may name a program: `ext::`.
_GIT_REMOTE = frozenset("archive clone fetch ls-remote pull push remote submodule".split())
_HELPER = re.compile(r"(?:\w[\w+.-]*=)?[A-Za-z][A-Za-z0-9+.-]*::")

#: Settings that name no program; of `git config`, the rest may.
_GIT_SETTINGS = re.compile(
    r"(?:advice|branch|color|column|init|pull|push|rebase|rerere|status|user)\.[\w.-]+"
    r"|core\.(?:autocrlf|bare|eol|filemode|ignorecase|quotepath|safecrlf)",
    re.IGNORECASE,
)
_ASKS_SETTINGS = ("--get", "--list", "-l", "get", "list")


@dataclass(frozen=True, slots=True)
class _Runs:
    """Options of one program that name a program, or a setting which may: `letters` that may
    stand with others behind one dash, `starts` of words, long `names` that may be cut short."""

    letters: str = ""
    starts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def in_word(self, word: str) -> bool:
        if word.startswith(self.starts) or is_cut(word, self.names):
            return True
        return bool(self.letters) and re.match(f"-\\w*[{self.letters}]", word) is not None


def _runs(letters: str = "", starts: str = "", names: str = "") -> _Runs:
    return _Runs(letters, tuple(starts.split()), tuple(names.split()))


_APT = _runs("oc", names="option config-file")
_PIP = _runs(names="python")
_RPM = _runs("c", names="setopt config plugin installroot")
_TRACE = _runs(starts="| -o|", names="output")

#: By base name. `--`: every long option may.
_RUNNING = {
    "tar": _runs("IF", "--"),
    "bsdtar": _runs("I", "--"),
    "rsync": _runs("eM", "--"),
    "zip": _runs("T", "--"),
    "man": _runs("PHC", "--"),
    "ssh": _runs("oFSI", "--"),
    "scp": _runs("oFSD", "--"),
    "wget": _runs("e", names="execute use-askpass config"),
    "hg": _runs("et", names="config config-file ssh remotecmd tool editor pager"),
    "svn": _runs(
        names="diff-cmd diff3-cmd editor-cmd merge-cmd config-option config-dir",
        starts="svn+",
    ),
    "pip": _PIP,
    "apt": _APT,
    "apt-get": _APT,
    "apt-cache": _APT,
    "dpkg": _runs(names="pre-invoke post-invoke status-logger force-script-chrootless"),
    "dnf": _RPM,
    "yum": _RPM,
    "apk": _runs("p", names="root"),
    "pacman": _runs("br", names="hookdir config root sysroot dbpath"),
    "brew": _runs(starts="sh irb ruby exec"),
    "cargo": _runs("CZ", names="config"),
    "rustc": _runs("CZ", starts="@", names="codegen"),
    "go": _runs(
        starts="-exec -toolexec -vettool -ldflags -gccgoflags -overlay -w --exec --toolexec"
        " --vettool --ldflags --gccgoflags --overlay"
    ),
    "rg": _runs(names="hostname-bin pre"),
    "install": _runs(names="strip-program"),
    "make": _runs(starts="--eval", letters="E"),
    "gmake": _runs(starts="--eval", letters="E"),
    "strace": _TRACE,
    "ltrace": _TRACE,
    "jobs": _runs("x"),
    "ld": _runs(starts="-plugin --plugin @"),
    "env": _runs("S", names="split-string"),
    "sort": _runs(names="compress-program"),
}

_COMPILER = re.compile(
    r"(?:[\w.]+-)*(?:gcc|g\+\+|cc|c\+\+|cpp|clang|clang\+\+|gfortran|tcc|icc|icx|nvcc|c89|c99)"
)

#: What a compiler takes without running anything but its own parts. Not `-B`, `-wrapper`,
#: `-specs`, `-fplugin`, `-fuse-ld`, `-Wl,`, `-mllvm`, `@file`, nor what is not known here.
_COMPILES = re.compile(
    r"-|[^-@].*|-[cgESvwPCMs]|-[oODUILlAT].*|-g\w*|-W(?![lpa],)[\w=+-]*|-(?:std|x|march|mtune|mcpu)=?\w*.*"
    r"|-f(?!.*(?:plugin|use-ld|module|load|prefix))[\w=.,+-]*|-m(?!llvm)[\w=.-]*|-M[DMFGPQT]*"
    r"|-(?:pthread|shared|static|pipe|ansi|pedantic|pie|no-pie|rdynamic|include|isystem|iquote|MF|MT)"
    r"|-static-\w+|--(?:version|help)",
    re.DOTALL,
)

#: Where a program finds what it is given on its standard input, or by another descriptor.
_READ = re.compile(r"(?:-\w*=?)?(?:/dev/(?:stdin|fd/|tty)|/proc/[^/]+/fd/)|-\w*f-")

#: Take a file of orders among their words.
_ORDERED = frozenset("make gmake ninja cmake ctest bmake just".split())


def is_cut(word: str, names: Sequence[str]) -> bool:
    """Whether this long option is one of these, whole or cut short."""
    if not word.startswith("--") or len(word) == 2:
        return False
    name = word[2:].partition("=")[0]
    return any(long.startswith(name) for long in names)


def is_read(word: str) -> bool:
    """Whether the word is a path of what is on the standard input, or of a descriptor."""
    return _READ.match(word) is not None


def runs_from_options(words: Sequence[str | None]) -> bool:
    """Whether an option of this command may name a program, so that what runs is not known."""
    if not words or words[0] is None:
        return True
    program, rest = base_name(words[0]), [word for word in words[1:] if word is not None]
    if program == "git":
        return _git_runs_others(words, rest)
    if _COMPILER.fullmatch(program):
        return None in words or not all(map(_COMPILES.fullmatch, rest))
    if program in _ORDERED and (
        _may_be_option(words[1:]) or "-" in rest or any(map(is_read, rest))
    ):
        return True
    if program in ("make", "gmake") and any("=" in word for word in rest):
        return True
    known = _RUNNING.get(program)
    if known is not None:
        bundled = program == "tar" and bool(rest) and re.match(r"\w*[IF]", rest[0]) is not None
        if bundled or any(map(known.in_word, rest)) or _may_be_option(words[1:]):
            return True
    return any(is_cut(word, _COMMON) and not word.startswith(_OFTEN_HARMLESS) for word in rest)


def _may_be_option(words: Sequence[str | None]) -> bool:
    """Whether a word that is put together at run time, or by a pattern for names of files, may
    turn out to be an option."""
    return None in words and "--" not in words[: words.index(None)]


def _git_runs_others(words: Sequence[str | None], known: Sequence[str]) -> bool:
    after = without_global_options(words)[1:]
    before = words[1 : len(words) - len(after)]
    if any(word is not None and word.startswith(("-c", "--config", "--exec")) for word in before):
        return True
    if not after:
        return _may_be_option(words[1:])
    subcommand, rest = after[0], [word for word in after[1:] if word is not None]
    if subcommand == "config":
        return not _reads_settings(after[1:])
    if subcommand is None or subcommand not in _GIT_OWN:
        return not (subcommand is not None and subcommand.startswith("-"))
    if subcommand not in _GIT_PLAIN and _may_be_option(after[1:]):
        return True
    if subcommand == "clone" and any(re.match(r"-\w*[cu]", word) for word in rest):
        return True
    if subcommand in _GIT_REMOTE and any(map(_HELPER.match, rest)):
        return True
    return any(
        w.startswith("-O")
        or is_cut(w, (*_COMMON, *_OF_GIT))
        or (w.startswith("--") and any(text in w for text in GIT_TEXT))
        for w in known
    )


def _reads_settings(words: Sequence[str | None]) -> bool:
    """Whether this `git config` names no program: it asks, or sets what is none."""
    if any(word is None for word in words):
        return False
    said = [word for word in words if word is not None]
    if any(word.startswith(("--get", "--list")) or word in _ASKS_SETTINGS for word in said):
        return True
    keys = [word for word in said if not word.startswith("-")]
    keys = keys[1:] if keys and keys[0] in ("set", "unset") else keys
    return bool(keys) and _GIT_SETTINGS.fullmatch(keys[0]) is not None and "-f" not in said


def without_global_options(words: Sequence[str | None]) -> tuple[str | None, ...]:
    """`git log` for `git -C there log`: the options before a subcommand say nothing of it."""
    if not words or words[0] is None or base_name(words[0]) != "git":
        return tuple(words)
    at = 1
    while at < len(words):
        word = words[at]
        if word is None or not word.startswith("-"):
            break
        at += 2 if word in _GIT_VALUES else 1
    return (words[0], *words[at:])


#: Options of a shell that take the next word.
_SHELL_VALUES = re.compile(r"[-+][A-Za-z]*[oO]|--rcfile|--init-file")
_SHELL_TEXT = re.compile(r"-[A-Za-z]*c[A-Za-z]*")

#: Those whose options are others than those of the first one.
_OTHER_SHELLS = SHELLS & frozenset("fish csh tcsh pwsh".split())


def shell_text(program: str, arguments: Sequence[str | None]) -> tuple[list[str], bool]:
    """The text that a shell is given to run, and whether there can be no other. A shell runs a
    file, the text after `-c`, or else whatever it reads."""
    takes_text, skip = False, False
    for at, word in enumerate(arguments):
        if word is None:
            return [], False
        if skip:
            skip = False
        elif word.startswith(("-", "+")) and len(word) > 1 and word != "--":
            if program in _OTHER_SHELLS and not _SHELL_TEXT.fullmatch(word):
                return [], False
            takes_text |= _SHELL_TEXT.fullmatch(word) is not None
            skip = _SHELL_VALUES.fullmatch(word) is not None
        elif word in ("-", "--"):
            continue
        elif takes_text:
            return [word], None not in arguments[at:]
        else:
            return [], not is_read(word)
    return [], False
