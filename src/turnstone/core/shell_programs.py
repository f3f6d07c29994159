"""What is known of programs: which run others, and which options write files or run programs.

Tables and look-ups only. They are no boundary: a program that is not listed is taken for what
its name says. What keeps a command from doing harm is the sandbox.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Run the program that their arguments name, after options of their own.
WRAPPERS = frozenset(
    (
        "sudo doas su runuser pkexec env xargs nohup timeout nice ionice chrt taskset time "
        "stdbuf setsid setpriv chroot unshare nsenter flock watch parallel strace ltrace script "
        "unbuffer exec command builtin coproc find fd fdfind busybox toybox catchsegv systemd-run "
        "ssh bwrap prlimit firejail start-stop-daemon uv npx uvx pipx poetry pdm hatch rye "
        "docker podman kubectl direnv ld.so faketime perf valgrind torsocks proxychains rlwrap npm pnpm yarn "
        "fakeroot linux32 linux64 setarch sg tini dumb-init gosu su-exec eatmydata xvfb-run "
        "dbus-run-session chronic entr conda mamba bundle mise"
    ).split()
)

SHELLS = frozenset("sh bash dash zsh ksh mksh ash fish csh tcsh rbash pwsh".split())

#: Start a shell that reads its commands, where they are given none.
LOGINS = frozenset("sudo doas su runuser chroot unshare nsenter script sg".split())

#: Add words that they read to those that they are given.
READERS = frozenset({"xargs", "parallel"})

#: Take shell text among their arguments.
TEXT_RUNNERS = frozenset(
    "eval ssh su runuser watch script env parallel trap xargs flock sg entr hyperfine nix-shell".split()
)

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
        "sqlite3 psql mysql run-parts newgrp"
    ).split()
)

#: Run nothing that their arguments name, options apart. Of a program that is in none of these
#: tables nobody knows that, so that a name among its arguments may be one that it runs.
PLAIN = frozenset(
    (
        "echo printf true false : cd pwd pushd popd ls cat head tail wc nl tac cut paste sort uniq "
        "tr fold fmt column join comm diff cmp stat file du df tree od xxd hexdump strings seq "
        "basename dirname realpath readlink grep egrep fgrep rg ag cp mv ln rm rmdir mkdir mktemp "
        "touch chmod chown chgrp install truncate dd tee tar bsdtar zip unzip gzip gunzip zcat bzip2 "
        "xz zstd md5sum sha1sum sha256sum sha512sum cksum base64 git hg svn make gmake ninja "
        "pip pip3 apt apt-get apt-cache dpkg brew dnf yum apk pacman cargo go gcc g++ cc clang "
        "curl wget scp rsync jq yq man info help apropos whatis whereis which type kill pkill "
        "killall pgrep ps date sleep test [ [[ export unset set shift return exit local declare "
        "typeset readonly read let wait jobs id whoami uname hostname nproc env printenv"
    ).split()
)

#: Builtins that evaluate the subscript of a name that they are given: `a[$(id)]`.
EVALUATORS = frozenset(
    "let test [ printf read unset declare typeset local export readonly mapfile wait".split()
)

#: Subcommands of git that run a program which their arguments or settings name.
_GIT_RUNNERS = frozenset(
    "bisect submodule rebase filter-branch difftool mergetool for-each-repo send-email hook".split()
)

#: Options of git itself, before the subcommand, that take the next word.
_GIT_VALUES = frozenset("-C -c --git-dir --work-tree --namespace --exec-path --config-env".split())


#: Of every program: names that run programs or write files wherever they are known.
_COMMON = (
    "exec execdir ok-command to-command use-compress-program compress-program checkpoint-action "
    "rsh-command rsh pager editor shell output output-file output-document output-directory outfile "
    "pre preprocessor plugin eval config config-file init-file rcfile require import"
).split()

#: The same of git, for which a name may be cut short too.
_OF_GIT = (
    "ext-diff textconv filters open-files-in-pager upload-pack receive-pack exec-path config-env "
    "template edit edit-description interactive patch-edit no-index gpg-sign sign local-user "
    "strategy paginate git-dir work-tree namespace show-signature verify-signatures contents file "
    "pathspec-from-file help trailer"
).split()

#: In a word for git: a format that has signatures checked by a program; a remote helper.
GIT_TEXT = ("%G", "::")

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


def base_name(program: str) -> str:
    """The name of a program without its folder and version: `python` for /usr/bin/python3.11."""
    name = program.rpartition("/")[2]
    return re.sub(r"-?[\d.]+$", "", name) or name


def _may_run_others(word: str, names: Sequence[str]) -> bool:
    """Whether this long option is one of these, whole or cut short."""
    if not word.startswith("--") or len(word) == 2:
        return False
    name = word[2:].partition("=")[0]
    return any(long.startswith(name) for long in names)


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
        _may_run_others(word, _COMMON)
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
    return any(
        w.startswith("-O")
        or _may_run_others(w, (*_COMMON, *_OF_GIT))
        or (w.startswith("--") and any(text in w for text in GIT_TEXT))
        for w in known
    )


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
