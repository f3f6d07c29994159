"""Each attack is tried confined, where it must fail, and unconfined, where it must succeed:
an attack that never works proves nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from support.arena import Arena
from support.commands import processes_with, run_in, until_gone, until_there
from turnstone.core.sandbox import CommandResult, Sandbox


@dataclass(frozen=True)
class Attack:
    name: str
    script: Callable[[Arena], str]
    got_through: Callable[[Arena, CommandResult], bool]
    as_root: bool = False  # works unconfined for root only

    def __str__(self) -> str:
        return self.name


def changed(arena: Arena, _: CommandResult) -> bool:
    return not arena.untouched()


def told(arena: Arena, result: CommandResult) -> bool:
    return arena.nonce in result.output


def called(arena: Arena, _: CommandResult) -> bool:
    return bool(arena.callers)


def said_yes(_: Arena, result: CommandResult) -> bool:
    return "yes" in result.output.splitlines()


def connect(kind: str, address: str) -> str:
    return f"""/usr/bin/python3 -c '
import socket
s = socket.socket(socket.{kind}, socket.SOCK_STREAM)
s.connect({address})
s.recv(1)'"""


def open_socket(family: str) -> str:
    """What the kernel of this machine does not have shows as not held back."""
    kind = "SOCK_SEQPACKET" if family == "AF_ALG" else "SOCK_STREAM"
    return f"""/usr/bin/python3 -c '
import socket
try:
    socket.socket(socket.{family}, socket.{kind})
except PermissionError:
    print("refused")
except OSError:
    print("yes")
else:
    print("yes")'"""


def make_call(number: int, *arguments: object) -> str:
    """A system call by its number on x86-64. What the kernel does not have shows too."""
    return f"""/usr/bin/python3 -c '
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
result = libc.syscall({number}, {", ".join(map(str, arguments))})
print("yes" if result >= 0 or ctypes.get_errno() != errno.EPERM else "refused")'"""


ATTACKS = [
    Attack("write a file outside", lambda a: f"echo x > {a.outside}", changed),
    Attack("write in a folder that shows", lambda a: f"echo x > {a.beside_tests}", changed),
    Attack(
        "write in a sibling of the same prefix",
        lambda a: f"echo x > ../{a.sibling.name}/x",
        lambda a, _: (a.sibling / "x").exists(),
    ),
    Attack("write through a link", lambda a: f"ln -s {a.outside} l; echo x > l", changed),
    Attack(
        "write through a link to a folder",
        lambda a: f"ln -s {a.beside_tests.parent} d; echo x > d/{a.beside_tests.name}",
        changed,
    ),
    Attack("write through a hard link", lambda a: f"ln {a.outside} h && echo x > h", changed),
    Attack("move a file out", lambda a: f"echo x > f; mv f {a.beside_tests}", changed),
    Attack("remove a file outside", lambda a: f"rm {a.outside}", lambda a, _: not a.outside.exists()),
    Attack("write by /proc/self/root", lambda a: f"echo x > /proc/self/root{a.beside_tests}", changed),
    Attack("write by the root of the parent", lambda a: f"echo x > /proc/$PPID/root{a.beside_tests}", changed),
    Attack(
        "write by another's working directory",
        lambda a: f"echo x > /proc/{a.victim.pid}/root{a.beside_tests}",
        changed,
    ),
    Attack(
        "remount writable",
        lambda a: f"mount -o remount,rw,bind / && echo x > {a.beside_tests}",
        changed,
        True,
    ),
    Attack("mount something", lambda a: "mkdir m; mount -t tmpfs x m && echo yes; umount m", said_yes, True),
    Attack("change the root", lambda a: "chroot / true && echo yes", said_yes, True),
    Attack("make a device", lambda a: "mknod d c 1 3 && echo yes", said_yes, True),
    Attack("make a namespace", lambda a: "unshare -Ur true && echo yes", said_yes, True),
    Attack("enter a namespace", lambda a: f"nsenter -t {a.victim.pid} -m true && echo yes", said_yes, True),
    Attack("read a secret of the home", lambda a: f"cat {a.home_secret}", told),
    Attack("read it by the account's name", lambda a: "cat ~/.ssh/id_rsa", told),
    Attack("read our own state", lambda a: f"cat {a.hidden}/token", told),
    Attack("read a password file", lambda a: "head -c 1 /etc/shadow && echo && echo yes", said_yes, True),
    Attack(
        "read another's environment",
        lambda a: "for f in /proc/[0-9]*/environ; do tr '\\0' '\\n' < $f; done",
        told,
    ),
    Attack("list another's command line", lambda a: "ps ax -o args | grep -c '^sleep 1000' && echo yes", said_yes),
    Attack("kill another process", lambda a: f"kill -9 {a.victim.pid} && echo yes", said_yes),
    Attack("change the kernel's settings", lambda a: "f=/proc/sys/vm/swappiness; cat $f > v; cat v > $f && echo yes", said_yes, True),
    Attack(
        "find something of the kernel to write to",
        lambda a: "find /proc /sys -path '/proc/[0-9]*' -prune -o -path '/proc/*self' -prune "
        "-o -type f -writable -print 2>/dev/null | grep -q . && echo yes",
        said_yes,
        True,
    ),
    Attack("connect to loopback", lambda a: f"exec 3<>/dev/tcp/127.0.0.1/{a.port} && read -u 3", called),
    Attack("connect to a socket of the session", lambda a: connect("AF_UNIX", f'"{a.runtime_socket}"'), called),
    Attack("connect to an abstract socket", lambda a: connect("AF_UNIX", f'b"\\x00{a.abstract_name}"'), called),
    Attack("open a socket to the host of the machine", lambda a: open_socket("AF_VSOCK"), said_yes),
    Attack("open a socket to the kernel's ciphers", lambda a: open_socket("AF_ALG"), said_yes),
    Attack("keep off the hooks of git: new one", lambda a: "echo x > .git/hooks/pre-commit && echo yes", said_yes),
    Attack("change the settings of git", lambda a: "echo x > .git/config && echo yes", said_yes),
    Attack("say that the settings of git are elsewhere", lambda a: "echo $PWD/evil > .git/commondir && echo yes", said_yes),
    Attack("put another repository in place", lambda a: "mv .git g && mkdir -p .git/hooks && echo yes", said_yes),
]  # fmt: skip

if os.uname().machine == "x86_64":
    ATTACKS += [
        Attack("reach the keys of the session", lambda a: make_call(250, 0, -3, 1), said_yes),
        Attack(
            "set up calls that no filter sees", lambda a: make_call(425, 1, "bytes(120)"), said_yes
        ),
    ]


@pytest.fixture(autouse=True)
def repository(arena: Arena) -> None:
    (arena.workspace / ".git" / "hooks").mkdir(parents=True)
    (arena.workspace / ".git" / "config").write_text("[core]\n")


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
async def test_an_attack_fails_where_commands_are_confined(
    attack: Attack, arena: Arena, confined: Sandbox
) -> None:
    result = await run_in(confined, attack.script(arena), arena.workspace)

    assert not result.timed_out
    assert not attack.got_through(arena, result), result.output


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
async def test_the_same_attack_succeeds_where_they_are_not(
    attack: Attack, arena: Arena, confined: Sandbox, unconfined: Sandbox
) -> None:
    """`confined` is asked for, because where it cannot be had there is nothing to prove."""
    if attack.as_root and os.geteuid() != 0:
        pytest.skip("only root can do that, confined or not")

    result = await run_in(unconfined, attack.script(arena), arena.workspace)

    assert attack.got_through(arena, result), result.output


async def test_a_daemon_outlives_its_command_unconfined_and_not_confined(
    arena: Arena, confined: Sandbox, unconfined: Sandbox
) -> None:
    marker = f"9{int(arena.nonce[:6], 16)}"
    script = f"setsid sleep {marker} > /dev/null 2>&1 & sleep 0.2"

    await run_in(confined, script, arena.workspace)
    assert await until_gone(marker) == []

    await run_in(unconfined, script, arena.workspace)
    survivors = await until_there(marker)
    for pid in survivors:
        os.kill(pid, 9)
    assert survivors
    assert await until_gone(marker) == processes_with(marker) == []


async def test_a_repository_that_lies_elsewhere_keeps_its_pointer(
    arena: Arena, confined: Sandbox, tmp_path: object
) -> None:
    workspace = arena.sibling
    (workspace / ".git").write_text("gitdir: /elsewhere\n")

    result = await run_in(confined, "echo 'gitdir: evil' > .git; rm -f .git", workspace)

    assert (workspace / ".git").read_text() == "gitdir: /elsewhere\n", result.output


async def test_hooks_cannot_be_made_where_there_were_none(arena: Arena, confined: Sandbox) -> None:
    workspace = arena.sibling
    (workspace / ".git").mkdir()

    script = "mkdir -p .git/hooks; echo x > .git/hooks/pre-commit; echo x > .git/config; ls -R .git"
    result = await run_in(confined, script, workspace)

    assert not (workspace / ".git" / "hooks" / "pre-commit").exists(), result.output
    assert list((workspace / ".git").iterdir()) == []  # and nothing is left of what was held


async def test_commits_work_although_hooks_and_settings_are_protected(
    arena: Arena, confined: Sandbox
) -> None:
    workspace = arena.sibling
    who = "-c user.name=a -c user.email=a@b -c safe.directory='*'"
    made = await run_in(confined, "git init -q .", workspace)
    assert made.exit_code == 0, made.output

    script = f"echo x > f && git {who} add f && git {who} commit -qm one && git {who} log --oneline"
    result = await run_in(confined, script, workspace)

    assert result.exit_code == 0, result.output
    assert "one" in result.output
