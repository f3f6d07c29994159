"""What is known of programs: which run others, which read orders, which do neither. Pure.

Tables only; which options run programs is in `shell_options`. They are no boundary: a program
that is not listed is taken for what its name says. What keeps a command from doing harm is the
sandbox.
"""

from __future__ import annotations

import re


def base_name(program: str) -> str:
    """The name of a program without its folder and version: `python` for /usr/bin/python3.11."""
    name = program.rpartition("/")[2]
    return re.sub(r"-?[\d.]+$", "", name) or name


def _table(names: str) -> frozenset[str]:
    return frozenset(map(base_name, names.split()))


#: Run the program that their arguments name, after options of their own.
WRAPPERS = _table(
    "sudo doas su runuser pkexec env xargs nohup timeout nice ionice chrt taskset time "
    "stdbuf setsid setpriv chroot unshare nsenter flock watch parallel strace ltrace script "
    "unbuffer exec command builtin coproc find fd fdfind busybox toybox catchsegv systemd-run "
    "ssh bwrap prlimit firejail start-stop-daemon uv npx uvx pipx poetry pdm hatch rye "
    "docker podman kubectl direnv ld.so faketime perf valgrind torsocks proxychains rlwrap npm pnpm yarn "
    "fakeroot linux32 linux64 setarch sg tini dumb-init gosu su-exec eatmydata xvfb-run "
    "dbus-run-session chronic entr conda mamba bundle mise"
)

SHELLS = _table("sh bash dash zsh ksh mksh ash fish csh tcsh rbash pwsh")

#: Start a shell that reads its commands, where they are given none.
LOGINS = _table("sudo doas su runuser chroot unshare nsenter script sg ssh")

#: Add words that they read to those that they are given.
READERS = frozenset({"xargs", "parallel"})

#: Take shell text among their arguments.
TEXT_RUNNERS = _table(
    "eval ssh su runuser watch script env parallel trap xargs flock sg entr hyperfine nix-shell"
)

#: Their first argument that is no option is a file with a program; before it may be a program.
INTERPRETERS = _table(
    "python pypy ipython perl ruby node nodejs deno bun php lua luajit tclsh Rscript R"
)

#: Their first argument is one of their own orders, or a file: of the orders these run a program.
SUBCOMMANDS_THAT_RUN = frozenset("eval repl exec x task -".split())

#: Modules of Python that run what they are given as text, or read.
MODULES_THAT_RUN = frozenset(
    (
        "timeit code pdb asyncio profile cProfile trace idlelib IPython bpython ptpython pyperf "
        "debugpy runpy"
    ).split()
)

#: Hold a program in their arguments or in what they read, in a language that is not read here.
ALWAYS_OPAQUE = _table(
    "awk gawk mawk nawk sed gsed ed ex vi vim nvim view vimdiff emacs nano expect gdb lldb "
    "source . alias at batch crontab screen tmux less more most dc bc m4 socat hash enable "
    "mapfile readarray compgen complete bind fc sqlite3 psql mysql run-parts newgrp "
    "rvim gvim kak micro mariadb duckdb mongo mongosh sftp lftp ftp telnet mail mailx "
    "irb pry ghci iex elixir erl julia ocaml utop guile racket sbcl clisp scheme clojure clj "
    "bb scala groovy jshell kotlin swift gjs qjs micropython octave maxima gp gnuplot osascript "
    "jrunscript coffee tsx ts-node rake wish"
)

#: Run nothing that their arguments name, options apart. Of a program that is in none of these
#: tables nobody knows that, so that a name among its arguments may be one that it runs.
PLAIN = _table(
    "echo printf true false : cd pwd pushd popd ls cat head tail wc nl tac cut paste sort uniq "
    "tr fold fmt column join comm diff cmp stat file du df tree od xxd hexdump strings seq "
    "basename dirname realpath readlink grep egrep fgrep rg ag cp mv ln rm rmdir mkdir mktemp "
    "touch chmod chown chgrp install truncate dd tee tar bsdtar zip unzip gzip gunzip zcat bzip2 "
    "xz zstd md5sum sha1sum sha256sum sha512sum cksum base64 git hg svn make gmake ninja "
    "pip pip3 apt apt-get apt-cache dpkg brew dnf yum apk pacman cargo go gcc g++ cc clang "
    "curl wget scp rsync jq man info help apropos whatis whereis which type kill pkill "
    "killall pgrep ps date sleep test [ [[ export unset set shift return exit local declare "
    "typeset readonly read let wait jobs id whoami uname hostname nproc env printenv"
)

#: Builtins that evaluate the subscript of a name that they are given: `a[$(id)]`.
EVALUATORS = _table(
    "let test [ [[ printf read unset declare typeset local export readonly mapfile wait getopts"
)
