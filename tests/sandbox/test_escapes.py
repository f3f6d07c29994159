"""Each attack is tried confined, where it must fail, and unconfined, where it must succeed:
an attack that never works proves nothing."""

from __future__ import annotations

import os
import subprocess
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
    l2: bool = True  # held at level L2 too; what is not is in the notes of that level

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


def python(code: str) -> str:
    """`yes` where the code gets to its end; `{a}` and the like are filled in before."""
    return f"/usr/bin/python3 - <<'END'\n{code}\nprint('yes')\nEND"


def reopened(arena: Arena) -> str:
    return python(
        f"import os\nd = os.open('{arena.outside}', os.O_PATH)\nopen(f'/proc/self/fd/{{d}}', 'w')"
    )


def traced(arena: Arena) -> str:
    """Attaches to a process and lets it go again."""
    return python(
        "import ctypes, os\nl = ctypes.CDLL(None)\n"
        f"if l.ptrace(16, {arena.victim.pid}, 0, 0): raise SystemExit\n"
        f"os.waitpid({arena.victim.pid}, 0x40000000)\nl.ptrace(17, {arena.victim.pid}, 0, 0)"
    )


def typed(arena: Arena) -> str:
    """A key pressed on somebody's terminal, by a process that makes it its own."""
    return python(
        "import fcntl, os, termios\n"
        "if os.fork():\n    raise SystemExit(os.wait()[1])\n"
        f"os.setsid()\nd = os.open('{arena.terminal}', os.O_RDWR)\n"
        "fcntl.ioctl(d, termios.TIOCSTI, b'x')"
    )


def mode(arena: Arena, _: CommandResult) -> bool:
    return arena.outside.stat().st_mode & 0o777 == 0o707


def gone(arena: Arena, _: CommandResult) -> bool:
    return not arena.outside.exists()


def made_beside(arena: Arena, _: CommandResult) -> bool:
    return os.path.lexists(arena.sibling / "made")


def ended(arena: Arena, _: CommandResult) -> bool:
    try:
        arena.victim.wait(1)
    except subprocess.TimeoutExpired:
        return False
    return True


ATTACKS = [
    Attack("append to a file outside", lambda a: f"echo x >> {a.outside}", changed),
    Attack("cut a file off", lambda a: f"truncate -s 0 {a.outside}", changed),
    Attack("cut it off by the call for names", lambda a: python(f"import os\nos.truncate('{a.outside}', 0)"), changed),
    Attack("open it again by its number", reopened, changed),
    Attack("move a file in", lambda a: f"mv {a.outside} taken", gone),
    Attack("put a file in its place", lambda a: f"echo x > f; mv f {a.outside}", changed),
    Attack("exchange two files", lambda a: f"echo x > f; mv {a.outside} g; mv f {a.outside}", changed),
    Attack("make a folder outside", lambda a: f"mkdir {a.sibling}/made", made_beside),
    Attack("make a link outside", lambda a: f"ln -s /etc {a.sibling}/made", made_beside),
    Attack("make a pipe outside", lambda a: f"mkfifo {a.sibling}/made", made_beside),
    Attack("make a socket outside", lambda a: python(f"import socket\nsocket.socket(1).bind('{a.sibling}/made')"), made_beside),
    Attack("remove a folder outside", lambda a: f"rmdir {a.sibling}", lambda a, _: not a.sibling.exists()),
    Attack("write by a link in the middle", lambda a: f"mkdir m; ln -s {a.sibling} m/d; echo x > m/d/made", made_beside),
    Attack("write by the way up", lambda a: f"echo x > {a.workspace}/../{a.sibling.name}/made", made_beside),
    Attack("write by a working directory", lambda a: f"echo x > /proc/{a.victim.pid}/cwd/{a.beside_tests.relative_to(os.getcwd())}", changed),
    Attack("write into the home", lambda a: f"echo x > {a.home_secret.parent}/made", lambda a, _: (a.home_secret.parent / "made").exists()),
    Attack("change who may use a file", lambda a: f"chmod 707 {a.outside}", mode, l2=False),
    Attack("change a file's date", lambda a: f"touch -d 2001-01-01 {a.outside}", lambda a, _: a.outside.stat().st_mtime < 1e9, l2=False),
    Attack("become another user", lambda a: "setpriv --reuid 65534 --clear-groups true && echo yes", said_yes, True),
    Attack("read a secret by a link", lambda a: f"ln -s {a.home_secret} l; cat l", told),
    Attack("read a secret by a hard link", lambda a: f"ln {a.home_secret} l; cat l", told),
    Attack("read a secret by the root of another", lambda a: f"cat /proc/{a.victim.pid}/root{a.home_secret}", told),
    Attack("read all of the home", lambda a: f"grep -rs . {a.home_secret.parent}", told),
    Attack("copy our own state", lambda a: f"cp -r {a.hidden} copy; cat copy/*", told),
    Attack("read the environment of one process", lambda a: f"cat /proc/{a.victim.pid}/environ", told),
    Attack("read another's memory", lambda a: f"head -c 1 /proc/{a.victim.pid}/mem; cat /proc/{a.victim.pid}/maps | grep -q sleep && echo yes", said_yes),
    Attack("read the disk", lambda a: "d=$(lsblk -ndpo NAME | head -1); head -c 1 $d > k && echo yes", said_yes, True),
    Attack("trace another process", traced, said_yes),
    Attack("end another by its limits", lambda a: f"prlimit --pid {a.victim.pid} --cpu=0 && echo yes", said_yes),
    Attack("send it a signal by a thread's number", lambda a: python(f"import ctypes\nif ctypes.CDLL(None).syscall(234, {a.victim.pid}, {a.victim.pid}, 9): raise SystemExit"), ended),
    Attack("send it a signal by a descriptor", lambda a: python(f"import os, signal\nsignal.pidfd_send_signal(os.pidfd_open({a.victim.pid}), 9)"), ended),
    Attack("stop another process", lambda a: f"kill -STOP {a.victim.pid} && kill -CONT {a.victim.pid} && echo yes", said_yes),
    Attack("write on a terminal", lambda a: f"echo x > {a.terminal} && echo yes", said_yes),
    Attack("press a key on a terminal", typed, said_yes, True),
    Attack("send a datagram", lambda a: python(f"import socket\nsocket.socket(2, 2).sendto(b'x', ('127.0.0.1', {a.udp_port}))"), called),
    Attack("ask for a name", lambda a: python(f"import socket\ns = socket.socket(2, 2)\ns.connect(('127.0.0.1', {a.udp_port}))\ns.send(bytes(12))"), called),
    Attack("open a raw socket", lambda a: python("import socket\nsocket.socket(2, 3, 1)"), said_yes, True),
    Attack("listen to all packets", lambda a: python("import socket\nsocket.socket(17, 3, 0x300)"), said_yes, True),
    Attack("connect by another program", lambda a: f"perl -MIO::Socket -e 'IO::Socket::INET->new(\"127.0.0.1:{a.port}\")'", called),
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
    Attack("list another's command line", lambda a: "ps ax -o args | grep -c '^sleep 1000' && echo yes", said_yes, l2=False),
    Attack("kill another process", lambda a: f"kill -9 {a.victim.pid} && echo yes", said_yes),
    Attack("change the kernel's settings", lambda a: "f=/proc/sys/vm/swappiness; cat $f > v; cat v > $f && echo yes", said_yes, True),
    Attack(
        "find something of the kernel to write to",
        lambda a: "find /proc /sys -path '/proc/[0-9]*' -prune -o -path '/proc/*self' -prune "
        "-o -type f -writable -print 2>/dev/null | grep -q . && echo yes",
        said_yes,
        True,
        l2=False,
    ),
    Attack("connect to loopback", lambda a: f"exec 3<>/dev/tcp/127.0.0.1/{a.port} && read -u 3", called),
    Attack("connect to a socket of the session", lambda a: connect("AF_UNIX", f'"{a.runtime_socket}"'), called),
    Attack("connect to a service that is not hidden", lambda a: connect("AF_UNIX", '"service"'), called),
    Attack("connect to an abstract socket", lambda a: connect("AF_UNIX", f'b"\\x00{a.abstract_name}"'), called),
    Attack("open a socket to the host of the machine", lambda a: open_socket("AF_VSOCK"), said_yes),
    Attack("open a socket to the kernel's ciphers", lambda a: open_socket("AF_ALG"), said_yes),
    Attack("keep off the hooks of git: new one", lambda a: "echo x > .git/hooks/pre-commit && echo yes", said_yes, l2=False),
    Attack("change the settings of git", lambda a: "echo x > .git/config && echo yes", said_yes, l2=False),
    Attack("say that the settings of git are elsewhere", lambda a: "echo $PWD/evil > .git/commondir && echo yes", said_yes, l2=False),
    Attack("put another repository in place", lambda a: "mv .git g && mkdir -p .git/hooks && echo yes", said_yes, l2=False),
]  # fmt: skip

if os.uname().machine == "x86_64":
    ATTACKS += [
        Attack("reach the keys of the session", lambda a: make_call(250, 0, -3, 1), said_yes),
        Attack(
            "set up calls that no filter sees", lambda a: make_call(425, 1, "bytes(120)"), said_yes
        ),
        Attack("load a program into the kernel", lambda a: make_call(321, 0, 0, 0), said_yes, True),
        Attack("take faults of memory", lambda a: make_call(323, -1), said_yes, True),
        Attack("mount by the newer calls", lambda a: make_call(430, 0, 0), said_yes, True),
        Attack("exchange the root", lambda a: make_call(155, 0, 0), said_yes, True),
        Attack("restart the machine", lambda a: make_call(169, 0, 0, 0, 0), said_yes, True),
        Attack("name the machine", lambda a: make_call(170, 0, -1), said_yes, True),
        Attack("use a file as memory", lambda a: make_call(167, 0, 0), said_yes, True),
    ]


@pytest.fixture(autouse=True)
def repository(arena: Arena) -> None:
    (arena.workspace / ".git" / "hooks").mkdir(parents=True)
    (arena.workspace / ".git" / "config").write_text("[core]\n")


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
async def test_an_attack_fails_at_level_l3(attack: Attack, arena: Arena, confined: Sandbox) -> None:
    result = await run_in(confined, attack.script(arena), arena.workspace)

    assert not result.timed_out
    assert not attack.got_through(arena, result), result.output


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack.l2], ids=str)
async def test_an_attack_fails_at_level_l2(
    attack: Attack, arena: Arena, landlocked: Sandbox
) -> None:
    result = await run_in(landlocked, attack.script(arena), arena.workspace)

    assert not result.timed_out
    assert not attack.got_through(arena, result), result.output


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
async def test_the_same_attack_succeeds_where_nothing_is_confined(
    attack: Attack, arena: Arena, confined: Sandbox, unconfined: Sandbox
) -> None:
    """`confined` is asked for, because where it cannot be had there is nothing to prove."""
    if attack.as_root and os.geteuid() != 0:
        pytest.skip("only root can do that, confined or not")

    result = await run_in(unconfined, attack.script(arena), arena.workspace)

    assert attack.got_through(arena, result), result.output


def test_each_attack_is_in_the_table_once() -> None:
    names = [attack.name for attack in ATTACKS]

    assert len(set(names)) == len(names) >= 60


@pytest.fixture(params=["confined", "landlocked"])
def held(request: pytest.FixtureRequest) -> Sandbox:
    found: Sandbox = request.getfixturevalue(request.param)
    return found


async def test_a_daemon_outlives_its_command_unconfined_and_not_confined(
    held: Sandbox, arena: Arena, unconfined: Sandbox
) -> None:
    marker = f"9{int(arena.nonce[:6], 16)}"
    script = f"setsid sleep {marker} > /dev/null 2>&1 & sleep 0.2"

    await run_in(held, script, arena.workspace)
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
