"""What is known of programs: which run others, and which options write files or run programs.

Tables and look-ups only. They are no boundary: a program that is not listed is taken for what
its name says. What keeps a command from doing harm is the sandbox.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: Run the program that their arguments name, after options of their own.
WRAPPERS = frozenset(
    (
        "sudo doas su runuser pkexec env xargs nohup timeout nice ionice chrt taskset time "
        "stdbuf setsid setpriv chroot unshare nsenter flock watch parallel strace ltrace script "
        "unbuffer exec command builtin coproc find fd fdfind busybox toybox catchsegv systemd-run "
        "ssh bwrap prlimit firejail start-stop-daemon uv npx uvx pipx poetry pdm hatch rye "
        "docker podman kubectl direnv ld.so faketime perf valgrind torsocks proxychains rlwrap npm pnpm yarn"
    ).split()
)

SHELLS = frozenset("sh bash dash zsh ksh mksh ash fish csh tcsh rbash pwsh".split())

#: Start a shell that reads its commands, where they are given none.
LOGINS = frozenset("sudo doas su runuser chroot unshare nsenter script".split())

#: Add words that they read to those that they are given.
READERS = frozenset({"xargs", "parallel"})

#: Take shell text among their arguments.
TEXT_RUNNERS = frozenset("eval ssh su runuser watch script env parallel trap xargs flock".split())

#: Their first argument that is no option is a file with a program; before it may be a program.
INTERPRETERS = frozenset(
    "python pypy ipython perl ruby node nodejs deno bun php lua luajit tclsh Rscript R".split()
)

#: Hold a program in their arguments or in what they read, in a language that is not read here.
ALWAYS_OPAQUE = frozenset(
    (
        "awk gawk mawk nawk sed gsed ed ex vi vim nvim view vimdiff emacs nano expect gdb lldb "
        "source . alias at batch crontab screen tmux less more most dc bc m4 socat hash enable "
        "mapfile readarray compgen complete bind fc "
        "sqlite3 psql mysql"
    ).split()
)

#: Builtins that evaluate the subscript of a name that they are given: `a[$(id)]`.
EVALUATORS = frozenset(
    "let test [ printf read unset declare typeset local export readonly mapfile wait".split()
)

_MORE_EXACT_ONLY = frozenset(
    (
        "man info tar bsdtar zip unzip 7z rsync scp sftp ftp curl wget nc ncat socat telnet uniq xxd "
        "cmake meson bazel gradle mvn ant rake tox nox just task pip conda apt apt-get "
        "dpkg rpm yum dnf brew snap systemctl service mount umount dd cc gcc g++ clang ld as "
        "rustc swift zig ghc javac java dotnet ldd openssl gpg ip nmap tcpdump date hostname "
        "hg svn gh bundle bundler gem composer terraform ansible ansible-playbook aws gcloud az "
        "latex pdflatex xelatex lualatex gnuplot ffmpeg convert magick journalctl helm vagrant "
        "cd pushd popd set shopt enable hash bind complete compgen ulimit umask kill return exit "
        "logout fc history jobs fg bg disown suspend dirs mapfile readarray getopts shift times "
        "help caller if then else elif fi for while until do done case esac function select in"
    ).split()
)

#: Programs that may run anything their arguments say, or change what later words mean: of these
#: a rule that permits covers what is written out, and nothing by a wildcard.
EXACT_ONLY = (
    WRAPPERS | SHELLS | TEXT_RUNNERS | INTERPRETERS | ALWAYS_OPAQUE | EVALUATORS | _MORE_EXACT_ONLY
) - {"find", "fd", "fdfind", "npm"}

#: Of these programs only the listed subcommands may be followed by a wildcard; the rest of them
#: can run other programs from their arguments, or fetch what does.
SUBCOMMANDS = {
    "git": frozenset(
        (
            "status log show diff blame shortlog describe rev-parse rev-list ls-files ls-tree "
            "cat-file branch tag add commit reflog name-rev grep restore checkout switch stash "
            "mv rm reset"
        ).split()
    ),
    "cargo": frozenset("build check test clippy fmt doc tree metadata".split()),
    "go": frozenset("build test vet list doc version".split()),
    "npm": frozenset("test run run-script ls outdated".split()),
}

#: Subcommands of git that run a program which their arguments or settings name.
_GIT_RUNNERS = frozenset(
    "bisect submodule rebase filter-branch difftool mergetool for-each-repo send-email hook".split()
)

#: Options of git itself, before the subcommand, that take the next word.
_GIT_VALUES = frozenset("-C -c --git-dir --work-tree --namespace --exec-path --config-env".split())


@dataclass(frozen=True, slots=True)
class Options:
    """Options that no wildcard covers: long names, letters, whole words, and text in any word."""

    long: tuple[str, ...] = ()
    short: str = ""
    words: tuple[str, ...] = ()
    text: tuple[str, ...] = ()


#: Of every program: names that run programs or write files wherever they are known.
_COMMON = (
    "exec execdir ok-command to-command use-compress-program compress-program checkpoint-action "
    "rsh-command rsh pager editor shell output output-file output-document output-directory outfile "
    "pre preprocessor plugin eval config config-file init-file rcfile require import"
).split()

_DANGEROUS = {
    "git": Options(
        long=tuple(
            (
                "ext-diff textconv filters open-files-in-pager upload-pack receive-pack "
                "exec-path config-env template edit edit-description interactive patch-edit "
                "no-index gpg-sign sign local-user strategy paginate git-dir work-tree namespace "
                "show-signature verify-signatures contents file pathspec-from-file help trailer"
            ).split()
        ),
        short="Oei",
        text=("%G", "::"),
    ),
    "git commit": Options(short="SFtpc"),
    "git tag": Options(short="suvF"),
    "find": Options(
        words=tuple(
            (
                "-exec -execdir -ok -okdir -delete -fprint -fprint0 -fprintf -fls -files0-from"
            ).split()
        )
    ),
    "fd": Options(long=("exec-batch", "base-directory", "search-path"), short="xX"),
    "sort": Options(long=("temporary-directory", "files0-from", "random-source"), short="oT"),
    "shuf": Options(long=("random-source",), short="o"),
    "iconv": Options(short="o"),
    "rg": Options(
        long=("pre-glob", "hostname-bin", "search-zip", "ignore-file", "file"), short="zf"
    ),
    "grep": Options(long=("file",), short="f"),
    "wc": Options(long=("files0-from",)),
    "du": Options(long=("files0-from", "exclude-from"), short="X"),
    "file": Options(long=("compile", "magic-file", "files-from"), short="Cmf"),
    "tree": Options(long=("fromfile",), short="oR"),
    "diff": Options(long=("paginate",), short="l"),
    "jq": Options(long=("from-file", "rawfile", "slurpfile", "library-path"), short="fL"),
    "make": Options(
        long=("file", "makefile", "directory", "include-dir", "environment-overrides"),
        short="fCIEe",
    ),
    "cargo": Options(long=("manifest-path", "target-dir"), short="ZC", words=("--",)),
    "go": Options(
        words=tuple(
            (
                "-exec -toolexec -vettool -overlay -modfile -o -C -ldflags -gcflags -asmflags "
                "-gccgoflags -pkgdir -coverprofile -cpuprofile -memprofile -trace -outputdir"
            ).split()
        )
    ),
    "npm": Options(
        long=tuple(
            "script-shell prefix node-options userconfig globalconfig call workspace".split()
        ),
        short="Ccw",
    ),
    "pytest": Options(
        long=tuple(
            "override-ini rootdir confcutdir basetemp junit-xml junitxml debug pdb pdbcls trace "
            "import-mode pastebin log-file".split()
        ),
        short="pco",
    ),
    "mypy": Options(
        long=tuple(
            "python-executable custom-typeshed-dir install-types cache-dir junit-xml".split()
        )
    ),
}
_DANGEROUS["fdfind"] = _DANGEROUS["fd"]
for _same in ("egrep", "fgrep"):
    _DANGEROUS[_same] = _DANGEROUS["grep"]

#: Beginnings of options that name a program, or a setting which may.
_PROGRAM_IN_OPTION = {
    "tar": ("-I", "-F"),
    "bsdtar": ("-I",),
    "rsync": ("-e",),
    "zip": ("-T",),
    "man": ("-P", "-H"),
    "ssh": ("-o", "-F", "-S", "-I"),
    "scp": ("-o", "-F", "-S"),
    "sftp": ("-o", "-F", "-S", "-D"),
}

_OUTSIDE = re.compile(r"(?:^|[=:,]|^-{1,2}\w+)/|(?:^|[/=:,]|^-\w)\.\.(?:/|$)|(?:^|[=:])~")

#: A setting, `CC=x`, or a file of further arguments, `@file`. Quotes do not matter for these.
_SETTING = re.compile(r"[^-].*=|@.", re.DOTALL)


def base_name(program: str) -> str:
    """The name of a program without its folder and version: `python` for /usr/bin/python3.11."""
    name = program.rpartition("/")[2]
    return re.sub(r"-?[\d.]+$", "", name) or name


def is_harmless(words: Sequence[str], word: str) -> bool:
    """Whether a wildcard may stand for this word of the command, as far as the tables know.

    Names of options may be cut short, as many programs take them; letters may stand together.
    A path that leads out of the workspace, or a setting of a variable, is not harmless.
    """
    program = base_name(words[0])
    if _OUTSIDE.search(word) or _SETTING.match(word):
        return False
    return not _is_dangerous(program, words[1:2], word)


def _is_dangerous(program: str, sub: Sequence[str], word: str) -> bool:
    tables = [_DANGEROUS.get(program), *(_DANGEROUS.get(f"{program} {name}") for name in sub)]
    known = [table for table in tables if table is not None]
    # Go takes one dash or two, and find one, before a long name.
    whole = {option.lstrip("-") for table in known for option in table.words}
    if word.startswith("-") and word.lstrip("-").partition("=")[0] in whole:
        return True
    if any(text in word for table in known for text in table.text):
        return True
    if word.startswith("--") and len(word) > 2:
        name = word[2:].partition("=")[0]
        names = [*_COMMON, *(long for table in known for long in table.long)]
        return any(long.startswith(name) for long in names)
    if word.startswith("-"):
        return bool({letter for table in known for letter in table.short} & {*word})
    return False


def runs_from_options(words: Sequence[str | None]) -> bool:
    """Whether an option of this command may name a program, so that what runs is not known."""
    if not words or words[0] is None:
        return True
    program, rest = base_name(words[0]), [word for word in words[1:] if word is not None]
    if program == "git":
        return _git_runs_others(words, rest)
    if program in ("make", "gmake") and any("=" in word or "E" in word for word in rest):
        return True
    if program == "env" and any(word.startswith(("-S", "--s")) for word in rest):
        return True
    if program in _PROGRAM_IN_OPTION:
        return any(word.startswith(("--", *_PROGRAM_IN_OPTION[program])) for word in rest)
    return any(
        word.startswith("--")
        and _is_dangerous("", (), word)
        and not word.startswith(("--out", "--config", "--import", "--require"))
        for word in rest
    )


def _git_runs_others(words: Sequence[str | None], known: Sequence[str]) -> bool:
    after = without_global_options(words)[1:]
    before = words[1 : len(words) - len(after)]
    if any(word is not None and word.startswith(("-c", "--config", "--exec")) for word in before):
        return True
    if after and after[0] in _GIT_RUNNERS:
        return True
    return any(w.startswith(("--", "-O")) and _is_dangerous("git", (), w) for w in known)


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
